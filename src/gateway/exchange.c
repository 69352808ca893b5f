#include "gateway/exchange_list.h"
#include "gateway/exchange_parts.h"
#include "gateway/pages.h"
#include "gateway/passthrough.h"
#include "gateway/prompt_blocks.h"

#include <stdlib.h>

enum {
    ARENA_SLACK = 256 * 1024,  // beside the body: headers, messages
};
static const int64_t keepalive_us = S(15);   // no SDK waits through 300 s of silence
static const int64_t linger_us = S(1);       // for a supplier's last chunk after [DONE]
static const int64_t late_us_min = S(5);     // no supplier is called slow before
static const int64_t leave_again_us = S(1);  // nobody else may have it: asked again after that

const struct portfolio *exchange_portfolio(const struct exchange *x)
{
    return x->generation->portfolio;
}

const struct tenant *exchange_tenant(const struct exchange *x)
{
    return x->ask.tenant < 0 ? NULL : &exchange_portfolio(x)->tenants[x->ask.tenant];
}

int64_t exchange_now(const struct exchange *x)
{
    return loop_now_us(x->worker->loop);
}

static void refuse(struct exchange *x, struct answer a)
{
    if (!a.type)
        a.type = "invalid_request_error";
    if (!a.retry_after_us)
        a.retry_after_us = -1;
    exchange_fail(x, &a);
}

// --- time -------------------------------------------------------------------------------------

static int64_t silence_due(const struct exchange *x)
{
    if (!x->stream || x->state == EXCHANGE_READING)
        return NEVER;
    if (x->head_sent)
        return x->wrote_us + keepalive_us;
    return x->arrived_us + exchange_portfolio(x)->serve.silence_us;
}

// From the first token to the last of an answer that shows nothing until then: how long it should
// take with the longest answer that is expected.
static int64_t unseen_us(const struct exchange *x)
{
    // A client may allow far more than it will get: a supplier that hangs must be seen before that.
    int64_t most = max_i64(2048, 8 * (int64_t)x->ask.output_tok);
    double tok = (double)max_i64(x->ask.output_tok, min_i64(x->ask.output_tok_max, most));
    double us = x->stream ? 0 : (double)x->decision.terms.per_token_us * tok;
    return us < 1e15 ? (int64_t)us : (int64_t)1e15;
}

// How long this attempt may go without its first content, whoever else might have it.
static int64_t first_due(const struct exchange *x)
{
    return x->sent_us + x->attempt.ep->first_byte_us + 4 * unseen_us(x);
}

// May the supplier be blamed for a deadline that has passed? A client says what patience it likes:
// where it has less than an answer takes, no breaker may open for that.
static bool is_late(const struct exchange *x, int64_t now_us)
{
    int64_t expected_us = x->decision.terms.ttft_us + unseen_us(x);
    return now_us - x->sent_us >= max_i64(late_us_min, 4 * expected_us);
}

static int64_t due_of(const struct exchange *x)
{
    switch (x->state) {
    case EXCHANGE_READING: return NEVER;
    case EXCHANGE_WAITING:
        return min_i64(min_i64(x->ask.deadline_us, x->retry_at_us), silence_due(x));
    case EXCHANGE_TRYING:
        return min_i64(min_i64(x->ask.deadline_us, first_due(x)),
                       min_i64(x->patience_us, silence_due(x)));
    case EXCHANGE_RELAYING:
        return min_i64(x->paused ? NEVER : x->last_us + x->attempt.ep->idle_us, silence_due(x));
    case EXCHANGE_CLOSING: return x->linger_until_us;
    case EXCHANGE_OVER: break;
    }
    return NEVER;
}

void exchange_arm(struct exchange *x)
{
    int64_t due = due_of(x);
    // Only ever moved forward here: a timer that fires too early looks again, which is cheaper than
    // moving it with every event of a stream.
    if (due != NEVER && (!x->timer.node.slot || x->timer.node.due_us > due))
        timer_set(x->worker->loop, &x->timer, due);
}

