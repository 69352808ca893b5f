// metrics.h - what /metrics shows: counters and histograms in fixed memory, one shard per worker.
//
// Each worker writes its own shard; a scrape reads them all, so every cell is a relaxed atomic.
// Label sets are bounded by the portfolio: an unknown name counts as "other". Names follow
// OpenTelemetry's GenAI conventions where one exists.

#ifndef CAUDAL_METRICS_H
#define CAUDAL_METRICS_H

#include "base/buf.h"
#include "portfolio/portfolio.h"
#include "route/failover.h"

struct metrics;

struct metrics_request {                 // one request of a client, when it is over
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

struct metrics *metrics_new(const struct portfolio *p, int32_t workers);
void metrics_free(struct metrics *m);
void metrics_request(struct metrics *m, int32_t worker, const struct metrics_request *r);
// One attempt is over: FAULT_NONE is a success. Its time to first content, or -1.
void metrics_attempt(struct metrics *m, int32_t worker, int32_t pool, enum fault fault,
                     int64_t ttft_us);
enum metrics_gauge { METRICS_CLIENTS, METRICS_REQUESTS, METRICS_STREAMS, METRICS_GAUGES };
void metrics_add(struct metrics *m, int32_t worker, enum metrics_gauge g, int64_t change);
int64_t metrics_value(const struct metrics *m, enum metrics_gauge g);
void metrics_bad_head(struct metrics *m, int32_t worker);  // a request refused before it was one

struct metrics_pool {  // what the scrape knows of a pool beside the counters
    int32_t in_flight;
    bool ready, breaker_open, cooling;
    int64_t ttft_us, per_token_us;
};
// The whole page in Prometheus' text format 0.0.4. `pools` is [n_pools].
bool metrics_write(const struct metrics *m, struct buf *out, const struct metrics_pool *pools,
                   int32_t waiting, int64_t up_us);

#endif
