// ledger_inside.h - what ledger.c (the pens), ledger_thread.c (fold and sync) and ledger_page.c
// share.

#ifndef CAUDAL_LEDGER_INSIDE_H
#define CAUDAL_LEDGER_INSIDE_H

#include "gateway/ledger.h"
#include "io/claim.h"
#include "io/fold.h"

#include <pthread.h>
#include <stdatomic.h>

enum { LEDGER_STEPS = 24, LEDGER_FOLDER_BYTES = 3072 };

struct pen {
    struct ledger *ledger;
    struct loop *loop;
    struct journal *journal;
    struct timer retry;  // while writing fails
    int64_t owed;        // records that open calls will need
    int64_t complained_us;
    bool failing;
    struct record_gap gap;  // calls that found no room, not yet told
    // durability: disk
    struct ledger_wait *waiting, **waiting_end;  // in the order of their batches
    uint64_t batch;                              // of the records pending now
    _Atomic uint64_t written, synced;            // batches
    _Atomic uint64_t unsafe;                     // up to this one some may never reach the disk
    _Atomic bool sync_asked;
    // read by other threads
    _Atomic uint64_t records, writes, write_us, failures, lost;
    _Atomic uint64_t steps[LEDGER_STEPS];  // writes that took less than 2^i us
    _Atomic int64_t open;
    _Atomic bool full;
    struct journal_place folded;  // of the fold thread
};

struct store_news;
struct store_other;
struct follow {  // ledger_follow.c; under `store_mutex`
    void (*call)(void *ctx, const struct store_other *other);  // NULL: nobody is followed
    void *ctx;
    int64_t since_us, looked_us;
    struct store_news *news;  // NULL: what was there at the start is not known yet
};

struct ledger {
    char folder[LEDGER_FOLDER_BYTES];
    struct log *log;
    struct store *store;
    struct store_lock *lock;
    struct claim *claim;  // of our epoch's journals
    uint32_t epoch;
    bool refuse, disk;
    int64_t retain_us, retained_us;
    struct pen *pens;  // [n_pens]
    int32_t n_pens;

    pthread_mutex_t mutex;        // for `stopping` and `sync_wanted`; held for moments
    pthread_mutex_t store_mutex;  // for `store` and `fold`; held while the disk works
    pthread_cond_t wake, sync_wake;
    pthread_t fold_thread, sync_thread;
    bool folding, syncing, stopping, sync_wanted;
    struct fold fold;
    int64_t complained_us;
    struct ledger_change *changes;  // not yet written, oldest first; under `mutex`
    int32_t n_changes;
    _Atomic uint64_t folded, fold_failures;
    struct follow follow;
    _Atomic int32_t others;  // processes whose journals lie here too, while one takes over
};

MUST_USE enum err ledger_threads_start(struct ledger *l, struct diag *diag);
void ledger_fold_now(struct ledger *l);  // all that is written; by the fold thread, or after it
void ledger_complain(struct ledger *l, const char *what);  // at most every 10 s
// ledger_follow.c
void ledger_follow_look(struct ledger *l);  // by the fold thread
void ledger_follow_end(struct ledger *l);
// ledger_audit.c
void ledger_audit_write(struct ledger *l);
void ledger_audit_forget(struct ledger *l);
void ledger_sync_ask(struct pen *pen);
void pen_synced(void *arg);  // on its loop: lets go who waits

#endif
