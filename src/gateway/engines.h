// engines.h - the engines that portfolios ask for with `run:`, over reloads.
//
// A run is one engine of one supplier. A reload keeps a run whose command is unchanged, starts what
// is new, and starts a second run beside one whose command changed: the reload is put into use only
// once that one is ready, so that no moment is without an engine. A run that the portfolio in use
// has no more is stopped when the last request that could be at it has ended.
//
// All on the main thread, whose children engines are.

#ifndef CAUDAL_ENGINES_H
#define CAUDAL_ENGINES_H

#include "gateway/gateway_inside.h"
#include "io/engine.h"

struct engines;

struct engines *engines_new(struct gateway *g);
void engines_free(struct engines *s);  // what still runs is killed

// Finds or starts the runs of a generation that is not in use yet. `ready` is called, never from
// inside, when those that replace another are ready (at once, when there are none), or when one of
// them failed: `why` is then not NULL.
//   Errors  ERR_MISSING  a program is not found
//           ERR_EXISTS   a changed engine has a fixed port, which the old one still holds
//   After an error nothing has changed.
MUST_USE enum err engines_prepare(struct engines *s, struct generation *next,
                                  void (*ready)(struct gateway *g, const char *why),
                                  struct diag *diag);
// The generation of engines_prepare() is in use now, or never will be.
void engines_use(struct engines *s, struct generation *next);
void engines_abandon(struct engines *s);
// The generation has no requests any more. `oldest` is the serial of the oldest that has.
void engines_forget(struct engines *s, int64_t oldest);

// The newest engine of each supplier that has one.
void engines_each(const struct engines *s,
                  void (*fn)(void *ctx, struct str supplier, enum engine_state state), void *ctx);

// SIGTERM to all, then SIGKILL. True: none runs, now or once gateway_maybe_finish() has been called
// by the last.
bool engines_stop(struct engines *s);

#endif
