// What operators changed: kept until the fold thread writes it into the store.

#include "gateway/ledger_inside.h"

#include <stdlib.h>

enum { CHANGES_MAX = 1024 };  // not yet written; the log has them all

struct ledger_change {
    struct ledger_change *next;
    struct store_change row;
    char text[];
};

static struct str keep(char **at, struct str s)
{
    if (s.n)
        memcpy(*at, s.p, s.n);
    struct str kept = {*at, s.n};
    *at += s.n;
    return kept;
}

void ledger_audit(struct ledger *l, int64_t at_us, struct str who, struct str what,
                  struct str detail)
{
    if (!l)
        return;
    struct ledger_change *c = take(sizeof *c + who.n + what.n + detail.n);
    char *at = c->text;
    c->row.at_us = at_us;
    c->row.who = keep(&at, who);
    c->row.what = keep(&at, what);
    c->row.detail = keep(&at, detail);
    pthread_mutex_lock(&l->mutex);
    bool room = l->n_changes < CHANGES_MAX;
    if (room) {
        struct ledger_change **end = &l->changes;
        while (*end)
            end = &(*end)->next;
        *end = c;
        l->n_changes++;
    }
    pthread_mutex_unlock(&l->mutex);
    if (!room) {
        free(c);
        log_line(l->log, LOG_ERROR, "ledger",
                 log_text("what", "an operator's change is in the log only: the store takes none"));
    }
}

void ledger_audit_write(struct ledger *l)
{
    for (;;) {
        pthread_mutex_lock(&l->mutex);
        struct ledger_change *c = l->changes;  // the first stays until it is written
        pthread_mutex_unlock(&l->mutex);
        if (!c)
            return;
        struct diag diag = {0};
        pthread_mutex_lock(&l->store_mutex);
        enum err e = store_audit(l->store, &c->row, &diag);
        pthread_mutex_unlock(&l->store_mutex);
        if (e) {
            ledger_complain(l, diag.text);
            return;
        }
        pthread_mutex_lock(&l->mutex);
        l->changes = c->next;
        l->n_changes--;
        pthread_mutex_unlock(&l->mutex);
        free(c);
    }
}

void ledger_audit_forget(struct ledger *l)
{
    while (l->changes) {
        struct ledger_change *c = l->changes;
        l->changes = c->next;
        free(c);
    }
}
