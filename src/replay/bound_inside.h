// bound_inside.h - what the files of bound.h share.
//
// A *series* is one scarce thing of a pool over time: so much of it in each bucket. `use` is in
// microseconds of what `each` counts (replicas that prefill, slots, tokens of KV room, ...).

#ifndef CAUDAL_BOUND_INSIDE_H
#define CAUDAL_BOUND_INSIDE_H

#include "replay/bound.h"
#include "replay/groups.h"

enum series_kind {
    SERIES_PREFILL,    // of a unit: replicas, each with one prefill at a time
    SERIES_DECODE,     // of a unit: its clock of steps, each token its share of a full one
    SERIES_SLOTS,      // of a unit
    SERIES_KV,         // of a unit, if its KV room is bounded
    SERIES_IN_FLIGHT,  // of a pool with that limit
    SERIES_REQUESTS,   // of a pool with that limit, requests
    SERIES_TOKENS,     // of a pool with that limit, prompt tokens
    SERIES_KINDS
};

struct series {
    enum series_kind kind;
    int32_t unit, pool;  // unit -1: of the whole pool
    double each;         // what there is of it at any time; of rates: in a us
    double *there;       // [n_buckets], what there is in each bucket
    double *wanted;      // [n_buckets], were all that may go there to go there
    int32_t *row;        // [n_buckets], in the program; -1: cannot be scarce
    double *price;       // [n_buckets], nano-dollars for one; 0: not scarce
    double *least[32];   // least[k][b]: of price[b, b + 2^k)
};

struct prepaid {  // a commitment in one period
    int32_t contract;
    int64_t from_us, until_us;  // since the begin of the trace
    double there, wanted;
    int32_t row;   // -1: enough for all
    double price;  // nano-dollars for a unit
};

struct unit_series {
    int32_t of[SERIES_KINDS];  // index of each; -1: none
    double step_us_most;       // no step takes longer; INFINITY: not known
    double slow_most;          // nothing takes more times as long
};

enum { TUNE_MOST = 1 << 15 };
struct tuning {  // a sample of the requests, in their order
    struct tuning_kept {
        struct arrival r;
        int32_t output_tok;  // what its answer came to, whatever was expected of it
    } * kept;
    int32_t n;
    int64_t seen, stride;
};

struct bounding {
    const struct bound_config *c;
    struct bound *out;
    struct arena *arena;
    struct editions editions;
    const struct least *least;  // [editions.n]: the same units, at their prices then
    struct groups groups;
    int32_t n_buckets;
    int64_t bucket_us;
    int32_t window;  // buckets, behind its own, in which the work of a request may be done
    struct series *series;
    struct unit_series *units;  // [least.n_units]
    int32_t n_series;
    struct prepaid *prepaid;
    int32_t *first_prepaid;  // [n_contracts + 1]
    int32_t n_prepaid;
    int32_t context_most;  // longest prompt and answer that came
    int32_t output_tok;    // of the request that is read, whatever is expected of it
    struct tuning tuning;
    struct used *used;  // NULL: bound.prices is not wanted
};

static inline const struct least *least_at(const struct bounding *b, int64_t at_us)
{
    return &b->least[edition_at(&b->editions, at_us)];
}

struct choice {  // of one request at one unit
    struct least_cost cost;
    double nusd;            // all that it comes to
    double inside, beyond;  // what it draws of a commitment, at its price and beyond it; 0: nothing
    double scarce;          // for what is scarce at the unit
};

// bound.c
// Where `r` costs least at the prices as they are, and what it comes to there; NULL: it is left
// unserved.
const struct least_unit *bound_choose(const struct bounding *b, const struct arrival *r,
                                      struct choice *out);

// bound_tune.c
MUST_USE enum err tune_begin(struct bounding *b);
void tune_keep(struct bounding *b, const struct arrival *r, int32_t output_tok);
void tune(struct bounding *b);  // after the program, and series_prepare_least()

// bound_series.c
enum err series_build(struct bounding *b);
double series_use(const struct bounding *b, enum series_kind kind, const struct least_unit *u,
                  const struct arrival *r, const struct least_cost *c);
// `unit` may be sent a request that comes at `at_us` and is given up after `patience_us`.
bool series_is_there(const struct bounding *b, const struct least_unit *u, int64_t at_us,
                     int64_t patience_us);
void series_prepare_least(struct bounding *b);
double series_least_price(const struct bounding *b, const struct series *s, int32_t from,
                          int32_t last);
struct prepaid *prepaid_at(const struct bounding *b, int32_t contract, int64_t at_us);

// bound_prices.c
MUST_USE enum err prices_begin(struct bounding *b);
// At the program's prices `r` is answered by `u`.
void prices_add(struct bounding *b, const struct least_unit *u, const struct arrival *r,
                const struct choice *c);
MUST_USE enum err prices_end(struct bounding *b);

// bound_program.c
enum err bound_program(struct bounding *b, struct diag *diag);

#endif
