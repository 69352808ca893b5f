// The life of an answer: reply_start() -> (delay) -> its pace -> tokens as they are due -> the end,
// a fault, or a client that went away.

#include "sim/inside.h"

static const char garbage[] = "\x15\x03\x01\x00\x02\x02\x28 this is not HTTP\r\n\r\n";

// --- sending ----------------------------------------------------------------------------------

static size_t pending(const struct client *c)
{
    return conn_pending(c->conn) + buf_len(&c->dripping);
}

static void on_drip(struct timer *t);

static void send_bytes(struct client *c, struct str head, struct str body)
{
    if (!c->effect.drip_bytes) {
        conn_send2(c->conn, head, body);
        return;
    }
    bool idle = buf_len(&c->dripping) == 0;
    buf_add_str(&c->dripping, head);
    buf_add_str(&c->dripping, body);
    if (idle && buf_len(&c->dripping)) {
        c->drip_timer.fire = on_drip;
        timer_set(c->sim->loop, &c->drip_timer, loop_now_us(c->sim->loop) + c->effect.drip_us);
    }
}

static void retry_headers(struct buf *out, int64_t retry_us)
{
    if (retry_us < 0)
        return;
    buf_printf(out, "retry-after: %lld\r\n", (long long)((retry_us + S(1) - 1) / S(1)));
    if (retry_us % S(1))
        buf_printf(out, "retry-after-ms: %lld\r\n", (long long)((retry_us + MS(1) - 1) / MS(1)));
}

// `length` -1: a stream, in chunks, or up to the end of the connection for HTTP/1.0.
static void write_head(struct client *c, struct buf *out, int32_t status, const char *type,
                       int64_t length)
{
    sim_record_status(&c->sim->record, c->call, status);
    buf_printf(out,
               "HTTP/1.1 %d %s\r\nServer: caudal-sim\r\nContent-Type: %s\r\n"
               "x-request-id: req-sim-%llu\r\n",
               status, http1_reason(status), type, (unsigned long long)c->seq);
    if (c->kind == ASK_MODEL && c->surface == SURFACE_MESSAGES)
        buf_printf(out, "request-id: req-sim-%llu\r\n", (unsigned long long)c->seq);
    if (status == 405)
        buf_lit(out, "Allow: GET, POST\r\n");
    if (length >= 0)
        buf_printf(out, "Content-Length: %lld\r\n", (long long)length);
    else if (!c->http_1_0)
        buf_lit(out, "Transfer-Encoding: chunked\r\n");
    else
        c->keep_alive = false;
    if (length < 0)
        buf_lit(out, "Cache-Control: no-cache\r\n");
    if (!c->keep_alive)
        buf_lit(out, "Connection: close\r\n");
    else if (c->http_1_0)
        buf_lit(out, "Connection: keep-alive\r\n");
}

// --- the end ----------------------------------------------------------------------------------

static void stop(struct client *c)
{
    struct loop *l = c->sim->loop;
    steps_cancel(c);
    timer_stop(l, &c->timer);
    timer_stop(l, &c->drip_timer);
    buf_release(&c->dripping);
    buf_release(&c->embedding);
    sim_answer_release(&c->answer);
}

static void account(struct client *c, int64_t *outcome)
{
    if (!c->counted)
        return;
    c->counted = false;
    struct sim_record *r = &c->sim->record;
    (*outcome)++;
    r->output_tok += (int64_t)c->emitted * c->answer.choices;
    sim_record_ended(r, c->answer.stream);
}

static void over(struct client *c, enum reply_end end)
{
    if (end == REPLY_GOES_ON)
        return;
    if (end == REPLY_HANG) {
        steps_cancel(c);
        timer_stop(c->sim->loop, &c->timer);
        c->hangs = true;
        return;
    }
    if (buf_len(&c->dripping)) {
        c->after_drip = end;
        return;
    }
    struct sim_record *r = &c->sim->record;
    bool faulted = c->effect.kind != SIM_OK && c->effect.kind != SIM_GARBAGE_EVENT;
    account(c, c->turned_away ? &r->rejected : faulted ? &r->faulted : &r->finished);
    stop(c);
    client_next(c, end == REPLY_KEEP && c->keep_alive);
}

