// What the files of serve.tls and serve.admin.tls hold: may a gateway start with them, and until
// when?

#include "base/units.h"
#include "cli/check_view.h"
#include "gateway/secure.h"
#include "io/tls_server.h"

static const int64_t soon_us = S(14 * 86400);

// Returns until when the first of its certificates is good; 0: there is none, or it is wrong.
static int64_t look(const struct listen_tls *t, const char *key, int64_t now_us,
                    struct problems *problems)
{
    struct tls_server *s = NULL;
    struct diag diag = {0};
    char until[UNIT_TEXT];
    if (!t->on)
        return 0;
    // The path is in front of the problem already.
    enum err e = secure_read(&s, t, "cannot be used here", &diag);
    if (e) {
        problems_add(problems, SEVERITY_ERROR, t->place, str_of(key), "%s", diag.text);
        return 0;
    }
    int64_t until_us = tls_server_until_us(s);
    tls_server_free(s);
    if (until_us - now_us < soon_us)
        problems_add(problems, SEVERITY_WARNING, t->place, str_of(key),
                     "its certificate %s on %s: renew it",
                     until_us < now_us ? "has expired" : "expires soon,",
                     unit_text_instant(until, until_us));
    return until_us;
}

void check_certificates(struct check_view *v, struct problems *problems)
{
    const struct serve_config *s = &v->p->serve;
    v->clients_until_us = look(&s->tls, "serve.tls", v->now_us, problems);
    v->admin_until_us = look(&s->admin.tls, "serve.admin.tls", v->now_us, problems);
}
