#include "wire/unpack.h"

#include "base/arena.h"
#include "wire/gunzip.h"
#include "wire/unzstd.h"

#include <stdlib.h>

struct unpack {
    struct gunzip *gunzip;  // one of the two, the other NULL
    struct unzstd *unzstd;
};

struct unpack *unpack_new(struct str first)
{
    bool gzip = gunzip_is(first);
    if (!gzip && !unzstd_is(first))
        return NULL;
    struct unpack *u = take(sizeof *u);
    *u =
        (struct unpack){.gunzip = gzip ? gunzip_new() : NULL, .unzstd = gzip ? NULL : unzstd_new()};
    return u;
}

void unpack_free(struct unpack *u)
{
    if (!u)
        return;
    gunzip_free(u->gunzip);
    unzstd_free(u->unzstd);
    free(u);
}

enum err unpack_take(struct unpack *u, struct str *in, char *out, size_t size, size_t *n,
                     struct diag *diag)
{
    if (u->gunzip)
        return gunzip_take(u->gunzip, in, out, size, n, diag);
    return unzstd_take(u->unzstd, in, out, size, n, diag);
}

bool unpack_may_end(const struct unpack *u)
{
    return u->gunzip ? gunzip_may_end(u->gunzip) : unzstd_may_end(u->unzstd);
}
