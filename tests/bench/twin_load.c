// twin_load.c - sends a trace to a gateway at the trace's own times, whatever comes back, and says
// how each answer came.
//
//   twin_load URL MODEL KEY [told] < TRACE   rows of t_us,prompt_tokens,output_tokens below a
//   header
//
// Prints a row for each request, in the order of the trace: when it was due after the first (us),
// time to first token and whole answer from then (us), the tokens that were counted, and what
// failed. How long the answer is to be is told by min_tokens, which the simulated supplier obeys
// and the gateway does not read: to the gateway lengths are as unknown as to a replay. With `told`
// it is what every supplier understands.

#include "base/arena.h"
#include "bench/figures.h"
#include "bench/prompt.h"
#include "gateway/generation.h"
#include "net.h"

#include <stdlib.h>
#include <string.h>

enum { ROW_BYTES = 256, BYTES_PER_TOK = 4, PATIENCE_S = 600 };

struct request {
    int64_t at_us;
    int32_t prompt_tok, output_tok;
    struct caller *caller;
    struct sample sample;
    char why[ROW_BYTES];
};

static struct {
    struct loop *loop;
    struct bench_target target;
    struct request *requests;
    size_t room;
    int32_t n, n_asked, n_done;
    int64_t begin_us;
    bool told;
    struct timer next;
} run;

static void read_trace(void)
{
    char row[ROW_BYTES];
    if (!fgets(row, sizeof row, stdin))
        DIE("twin_load: the trace is empty");
    while (fgets(row, sizeof row, stdin)) {
        struct request rq = {0};
        long long at_us;
        if (sscanf(row, "%lld,%d,%d", &at_us, &rq.prompt_tok, &rq.output_tok) != 3)
            DIE("twin_load: not a row of the trace: %s", row);
        rq.at_us = at_us;
        run.requests = take_more(run.requests, &run.room, (size_t)run.n + 1, sizeof rq);
        run.requests[run.n++] = rq;
    }
    if (!run.n)
        DIE("twin_load: the trace has no rows");
}

// --- asking -----------------------------------------------------------------------------------

static void on_done(void *ctx, struct caller *c, const struct sample *s, const char *why)
{
    (void)c;
    struct request *rq = ctx;
    rq->sample = *s;
    snprintf(rq->why, sizeof rq->why, "%.*s", ROW_BYTES - 1, why);
    if (++run.n_done == run.n)
        loop_stop(run.loop);
}

// Each request has a caller of its own, as users have: there are never too few of them.
static void ask(struct request *rq, int64_t due_us)
{
    struct buf prompt;
    char length[64];
    snprintf(length, sizeof length, "\"min_tokens\":%d", rq->output_tok);
    buf_init(&prompt, SIZE_MAX / 2);
    prompt_write(&prompt, (size_t)rq->prompt_tok * BYTES_PER_TOK, 1, (uint64_t)(rq - run.requests),
                 false);
    rq->caller = caller_new(run.loop, &run.target, on_done, rq);
    caller_ask(rq->caller, &(struct question){.prompt = buf_str(&prompt),
                                              .output_tok = run.told ? rq->output_tok : 0,
                                              .more = run.told ? (struct str){0} : str_of(length),
                                              .due_us = due_us});
    buf_release(&prompt);
}

static void on_next(struct timer *t)
{
    int64_t now_us = loop_now_us(run.loop);
    while (run.n_asked < run.n) {
        struct request *rq = &run.requests[run.n_asked];
        int64_t due_us = run.begin_us + rq->at_us - run.requests[0].at_us;
        if (due_us > now_us) {
            timer_set(run.loop, t, due_us);
            return;
        }
        run.n_asked++;
        ask(rq, due_us);
    }
}

static void start(void *arg)
{
    (void)arg;
    run.begin_us = loop_now_us(run.loop);
    on_next(&run.next);
}

// ----------------------------------------------------------------------------------------------

static void print_row(const struct request *rq)
{
    const struct sample *s = &rq->sample;
    printf("%lld,%.0f,%.0f,%d,%d,%d,%s\n", (long long)(s->due_us - run.begin_us), sample_ttft_us(s),
           sample_total_us(s), s->prompt_tok, s->cached_tok, s->output_tok, rq->why);
}

int main(int argc, char **argv)
{
    struct diag diag = {0};
    struct url url;
    run.told = argc == 5 && !strcmp(argv[4], "told");
    if (argc != 4 && !run.told)
        DIE("usage: twin_load URL MODEL KEY [told] < TRACE");
    if (url_parse(&url, str_of(argv[1]), &diag) || loop_new(&run.loop, &diag))
        DIE("twin_load: %s", diag.text);
    run.target = (struct bench_target){.host = url.host,
                                       .port = url.port,
                                       .bracketed = url.bracketed,
                                       .path = url.path,
                                       .surface = SURFACE_CHAT,
                                       .model = str_of(argv[2]),
                                       .key = str_of(argv[3]),
                                       .timeout_us = S(PATIENCE_S)};
    net_prepare();
    read_trace();
    run.next.fire = on_next;
    loop_post(run.loop, start, NULL);
    loop_run(run.loop);
    loop_free(run.loop);
    puts("due_us,ttft_us,total_us,prompt_tok,cached_tok,output_tok,why");
    for (int32_t i = 0; i < run.n; i++) {
        print_row(&run.requests[i]);
        caller_free(run.requests[i].caller);
    }
    free(run.requests);
    return 0;
}