static void on_deadline(struct exchange *x, int64_t now_us)
{
    bool tried = x->n_sends > 0;
    exchange_stop(x, tried && is_late(x, now_us) ? FAULT_TIMEOUT : FAULT_GONE);
    if (tried) {
        x->last_fault = FAULT_TIMEOUT;
    } else {  // it has only waited: what for is the answer
        x->decision.bar = x->waited_for;
        x->decision.until_us = x->waited_until_us;
    }
    exchange_give_up(x);
}

// Is this attempt, which has shown no content, to be given up for another?
static bool is_to_be_left(struct exchange *x, int64_t now_us)
{
    if (first_due(x) <= now_us)
        return true;
    if (x->patience_us > now_us)
        return false;
    x->patience_us = now_us + leave_again_us;
    return core_may_leave(x->worker->core, x->generation, &x->failover, &x->ask, now_us);
}

static void on_timer(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct exchange, timer);
    int64_t now = exchange_now(x);
    if (due_of(x) <= now) {
        if (silence_due(x) <= now && x->state != EXCHANGE_CLOSING)
            exchange_keepalive(x);
        if (x->state == EXCHANGE_CLOSING) {
            attempt_cancel(&x->attempt);
            exchange_end(x);
        } else if (x->state == EXCHANGE_RELAYING) {
            if (!x->paused && x->last_us + x->attempt.ep->idle_us <= now)
                exchange_stream_cut(x, "the supplier fell silent in the middle of its answer");
        } else if (x->ask.deadline_us <= now) {
            on_deadline(x, now);
        } else if (x->state == EXCHANGE_TRYING && is_to_be_left(x, now)) {
            bool started = attempt_started(&x->attempt);
            attempt_cancel(&x->attempt);
            exchange_attempt_failed(x, FAULT_TIMEOUT,
                                    started ? "no content in time"
                                            : "held: the ledger's row of it is not on the disk");
        } else if (x->state == EXCHANGE_WAITING && x->retry_at_us <= now) {
            // Who waits looks from its place in the line: one that left it to ask again would let
            // others pass, and throw away the turn that it had just been given.
            if (x->waiter && core_wait_look(x->worker->core, x->waiter, now)) {
                x->retry_at_us = NEVER;
            } else {
                if (x->waiter)
                    core_wait_cancel(x->worker->core, x->waiter, now);
                x->waiter = NULL;
                exchange_try(x);
            }
        }
    }
    if (x->state != EXCHANGE_OVER)
        exchange_arm(x);
}

// --- the end ----------------------------------------------------------------------------------

static void release(void *arg)
{
    struct exchange *x = arg;
    exchange_list_remove(x);
    relay_release(&x->relay);
    struct spares *spares = loop_spares(x->worker->loop);
    spare_take(spares, &x->body);
    spare_take(spares, &x->wire_head);
    spare_take(spares, &x->wire_body);
    spare_take(spares, &x->out);
    spare_take(spares, &x->answer);
    arena_release(&x->arena);
    free((void *)(uintptr_t)x->origin.p);
    span_release(&x->span);
    generation_drop(x->generation);
    free(x);
}

void exchange_end(struct exchange *x)
{
    if (x->state == EXCHANGE_OVER)
        return;
    x->state = EXCHANGE_OVER;
    timer_stop(x->worker->loop, &x->timer);
    metrics_add(x->worker->metrics, x->worker->index, METRICS_REQUESTS, -1);
    if (x->stream)
        metrics_add(x->worker->metrics, x->worker->index, METRICS_STREAMS, -1);
    // Not now: an attempt or the client may be in the middle of a call to us.
    loop_after_turn(x->worker->loop, release, x);
}

void exchange_client_done(struct exchange *x, bool keep)
{
    struct client *c = x->client;
    x->client = NULL;
    if (attempt_over(&x->attempt)) {
        exchange_end(x);
    } else {
        x->state = EXCHANGE_CLOSING;
        x->linger_until_us = exchange_now(x) + linger_us;
        exchange_arm(x);
    }
    if (c)
        client_done(c, keep);
}

