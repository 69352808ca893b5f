// account.h - what a replay has cost, as the hindsight bound counts it, and what it drew of each
// commitment.
//
// A commitment is paid whether used or not, so what counts is what is drawn beyond it. A request
// draws of the period that it came in. Of a period that the trace covers in part, the part of the
// amount counts that falls to the time it covers: as if the pace before had been even, and what is
// left at the end were worth the price beyond for as much as an even pace would leave then, and
// nothing for more. That is the terminal value of a commitment longer than the trace. Who says how
// much of it was used before has that part of the rest instead.
//
// Where what is beyond changes its price within a period, each request is beyond in proportion.
//
//   cost = list price of what drew no commitment + payments beyond commitments
//        + power of the work (not of what stands idle, which no routing changes), and its carbon
//        + waiting + unserved + stand-ins

#ifndef CAUDAL_ACCOUNT_H
#define CAUDAL_ACCOUNT_H

#include "replay/least.h"

struct account_period {
    int64_t from_us, until_us;  // of the commitment, wall time; INT64_MIN, NEVER: not said
    double amount;              // in the commitment's unit
    double units;               // drawn
    double list_nusd;           // list price of what drew it
    double beyond_nusd;         // what all of it would cost beyond the commitment
    struct account_period *before;
};

struct account_cost {  // nano-dollars
    double list, beyond, power, carbon, waiting, unserved;
    double stand_in;  // of answers by stand-ins, what the model asked for would have cost more
    double imputed;   // of `unserved`, what no class states
    double least;     // waiting, power and carbon had each answer found its pool empty
};

struct account {
    const struct editions *editions;
    const struct least *least;  // [editions->n]
    struct arena *arena;
    const double *used;              // as account_amount() takes it, [n_contracts]; NULL: not said
    bool whole;                      // `least`, stand-ins and imputed prices are reckoned too
    struct account_period **latest;  // [n_contracts]; NULL: nothing drawn
    struct account_cost cost;        // `beyond` by account_beyond()
};

struct account_drawn {  // of one contract, over all periods; in its unit
    double amount;      // that falls to the time of the trace
    double used;        // of that
    double stranded, beyond;
    double beyond_nusd;
    double list_nusd;  // of all that was drawn
};

// All from `a`, which it also takes a few bytes from for each period. ERR_LIMIT: it is full.
MUST_USE enum err account_init(struct account *acc, struct arena *a,
                               const struct editions *editions, const struct least *least,
                               bool whole);

struct account_answer {
    int64_t list_nusd, hold_us;
    double waiting_nusd;
};
// `r` was answered by the `unit`-th of least.h's. It costs what it did when it came.
void account_answered(struct account *acc, int32_t unit, const struct arrival *r,
                      const struct account_answer *seen);
void account_lost(struct account *acc, const struct arrival *r);

// The period of `contract` at `wall_us`.
struct account_period account_period_of(const struct portfolio *p, int32_t contract,
                                        int64_t wall_us);
// The part of its amount that falls to the trace's [from_us, until_us), wall time. `used` is the
// share of it that was used before, should the trace begin within it; below 0: as an even pace.
double account_amount(const struct account_period *c, int64_t from_us, int64_t until_us,
                      double used);
static inline double account_used(const double *used, int32_t contract)
{
    return used ? used[contract] : -1;
}

// What a trace that begins at `wall_us` finds of the period.
struct account_begun {
    int64_t from_us, until_us;  // of the period; INT64_MIN, NEVER: not said
    double gone;                // share of its time; 0: it begins with the trace
    double used;                // share of its amount
    bool said;                  // and not supposed
};
struct account_begun account_begun(const struct portfolio *p, int32_t contract, int64_t wall_us,
                                   double used);
// What was drawn of `contract` by a trace of that time. A period in which nothing was drawn is
// stranded as well.
struct account_drawn account_drawn(const struct account *acc, int32_t contract, int64_t from_us,
                                   int64_t until_us);
// Fills cost.beyond.
void account_close(struct account *acc, int64_t from_us, int64_t until_us);
double account_total(const struct account_cost *c);

#endif
