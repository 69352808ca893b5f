// committed.h - what the contracts add up to, year by year, without adding what must not be added.
//
// Sums are kept apart by status: what is talked about is never added to what is signed. A contract
// that is `part_of` another counts under its own status, and only the rest of the whole under the
// whole's, so that nothing is counted twice.

#ifndef CAUDAL_COMMITTED_H
#define CAUDAL_COMMITTED_H

#include "portfolio/portfolio.h"

struct committed_cell {
    double usd;            // of values spread evenly over their terms
    double w;              // at the end of the year, at the grid where the site's PUE is known
    bool at_least, up_to;  // some of the money is such a bound
};

struct committed {
    int32_t first_year, n_years;
    struct committed_cell *cells;                 // [n_years][STATUS_COUNT]
    struct committed_cell undated[STATUS_COUNT];  // money of contracts without beginning or end
};

enum { COMMITTED_YEARS_MAX = 60 };  // years beyond are left out

// ERR_LIMIT: the arena is full. O(contracts^2 + years x phases).
MUST_USE enum err committed_of(struct committed *out, struct arena *a, const struct portfolio *p);

// Power of a contract's own phases at a time, in W at the grid; its parts are not taken off.
double contract_power_w(const struct portfolio *p, int32_t contract, int64_t at_us);
// Worth of a contract in USD: its value, else its commitment over its term; 0: not stated.
double contract_usd(const struct contract *c);

const char *commitment_unit_name(enum commitment_unit unit);  // "USD", "MW-months"
// What a unit of a commitment was bought for: the contract's value over all the units of its term,
// else the price beyond, else 0: not known.
double commitment_unit_usd(const struct contract *c);

#endif
