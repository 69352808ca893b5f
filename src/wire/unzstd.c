#include "wire/unzstd.h"

#include "base/arena.h"

#include <stdlib.h>
#include <zstd.h>

struct unzstd {
    ZSTD_DStream *stream;
    bool ended;  // the last byte seen was the last of a frame
};

// A frame of data, or one that is to be passed over: pzstd begins its files so.
bool unzstd_is(struct str first)
{
    const unsigned char *p = (const unsigned char *)first.p;
    if (first.n < 4)
        return false;
    if (p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd)
        return true;
    return p[0] >= 0x50 && p[0] <= 0x5f && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
}

struct unzstd *unzstd_new(void)
{
    struct unzstd *z = take(sizeof *z);
    *z = (struct unzstd){.stream = ZSTD_createDStream()};
    CHECK(z->stream);
    return z;
}

void unzstd_free(struct unzstd *z)
{
    if (!z)
        return;
    ZSTD_freeDStream(z->stream);
    free(z);
}

enum err unzstd_take(struct unzstd *z, struct str *in, char *out, size_t size, size_t *n,
                     struct diag *diag)
{
    *n = 0;
    while (!z->ended || in->n > 0) {
        ZSTD_inBuffer from = {.src = in->p, .size = in->n};
        ZSTD_outBuffer to = {.dst = out, .size = size};
        size_t rc = ZSTD_decompressStream(z->stream, &to, &from);
        if (ZSTD_isError(rc))
            return diag_set(diag, ERR_INVALID, "the compressed data is damaged: %s",
                            ZSTD_getErrorName(rc));
        z->ended = rc == 0;
        *in = str_skip(*in, from.pos);
        *n = to.pos;
        // Nothing came out: what it has held back is out too, and it needs more.
        if (*n > 0 || in->n == 0)
            return ERR_NONE;
    }
    return ERR_NONE;
}

bool unzstd_may_end(const struct unzstd *z)
{
    return z->ended;
}
