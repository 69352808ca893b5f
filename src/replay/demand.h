// demand.h - requests made up from the portfolio's `demand:` section, the same for the same seed.
//
// Each stream is a renewal process with Gamma gaps, run in a time of its own that passes as fast as
// the hour of the day says; lengths are log-normal with the stated means.

#ifndef CAUDAL_DEMAND_H
#define CAUDAL_DEMAND_H

#include "base/rng.h"
#include "portfolio/portfolio.h"

struct demand_config {
    const struct portfolio *p;
    int64_t wall_us;  // since 1970, of time 0
    uint64_t seed;
    double cv;      // of the gaps: standard deviation over mean
    double spread;  // sigma of the logarithm of lengths
    double rate;    // times the stated rates
};

struct demand_request {
    int64_t at_us;
    int32_t stream;  // index into the portfolio's demands
    int32_t prompt_tok, output_tok;
};

struct demand_stream {
    struct rng rng;
    double at_us;  // of its next request
    bool ended;
};

struct demand_source {
    struct demand_config c;
    struct demand_stream *streams;  // [n_demands]
    double mu;                      // of the lengths' logarithm, for mean 1
};

// Storage from the system, freed by demand_release().
void demand_init(struct demand_source *d, const struct demand_config *c);
void demand_release(struct demand_source *d);
// The next request of all streams; false: every stream has ended. O(streams).
bool demand_next(struct demand_source *d, struct demand_request *out);

#endif
