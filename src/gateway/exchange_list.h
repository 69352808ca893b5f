// exchange_list.h - the requests in progress, of all workers: to show them, and to take them away
// from a pool.

#ifndef CAUDAL_EXCHANGE_LIST_H
#define CAUDAL_EXCHANGE_LIST_H

#include "gateway/gateway_inside.h"

struct exchange;

// Of its worker, from the first byte to the last.
void exchange_list_add(struct exchange *x);
void exchange_list_remove(struct exchange *x);

// Requests whose attempt at this pool has shown no content yet are tried elsewhere; those whose
// clients have content go on. Soon, on each worker's loop.
void exchanges_leave(struct gateway *g, struct str pool);

#endif
