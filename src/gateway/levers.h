// levers.h - what operators say of pools and sites while serving, on top of the portfolio.
//
//   drain, disable, enable, weigh, derate, share, cap, maintenance   (admin.h)
//      -> the table here, by name -> core_set_lever() of every pool that it concerns
//
// Kept by name: a reload keeps all of it, also for a pool that goes and comes back. With
// serve.state it outlives the process too, in STATE/levers.json: a pool that was drained for a
// reason stays drained after a restart. Changed on the main thread; any thread may ask for the
// metrics.

#ifndef CAUDAL_LEVERS_H
#define CAUDAL_LEVERS_H

#include "gateway/gateway_inside.h"

struct levers;

// Reads what an earlier process kept.
//   Errors  ERR_INVALID, ERR_DENIED: the file is there and cannot be used; `diag` says why
MUST_USE enum err levers_new(struct levers **out, struct gateway *g, struct diag *diag);
void levers_stop(struct levers *s);  // waits until the file is written; before loops are freed
void levers_free(struct levers *s);

// Tells the core all that concerns the pools of the portfolio in use; after each reload.
void levers_apply(struct levers *s);

// "enabled", "drained" or "disabled".
const char *levers_state(struct levers *s, struct str pool);
// {"pools":[...],"sites":[...]}: what differs from the portfolio.
void levers_write(struct levers *s, struct buf *out);
void levers_metrics(struct levers *s, struct buf *out);

#endif
