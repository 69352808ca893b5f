// decisions.h - the event log of a gateway, told to a fresh core: does it decide the same?
//
// The core is pure, so that it must: the same calls in the same order over the same portfolio. What
// differs is a fault of ours, or a log that somebody changed. After the first difference the two
// are not in the same state any more, and nothing is compared.

#ifndef CAUDAL_REPLAY_DECISIONS_H
#define CAUDAL_REPLAY_DECISIONS_H

#include "base/arena.h"
#include "base/err.h"
#include "wire/decisions.h"

enum decisions_end {
    DECISIONS_WHOLE,      // all of the log was compared
    DECISIONS_CUT_SHORT,  // so was all of it, but it does not say that it ends: its process still
                          // runs, or was killed
    DECISIONS_FULL,       // it ends where the file had its size
    DECISIONS_DIFFERS,
    DECISIONS_LACKS,     // it lacks records: compared up to there
    DECISIONS_RELOADED,  // another portfolio came into use: compared up to there
};

struct decisions_result {
    enum decisions_end end;
    int64_t records, answers, equal;  // answers: of picks, of who waited, and of places in the line
    int64_t generations;
    uint64_t lost;  // DECISIONS_LACKS: how many records; 0: not known
    // DECISIONS_DIFFERS: what was asked, what the log says, and what the fresh core says instead.
    uint64_t number;
    int64_t now_us;
    bool waited;           // it had waited: `said` and `found` are about whoever goes first
    struct route_ask ask;  // not when it waited
    struct route_decision said, found;
    struct route_candidate *candidates;  // [n], of the fresh core at that moment; of `a`
    int32_t n;
};

// Feeds the log at `path` to a core over `p`. Memory of `a`: that of a core, and some 300 bytes for
// each request at once.
//   Errors  ERR_MISSING, ERR_DENIED, ERR_SYSTEM  the log cannot be read
//           ERR_INVALID  it is none, of another version, of another portfolio, cut or damaged in
//                        the middle of a record; `out` has what was compared until then
//           ERR_LIMIT    the portfolio is too large
MUST_USE enum err decisions_run(struct decisions_result *out, struct arena *a,
                                const struct portfolio *p, struct str path, struct diag *diag);

#endif
