// purse.h - what may be spent, over all measurements of a supplier. A request is sent only if the
// most that it can cost is left. Pure.

#ifndef CAUDAL_BENCH_PURSE_H
#define CAUDAL_BENCH_PURSE_H

#include "base/base.h"

struct purse {
    double tok_left;   // prompt and output; INFINITY: no bound
    double nusd_left;  // likewise
    double input_nusd_per_tok, output_nusd_per_tok;
    double spent_tok, spent_nusd;  // as counted
    bool stopped;                  // something was not sent for it
};

// Are `n` requests of that size left, of which those under way count as spent until their own count
// comes? If not, `stopped` is set.
bool purse_affords(struct purse *a, int32_t n, double prompt_tok, double output_tok);
void purse_pay(struct purse *a, double prompt_tok, double output_tok);

#endif
