#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

_Noreturn void check_failed(const char *what, const char *file, int line)
{
    fprintf(stderr, "caudal: broken promise: %s (%s:%d)\n", what, file, line);
    abort();
}

static const struct {
    const char *name, *text;
    bool again;
} errs[] = {{"ERR_NONE", "no error", false},
#define X(name, again, text) {#name, text, again},
            ERR_TABLE(X)
#undef X
};

const char *err_text(enum err e)
{
    CHECK((size_t)e < COUNTOF(errs));
    return errs[e].text;
}

const char *err_name(enum err e)
{
    CHECK((size_t)e < COUNTOF(errs));
    return errs[e].name;
}

bool err_may_pass(enum err e)
{
    CHECK((size_t)e < COUNTOF(errs));
    return errs[e].again;
}

enum err diag_set(struct diag *diag, enum err e, const char *fmt, ...)
{
    if (!diag || diag->e)
        return e;
    diag->e = e;
    va_list args;
    va_start(args, fmt);
    vsnprintf(diag->text, sizeof diag->text, fmt, args);
    va_end(args);
    return e;
}
