// The addresses that a connection may go to: a literal one's, a name's that was asked for lately,
// or what the system's resolver says.

#include "io/connect_parts.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>

// --- addresses --------------------------------------------------------------------------------

socklen_t address_bytes(const struct address *a)
{
    return a->u.any.sa_family == AF_INET6 ? sizeof a->u.v6 : sizeof a->u.v4;
}

void address_text(char *out, size_t size, const struct address *a)
{
    char ip[INET6_ADDRSTRLEN] = "?";
    if (a->u.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a->u.v6.sin6_addr, ip, sizeof ip);
        snprintf(out, size, "[%s]:%d", ip, ntohs(a->u.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a->u.v4.sin_addr, ip, sizeof ip);
        snprintf(out, size, "%s:%d", ip, ntohs(a->u.v4.sin_port));
    }
}

bool address_parse(struct address *out, const char *host, int32_t port)
{
    memset(out, 0, sizeof *out);
    if (uv_ip4_addr(host, port, &out->u.v4) == 0)
        return true;
    memset(out, 0, sizeof *out);
    return uv_ip6_addr(host, port, &out->u.v6) == 0;
}

// --- DNS --------------------------------------------------------------------------------------

struct lookup {  // one question to the resolver; all who ask the same meanwhile wait for it
    uv_getaddrinfo_t request;
    struct loop *loop;
    struct lookup *next;
    struct dial *dials;
    char *host;
};

// The resolver's order, with the two families taking turns from the first on (RFC 8305 section 4).
static int32_t addresses_of(struct address *out, const struct addrinfo *found)
{
    int32_t n = 0;
    const struct addrinfo *same = found, *other = found;
    int family = found ? found->ai_family : 0;
    while (n < ADDRESSES) {
        while (same && same->ai_family != family)
            same = same->ai_next;
        while (other && other->ai_family == family)
            other = other->ai_next;
        if (!same && !other)
            break;
        const struct addrinfo **from = same && (n % 2 == 0 || !other) ? &same : &other;
        memset(&out[n], 0, sizeof out[n]);
        memcpy(&out[n].u, (*from)->ai_addr, (*from)->ai_addrlen);
        n++;
        *from = (*from)->ai_next;
    }
    return n;
}

static void remember(struct loop *l, const char *host, const struct address *a, int32_t n)
{
    struct name *place = &l->names[0];
    for (size_t i = 0; i < NAMES; i++)
        if (l->names[i].until_us < place->until_us)
            place = &l->names[i];
    free(place->host);
    place->host = strdup(host);
    CHECK(place->host);
    place->until_us = l->now_us + NAME_US;
    place->n = n;
    memcpy(place->addresses, a, (size_t)n * sizeof *a);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct lookup *q = request->data;
    struct loop *l = q->loop;
    turn_begin(l);
    struct lookup **at = &l->lookups;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;

    struct address a[ADDRESSES];
    int32_t n = status == 0 ? addresses_of(a, found) : 0;
    uv_freeaddrinfo(found);
    if (n)
        remember(l, q->host, a, n);
    while (q->dials) {
        struct dial *d = q->dials;
        q->dials = d->waiting;
        d->lookup = NULL;
        if (n)
            dial_addresses(d, a, n);
        else
            dial_fail(d->conn, ERR_RESOLVE, "%s", status ? uv_strerror(status) : "no address");
    }
    free(q->host);
    free(q);
}

static void ask_resolver(struct dial *d)
{
    struct loop *l = d->loop;
    struct lookup *q = l->lookups;
    while (q && strcmp(q->host, d->via) != 0)
        q = q->next;
    if (!q) {
        q = take(sizeof *q);
        q->loop = l;
        q->host = strdup(d->via);
        CHECK(q->host);
        q->request.data = q;
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
        int status = uv_getaddrinfo(&l->uv, &q->request, on_resolved, q->host, NULL, &hints);
        if (status) {  // a name that IDNA refuses; told later
            diag_set(&d->diag, ERR_RESOLVE, "%s", uv_strerror(status));
            timer_set(l, &d->next, l->now_us);
            free(q->host);
            free(q);
            return;
        }
        q->next = l->lookups;
        l->lookups = q;
    }
    d->lookup = q;
    d->waiting = q->dials;
    q->dials = d;
}

void dial_resolve(struct dial *d)
{
    struct loop *l = d->loop;
    struct address literal;
    if (address_parse(&literal, d->via, d->via_port)) {
        dial_addresses(d, &literal, 1);
        return;
    }
    for (size_t i = 0; i < NAMES; i++) {
        const struct name *known = &l->names[i];
        if (known->host && known->until_us > l->now_us && strcmp(known->host, d->via) == 0) {
            dial_addresses(d, known->addresses, known->n);
            return;
        }
    }
    ask_resolver(d);
}

void dial_resolve_stop(struct dial *d)
{
    if (!d->lookup)
        return;
    struct dial **at = &d->lookup->dials;
    while (*at != d)
        at = &(*at)->waiting;
    *at = d->waiting;
    d->lookup = NULL;
}

void names_release(struct loop *l)
{
    for (size_t i = 0; i < NAMES; i++) {
        free(l->names[i].host);
        l->names[i].host = NULL;
    }
    for (struct lookup *q = l->lookups; q; q = q->next)
        uv_cancel((uv_req_t *)&q->request);
}
