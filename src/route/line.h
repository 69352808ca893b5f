// line.h - the inside of the waiting line: who waits, in which group, in which order. wait.c
// decides.
//
//   waiter  -> one of a *group*: same candidates (model, surface, tenant, what fits), same class
//   group   -> a heap of its waiters, earliest deadline first; only the first of each may go
//   line    -> the groups that have waiters, and one heap over all by deadline, for those too late
//
// Between classes and between tenants of a class it is weighted fair: whoever is served pays its
// tokens over its weight, and the one that has paid least goes first. So nobody starves: one that
// is not served pays nothing while others do.

#ifndef CAUDAL_LINE_H
#define CAUDAL_LINE_H

#include "route/route_internal.h"

enum { GROUP_HASH = 8192 };  // a power of two

enum heap_kind { BY_DUE, BY_DEADLINE, HEAP_KINDS };

// A pairing heap (Fredman et al., 1986), whose nodes are the waiters: no memory of its own, and any
// one can leave. `prev` is the parent of a first child, otherwise the sibling before; -1: none.
struct heap_link {
    int32_t child, next, prev;
};

struct waiter {
    struct route_ask ask;
    uint64_t user, order;
    int64_t due_us;  // its deadline, or as if
    int32_t group;   // -1: this place is free
    int32_t home;    // pool whose limits.waiting it counts against; -1: none
    int32_t next_free;
    struct heap_link link[HEAP_KINDS];
};

struct wait_group {
    int32_t model, class, tenant, fits;  // fits: how many candidates are large enough
    uint32_t surface;
    bool stand_in, alone;  // alone: has tried pools, so nobody shares its candidates
    bool plain;            // may have every candidate of its list
    int32_t cell;          // in line->cells: of its list and stand_in; -1: no such model
    int32_t root;          // of its heap; -1: free
    int32_t n;             // how many wait in it
    int64_t last_due_us;   // the latest deadline of those that joined since it was made
    int32_t next;          // of its hash chain, or free
    int32_t at;            // in line->active
};

// What one look at the line finds of a list, with or without its stand-ins.
struct wait_cell {
    uint64_t look;               // number of the look that this is of
    bool closed;                 // all candidates are barred whoever asks, and it is worth waiting
    int64_t until_us, timed_us;  // as the decision on the first group said
    int32_t strongest;           // waiter with the strongest claim; -1: none yet
    double strength;
};

struct line {
    struct waiter *waiters;     // [ROUTE_WAITING_MAX]
    struct wait_group *groups;  // [ROUTE_WAITING_MAX]
    int32_t *active;            // groups with waiters
    int32_t *order;             // those of them that are to be looked at one by one
    struct wait_cell *cells;    // [2 * n_lists]
    uint64_t looks;
    int32_t *at_pool;   // [n_pools]: who count against its limits.waiting
    bool some_limited;  // a pool has such a limit
    int32_t *hash;      // [GROUP_HASH], place + 1; 0: empty
    int32_t n, n_active;
    int32_t free_waiter, fresh_waiter;  // first given back, -1: none; first never used
    int32_t free_group, fresh_group;
    int32_t late;  // root of the heap by deadline
    uint64_t orders;

    int32_t n_rows;       // tenants + 1
    double *class_paid;   // [n_classes + 1]
    double *tenant_paid;  // [n_classes + 1][n_rows]
    int32_t *class_n, *tenant_n;
    double class_floor;    // what the last one served had paid: who comes new starts there
    double *tenant_floor;  // [n_classes + 1]

    uint64_t scanned;     // live->version when nothing could go; 0: not looked at
    int64_t scan_due_us;  // until when that holds
};

// What tells the group of `ask` from others: the candidates that it may have at this time.
struct wait_group line_key(const struct route *r, const struct route_ask *ask, int64_t now_us);
// How many of this group go before one that is due then, being due no later; some of them may.
int32_t line_ahead(struct line *l, const struct wait_group *key, int64_t due_us);
// Joins waiter `i` (its ask, user, home and due_us are set) to its group. True: it is the first
// there.
bool line_join(struct route *r, const struct wait_group *key, int32_t i);
// A free place for a waiter; there is one.
int32_t line_place(struct line *l);
// Takes a waiter out. What was found about the others no longer holds.
void line_leave(struct route *r, int32_t i);
void line_pay(struct route *r, const struct waiter *w);             // it is served
bool line_goes_first(const struct route *r, int32_t x, int32_t y);  // group x before group y
int32_t line_class_row(const struct route *r, int32_t class);
int32_t line_tenant_cell(const struct route *r, int32_t class, int32_t tenant);

#endif
