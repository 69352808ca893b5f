// replay_view.h - what `caudal replay` shows, for a person and for a program.

#ifndef CAUDAL_REPLAY_VIEW_H
#define CAUDAL_REPLAY_VIEW_H

#include "base/buf.h"
#include "replay/tally.h"

struct replay_view {
    const struct portfolio *p;
    struct tally *const *runs;  // [n_runs], one for each policy
    int32_t n_runs;
    struct str trace;  // its name, or "demand"
    uint64_t seed;
    struct arena *arena;  // for work; not owned
};

void replay_text(struct buf *out, const struct replay_view *v);
void replay_json(struct buf *out, const struct replay_view *v);

#endif
