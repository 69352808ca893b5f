// wanted.h - what was asked for, when, and how long it came out: the demand that the prices of
// commitments are worked out from (resolve.h).
//
// Each (model, class) has a count for every hour of the week; an hour that comes again counts twice
// as much as the one a week before it. What an hour will bring is what it brought; one that was not
// seen yet, what the same hour of like days brought, or else the mean of all that was. Beside them
// stands a sample of requests with what was expected of their answers and what they came to, of
// the last million or so.
//
// Plain data of fixed size, about 110 KiB, so that it can be copied while others wait. Streams
// beyond WANTED_STREAMS are counted together and taken to be like the others.

#ifndef CAUDAL_WANTED_H
#define CAUDAL_WANTED_H

#include "portfolio/prices.h"
#include "route/route.h"

enum { WANTED_STREAMS = 64, WANTED_SAMPLE = 1024 };

struct wanted_stream {
    int32_t model, class;
    double hours[WEEK_HOURS];  // requests counted in each, faded
    double all;                // not faded
    int32_t sampled;           // of the sample
};

struct wanted_one {
    int32_t stream, tenant;
    int32_t prompt_tok, expected_tok, output_tok;
};

struct wanted {
    int64_t seen_us;             // wall time up to which it was looked at; 0: nothing was asked yet
    double covered[WEEK_HOURS];  // how much of each hour was looked at, in hours, faded
    struct wanted_stream streams[WANTED_STREAMS];
    int32_t n_streams;
    double known, strange;  // requests of these streams, and of others
    struct wanted_one sample[WANTED_SAMPLE];
    int32_t n_sample;
    uint64_t learnt;  // answers that the sample was taken from
};

void wanted_init(struct wanted *a);
// Time has passed, whether anything was asked or not. One that is before the last by less than an
// hour changes nothing: no time counts twice.
void wanted_see(struct wanted *a, int64_t wall_us);
// A request came, for the first time. `model`, `class` as the owner numbers them.
void wanted_came(struct wanted *a, int32_t model, int32_t class, int64_t wall_us);
// One was answered: `expected_tok` of the answer was forecast. `draw`: 64 random bits.
void wanted_learn(struct wanted *a, int32_t model, int32_t class, const struct wanted_one *one,
                  uint64_t draw);

// Requests of `stream` expected in each hour of the week: [WEEK_HOURS].
void wanted_rates(const struct wanted *a, int32_t stream, double *per_hour);
// Their sum over [from, until), wall time.
double wanted_between(const double *per_hour, int64_t from_us, int64_t until_us);

#endif