static void on_gone(void *ctx)
{
    struct exchange *x = ctx;
    x->client = NULL;
    exchange_stop(x, FAULT_GONE);
    x->status = 499;
    exchange_settle(x);
    exchange_end(x);
}

static void on_drain(void *ctx)
{
    struct exchange *x = ctx;
    if (!x->paused)
        return;
    x->paused = false;
    x->last_us = exchange_now(x);
    attempt_resume(&x->attempt);
    exchange_arm(x);
}

// --- reading ----------------------------------------------------------------------------------

static void on_body(void *ctx, struct str bytes)
{
    struct exchange *x = ctx;
    spare_lend(loop_spares(x->worker->loop), &x->body);
    if (!buf_add_str(&x->body, bytes))
        refuse(x,
               (struct answer){.status = 413,
                               .code = "request_too_large",
                               .message = "The request's body is longer than serve.limits.body."});
}

static bool may_class(const struct exchange *x, int32_t class)
{
    return limits_may_class(x->generation, x->ask.tenant, x->key, class);
}

static bool find_class(struct exchange *x, struct str name, int32_t *class)
{
    return table_get(exchange_portfolio(x)->class_names, name, class) && may_class(x, *class);
}

// The default one, whoever may use which; but a key with classes of its own is for those.
static int32_t default_class(const struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    const struct tenant *t = exchange_tenant(x);
    int32_t class = t && t->default_class >= 0 ? t->default_class : p->serve.default_class;
    if (!x->key || x->key->said.n_classes < 0 || (class >= 0 && may_class(x, class)))
        return class;
    for (int32_t i = 0; i < p->n_classes; i++)
        if (may_class(x, i))
            return i;
    return class;
}

// The header says it, else the service tier if a class is called so, else the tenant's default.
static bool choose_class(struct exchange *x)
{
    if (x->class_said.n)
        return find_class(x, x->class_said, &x->ask.class);
    if (x->rq->service_tier[0] && find_class(x, str_of(x->rq->service_tier), &x->ask.class))
        return true;
    x->ask.class = default_class(x);
    return true;
}

static int32_t group_named(const struct portfolio *p, struct str name)
{
    for (int32_t i = 0; i < p->n_groups; i++)
        if (str_eq(p->groups[i].name, name))
            return i;
    return -1;
}

static bool may_model(const struct exchange *x, int32_t model)
{
    return limits_may_model(x->generation, x->ask.tenant, x->key, model);
}

static void refuse_model(struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    struct str asked = str_of(x->rq->model), near;
    struct arena *a = &x->arena;
    int32_t model = -1;
    bool known = table_nearest(p->model_names, asked, &near) &&
                 table_get(p->model_names, near, &model) && may_model(x, model);
    struct str message = known ? arena_printf(a,
                                              "The model '" STR_FMT
                                              "' does not exist or you do not have access to it. "
                                              "Did you mean '" STR_FMT "'?",
                                              STR_ARG(asked), STR_ARG(near))
                               : arena_printf(a,
                                              "The model '" STR_FMT
                                              "' does not exist or you do not have access to it. "
                                              "GET /v1/models lists what there is.",
                                              STR_ARG(asked));
    refuse(x, (struct answer){.status = 404,
                              .code = "model_not_found",
                              .param = "model",
                              .message = message.p ? message.p : "no such model"});
}

static void refuse_class(struct exchange *x)
{
    int32_t class;
    bool known = table_get(exchange_portfolio(x)->class_names, x->class_said, &class);
    struct str message =
        arena_printf(&x->arena,
                     known ? "x-caudal-class: this key may not use the class '" STR_FMT "'."
                           : "x-caudal-class: there is no class '" STR_FMT "'.",
                     STR_ARG(x->class_said));
    refuse(x, (struct answer){.status = known ? 403 : 400,
                              .code = known ? "class_not_allowed" : NULL,
                              .param = "x-caudal-class",
                              .message = message.p});
}

