#include "gateway/shadow_parts.h"

enum { ERROR_BYTES_MAX = 64 * 1024 };
static const int64_t linger_us = S(1);  // for a supplier's last chunk after [DONE]

static int64_t due_of(const struct shadow *s)
{
    const struct endpoint *ep = s->attempt.ep;
    int64_t due = s->ask.deadline_us;
    if (s->done_us)
        return min_i64(due, s->done_us + linger_us);
    if (s->first_us)
        return min_i64(due, s->last_us + ep->idle_us);
    return s->stream && ep ? min_i64(due, s->sent_us + ep->first_byte_us) : due;
}

void shadow_on_timer(struct timer *t)
{
    struct shadow *s = CONTAINER_OF(t, struct shadow, timer);
    if (due_of(s) > shadow_now(s))
        timer_set(s->worker->loop, &s->timer, due_of(s));
    else if (s->done_us)
        shadow_finish(s, FAULT_NONE, false, "");
    else
        shadow_finish(s, FAULT_TIMEOUT, false,
                      s->first_us ? "it fell silent" : "no content in time");
}

void shadow_arm(struct shadow *s)
{
    int64_t due = due_of(s);
    if (!s->timer.node.slot || s->timer.node.due_us > due)
        timer_set(s->worker->loop, &s->timer, due);
}

// --- hearing the supplier -----------------------------------------------------------------------

static void on_head(void *ctx, const struct http1_head *h)
{
    struct shadow *s = ctx;
    s->status = h->status;
    s->answer_stream = s->stream && attempt_streams(h);
    s->retry_after_us = attempt_retry_after_us(h);
    s->last_us = shadow_now(s);
    attempt_forget_head(&s->attempt);
    buf_release(&s->head);
    buf_release(&s->wire);
}

static void on_first(struct shadow *s)
{
    s->first_us = shadow_now(s);
    core_first(s->worker->core, s->generation, &s->decision, s->first_us - s->sent_us, s->first_us);
    shadow_arm(s);
}

// Its code alone is told: the message may quote the prompt.
static void said_no(struct shadow *s, int32_t status, struct str body)
{
    struct openai_fault f;
    openai_fault_read(&f, status, body);
    shadow_finish(s, f.fault, false, f.code[0] ? f.code : "the supplier answered an error");
}

static void stream_bytes(struct shadow *s, struct str bytes)
{
    const struct relay_said *said = &s->relay.said;
    enum err e = relay_stream(&s->relay, bytes, &s->out);
    buf_clear(&s->out);
    if (e) {
        shadow_finish(s, FAULT_GARBAGE, false, "an event is longer than its limit");
        return;
    }
    if (said->error) {
        said_no(s, 200, buf_str(&s->relay.error));
        return;
    }
    if (!s->first_us && (said->content || said->finish))
        on_first(s);
    if (!s->first_us && said->done) {
        shadow_finish(s, FAULT_GARBAGE, false, "the stream ended without an answer");
    } else if (said->done) {
        s->done_us = shadow_now(s);
        shadow_arm(s);
    }
}

static void on_body(void *ctx, struct str bytes)
{
    struct shadow *s = ctx;
    if (s->done_us)
        return;
    s->last_us = shadow_now(s);
    if (s->answer_stream)
        stream_bytes(s, bytes);
    else if (s->status >= 300 && buf_len(&s->answer) + bytes.n > ERROR_BYTES_MAX)
        return;  // enough of an error page
    else if (!buf_add_str(&s->answer, bytes))
        shadow_finish(s, FAULT_GARBAGE, false, "the answer is longer than serve.limits.answer");
}

static void whole_end(struct shadow *s)
{
    enum err e = relay_whole(&s->relay, buf_str(&s->answer), &s->out);
    if (e) {
        shadow_finish(s, FAULT_GARBAGE, false, "the answer is not JSON, or too long");
    } else if (s->relay.said.error) {
        said_no(s, s->status, buf_str(&s->relay.error));
    } else if (s->stream) {
        shadow_finish(s, FAULT_GARBAGE, false, "a stream was asked for, and one piece came");
    } else {
        s->first_us = shadow_now(s);
        shadow_finish(s, FAULT_NONE, false, "");
    }
}

static void on_end(void *ctx)
{
    struct shadow *s = ctx;
    if (s->done_us)
        shadow_finish(s, FAULT_NONE, false, "");
    else if (s->status >= 300)
        said_no(s, s->status, buf_str(&s->answer));
    else if (!s->answer_stream)
        whole_end(s);
    else if (relay_stream_end(&s->relay, &s->out)) {
        if (!s->first_us)
            on_first(s);
        shadow_finish(s, FAULT_NONE, false, "");
    } else if (s->relay.said.error)
        said_no(s, 200, buf_str(&s->relay.error));
    else
        shadow_finish(s, s->relay.said.events ? FAULT_RESET : FAULT_GARBAGE, false,
                      "the stream ended before its answer did");
}

static void on_failed(void *ctx, enum fault fault, bool stale, const char *why)
{
    struct shadow *s = ctx;
    shadow_finish(s, s->done_us ? FAULT_NONE : fault, stale, s->done_us ? "" : why);
}

static void on_drain(void *ctx)
{
    (void)ctx;  // the request went out in one piece
}

const struct attempt_calls shadow_calls = {
    .head = on_head, .body = on_body, .end = on_end, .failed = on_failed, .drain = on_drain};
