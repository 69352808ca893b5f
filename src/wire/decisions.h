// decisions.h - the records of serve's event log: all that the routing core is told, and what it
// answers, in the order of its lock. docs/formats.md has the bytes.
//
//   gateway/core_log.c -> decisions_write() -> io/spool.h -> a file
//   a file -> io/spool.h -> decisions_read() -> replay/decisions.c -> a fresh core
//
// A record points to what it is about: the caller's when it is written; when it is read, storage of
// the reader, until the next one. Records and their parts have a length, so that a later version
// may say more at their ends.

#ifndef CAUDAL_DECISIONS_H
#define CAUDAL_DECISIONS_H

#include "base/err.h"
#include "base/str.h"
#include "route/route.h"

enum { DECISIONS_HEAD_BYTES = 16, DECISIONS_VERSION = 2, DECISIONS_RECORD_BYTES_MAX = 8 * 1024 };
enum { DECISIONS_BLOCKS_MAX = 256 };  // of a prompt: as many as affinity.h remembers
extern const char decisions_head[DECISIONS_HEAD_BYTES];  // what a log begins with
// ERR_INVALID: no event log, or one of a version that is not known; `diag` says which.
MUST_USE enum err decisions_head_read(struct str head, struct diag *diag);

enum decisions_kind {
    DECISIONS_GENERATION = 1,  // a portfolio is in use from here on: a router was made over it
    DECISIONS_FORGET,          // its last request has ended
    DECISIONS_PICK,            // route_pick(), and route_took() when it says send
    DECISIONS_FIRST,           // route_first(); who can go is woken
    DECISIONS_DRAW,            // route_draw()
    DECISIONS_DONE,            // route_done(); who can go is woken
    DECISIONS_WAIT,            // route_wait()
    DECISIONS_CANCEL,          // route_cancel(); who can go is woken
    DECISIONS_LOOK,            // who can go is woken
    DECISIONS_WOKEN,           // what route_next() gave, behind the record that woke
    DECISIONS_READY,           // route_set_ready()
    DECISIONS_LEVER,           // route_set_lever()
    DECISIONS_USED,            // route_commitment_used()
    DECISIONS_SHADOW,          // route_shadow(), and route_took() when it says send
    DECISIONS_GAP,             // records that the log had no room for
    DECISIONS_END,             // nothing more is written
    DECISIONS_PRICED,          // route_set_price(); since version 2
    DECISIONS_KINDS,
};

struct decisions_record {
    enum decisions_kind kind;
    uint64_t number;     // of the core's sequence: 1, 2, 3...
    int64_t generation;  // which portfolio: 1 for the first in use; 0: all of them
    int64_t now_us;
    struct route_ask *ask;  // PICK, SHADOW, DRAW, DONE, WAIT
    struct route_decision
        *decision;            // PICK, SHADOW, WOKEN; all of it but `why` and the model's own times
    struct route_seen *seen;  // DRAW, DONE
    struct route_lever *lever;  // LEVER
    uint64_t of;      // FIRST, DRAW, DONE: the number of its PICK or WOKEN; CANCEL, WOKEN: of
                      // its WAIT
    int64_t ttft_us;  // FIRST
    int64_t wall_us;  // USED
    int32_t place;    // READY, LEVER, SHADOW: pool; USED, PRICED: contract
    bool yes;         // WAIT: a place was found; READY: it is; END: the log is full
    double used;      // USED
    struct route_price price;  // PRICED
    uint64_t fingerprint;      // GENERATION: of the portfolio
    struct str policy;         // GENERATION
    uint64_t lost;             // GAP: how many records
};

// The bytes of a record into `out`. 0: it needs more than `size`.
size_t decisions_write(const struct decisions_record *r, unsigned char *out, size_t size);

struct decisions_reader {  // storage for one record
    struct route_ask ask;
    struct route_decision decision;
    struct route_seen seen;
    struct route_lever lever;
    uint64_t blocks[DECISIONS_BLOCKS_MAX];
};
// Cuts the first record off `bytes`. ERR_INVALID: its bytes make no record.
MUST_USE enum err decisions_read(struct decisions_record *out, struct decisions_reader *reader,
                                 struct str *bytes);

#endif
