#include "gateway/ledger_inside.h"

#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SPARE = 4,  // records that fit beside what is owed: a reserve, its settle, its request, a gap
};
static const int64_t retry_after_us = MS(50);

// --- opening ----------------------------------------------------------------------------------

static void say(void *ctx, const char *path, const char *what)
{
    struct ledger *l = ctx;
    log_line(l->log, LOG_WARN, "ledger", log_text("journal", path), log_text("what", what));
}

enum err ledger_names(struct ledger *l, const struct portfolio *p, struct diag *diag)
{
    if (!l)
        return ERR_NONE;
    int32_t n = 0, max = p->n_tenants + p->n_pools + p->n_suppliers + p->n_contracts + p->n_models +
                         p->n_classes;
    struct store_name *names = take_n(sizeof *names, (size_t)max + 1);
    for (int32_t i = 0; i < p->n_tenants; i++)
        names[n++] = (struct store_name){RECORD_TENANT, p->tenants[i].name};
    for (int32_t i = 0; i < p->n_pools; i++)
        names[n++] = (struct store_name){RECORD_POOL, p->pools[i].name};
    for (int32_t i = 0; i < p->n_suppliers; i++)
        names[n++] = (struct store_name){RECORD_SUPPLIER, p->suppliers[i].name};
    for (int32_t i = 0; i < p->n_contracts; i++)
        names[n++] = (struct store_name){RECORD_CONTRACT, p->contracts[i].name};
    for (int32_t i = 0; i < p->n_models; i++)
        names[n++] = (struct store_name){RECORD_MODEL, p->models[i].name};
    for (int32_t i = 0; i < p->n_classes; i++)
        names[n++] = (struct store_name){RECORD_CLASS, p->classes[i].name};
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_names(l->store, names, n, diag);
    pthread_mutex_unlock(&l->store_mutex);
    free(names);
    return e;
}

enum err ledger_drawn(struct ledger *l, struct str contract, int32_t unit, int64_t since_us,
                      int64_t until_us, double *drawn, struct diag *diag)
{
    *drawn = 0;
    if (!l)
        return ERR_NONE;
    pthread_mutex_lock(&l->store_mutex);
    enum err e = store_drawn(l->store, contract, unit, since_us, until_us, drawn, diag);
    pthread_mutex_unlock(&l->store_mutex);
    return e;
}

static enum err open_store(struct ledger *l, int lock_fd, struct diag *diag)
{
    struct str folder = str_of(l->folder);
    enum err e = file_make_dir(folder, diag);
    if (!e && lock_fd >= 0)
        store_lock_adopt(&l->lock, lock_fd);
    else if (!e)
        e = store_lock(&l->lock, folder, diag);
    if (!e)
        e = store_open(&l->store, folder, STORE_WRITE, diag);
    if (e)
        return e;
    uint32_t epoch_max;
    l->fold = (struct fold){.store = l->store, .folder = folder, .say = say, .ctx = l};
    e = fold_folder(&l->fold, &epoch_max, diag);
    if (!e)
        e = store_epoch(l->store, epoch_max, &l->epoch, diag);
    if (!e)
        e = claim_take(&l->claim, folder, l->epoch, diag);
    atomic_store(&l->others, l->fold.alive);
    return e;
}

static enum err open_pens(struct ledger *l, int32_t workers, struct diag *diag)
{
    l->pens = take_n(sizeof *l->pens, (size_t)workers);
    l->n_pens = workers;
    for (int32_t i = 0; i < workers; i++) {
        struct pen *pen = &l->pens[i];
        pen->ledger = l;
        pen->waiting_end = &pen->waiting;
        pen->batch = 1;
        pen->folded = (struct journal_place){1, JOURNAL_FIRST};
        struct journal_config c = {
            .folder = str_of(l->folder), .epoch = l->epoch, .loop = (uint16_t)i};
        const char *bytes = getenv("CAUDAL_TEST_SEGMENT_BYTES");  // small ones show their ends
        int64_t n;
        if (bytes && str_to_i64(str_of(bytes), &n) && n >= 64 * RECORD_BYTES)
            c.segment_bytes = n;
        enum err e = journal_new(&pen->journal, &c, diag);
        if (e)
            return e;
    }
    return ERR_NONE;
}

int ledger_lock(const struct ledger *l)
{
    return l ? store_lock_share(l->lock) : -1;
}

