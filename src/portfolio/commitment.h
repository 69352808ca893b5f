// commitment.h - which commitment a pool draws, and how fast, for routing and for what it is
// measured against.
//
// Accelerator-hours, MW-months and PTU are capacity: a slot uses its part of them while it is held.
// Slots that stand empty use nothing, and cannot be used later.

#ifndef CAUDAL_COMMITMENT_H
#define CAUDAL_COMMITMENT_H

#include "portfolio/service.h"

bool contract_commits(const struct contract *c);
// The contract whose commitment a pool draws: its own, or the one that it is a part of; -1: none.
int32_t commitment_of(const struct portfolio *p, const struct pool *pool);

double commitment_slots(const struct service *s);  // of a pool with this service; at least 1
// Units of the contract's commitment that one slot of `pool` uses in a us. Where they are not
// counted by accelerators or power (PTU, and power of a pool whose watts are not known) they are
// spread over `all_slots`, those of all pools that draw it, which otherwise nobody needs. Units of
// money or tokens are not asked for.
bool commitment_is_spread(const struct contract *c, const struct service *s);
double commitment_units_per_us(const struct contract *c, const struct pool *pool,
                               const struct service *s, double all_slots);

// A price for one more of the commitment's own unit, "0.5 USD/Mtok" or "9 kUSD/MW-month". False:
// it is none. Money has no such price.
bool commitment_price_read(const struct commitment *m, struct str text, double *nusd_per_unit);
const char *commitment_price_example(enum commitment_unit unit);

#endif
