// exchange.h - one request of a client from its head to its last byte, over as many attempts as it
// takes. Lives as long as the request; frees itself.
//
//   client.c --body--> exchange.c --core_pick--> attempt.c --bytes--> relay.c --> client.c
//                          ^------ failover, waiting, timers ------'
//
// Until content has come from a supplier nothing has gone to the client (but keepalive comments
// after a long silence), so another attempt is possible. After that an error can only be told,
// never hidden.

#ifndef CAUDAL_EXCHANGE_H
#define CAUDAL_EXCHANGE_H

#include "gateway/dispatch.h"

void exchange_begin(struct worker *w, struct client *c, const struct asked *q);

#endif
