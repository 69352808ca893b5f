#include "bench/prompt.h"

#include <stdio.h>

static const double GUESS_BYTES_PER_TOK = 4;
enum { PROMPT_BYTES_MIN = 48, TAIL_BYTES = 32 };

static const char *const words[] = {
    "river",  "winter",  "market", "stone",    "letter",  "garden", "engine",  "signal",
    "harbor", "window",  "paper",  "mountain", "copper",  "bridge", "island",  "summer",
    "thread", "orchard", "valley", "needle",   "silver",  "forest", "kitchen", "ladder",
    "meadow", "anchor",  "pepper", "violin",   "lantern", "cotton", "basket",  "marble",
};

void prompt_scale_guess(struct prompt_scale *s)
{
    *s = (struct prompt_scale){.bytes_per_tok = GUESS_BYTES_PER_TOK};
}

void prompt_scale_fit(struct prompt_scale *s, size_t bytes_a, int32_t tok_a, size_t bytes_b,
                      int32_t tok_b)
{
    prompt_scale_guess(s);
    if (tok_b <= tok_a || tok_a <= 0 || bytes_b <= bytes_a)
        return;
    double bytes_per_tok = (double)(bytes_b - bytes_a) / (tok_b - tok_a);
    double fixed_tok = tok_a - (double)bytes_a / bytes_per_tok;
    if (bytes_per_tok > 100)
        return;
    *s = (struct prompt_scale){
        .bytes_per_tok = bytes_per_tok, .fixed_tok = fixed_tok > 0 ? fixed_tok : 0, .known = true};
}

size_t prompt_bytes(const struct prompt_scale *s, int32_t tok)
{
    double bytes = (tok - s->fixed_tok) * s->bytes_per_tok;
    return bytes > PROMPT_BYTES_MIN ? (size_t)(bytes + 0.5) : PROMPT_BYTES_MIN;
}

void prompt_write(struct buf *out, size_t bytes, uint64_t seed, uint64_t number, bool warm)
{
    struct rng rng;
    char own[TAIL_BYTES + 1];
    size_t begin = buf_len(out);
    snprintf(own, sizeof own, "%016llx. ", (unsigned long long)mix64(seed ^ mix64(number)));
    rng_seed(&rng, warm ? seed : seed ^ number);
    if (!warm)
        buf_add_str(out, str_of(own));
    size_t tail = warm ? strlen(own) : 0;
    while (buf_len(out) - begin + tail < bytes) {
        struct str word = str_of(words[rng_below(&rng, COUNTOF(words))]);
        size_t left = bytes - (buf_len(out) - begin) - tail;
        buf_add(out, word.p, word.n < left ? word.n : left);
        if (word.n < left)
            buf_lit(out, " ");
    }
    if (warm)
        buf_add_str(out, str_of(own));
}
