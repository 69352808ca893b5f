// prompt.h - texts of a given length in the tokens of a model that we do not have.
//
// The supplier counts: two calls of known bytes say how many bytes a token has and how many tokens
// its template adds. A cold prompt differs from every other in its first words, so that no cache
// has any of it; warm ones share all but their last words.

#ifndef CAUDAL_BENCH_PROMPT_H
#define CAUDAL_BENCH_PROMPT_H

#include "base/buf.h"
#include "base/rng.h"

struct prompt_scale {
    double bytes_per_tok;
    double fixed_tok;  // of the template
    bool known;        // by the supplier's own count; otherwise four bytes are taken for a token
};

void prompt_scale_guess(struct prompt_scale *s);
// From two prompts of so many bytes and tokens; a guess where they make no sense.
void prompt_scale_fit(struct prompt_scale *s, size_t bytes_a, int32_t tok_a, size_t bytes_b,
                      int32_t tok_b);

size_t prompt_bytes(const struct prompt_scale *s, int32_t tok);
// Words of `bytes` bytes in all, and the same for the same seed. `number` makes it its own: at the
// beginning, or where it is `warm` at the end.
void prompt_write(struct buf *out, size_t bytes, uint64_t seed, uint64_t number, bool warm);

#endif
