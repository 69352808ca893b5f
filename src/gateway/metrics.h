// metrics.h - what /metrics shows: counters and histograms in fixed memory, one shard per worker.
//
// Each worker writes its own shard; a scrape reads them all, so every cell is a relaxed atomic.
// Label sets are bounded by the names of the portfolios: an unknown one counts as "other". Names
// follow OpenTelemetry's GenAI conventions where one exists.
//
// A reload that brings new names makes larger shards, and each worker moves its own; what was
// counted goes on under its name, also of what the new portfolio has no more.

#ifndef CAUDAL_METRICS_H
#define CAUDAL_METRICS_H

#include "base/buf.h"
#include "gateway/names.h"
#include "route/failover.h"

struct metrics;

struct metrics_request {                 // one request of a client, when it is over
    const struct names_map *names;       // of the portfolio whose indices follow; NULL: the first
    int32_t tenant, model, class, pool;  // -1: none
    int32_t status;                      // HTTP status that the client got; 499: it went away
    enum surface surface;                // 0: passthrough and pages
    bool stream, cut;                    // cut: the stream ended with an error event
    int64_t ttft_us;                     // -1: no content
    int64_t total_us;
    int64_t per_token_us;  // 0: not known
    int32_t prompt_tok, cached_tok, output_tok;
    bool tokens_estimated;
    int64_t list_nusd;
    double joules;
    int32_t attempts;
};

// `names` must outlive it.
struct metrics *metrics_new(const struct names *names, int32_t workers);
void metrics_free(struct metrics *m);
// `m` with room for the names that have come since it was made; NULL when there are none. Each
// worker then calls metrics_move() on its own thread and goes on with what it was given; `m` is
// freed by metrics_settle(), after all have.
struct metrics *metrics_grown(struct metrics *m, const struct names *names);
void metrics_move(struct metrics *grown, int32_t worker);
void metrics_settle(struct metrics *grown);
void metrics_request(struct metrics *m, int32_t worker, const struct metrics_request *r);
// One attempt is over: FAULT_NONE is a success. Its time to first content, or -1.
void metrics_attempt(struct metrics *m, int32_t worker, const struct names_map *names, int32_t pool,
                     enum fault fault, int64_t ttft_us);
// One copy for a pool that shadows another is over. None of the counts above has it.
struct metrics_shadow {
    const struct names_map *names;
    int32_t pool;
    enum fault fault;
    int64_t ttft_us, per_token_us;  // -1 and 0: not known
    int32_t prompt_tok, cached_tok, output_tok;
    int64_t list_nusd;
};
void metrics_shadow(struct metrics *m, int32_t worker, const struct metrics_shadow *s);
enum metrics_skip {         // why a copy that was drawn was not sent
    METRICS_SKIP_FULL,      // serve.limits.shadows
    METRICS_SKIP_MONEY,     // shadow.at_most
    METRICS_SKIP_LIMITS,    // the pool's limits
    METRICS_SKIP_FAILING,   // it fails, or asked to be left alone
    METRICS_SKIP_INACTIVE,  // disabled, no phase, maintenance, or its engine is not ready
    METRICS_SKIP_UNABLE,    // the model, the call, the context or the region are not for it
    METRICS_SKIP_LEDGER,    // which has no room
    METRICS_SKIP_ENDING,    // the process is
    METRICS_SKIPS
};
void metrics_shadow_skipped(struct metrics *m, int32_t worker, const struct names_map *names,
                            int32_t pool, enum metrics_skip why);
enum metrics_gauge {
    METRICS_CLIENTS,
    METRICS_REQUESTS,
    METRICS_STREAMS,
    METRICS_SHADOWS,
    METRICS_GAUGES
};
void metrics_add(struct metrics *m, int32_t worker, enum metrics_gauge g, int64_t change);
int64_t metrics_value(struct metrics *m, enum metrics_gauge g);
void metrics_bad_head(struct metrics *m, int32_t worker);  // a request refused before it was one

struct metrics_pool {  // what the scrape knows of a pool beside the counters
    int32_t in_flight;
    bool ready, breaker_open, cooling;
    int64_t ttft_us, per_token_us;
    double share;  // of the requests that it may have
    uint64_t share_forward, share_back;
};
// The whole page in Prometheus' text format 0.0.4. `pools` is [p->n_pools].
bool metrics_write(struct metrics *m, struct buf *out, const struct portfolio *p,
                   const struct metrics_pool *pools, int32_t waiting, int64_t up_us);

#endif
