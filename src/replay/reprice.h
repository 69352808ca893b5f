// reprice.h - prices of commitments found anew in virtual time (route/resolve.h): at the moments at
// which `serve` looks for them, and at once, where `serve` has a thread for it.

#ifndef CAUDAL_REPRICE_H
#define CAUDAL_REPRICE_H

#include "replay/inside.h"

// Once the first router is there; reads what of the trace teaches.
//   Errors  those of arrivals.h; ERR_LIMIT  it does not fit
MUST_USE enum err reprice_begin(struct replay *rp, struct diag *diag);
void reprice_release(struct replay *rp);
void reprice_turn(struct replay *rp);  // the newest router is another one
void reprice_now(struct replay *rp);   // its time has come

// A request came; it was answered. Nothing where nobody needs to know.
void reprice_came(struct replay *rp, const struct flight *x);
void reprice_answered(struct replay *rp, const struct flight *x);

#endif
