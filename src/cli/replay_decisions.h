// replay_decisions.h - `caudal replay P --decisions FILE`: what serve decided, decided again.

#ifndef CAUDAL_REPLAY_DECISIONS_VIEW_H
#define CAUDAL_REPLAY_DECISIONS_VIEW_H

#include "cli/replay_options.h"

// The exit status: 0 all answers are equal, 1 one differs or the log cannot be used.
int replay_decisions(struct arena *a, const struct replay_options *o, const struct portfolio *p);

#endif
