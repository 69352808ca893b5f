// The ledger's own threads: one folds journals into the store, one syncs them (durability: disk).

#include "gateway/ledger_inside.h"

#include <string.h>
#include <time.h>

static const int64_t fold_every_us = MS(500), complain_every_us = S(10), retain_every_us = S(3600);

void ledger_complain(struct ledger *l, const char *what)
{
    atomic_fetch_add(&l->fold_failures, 1);
    int64_t now = clock_now_us();
    if (l->complained_us && now - l->complained_us < complain_every_us)
        return;
    l->complained_us = now;
    log_line(l->log, LOG_ERROR, "ledger", log_text("what", what));
}

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return S(t.tv_sec) + t.tv_nsec / 1000;
}

static void retain(struct ledger *l)
{
    int64_t now = clock_now_us(), rows;
    if (!l->retain_us || (l->retained_us && now - l->retained_us < retain_every_us))
        return;
    l->retained_us = now;
    struct diag diag = {0};
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_retain(l->store, wall_us() - l->retain_us, &rows, &diag);
    pthread_mutex_unlock(&l->store_mutex);
    if (e)
        ledger_complain(l, diag.text);
    else if (rows)
        log_line(l->log, LOG_INFO, "ledger", log_text("what", "old rows became sums by day"),
                 log_int("rows", rows));
}

void ledger_fold_now(struct ledger *l)
{
    for (int32_t i = 0; i < l->n_pens; i++) {
        struct diag diag = {0};
        if (!l->pens[i].journal)
            continue;
        pthread_mutex_lock(&l->store_mutex);
        int64_t before = l->fold.records;
        enum err e = fold_live(&l->fold, l->pens[i].journal, l->epoch, (uint16_t)i,
                               &l->pens[i].folded, &diag);
        atomic_fetch_add(&l->folded, (uint64_t)(l->fold.records - before));
        pthread_mutex_unlock(&l->store_mutex);
        if (e)
            ledger_complain(l, diag.text);
    }
}

// What the one before has left, as soon as it has ended.
static void fold_others(struct ledger *l)
{
    struct diag diag = {0};
    uint32_t epoch;
    if (!atomic_load(&l->others))
        return;
    pthread_mutex_lock(&l->store_mutex);
    int64_t before = l->fold.records;
    enum err e = fold_folder(&l->fold, &epoch, &diag);
    atomic_fetch_add(&l->folded, (uint64_t)(l->fold.records - before));
    // One that lives is ourselves.
    atomic_store(&l->others, e ? 1 : l->fold.alive - 1);
    pthread_mutex_unlock(&l->store_mutex);
    if (e)
        ledger_complain(l, diag.text);
}

static void prepare(struct ledger *l)
{
    for (int32_t i = 0; i < l->n_pens; i++) {
        struct diag diag = {0};
        if (journal_prepare(l->pens[i].journal, &diag))
            ledger_complain(l, diag.text);
    }
}

static struct timespec after(int64_t us)
{
    int64_t at = clock_now_us() + us;
    return (struct timespec){.tv_sec = at / 1000000, .tv_nsec = at % 1000000 * 1000};
}

static void *run_fold(void *arg)
{
    struct ledger *l = arg;
    pthread_mutex_lock(&l->mutex);
    while (!l->stopping) {
        // Files are made ten times as often as rows are folded: a full one must find its next.
        for (int i = 0; i < 10 && !l->stopping; i++) {
            struct timespec until = after(fold_every_us / 10);
            pthread_cond_timedwait(&l->wake, &l->mutex, &until);
            pthread_mutex_unlock(&l->mutex);
            prepare(l);
            pthread_mutex_lock(&l->mutex);
        }
        if (l->stopping)
            break;
        pthread_mutex_unlock(&l->mutex);
        ledger_fold_now(l);
        ledger_audit_write(l);
        fold_others(l);
        ledger_follow_look(l);
        retain(l);
        pthread_mutex_lock(&l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

// --- durability: disk -------------------------------------------------------------------------

// Group commit: what was written while one sync ran is covered by the next.
static void sync_pens(struct ledger *l)
{
    for (int32_t i = 0; i < l->n_pens; i++) {
        struct pen *pen = &l->pens[i];
        struct diag diag = {0};
        if (!atomic_exchange(&pen->sync_asked, false))
            continue;
        uint64_t written = atomic_load_explicit(&pen->written, memory_order_acquire);
        if (journal_sync(pen->journal, &diag)) {
            // A page that could not be written may be gone, and the next sync says nothing of it:
            // what waits is never told that it is safe, and runs into its time.
            atomic_store_explicit(&pen->unsafe, written, memory_order_release);
            ledger_complain(l, diag.text);
            continue;
        }
        atomic_store_explicit(&pen->synced, written, memory_order_release);
        loop_post(pen->loop, pen_synced, pen);
    }
}

static void *run_sync(void *arg)
{
    struct ledger *l = arg;
    pthread_mutex_lock(&l->mutex);
    while (!l->stopping) {
        if (!l->sync_wanted)
            pthread_cond_wait(&l->sync_wake, &l->mutex);
        l->sync_wanted = false;
        pthread_mutex_unlock(&l->mutex);
        sync_pens(l);
        pthread_mutex_lock(&l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

void ledger_sync_ask(struct pen *pen)
{
    struct ledger *l = pen->ledger;
    if (atomic_exchange(&pen->sync_asked, true))
        return;
    pthread_mutex_lock(&l->mutex);
    l->sync_wanted = true;
    pthread_cond_signal(&l->sync_wake);
    pthread_mutex_unlock(&l->mutex);
}

enum err ledger_threads_start(struct ledger *l, struct diag *diag)
{
    int bad = pthread_create(&l->fold_thread, NULL, run_fold, l);
    l->folding = !bad;
    if (!bad && l->disk) {
        bad = pthread_create(&l->sync_thread, NULL, run_sync, l);
        l->syncing = !bad;
    }
    return bad ? diag_set(diag, ERR_SYSTEM, "a thread cannot be started: %s", strerror(bad))
               : ERR_NONE;
}

void ledger_stop(struct ledger *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_broadcast(&l->wake);
    pthread_cond_broadcast(&l->sync_wake);
    pthread_mutex_unlock(&l->mutex);
    if (l->folding)
        pthread_join(l->fold_thread, NULL);
    if (l->syncing)
        pthread_join(l->sync_thread, NULL);
    l->folding = l->syncing = false;
}
