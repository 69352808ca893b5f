// resolve.h - what one more unit of each commitment is worth until its period ends, worked out anew
// every few minutes from what was asked (wanted.h) and what is left.
//
//   resolve_see()    under the router's lock: copies what changes       some us
//   resolve_solve()  beside it, on whatever thread                      some ms
//   resolve_price()  -> route_set_price(), under the lock again         below a us
//
// With n requests to come until the end of a period, drawn from the sample, the least cost is a
// transport problem: each goes to one pool, and what is drawn of a commitment is at most what is
// left of it. Its dual is sought, a price for each commitment: at prices s (of the price beyond) a
// request goes where
//
//   energy + waiting + list, or s * price beyond
//
// is least, by what is expected of its answer, and draws what its answer came to. The dual is
// concave and has few variables, so each in turn is halved towards where what is drawn is what is
// left, a few times over: tests/unit/test_resolve.c compares with the linear program. It takes
// neither a solver nor memory, and gives the same bits wherever it runs.
//
// How much will come is the least certain of all, so prices for four times as much and a fourth are
// sought too, and count in the mean. Chosen on days 1 to 3 of docs/benchmarks.md's weeks.
//
// What is drawn jumps where many requests are alike, so a price has room to move, PRICE_STEP either
// way, as more or less is used than is meant (route_set_price()).

#ifndef CAUDAL_RESOLVE_H
#define CAUDAL_RESOLVE_H

#include "route/wanted.h"

enum { RESOLVE_CONTRACTS = 64 };  // the first with a commitment; others are paced (pace.h)
#define RESOLVE_EVERY_US S(300)
#define RESOLVE_LOOK_US S(1)     // how often it is worth asking resolve_is_due()
#define RESOLVE_HOLDS_US S(900)  // a price that is older counts no more

struct resolve;

// For this router only. All from `a`, which is not needed again: some 700 KiB, and 16 bytes for
// each (pool, model).
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err resolve_new(struct resolve **out, struct arena *a, const struct route *r);
// Has the router's policy a use for such prices? If not, nothing else is to be called.
bool resolve_is_wanted(const struct route *r);

// Under the router's lock. Due after RESOLVE_EVERY_US, or when a pool has gone or come back or a
// period has begun, and some requests have been seen.
bool resolve_is_due(const struct resolve *x, const struct route *r, const struct wanted *a,
                    int64_t now_us, int64_t wall_us);
void resolve_see(struct resolve *x, const struct route *r, const struct wanted *a, int64_t now_us,
                 int64_t wall_us);

// The copy of resolve_see(), for an owner whose numbers of models, classes and tenants are not the
// portfolio's: to be made so before resolve_solve(); -1: it has none of that name.
struct wanted *resolve_wanted(struct resolve *x);
// Reads what of the router never changes.
void resolve_solve(struct resolve *x);

// The prices found, for route_set_price(); false: there is no i-th.
struct resolve_found {
    int32_t contract;
    struct route_price price;
};
bool resolve_price(const struct resolve *x, int32_t i, struct resolve_found *out);

#endif
