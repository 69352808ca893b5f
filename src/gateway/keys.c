#include "gateway/keys.h"

#include "gateway/ledger_spent.h"
#include "gateway/limits.h"
#include "wire/config.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 2 * KEYS_MAX + 1, KEYS_BYTES_MAX = 256 * 1024 * 1024 };

struct keys {
    struct limits *limits;
    struct ledger *ledger;
    struct arena arena;            // of the thread that adds
    _Atomic(struct key *) *slots;  // [SLOTS], by the digest's first bytes; a slot is filled once
    _Atomic(struct key *) *all;    // [KEYS_MAX], in order
    _Atomic int32_t n;

    pthread_mutex_t mutex;  // for what follows
    pthread_cond_t wake;
    pthread_t thread;
    bool running, stopping;
    struct keys_job *first, **last;
};

void key_name(struct key *k)
{
    char hex[65];
    hex_of(hex, k->said.sha256, sizeof k->said.sha256);
    snprintf(k->id, sizeof k->id, "sha256:%.16s", hex);
    k->number = record_id(RECORD_KEY, str_of(k->id));
    k->place = -1;
}

struct str key_shown(const struct key *k)
{
    return k->said.name.n ? k->said.name : str_of(k->id);
}

// --- the table ----------------------------------------------------------------------------------

static size_t first_slot(const unsigned char *digest)
{
    uint64_t h;
    memcpy(&h, digest, sizeof h);
    return (size_t)(h % SLOTS);
}

static struct key *find(const struct keys *ks, const unsigned char *digest)
{
    for (size_t at = first_slot(digest);; at = (at + 1) % SLOTS) {
        struct key *k = atomic_load_explicit(&ks->slots[at], memory_order_acquire);
        if (!k || equal_in_constant_time(k->said.sha256, digest, 32))
            return k;
    }
}

const struct key *keys_find(const struct keys *ks, const unsigned char sha256[32])
{
    struct key *k = ks ? find(ks, sha256) : NULL;
    return k && !atomic_load_explicit(&k->revoked_us, memory_order_acquire) ? k : NULL;
}

bool keys_any(const struct keys *ks)
{
    return ks && atomic_load_explicit(&ks->n, memory_order_relaxed) > 0;
}

const struct key *keys_at(const struct keys *ks, int32_t i)
{
    return ks && i < atomic_load_explicit(&ks->n, memory_order_acquire)
               ? atomic_load_explicit(&ks->all[i], memory_order_acquire)
               : NULL;
}

static struct str *copy_names(struct arena *a, const struct str *names, int32_t n)
{
    struct str *out = n > 0 ? arena_new(a, struct str, n) : NULL;
    for (int32_t i = 0; out && i < n; i++)
        out[i] = arena_str(a, names[i]);
    return out;
}

// A copy that lives as long as the table.
static struct key *make(struct keys *ks, struct str tenant, const struct tenant_key *said)
{
    struct arena *a = &ks->arena;
    struct key *k = arena_new(a, struct key, 1);
    if (!k)
        return NULL;
    k->said = *said;
    k->said.name = arena_str(a, said->name);
    k->said.models = copy_names(a, said->models, said->n_models);
    k->said.classes = copy_names(a, said->classes, said->n_classes);
    struct allowance *limits = &k->said.allowance;
    if (limits->n_addresses > 0) {
        struct net *nets = arena_new(a, struct net, limits->n_addresses);
        if (!nets)
            return NULL;
        memcpy(nets, limits->addresses, (size_t)limits->n_addresses * sizeof *nets);
        limits->addresses = nets;
    }
    k->tenant = arena_str(a, tenant);
    key_name(k);
    bool whole = k->tenant.p && (k->said.n_models <= 0 || k->said.models) &&
                 (k->said.n_classes <= 0 || k->said.classes);
    return whole ? k : NULL;
}

