// kept.h - what the numbers of an event log stand for, as long as they are used: a decision that
// was sent, or a place in the line. Open addressing; grows with how many are kept at once.

#ifndef CAUDAL_REPLAY_KEPT_H
#define CAUDAL_REPLAY_KEPT_H

#include "route/route.h"

struct kept_row {
    uint64_t number;  // 0: empty
    struct route_decision decision;
    int32_t ticket;    // of a place in the line; -1: it is a decision
    uint64_t *blocks;  // of a place in the line: those of its ask, owned; NULL: none
};

struct kept {
    struct kept_row *rows;  // [size]
    size_t size, n;         // size: a power of two, or 0
};

void kept_add(struct kept *k, const struct kept_row *row);
const struct kept_row *kept_find(const struct kept *k, uint64_t number);  // NULL: not there
void kept_remove(struct kept *k, uint64_t number);
void kept_release(struct kept *k);

#endif