enum err ledger_open(struct ledger **out, const struct portfolio *p, int32_t workers,
                     struct log *log, int lock_fd, struct diag *diag)
{
    const struct serve_config *s = &p->serve;
    *out = NULL;
    if (!s->state.n) {
        log_line(log, LOG_WARN, "ledger",
                 log_text("what", "off: serve.state says no folder to keep it in"));
        return ERR_NONE;
    }
    struct ledger *l = take(sizeof *l);
    l->log = log;
    l->refuse = str_eq(s->ledger_on_full, STR("refuse"));
    l->disk = str_eq(s->ledger_durability, STR("disk"));
    l->retain_us = s->ledger_retain_us;
    CHECK(pthread_mutex_init(&l->mutex, NULL) == 0);
    CHECK(pthread_mutex_init(&l->store_mutex, NULL) == 0);
    pthread_condattr_t monotonic;  // a clock that is set back must not stop the folding
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&l->wake, &monotonic) == 0);
    CHECK(pthread_cond_init(&l->sync_wake, NULL) == 0);
    pthread_condattr_destroy(&monotonic);
    enum err e = ERR_NONE;
    if ((size_t)snprintf(l->folder, sizeof l->folder, STR_FMT "/ledger", STR_ARG(s->state)) >=
        sizeof l->folder)
        e = diag_set(diag, ERR_INVALID, "serve.state is too long");
    if (!e)
        e = open_store(l, lock_fd, diag);
    if (!e)
        e = ledger_names(l, p, diag);
    if (!e)
        e = open_pens(l, workers, diag);
    if (!e)
        e = ledger_threads_start(l, diag);
    if (e) {
        ledger_close(l);
        return e;
    }
    log_line(log, LOG_INFO, "ledger", log_text("folder", l->folder), log_int("epoch", l->epoch),
             log_int("folded", l->fold.records));
    *out = l;
    return ERR_NONE;
}

static void close_pen(struct ledger *l, struct pen *pen)
{
    struct diag diag = {0};
    if (pen->journal && journal_write(pen->journal, &diag))
        log_line(l->log, LOG_ERROR, "ledger", log_text("what", diag.text),
                 log_int("lost", journal_pending(pen->journal)));
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    ledger_stop(l);
    for (int32_t i = 0; i < l->n_pens; i++)
        close_pen(l, &l->pens[i]);
    if (l->store && l->n_pens) {
        ledger_fold_now(l);
        ledger_audit_write(l);
    }
    ledger_audit_forget(l);
    for (int32_t i = 0; i < l->n_pens; i++)
        journal_free(l->pens[i].journal);
    // What is folded to its end goes now, so that a tidy stop leaves the store alone. From here on
    // the rest is anybody's: ours, or of who took over.
    struct diag diag = {0};
    claim_drop(l->claim, false);
    uint32_t epoch;
    if (l->store && l->n_pens && fold_folder(&l->fold, &epoch, &diag))
        log_line(l->log, LOG_WARN, "ledger", log_text("what", diag.text));
    ledger_follow_end(l);
    fold_release(&l->fold);
    store_close(l->store);
    store_unlock(l->lock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->sync_wake);
    pthread_mutex_destroy(&l->mutex);
    pthread_mutex_destroy(&l->store_mutex);
    free(l->pens);
    free(l);
}

// --- writing ----------------------------------------------------------------------------------

