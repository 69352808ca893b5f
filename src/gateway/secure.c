#include "gateway/secure.h"

#include "base/arena.h"
#include "base/units.h"
#include "io/tls_server.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const int64_t look_us = S(60), soon_us = S(14 * 86400);

struct secure {
    struct loop *loop;  // NULL: not watched
    struct log *log;
    struct timer timer;
    struct tls_server *clients, *admin;
    int64_t warned_us;  // on the loop's clock
};

enum err secure_read(struct tls_server **out, const struct listen_tls *t, const char *key,
                     struct diag *diag)
{
    if (!t->on)
        return ERR_NONE;
    struct tls_identity *identities = take_n(sizeof *identities, (size_t)t->n_identities);
    for (int32_t i = 0; i < t->n_identities; i++)
        identities[i] = (struct tls_identity){t->identities[i].certificate, t->identities[i].key};
    struct tls_server_config c = {.identities = identities,
                                  .n = t->n_identities,
                                  .client_ca = t->client_ca,
                                  .only_tls13 = str_eq(t->minimum, STR("1.3"))};
    struct diag why = {0};
    enum err e = tls_server_new(out, &c, &why);
    free(identities);
    return e ? diag_set(diag, e, "%s: %s", key, why.text) : ERR_NONE;
}

static int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return S(t.tv_sec) + t.tv_nsec / 1000;
}

// One that nobody renews is told of in time, once a day.
static void warn_of_expiry(struct secure *s, struct tls_server *server, const char *key)
{
    int64_t left_us = server ? tls_server_until_us(server) - wall_us() : NEVER;
    if (left_us < soon_us)
        log_line(s->log, LOG_WARN, "certificate", log_text("of", key),
                 log_text("what", left_us < 0 ? "has expired" : "expires soon"),
                 log_num("days", (double)left_us / (double)S(86400)));
}

static void look_at(struct secure *s, struct tls_server *server, const char *key)
{
    struct diag diag = {0};
    bool changed = false;
    if (!server)
        return;
    if (tls_server_look(server, &changed, &diag))
        log_line(s->log, LOG_ERROR, "certificate", log_text("of", key), log_text("what", diag.text),
                 log_text("so", "the one before stays in use"));
    else if (changed)
        log_line(
            s->log, LOG_INFO, "certificate", log_text("of", key), log_text("what", "read anew"),
            log_num("days", (double)(tls_server_until_us(server) - wall_us()) / (double)S(86400)));
}

static void look(struct secure *s)
{
    look_at(s, s->clients, "serve.tls");
    look_at(s, s->admin, "serve.admin.tls");
    int64_t now = clock_now_us();
    if (s->warned_us && now - s->warned_us < S(86400))
        return;
    s->warned_us = now;
    warn_of_expiry(s, s->clients, "serve.tls");
    warn_of_expiry(s, s->admin, "serve.admin.tls");
}

static void on_hangup(void *arg)
{
    look(arg);
}

static void on_timer(struct timer *t)
{
    struct secure *s = CONTAINER_OF(t, struct secure, timer);
    look(s);
    timer_set(s->loop, &s->timer, loop_now_us(s->loop) + look_us);
}

enum err secure_new(struct secure **out, const struct serve_config *c, struct log *log,
                    struct diag *diag)
{
    struct secure *s = take(sizeof *s);
    s->log = log;
    s->timer.fire = on_timer;
    enum err e = secure_read(&s->clients, &c->tls, "serve.tls", diag);
    if (!e && c->admin.on)
        e = secure_read(&s->admin, &c->admin.tls, "serve.admin.tls", diag);
    if (e) {
        secure_free(s);
        return e;
    }
    *out = s;
    return ERR_NONE;
}

void secure_watch(struct secure *s, struct loop *l)
{
    if (!s->clients && !s->admin)
        return;
    s->loop = l;
    loop_on_signal(l, SIGHUP, on_hangup, s);
    timer_set(l, &s->timer, loop_now_us(l));
}

void secure_free(struct secure *s)
{
    if (!s)
        return;
    tls_server_free(s->clients);
    tls_server_free(s->admin);
    free(s);
}

struct tls_server *secure_clients(const struct secure *s)
{
    return s->clients;
}

struct tls_server *secure_admin(const struct secure *s)
{
    return s->admin;
}