void reply_gone(struct client *c)
{
    if (c->state != CLIENT_ANSWERING)
        return;
    struct sim_record *r = &c->sim->record;
    account(c, c->hangs ? &r->faulted : &r->cancelled);
    stop(c);
}

void reply_whole(struct client *c, int32_t status, const char *type, struct str body)
{
    struct buf *out = &c->sim->out;
    buf_clear(out);
    write_head(c, out, status, type, (int64_t)body.n);
    retry_headers(out, c->effect.retry_after_us);
    buf_lit(out, "\r\n");
    send_bytes(c, buf_str(out), body);
    over(c, REPLY_KEEP);
}

void reply_error(struct client *c, int32_t status, const char *code, const char *message)
{
    struct buf *body = &c->sim->event;
    buf_clear(body);
    enum surface surface = c->kind == ASK_MODEL ? c->surface : SURFACE_CHAT;
    sim_error_write(body, surface, c->sim->config.cerebras, status, code, message);
    reply_whole(c, status, "application/json", buf_str(body));
}

// --- a whole answer ---------------------------------------------------------------------------

static void write_body(struct client *c, struct buf *out)
{
    if (c->effect.kind == SIM_GARBAGE_EVENT)
        buf_lit(out, "<html><body>this is not JSON</body></html>");
    else if (c->effect.kind == SIM_ERROR_EVENT)
        sim_error_write(out, c->surface, c->sim->config.cerebras, 500, c->effect.code,
                        "a simulated error in an answer with status 200");
    else if (c->surface == SURFACE_EMBEDDINGS)
        buf_add_str(out, buf_str(&c->embedding));
    else
        sim_answer_whole(&c->answer, out);
}

static void send_whole(struct client *c)
{
    struct buf *out = &c->sim->out, *body = &c->sim->event;
    buf_clear(body);
    c->answer.now_us = loop_now_us(c->sim->loop);
    write_body(c, body);
    if (body->overflow) {
        c->turned_away = true;
        reply_error(c, 500, NULL, "the simulated answer is too long");
        return;
    }
    struct str sent = buf_str(body);
    int64_t length = (int64_t)sent.n;
    enum reply_end end = REPLY_KEEP;
    switch (c->effect.kind) {
    case SIM_ROLE_THEN_NOTHING:
        sent.n = 0;
        end = REPLY_HANG;
        break;
    case SIM_STALL_AFTER:
    case SIM_CUT_AFTER: {  // four bytes for a token, and never the last byte
        size_t most = sent.n ? sent.n - 1 : 0, cut = (size_t)c->effect.after * 4;
        sent.n = cut < most ? cut : most;
        end = c->effect.kind == SIM_CUT_AFTER ? REPLY_CLOSE : REPLY_HANG;
        break;
    }
    case SIM_BAD_LENGTH:
        length += 64;
        end = REPLY_CLOSE;
        break;
    default: break;
    }
    c->emitted = c->answer.output_tok;
    buf_clear(out);
    write_head(c, out, 200, "application/json", length);
    buf_lit(out, "\r\n");
    send_bytes(c, buf_str(out), sent);
    over(c, end);
}

// --- a stream ---------------------------------------------------------------------------------

static bool fault_due(const struct client *c)
{
    switch (c->effect.kind) {
    case SIM_BAD_LENGTH: return c->emitted == c->answer.output_tok;
    case SIM_STALL_AFTER:
    case SIM_CUT_AFTER:
    case SIM_GARBAGE_EVENT:
    case SIM_ERROR_EVENT:
        return !c->fault_done &&
               (c->emitted >= c->effect.after || c->emitted == c->answer.output_tok);
    default: return false;
    }
}