static bool choose_model(struct exchange *x)
{
    const struct portfolio *p = exchange_portfolio(x);
    struct str asked = str_of(x->rq->model);
    int32_t group = -1;
    if (!table_get(p->model_names, asked, &x->ask.model)) {
        group = group_named(p, asked);  // a group's name asks for its first model, any may stand in
        if (group < 0 || !p->groups[group].n_models)
            return false;
        x->ask.model = p->groups[group].models[0];
        for (int32_t i = p->groups[group].n_models; i-- > 0;)
            if (may_model(x, p->groups[group].models[i]))
                x->ask.model = p->groups[group].models[i];
        x->ask.stand_in = true;
    }
    x->ask.same_model = limits_alone(x->key);
    return may_model(x, x->ask.model);
}

// What no model is asked for in is the tenant's supplier's, as it is; but not what an operator only
// wants explained. True: it has gone there.
static bool pass_on(struct exchange *x)
{
    const struct tenant *t = exchange_tenant(x);
    if (x->explain || !t || t->passthrough < 0 || x->rq->model[0] ||
        !str_eq(str_of(x->rq->param), STR("model")))
        return false;
    struct client *c = x->client;
    struct http1_head head = {
        .method = STR("POST"), .target = x->target, .path = x->path, .content_length = -1};
    struct asked q = {.head = &head,
                      .path = x->path,
                      .tenant = x->ask.tenant,
                      .key = x->key,
                      .generation = x->generation,
                      .origin = x->origin};
    x->client = NULL;
    passthrough_whole(x->worker, c, &q, t->passthrough, x->all_headers, &x->span,
                      buf_str(&x->body));
    exchange_end(x);
    return true;
}

static void recognise(struct exchange *x)
{
    struct diag diag = {0};
    enum err e = openai_read(x->rq, x->surface, buf_str(&x->body), &diag);
    if (e && pass_on(x))
        return;
    bool class_known = choose_class(x);
    bool model_known = x->rq->model[0] && choose_model(x);  // also for the log of what is refused
    if (e) {
        refuse(x, (struct answer){.status = 400,
                                  .message = diag.text,
                                  .param = x->rq->param[0] ? x->rq->param : NULL});
        return;
    }
    if (!model_known) {
        refuse_model(x);
        return;
    }
    if (!class_known) {
        refuse_class(x);
        return;
    }
    x->stream = x->rq->stream;
    x->usage_wanted = x->rq->usage_wanted;
    x->prompt_bytes = x->rq->prompt_bytes;
    x->ask.surface = x->surface;
    x->ask.output_tok_max = x->rq->output_tok_max;
    x->ask.user = x->rq->user;
    x->ask.draw = rng_u64(&x->worker->rng);
    if (x->stream)
        metrics_add(x->worker->metrics, x->worker->index, METRICS_STREAMS, 1);
    const struct class *k = x->ask.class < 0 ? NULL : &exchange_portfolio(x)->classes[x->ask.class];
    if (k && k->deadline_us != NEVER)
        x->ask.deadline_us = min_i64(x->ask.deadline_us, x->arrived_us + k->deadline_us);
    if (x->ask.deadline_us == NEVER)
        x->ask.deadline_us = x->arrived_us + exchange_portfolio(x)->serve.deadline_us;
    core_estimate(x->worker->core, x->generation, &x->ask, x->prompt_bytes);
    exchange_find_blocks(x);
    if (x->explain) {
        exchange_explain(x);
        return;
    }
    if (!exchange_admit(x))
        return;
    core_request(x->worker->core, x->generation, &x->ask);
    failover_init(&x->failover, &exchange_portfolio(x)->serve, exchange_now(x), x->ask.deadline_us);
    exchange_try(x);
    exchange_arm(x);
}

static void on_body_end(void *ctx)
{
    struct exchange *x = ctx;
    if (x->state == EXCHANGE_READING)
        recognise(x);
}

