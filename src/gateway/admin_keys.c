// GET, POST and DELETE /admin/keys: keys of clients, made, listed and revoked while it runs.

#include "base/units.h"
#include "gateway/admin_calls.h"
#include "gateway/gateway_inside.h"
#include "gateway/limits.h"
#include "gateway/pages.h"
#include "io/key_text.h"
#include "wire/config.h"
#include "wire/json.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct change {  // one that waits for the disk
    struct keys_job job;
    struct admin_call *call;
    struct key_text text;  // its key is empty where the caller sent a hash
};

// --- listing ------------------------------------------------------------------------------------

static void write_texts(struct buf *out, const char *name, const struct str *all, int32_t n)
{
    if (n < 0)
        return;
    buf_printf(out, ",\"%s\":[", name);
    for (int32_t i = 0; i < n; i++) {
        buf_add_str(out, i ? STR(",") : STR(""));
        buf_add_json(out, all[i]);
    }
    buf_lit(out, "]");
}

static void write_net(struct buf *out, const struct net *net)
{
    static const unsigned char v4[12] = {[10] = 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    bool is_v4 = net->bits >= 96 && memcmp(net->address, v4, sizeof v4) == 0;
    inet_ntop(is_v4 ? AF_INET : AF_INET6, net->address + (is_v4 ? 12 : 0), text, sizeof text);
    buf_printf(out, "\"%s/%d\"", text, (int)(is_v4 ? net->bits - 96 : net->bits));
}

static void write_allowance(struct buf *out, const struct allowance *a)
{
    char text[UNIT_TEXT];
    if (a->requests_per_s > 0)
        buf_printf(out, ",\"requests_per_minute\":%.9g", a->requests_per_s * 60);
    if (a->tokens_per_s > 0)
        buf_printf(out, ",\"tokens_per_minute\":%.9g", a->tokens_per_s * 60);
    if (a->in_flight > 0)
        buf_printf(out, ",\"in_flight\":%d", a->in_flight);
    if (a->budget_day_nusd >= 0)
        buf_printf(out, ",\"budget_day_usd\":%.9f", (double)a->budget_day_nusd / 1e9);
    if (a->budget_month_uusd >= 0)
        buf_printf(out, ",\"budget_month_usd\":%.6f", (double)a->budget_month_uusd / 1e6);
    if (a->budget_day_nusd >= 0 || a->budget_month_uusd >= 0)
        buf_printf(out, ",\"budget_kind\":\"%s\"", a->budget_hard ? "hard" : "forecast");
    if (a->until_us != NEVER)
        buf_printf(out, ",\"until\":\"%s\"", unit_text_instant(text, a->until_us));
    if (a->n_addresses < 0)
        return;
    buf_lit(out, ",\"addresses\":[");
    for (int32_t i = 0; i < a->n_addresses; i++) {
        buf_add_str(out, i ? STR(",") : STR(""));
        write_net(out, &a->addresses[i]);
    }
    buf_lit(out, "]");
}

static void write_used(struct admin_call *call, const struct key *k)
{
    if (k->place < 0)
        return;
    struct loop *loop = call->worker->loop;
    struct quota_view v =
        limits_look(call->worker->limits, &(struct quota_level){k->place, &k->said.allowance},
                    loop_now_us(loop), loop_wall_us(loop));
    buf_printf(&call->out,
               ",\"used\":{\"requests\":%.3f,\"tokens\":%.0f,\"in_flight\":%d,\"day_usd\":%.9f,"
               "\"month_usd\":%.9f}",
               v.requests, v.tokens, v.in_flight, (double)v.day_nusd / 1e9,
               (double)v.month_nusd / 1e9);
}

static void write_key(struct admin_call *call, const struct key *k)
{
    struct buf *out = &call->out;
    char text[UNIT_TEXT];
    int64_t revoked_us = atomic_load(&k->revoked_us);
    buf_printf(out, "{\"id\":\"%s\",\"name\":", k->id);
    buf_add_json(out, k->said.name);
    buf_lit(out, ",\"tenant\":");
    buf_add_json(out, k->tenant);
    buf_printf(out, ",\"of\":\"%s\",\"holds\":%s", k->made_us ? "store" : "portfolio",
               revoked_us ? "false" : "true");
    if (k->made_us)
        buf_printf(out, ",\"made\":\"%s\"", unit_text_instant(text, k->made_us));
    if (revoked_us)
        buf_printf(out, ",\"revoked\":\"%s\"", unit_text_instant(text, revoked_us));
    write_texts(out, "models", k->said.models, k->said.n_models);
    write_texts(out, "classes", k->said.classes, k->said.n_classes);
    write_allowance(out, &k->said.allowance);
    write_used(call, k);
    buf_lit(out, "}");
}

void admin_keys_list(struct admin_call *call)
{
    const struct generation *g = call->gateway->generation;
    struct buf *out = &call->out;
    buf_lit(out, "{\"keys\":[");
    for (int32_t i = 0; i < g->n_keys; i++) {
        buf_add_str(out, i ? STR(",") : STR(""));
        write_key(call, &g->keys[i]);
    }
    const struct key *k;
    for (int32_t i = 0; (k = keys_at(call->gateway->keys, i)); i++) {
        buf_add_str(out, i || g->n_keys ? STR(",") : STR(""));
        write_key(call, k);
    }
    buf_lit(out, "]}");
    admin_answer(call, 200);
}

// --- making -------------------------------------------------------------------------------------

// It may hold a key in plain text, which lives until it has been answered and no longer.
static void change_free(struct change *c)
{
    wipe(c, sizeof *c);
    free(c);
}

static bool needs_store(struct admin_call *call)
{
    if (call->gateway->keys)
        return true;
    admin_refuse(call, 409, "no_store",
                 "There is no place to keep keys: serve.state names no folder.");
    return false;
}

static void on_added(struct keys_job *job)
{
    struct change *c = CONTAINER_OF(job, struct change, job);
    struct admin_call *call = c->call;
    if (job->e) {
        admin_refuse(call, job->e == ERR_EXISTS || job->e == ERR_LIMIT ? 409 : 503, "not_kept",
                     "%s", job->diag.text);
    } else {
        const struct key *k = job->added;
        struct str detail = arena_printf(&call->arena, "%s " STR_FMT " of " STR_FMT, k->id,
                                         STR_ARG(k->said.name), STR_ARG(k->tenant));
        admin_audit(call, "key add", detail);
        buf_printf(&call->out, "{\"id\":\"%s\",\"hash\":\"%s\"", k->id, c->text.hash);
        if (c->text.key[0])
            buf_printf(&call->out, ",\"key\":\"%s\"", c->text.key);
        buf_lit(&call->out, ",\"tenant\":");
        buf_add_json(&call->out, k->tenant);
        buf_lit(&call->out, ",\"name\":");
        buf_add_json(&call->out, k->said.name);
        buf_lit(&call->out, "}");
        admin_answer(call, 201);
    }
    change_free(c);
}

// The body without the members that are not the key's own, as the store keeps it.
static struct str said_of(struct admin_call *call)
{
    struct buf out;
    struct json_walk w;
    bool first = true;
    buf_init(&out, KEY_SAID_BYTES_MAX);
    buf_lit(&out, "{");
    if (call->body.n && json_walk(&w, call->body)) {
        while (json_step(&w)) {
            if (str_eq(w.key, STR("tenant")) || str_eq(w.key, STR("sha256")))
                continue;
            buf_join(&out, first ? STR("\"") : STR(",\""), w.key, STR("\":"),
                     (struct str){call->body.p + w.value.at, w.value.n});
            first = false;
        }
    }
    buf_lit(&out, "}");
    struct str said = out.overflow ? (struct str){0} : arena_str(&call->arena, buf_str(&out));
    buf_release(&out);
    return said;
}

static bool are_known(const struct table *names, const struct str *all, int32_t n,
                      struct str *unknown)
{
    int32_t index;
    for (int32_t i = 0; i < n; i++) {
        if (!table_get(names, all[i], &index)) {
            *unknown = all[i];
            return false;
        }
    }
    return true;
}

// False: refused.
static bool check_key(struct admin_call *call, const struct tenant_key *key, struct str tenant)
{
    const struct portfolio *p = call->gateway->portfolio;
    int32_t index;
    struct str unknown;
    const char *what = NULL;
    if (!table_get(p->tenant_names, tenant, &index)) {
        what = "tenant";
        unknown = tenant;
    } else if (!are_known(p->model_names, key->models, key->n_models, &unknown)) {
        what = "model";
    } else if (!are_known(p->class_names, key->classes, key->n_classes, &unknown)) {
        what = "class";
    }
    if (what) {
        admin_refuse(call, 400, "unknown_name", "The portfolio has no %s '" STR_FMT "'.", what,
                     STR_ARG(unknown));
        return false;
    }
    if (key->allowance.until_us <= loop_wall_us(call->worker->loop)) {
        char text[UNIT_TEXT];
        admin_refuse(call, 400, "bad_key", "until: is past, got %s, expected a time to come.",
                     unit_text_instant(text, key->allowance.until_us));
        return false;
    }
    return true;
}

static bool read_hash(struct admin_call *call, struct change *c)
{
    struct str hash = {0};
    struct tenant_key key;
    struct diag diag = {0};
    struct json_span span;
    if (!call->body.n || !json_get(call->body, STR("sha256"), &span)) {
        key_text_new(&c->text);
        hash = str_of(c->text.hash);
    } else {
        admin_text(call, "sha256", &hash);  // one that is no text is no hash either
    }
    struct str text = arena_printf(&call->arena, "{\"sha256\":\"" STR_FMT "\"}", STR_ARG(hash));
    if (hash.n != sizeof c->text.hash - 1 || config_key(&key, &call->arena, text, &diag)) {
        admin_refuse(call, 400, "bad_key",
                     "sha256: is not the hash of a key, expected sha256: and "
                     "64 hexadecimal digits.");
        return false;
    }
    memcpy(c->text.hash, hash.p, hash.n);
    memcpy(c->job.key.sha256, key.sha256, sizeof key.sha256);
    return true;
}

void admin_keys_add(struct admin_call *call)
{
    if (!needs_store(call))
        return;
    struct change *c = take(sizeof *c);
    struct diag diag = {0};
    struct str tenant = {0};
    admin_text(call, "tenant", &tenant);
    c->call = call;
    c->job = (struct keys_job){.tenant = tenant,
                               .said = said_of(call),
                               .wall_us = loop_wall_us(call->worker->loop),
                               .loop = call->worker->loop,
                               .done = on_added};
    enum err e = c->job.said.p
                     ? config_key(&c->job.key, &call->arena, c->job.said, &diag)
                     : diag_set(&diag, ERR_LIMIT, "more than %d bytes", KEY_SAID_BYTES_MAX);
    bool right = !e;
    if (e)
        admin_refuse(call, 400, "bad_key", "%s", diag.text);
    else
        right = check_key(call, &c->job.key, tenant) && read_hash(call, c);
    if (right)
        keys_change(call->gateway->keys, &c->job);
    else
        change_free(c);
}

// --- revoking -----------------------------------------------------------------------------------

static bool is_called(const struct key *k, struct str name)
{
    return str_eq(str_of(k->id), name) || (k->said.name.n && str_eq(k->said.name, name));
}

// The key that holds and is called so; `*n` is how many are.
static const struct key *find_called(const struct gateway *g, struct str name, int32_t *n)
{
    const struct key *found = NULL, *k;
    *n = 0;
    for (int32_t i = 0; (k = keys_at(g->keys, i)); i++) {
        if (!atomic_load(&k->revoked_us) && is_called(k, name)) {
            found = k;
            ++*n;
        }
    }
    return found;
}

static void on_revoked(struct keys_job *job)
{
    struct change *c = CONTAINER_OF(job, struct change, job);
    const struct key *k = job->revoked;
    if (job->e) {
        admin_refuse(c->call, job->e == ERR_MISSING ? 404 : 503, "not_revoked", "%s",
                     job->diag.text);
    } else {
        struct str detail = arena_printf(&c->call->arena, "%s " STR_FMT " of " STR_FMT, k->id,
                                         STR_ARG(k->said.name), STR_ARG(k->tenant));
        admin_audit(c->call, "key revoke", detail);
        write_key(c->call, k);
        admin_answer(c->call, 200);
    }
    change_free(c);
}

void admin_keys_revoke(struct admin_call *call)
{
    const struct generation *g = call->gateway->generation;
    if (!needs_store(call))
        return;
    struct str name = percent_decoded(&call->arena, call->rest);
    int32_t n;
    const struct key *k = find_called(call->gateway, name, &n);
    for (int32_t i = 0; !n && i < g->n_keys; i++) {
        if (is_called(&g->keys[i], name)) {
            admin_refuse(call, 409, "of_the_portfolio",
                         "The key " STR_FMT " is the portfolio's: take it out there and reload.",
                         STR_ARG(name));
            return;
        }
    }
    if (!n) {
        admin_refuse(call, 404, "no_such_key", "No key that holds is called '" STR_FMT "'.",
                     STR_ARG(name));
        return;
    }
    if (n > 1) {
        admin_refuse(call, 409, "ambiguous", "%d keys are called '" STR_FMT "': say the id of one.",
                     n, STR_ARG(name));
        return;
    }
    struct change *c = take(sizeof *c);
    c->call = call;
    c->job = (struct keys_job){.revoked = k,
                               .wall_us = loop_wall_us(call->worker->loop),
                               .loop = call->worker->loop,
                               .done = on_revoked};
    keys_change(call->gateway->keys, &c->job);
}