static enum reply_end do_fault(struct client *c, struct sim_writer *w)
{
    c->fault_done = true;
    switch (c->effect.kind) {
    case SIM_STALL_AFTER: return REPLY_HANG;
    case SIM_GARBAGE_EVENT: sim_answer_garbage(w); return REPLY_GOES_ON;
    case SIM_ERROR_EVENT:
        sim_answer_error(&c->answer, w, c->effect.code);
        if (w->chunked)
            buf_lit(w->out, "0\r\n\r\n");
        return REPLY_CLOSE;
    case SIM_BAD_LENGTH: buf_lit(w->out, "1000\r\ndata: {\"id\":"); return REPLY_CLOSE;
    default: return REPLY_CLOSE;
    }
}

static enum reply_end finish_stream(struct client *c, struct sim_writer *w)
{
    c->answer.now_us = loop_now_us(c->sim->loop);
    sim_answer_end(&c->answer, w);
    if (w->chunked)
        buf_lit(w->out, "0\r\n\r\n");
    return REPLY_KEEP;
}

static enum reply_end open_stream(struct client *c, struct sim_writer *w)
{
    if (c->opened)
        return REPLY_GOES_ON;
    c->opened = true;
    write_head(c, w->out, 200, "text/event-stream; charset=utf-8", -1);
    buf_lit(w->out, "\r\n");
    sim_answer_open(&c->answer, w);
    return c->effect.kind == SIM_ROLE_THEN_NOTHING ? REPLY_HANG : REPLY_GOES_ON;
}

static void flush(struct client *c)
{
    struct buf *out = &c->sim->out;
    send_bytes(c, buf_str(out), STR(""));
    buf_clear(out);
}

// Sends the tokens that are due, as far as the reader takes them: what is left stays a number, and
// reply_drained() goes on.
static void pump(struct client *c)
{
    if (c->hangs || c->after_drip != REPLY_GOES_ON || pending(c) > SIM_PENDING_HIGH)
        return;
    struct sim *s = c->sim;
    struct sim_writer w = {.out = &s->out, .event = &s->event, .chunked = !c->http_1_0};
    buf_clear(&s->out);
    enum reply_end end = open_stream(c, &w);
    while (end == REPLY_GOES_ON && c->emitted < c->ready) {
        if (fault_due(c)) {
            end = do_fault(c, &w);
            continue;
        }
        sim_answer_token(&c->answer, &w, c->emitted++);
        if (buf_len(&s->out) < SIM_FLUSH)
            continue;
        flush(c);
        if (pending(c) > SIM_PENDING_HIGH)
            return;
    }
    if (end == REPLY_GOES_ON && c->emitted == c->answer.output_tok) {
        if (fault_due(c))
            end = do_fault(c, &w);
        if (end == REPLY_GOES_ON)
            end = finish_stream(c, &w);
    }
    flush(c);
    over(c, end);
}

void reply_ready(struct client *c, int32_t tokens)
{
    c->ready = tokens;
    if (!c->answer.first_us)
        c->answer.first_us = loop_now_us(c->sim->loop);
    if (c->answer.stream)
        pump(c);
    else if (tokens >= c->answer.output_tok)
        send_whole(c);
}

void reply_drained(struct client *c)
{
    if (c->state == CLIENT_ANSWERING && c->answer.stream && c->opened)
        pump(c);
}

static void on_drip(struct timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, drip_timer);
    struct str bytes = buf_str(&c->dripping);
    if (bytes.n > (size_t)c->effect.drip_bytes)
        bytes.n = (size_t)c->effect.drip_bytes;
    conn_send(c->conn, bytes);
    buf_eat(&c->dripping, bytes.n);
    if (buf_len(&c->dripping))
        timer_set(c->sim->loop, t, loop_now_us(c->sim->loop) + c->effect.drip_us);
    if (c->after_drip != REPLY_GOES_ON && !buf_len(&c->dripping))
        over(c, c->after_drip);
    else if (buf_len(&c->dripping) < SIM_PENDING_LOW)
        reply_drained(c);
}