static void publish(struct keys *ks, struct key *k)
{
    size_t at = first_slot(k->said.sha256);
    while (atomic_load_explicit(&ks->slots[at], memory_order_relaxed))
        at = (at + 1) % SLOTS;
    int32_t n = atomic_load_explicit(&ks->n, memory_order_relaxed);
    atomic_store_explicit(&ks->all[n], k, memory_order_release);
    atomic_store_explicit(&ks->slots[at], k, memory_order_release);
    atomic_store_explicit(&ks->n, n + 1, memory_order_release);
}

// --- starting -----------------------------------------------------------------------------------

struct reading {
    struct keys *keys;
    enum err e;
    struct diag *diag;
};

static bool on_stored(void *ctx, const struct store_key *stored)
{
    struct reading *r = ctx;
    struct keys *ks = r->keys;
    struct arena a;
    struct tenant_key said;
    arena_init(&a, 16 * KEY_SAID_BYTES_MAX);
    if (atomic_load(&ks->n) == KEYS_MAX)
        r->e = diag_set(r->diag, ERR_LIMIT, "the store has more than %d keys", KEYS_MAX);
    if (!r->e)
        r->e = config_key(&said, &a, stored->said, r->diag);
    if (!r->e) {
        memcpy(said.sha256, stored->sha256, sizeof said.sha256);
        struct key *k = make(ks, stored->tenant, &said);
        if (k) {
            k->made_us = stored->made_us;
            atomic_store(&k->revoked_us, stored->revoked_us);
            publish(ks, k);
        } else {
            r->e = diag_set(r->diag, ERR_LIMIT, "the store's keys do not fit their memory");
        }
    }
    arena_release(&a);
    return r->e == ERR_NONE;
}

// Those that hold go on where the process before was.
static enum err count_on(struct keys *ks, struct diag *diag)
{
    struct key **all = take_n(sizeof *all, (size_t)atomic_load(&ks->n) + 1);
    int32_t n = 0;
    enum err e = ERR_NONE;
    for (int32_t i = 0; !e && i < atomic_load(&ks->n); i++) {
        struct key *k = atomic_load(&ks->all[i]);
        if (atomic_load(&k->revoked_us))
            continue;
        e = limits_key(ks->limits, k, diag);
        all[n++] = k;
    }
    if (!e)
        e = limits_know_keys(ks->limits, all, n, ks->ledger, diag);
    free(all);
    return e;
}

enum err keys_new(struct keys **out, struct limits *limits, struct ledger *ledger,
                  struct diag *diag)
{
    *out = NULL;
    if (!ledger)
        return ERR_NONE;
    struct keys *ks = take(sizeof *ks);
    ks->limits = limits;
    ks->ledger = ledger;
    ks->last = &ks->first;
    ks->slots = take_n(sizeof *ks->slots, SLOTS);
    ks->all = take_n(sizeof *ks->all, KEYS_MAX);
    arena_init(&ks->arena, KEYS_BYTES_MAX);
    pthread_mutex_init(&ks->mutex, NULL);
    pthread_cond_init(&ks->wake, NULL);
    struct reading r = {.keys = ks, .diag = diag};
    enum err e = ledger_keys(ledger, on_stored, &r, diag);
    e = e ? e : r.e;
    if (!e)
        e = count_on(ks, diag);
    if (e)
        keys_free(ks);
    else
        *out = ks;
    return e;
}

void keys_stop(struct keys *ks)
{
    if (!ks)
        return;
    pthread_mutex_lock(&ks->mutex);
    ks->stopping = true;
    pthread_cond_signal(&ks->wake);
    pthread_mutex_unlock(&ks->mutex);
    if (ks->running)
        pthread_join(ks->thread, NULL);
    ks->running = false;
}

void keys_free(struct keys *ks)
{
    if (!ks)
        return;
    keys_stop(ks);
    pthread_mutex_destroy(&ks->mutex);
    pthread_cond_destroy(&ks->wake);
    arena_release(&ks->arena);
    free(ks->slots);
    free(ks->all);
    free(ks);
}

