// json_gen.h - random JSON of one seed, for properties: odd white space, escapes, numbers no
// machine type holds. Texts are right JSON, of a few hundred bytes.

#ifndef CAUDAL_TESTS_JSON_GEN_H
#define CAUDAL_TESTS_JSON_GEN_H

#include "base/buf.h"
#include "base/rng.h"

static inline void gen_blank(struct buf *out, struct rng *r)
{
    static const char blank[] = " \t\r\n";
    while (rng_below(r, 4) == 0)
        buf_add(out, &blank[rng_below(r, 4)], 1);
}

static inline void gen_string(struct buf *out, struct rng *r)
{
    static const char *const pieces[] = {"a",
                                         "content",
                                         "hello, world; ",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\/",
                                         "\\u00e9",
                                         "\\ud83d\\ude00",
                                         "\\u0000",
                                         "\xc3\xa9",
                                         "\xe4\xb8\xad",
                                         "\xf0\x9f\x98\x80",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         ",",
                                         ":",
                                         "\x7f",
                                         "0123456789abcdef",
                                         "model",
                                         "\\b\\f\\r\\t"};
    buf_lit(out, "\"");
    for (uint64_t n = rng_below(r, 6); n > 0; n--)
        buf_add_str(out, str_of(pieces[rng_below(r, COUNTOF(pieces))]));
    buf_lit(out, "\"");
}

static inline void gen_value(struct buf *out, struct rng *r, int depth)
{
    static const char *const scalars[] = {
        "null",  "true",    "false", "0",    "-0",      "-1",  "12345678901234567890123",
        "1e999", "-1.5E-7", "0.1",   "1e+2", "100.000", "\"\""};
    uint64_t kind = rng_below(r, depth > 0 ? 4 : 2);
    if (kind == 0) {
        buf_add_str(out, str_of(scalars[rng_below(r, COUNTOF(scalars))]));
        return;
    }
    if (kind == 1) {
        gen_string(out, r);
        return;
    }
    buf_add_str(out, kind == 2 ? STR("[") : STR("{"));
    for (uint64_t n = rng_below(r, 4), i = 0; i < n; i++) {
        if (i > 0)
            buf_lit(out, ",");
        gen_blank(out, r);
        if (kind == 3) {
            gen_string(out, r);
            gen_blank(out, r);
            buf_lit(out, ":");
            gen_blank(out, r);
        }
        gen_value(out, r, depth - 1);
        gen_blank(out, r);
    }
    gen_blank(out, r);
    buf_add_str(out, kind == 2 ? STR("]") : STR("}"));
}

#endif
