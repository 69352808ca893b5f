// renewal.h - requests made up from ServeGen's tables, the same for the same seed.
//
// Each client is a renewal process: gaps of its window's Gamma or Weibull shape, in a time of its
// own that passes as fast as the window's rate says, so that the rates are those of the table
// whatever the shape. Prompt and answer are drawn by themselves from the client's quantiles in
// force, straight in their logarithms between two of them; a client without any draws from those of
// a client taken by chance.

#ifndef CAUDAL_RENEWAL_H
#define CAUDAL_RENEWAL_H

#include "base/rng.h"
#include "wire/servegen.h"

struct renewal_client {
    struct rng rng;
    int32_t window, last;           // of the table's windows: the present one; behind its last
    int32_t lengths, last_lengths;  // of the table's lengths: the present ones; none: equal
    double at_us;                   // of its next request; NEVER: none
};

struct renewal {
    struct arena arena;
    struct servegen tables;
    double rate;  // times the stated rates
    struct renewal_client *clients;
    int32_t n_clients;
};

struct renewal_config {
    const char *rates, *lengths;  // files
    uint64_t seed;
    double rate;
    int64_t from_us;  // of the tables' time: begins here
};
// Storage from the system, freed by renewal_release() in any case.
//   Errors  those of io/stream.h and servegen.h
MUST_USE enum err renewal_open(struct renewal *r, const struct renewal_config *c,
                               struct diag *diag);
void renewal_release(struct renewal *r);

struct renewal_request {
    int64_t at_us;  // of the tables' time
    int32_t client, prompt_tok, output_tok;
};
// False: all have ended. O(clients).
bool renewal_next(struct renewal *r, struct renewal_request *out);

#endif