static const struct handler_calls exchange_calls = {
    .body = on_body, .body_end = on_body_end, .drain = on_drain, .gone = on_gone};

// The client's own patience: what its SDK declares, in seconds.
static int64_t declared_timeout_us(const struct http1_head *head)
{
    static const struct str names[] = {{"x-stainless-read-timeout", 24},
                                       {"x-stainless-timeout", 19}};
    int64_t least = NEVER;
    for (size_t i = 0; i < COUNTOF(names); i++) {
        const struct str *value = http1_get(head, names[i]);
        double s;
        if (value && str_to_double(*value, &s) && s > 0 && s < 1e6)
            least = min_i64(least, (int64_t)(s * 1e6));
    }
    return least;
}

// What a body without a model, which is known when it has been read, is passed on with.
static void keep_whole_head(struct exchange *x, const struct http1_head *head)
{
    const struct tenant *t = exchange_tenant(x);
    if (!t || t->passthrough < 0)
        return;
    struct buf headers;
    buf_init(&headers, passthrough_head_room(x->generation->portfolio));
    passthrough_headers(head, true, &headers);
    span_cut(&x->span, &headers);
    x->all_headers = arena_str(&x->arena, buf_str(&headers));
    buf_release(&headers);
    x->target = arena_str(&x->arena, head->target);
}

void exchange_begin(struct worker *w, struct client *c, const struct asked *q)
{
    const struct serve_config *s = &w->generation->portfolio->serve;
    struct exchange *x = malloc(sizeof *x);
    CHECK(x);
    memset(x, 0, offsetof(struct exchange, sends));
    x->worker = w;
    x->client = c;
    x->generation = q->generation;
    generation_hold(x->generation);
    exchange_list_add(x);
    arena_init(&x->arena, ARENA_SLACK);
    buf_init(&x->body, (size_t)s->body_bytes);
    buf_init_secret(&x->wire_head, 64 * 1024);
    buf_init(&x->wire_body, (size_t)s->body_bytes + 64 * 1024);
    buf_init(&x->out, (size_t)s->answer_bytes);
    buf_init(&x->answer, (size_t)s->answer_bytes);
    x->timer.fire = on_timer;
    x->surface = q->surface;
    x->key = q->key;
    x->explain = q->explain;
    x->settled = q->explain;  // nobody is counted for it, however it ends
    x->arrived_us = loop_now_us(w->loop);
    x->retry_at_us = NEVER;
    x->retry_after_us = -1;
    answer_new_id(w, x->id);
    x->ask = (struct route_ask){.tenant = q->tenant,
                                .class = -1,
                                .model = -1,
                                .arrived_us = x->arrived_us,
                                .wall_us = loop_wall_us(w->loop)};
    int64_t patience = declared_timeout_us(q->head);
    x->ask.deadline_us = patience == NEVER ? NEVER : x->arrived_us + patience;
    x->rq = arena_new(&x->arena, struct openai_request, 1);
    x->path = arena_str(&x->arena, q->path);
    struct buf headers;
    buf_init(&headers, passthrough_head_room(x->generation->portfolio));
    passthrough_headers(q->head, false, &headers);
    otlp_begin(w, &x->span, q->head);
    span_cut(&x->span, &headers);
    x->passed_headers = arena_str(&x->arena, buf_str(&headers));
    buf_release(&headers);
    keep_whole_head(x, q->head);
    if (q->origin.n) {
        char *copy = take(q->origin.n);
        memcpy(copy, q->origin.p, q->origin.n);
        x->origin = (struct str){copy, q->origin.n};
    }
    const struct str *receipt = http1_get(q->head, STR("x-caudal-receipt"));
    x->receipt_wanted = receipt && str_eq(*receipt, STR("1"));
    const struct str *class = http1_get(q->head, STR("x-caudal-class"));
    if (class)
        x->class_said = arena_str(&x->arena, *class);
    metrics_add(w->metrics, w->index, METRICS_REQUESTS, 1);
    client_handle(c, &exchange_calls, x);
}