// --- the beginning ----------------------------------------------------------------------------

static int64_t pace_us(const struct client *c)
{
    const struct sim *s = c->sim;
    double slow = sim_faults_slow(&s->faults, str_of(c->model->name), loop_now_us(s->loop));
    return max_i64(1, (int64_t)((double)s->config.pace_us * slow));
}

static void on_pace(struct timer *t)
{
    struct client *c = CONTAINER_OF(t, struct client, timer);
    int64_t step_us = pace_us(c), now_us = loop_now_us(c->sim->loop);
    int64_t due_us = t->node.due_us;
    int32_t ready = c->ready;
    // A late turn gives all the tokens that have become due.
    for (; due_us <= now_us && ready < c->answer.output_tok; due_us += step_us)
        ready++;
    if (ready < c->answer.output_tok)
        timer_set(c->sim->loop, t, due_us);
    reply_ready(c, ready);
}

static void set_off(struct client *c)
{
    const struct sim_config *config = &c->sim->config;
    if (c->model->steps) {
        if (!steps_add(c)) {
            c->turned_away = true;
            c->effect.retry_after_us = S(1);
            reply_error(c, 503, "server_is_overloaded",
                        "the queue of the simulated supplier is full");
        }
    } else if (config->pace_us && c->answer.output_tok > 0) {
        c->timer.fire = on_pace;
        timer_set(c->sim->loop, &c->timer, loop_now_us(c->sim->loop) + pace_us(c));
    } else {
        reply_ready(c, c->answer.output_tok);
    }
}

static void send_empty(struct client *c)
{
    struct buf *out = &c->sim->out;
    buf_clear(out);
    bool chunked = c->answer.stream && !c->http_1_0;
    write_head(c, out, 200,
               c->answer.stream ? "text/event-stream; charset=utf-8" : "application/json",
               c->answer.stream ? -1 : 0);
    buf_add_str(out, chunked ? STR("\r\n0\r\n\r\n") : STR("\r\n"));
    send_bytes(c, buf_str(out), STR(""));
    over(c, REPLY_KEEP);
}

static void begin(struct client *c)
{
    struct sim_effect *f = &c->effect;
    switch (f->kind) {
    case SIM_REFUSE:
        account(c, &c->sim->record.faulted);
        stop(c);
        c->state = CLIENT_OVER;
        conn_abort(c->conn);
        return;
    case SIM_STALL_BEFORE: over(c, REPLY_HANG); return;
    case SIM_STATUS: reply_error(c, f->status, f->code, "a simulated fault"); return;
    case SIM_GARBAGE:
        send_bytes(c, (struct str){garbage, sizeof garbage - 1}, STR(""));
        over(c, REPLY_CLOSE);
        return;
    case SIM_EMPTY: send_empty(c); return;
    default: set_off(c); return;
    }
}

static void on_delay(struct timer *t)
{
    begin(CONTAINER_OF(t, struct client, timer));
}

void reply_start(struct client *c)
{
    struct sim *s = c->sim;
    c->state = CLIENT_ANSWERING;
    c->counted = true;
    sim_record_started(&s->record, c->answer.stream);
    s->record.prompt_tok += c->answer.prompt_tok;
    s->record.cached_tok += c->answer.cached_tok;
    c->answer.came_us = loop_now_us(s->loop);
    buf_init(&c->dripping, 2 * SIM_OUT_MAX);
    if (c->effect.delay_us > 0) {
        c->timer.fire = on_delay;
        timer_set(s->loop, &c->timer, c->answer.came_us + c->effect.delay_us);
    } else {
        begin(c);
    }
}