// --- changing -----------------------------------------------------------------------------------

// One that holds and has this name; NULL for the empty name. By the thread that adds.
static struct key *named(struct keys *ks, struct str tenant, struct str name)
{
    int32_t n = atomic_load(&ks->n);
    for (int32_t i = 0; name.n && i < n; i++) {
        struct key *k = atomic_load(&ks->all[i]);
        if (!atomic_load(&k->revoked_us) && str_eq(k->said.name, name) && str_eq(k->tenant, tenant))
            return k;
    }
    return NULL;
}

static enum err add(struct keys *ks, struct keys_job *job)
{
    struct diag *diag = &job->diag;
    if (find(ks, job->key.sha256))
        return diag_set(diag, ERR_EXISTS, "there is a key with this hash");
    struct key *same = named(ks, job->tenant, job->key.name);
    if (same)
        return diag_set(diag, ERR_EXISTS,
                        "there is a key '" STR_FMT "' of " STR_FMT
                        ", %s: give this one another name, or revoke that one first",
                        STR_ARG(job->key.name), STR_ARG(job->tenant), same->id);
    if (atomic_load(&ks->n) == KEYS_MAX)
        return diag_set(diag, ERR_LIMIT, "there are %d keys, revoked ones included", KEYS_MAX);
    struct key *k = make(ks, job->tenant, &job->key);
    if (!k)
        return diag_set(diag, ERR_LIMIT, "the keys do not fit their memory");
    k->made_us = job->wall_us;
    enum err e = limits_key(ks->limits, k, diag);
    struct store_key stored = {.tenant = job->tenant, .said = job->said, .made_us = job->wall_us};
    memcpy(stored.sha256, k->said.sha256, sizeof stored.sha256);
    if (!e)
        e = ledger_key_add(ks->ledger, &stored, str_of(k->id), diag);
    if (e)
        return e;
    publish(ks, k);
    job->added = k;
    return ERR_NONE;
}

static enum err revoke(struct keys *ks, struct keys_job *job)
{
    const unsigned char *digest = job->revoked->said.sha256;
    enum err e = ledger_key_revoke(ks->ledger, digest, job->wall_us, &job->diag);
    struct key *k = find(ks, digest);
    if (!e && k)
        atomic_store_explicit(&k->revoked_us, job->wall_us, memory_order_release);
    return e;
}

static void on_done(void *arg)
{
    struct keys_job *job = arg;
    job->done(job);
}

static void *run(void *arg)
{
    struct keys *ks = arg;
    pthread_mutex_lock(&ks->mutex);
    for (;;) {
        while (!ks->first && !ks->stopping)
            pthread_cond_wait(&ks->wake, &ks->mutex);
        struct keys_job *job = ks->first;
        if (!job)
            break;
        ks->first = job->next;
        if (!ks->first)
            ks->last = &ks->first;
        pthread_mutex_unlock(&ks->mutex);
        job->e = job->revoked ? revoke(ks, job) : add(ks, job);
        loop_post(job->loop, on_done, job);
        pthread_mutex_lock(&ks->mutex);
    }
    pthread_mutex_unlock(&ks->mutex);
    return NULL;
}

void keys_change(struct keys *ks, struct keys_job *job)
{
    job->keys = ks;
    job->next = NULL;
    pthread_mutex_lock(&ks->mutex);
    *ks->last = job;
    ks->last = &job->next;
    bool start = !ks->running;
    ks->running = true;
    pthread_cond_signal(&ks->wake);
    pthread_mutex_unlock(&ks->mutex);
    if (start && pthread_create(&ks->thread, NULL, run, ks)) {
        pthread_mutex_lock(&ks->mutex);
        ks->running = false;
        ks->first = NULL;
        ks->last = &ks->first;
        pthread_mutex_unlock(&ks->mutex);
        job->e = diag_set(&job->diag, ERR_SYSTEM, "a thread cannot be started");
        job->done(job);
    }
}
