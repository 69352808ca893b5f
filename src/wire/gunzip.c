#include "wire/gunzip.h"

#include "base/arena.h"

#include <stdlib.h>
#include <zlib.h>

enum { WINDOW_GZIP = 15 + 16, PIECE_MAX = 1 << 20 };

struct gunzip {
    z_stream z;
    bool ended;  // the last byte seen was the last of a compressed file
};

bool gunzip_is(struct str first)
{
    return first.n >= 2 && (unsigned char)first.p[0] == 0x1f && (unsigned char)first.p[1] == 0x8b;
}

struct gunzip *gunzip_new(void)
{
    struct gunzip *g = take(sizeof *g);
    CHECK(inflateInit2(&g->z, WINDOW_GZIP) == Z_OK);
    return g;
}

void gunzip_free(struct gunzip *g)
{
    if (!g)
        return;
    inflateEnd(&g->z);
    free(g);
}

enum err gunzip_take(struct gunzip *g, struct str *in, char *out, size_t size, size_t *n,
                     struct diag *diag)
{
    *n = 0;
    for (;;) {
        if (g->ended && in->n == 0)
            return ERR_NONE;
        if (g->ended)
            CHECK(inflateReset(&g->z) == Z_OK);
        g->ended = false;
        g->z.next_in = (unsigned char *)(uintptr_t)in->p;  // zlib only reads it
        g->z.avail_in = (uInt)(in->n < PIECE_MAX ? in->n : PIECE_MAX);
        g->z.next_out = (unsigned char *)out;
        g->z.avail_out = (uInt)(size < PIECE_MAX ? size : PIECE_MAX);
        uInt had = g->z.avail_in, room = g->z.avail_out;
        int rc = inflate(&g->z, Z_NO_FLUSH);
        if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
            return diag_set(diag, ERR_INVALID, "the compressed data is damaged: %s",
                            g->z.msg ? g->z.msg : "it is not gzip");
        g->ended = rc == Z_STREAM_END;
        *in = str_skip(*in, had - g->z.avail_in);
        *n = room - g->z.avail_out;
        // Nothing came out: what it has held back is out too, and it needs more.
        if (*n > 0 || (in->n == 0 && !g->ended))
            return ERR_NONE;
    }
}

bool gunzip_may_end(const struct gunzip *g)
{
    return g->ended;
}