static void count(_Atomic uint64_t *cell, uint64_t n)
{
    // Only the pen's own thread changes it.
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static void count_write(struct pen *pen, int64_t us)
{
    int step = us > 0 ? 64 - __builtin_clzll((unsigned long long)us) : 0;
    count(&pen->steps[step < LEDGER_STEPS ? step : LEDGER_STEPS - 1], 1);
    count(&pen->writes, 1);
    count(&pen->write_us, (uint64_t)us);
}

static void complain(struct pen *pen, const char *what)
{
    int64_t now = loop_now_us(pen->loop);
    count(&pen->failures, 1);
    if (pen->complained_us && now - pen->complained_us < S(10))
        return;
    pen->complained_us = now;
    log_line(pen->ledger->log, LOG_ERROR, "ledger", log_text("what", what),
             log_text("on_full", pen->ledger->refuse ? "refuse" : "serve"),
             log_int("pending", journal_pending(pen->journal)),
             log_int("unrecorded", (int64_t)pen->lost));
}

static void on_retry(struct timer *t)
{
    (void)t;  // the turn that this begins ends with another try
}

// The end of a turn: all its rows in one write, then its bytes may leave.
static bool before_sends(void *arg)
{
    struct pen *pen = arg;
    if (!journal_pending(pen->journal))
        return true;
    struct diag diag = {0};
    int64_t began = clock_now_us();
    enum err e = journal_write(pen->journal, &diag);
    count_write(pen, clock_now_us() - began);
    pen->failing = e != ERR_NONE;
    if (e) {
        complain(pen, diag.text);
        timer_set(pen->loop, &pen->retry, loop_now_us(pen->loop) + retry_after_us);
        return !pen->ledger->refuse;
    }
    if (pen->ledger->disk) {
        atomic_store_explicit(&pen->written, pen->batch++, memory_order_release);
        if (pen->waiting)
            ledger_sync_ask(pen);
    }
    return true;
}

struct pen *ledger_pen(struct ledger *l, int32_t worker, struct loop *loop)
{
    if (!l)
        return NULL;
    struct pen *pen = &l->pens[worker];
    pen->loop = loop;
    pen->retry.fire = on_retry;
    loop_before_sends(loop, before_sends, pen);
    return pen;
}

// --- rows -------------------------------------------------------------------------------------

static bool has_room(const struct pen *pen, int64_t records)
{
    return journal_room(pen->journal) >= pen->owed + records;
}

static uint64_t add(struct pen *pen, struct record *r, enum record_kind kind, uint32_t flags)
{
    r->kind = (uint8_t)kind;
    r->flags = flags;
    r->at_us = loop_wall_us(pen->loop);
    count(&pen->records, 1);
    return journal_append(pen->journal, r);
}

// Once there is room again, what could not be told is.
static void tell_gap(struct pen *pen)
{
    struct record r = {.gap = pen->gap};
    pen->gap = (struct record_gap){0};
    add(pen, &r, RECORD_GAP, 0);
}

bool ledger_reserve(struct pen *pen, struct ledger_call *call, const struct record_reserve *v,
                    uint32_t flags)
{
    if (!pen)
        return true;
    CHECK(!call->open);
    bool room = has_room(pen, SPARE);
    atomic_store_explicit(&pen->full, !room, memory_order_relaxed);
    if ((!room || pen->failing) && pen->ledger->refuse)
        return false;
    *call = (struct ledger_call){
        .open = true, .began_us = loop_now_us(pen->loop), .request_owed = call->request_owed};
    atomic_fetch_add_explicit(&pen->open, 1, memory_order_relaxed);
    if (!room) {
        pen->gap.attempts++;
        count(&pen->lost, 1);
        complain(pen, "no room in the journal: a call goes unrecorded");
        return true;
    }
    if (pen->gap.attempts)
        tell_gap(pen);
    struct record r = {.reserve = *v};
    call->attempt = add(pen, &r, RECORD_RESERVE, flags);
    bool request = !(flags & RECORD_SHADOW);
    pen->owed += request && !call->request_owed ? 2 : 1;  // its settle, and its request's one row
    call->request_owed = request;
    return true;
}

bool ledger_must_wait(struct pen *pen, struct ledger_call *call, void (*ready)(void *ctx),
                      void *ctx)
{
    if (!pen || !pen->ledger->disk || !call->attempt)
        return false;
    call->wait =
        (struct ledger_wait){.batch = pen->batch, .waiting = true, .ready = ready, .ctx = ctx};
    *pen->waiting_end = &call->wait;
    pen->waiting_end = &call->wait.next;
    return true;
}

static void wait_no_more(struct pen *pen, struct ledger_wait *w)
{
    struct ledger_wait **at = &pen->waiting;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    if (!w->next)
        pen->waiting_end = at;
    w->waiting = false;
}

void pen_synced(void *arg)
{
    struct pen *pen = arg;
    uint64_t synced = atomic_load_explicit(&pen->synced, memory_order_acquire);
    uint64_t unsafe = atomic_load_explicit(&pen->unsafe, memory_order_acquire);
    while (pen->waiting && pen->waiting->batch <= synced) {
        struct ledger_wait *w = pen->waiting;
        wait_no_more(pen, w);
        if (w->batch > unsafe)
            w->ready(w->ctx);
    }
}

void ledger_settle(struct pen *pen, struct ledger_call *call, struct record_settle *s,
                   uint32_t flags)
{
    if (!pen || !call->open)
        return;
    call->open = false;
    atomic_fetch_sub_explicit(&pen->open, 1, memory_order_relaxed);
    if (call->wait.waiting)
        wait_no_more(pen, &call->wait);
    if (!call->attempt) {
        pen->gap.list_nusd += s->list_nusd;
        return;
    }
    s->attempt = call->attempt;
    s->total_us = loop_now_us(pen->loop) - call->began_us;
    struct record r = {.settle = *s};
    pen->owed--;
    add(pen, &r, RECORD_SETTLE, flags);
}

void ledger_request(struct pen *pen, struct ledger_call *call, const struct record_request *v,
                    uint32_t flags)
{
    if (!pen)
        return;
    if (call->request_owed) {
        call->request_owed = false;
        pen->owed--;
    } else if (!has_room(pen, 1)) {  // nothing was sent for it, or nothing recorded
        count(&pen->lost, 1);
        return;
    }
    struct record r = {.request = *v};
    add(pen, &r, RECORD_REQUEST, flags);
}
