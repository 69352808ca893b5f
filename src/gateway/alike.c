#include "gateway/alike.h"
#include "base/arena.h"
#include "wire/json.h"

#include <stdlib.h>

enum { AROUND_MAX = 2048, IN_VAIN_MAX = 8 };

void alike_release(struct alike *a)
{
    free(a->bytes);
    *a = (struct alike){0};
}

static void put_around(char *at, struct str s, size_t text_at, size_t text_n)
{
    memcpy(at, s.p, text_at);
    memcpy(at + text_at, s.p + text_at + text_n, s.n - text_at - text_n);
}

void alike_learn(struct alike *a, struct str in, size_t in_at, struct str out, size_t out_at,
                 size_t text_n)
{
    size_t in_n = in.n - text_n, out_n = out.n - text_n;
    if (a->learnt_in_vain == IN_VAIN_MAX || in_n > AROUND_MAX || out_n > AROUND_MAX)
        return;
    bool same = in_at == out_at && str_eq(in, out);
    free(a->bytes);
    a->bytes = take(in_n + (same ? 0 : out_n));
    a->in_before = (uint16_t)in_at;
    a->in_after = (uint16_t)(in_n - in_at);
    a->out_before = (uint16_t)out_at;
    a->out_after = (uint16_t)(out_n - out_at);
    put_around(a->bytes, in, in_at, text_n);
    if (!same)
        put_around(a->bytes + in_n, out, out_at, text_n);
    a->learnt_in_vain++;
    a->same = same;
}

bool alike_take(struct alike *a, struct str *in, struct buf *out, size_t *text_bytes)
{
    size_t around_n = (size_t)a->in_before + a->in_after;
    if (!a->bytes || in->n <= around_n + 2 || memcmp(in->p, a->bytes, a->in_before) != 0)
        return false;
    const char *text = in->p + a->in_before;
    const char *end = json_text_end(text, in->p + in->n, text_bytes);
    if (!end || *text_bytes == 0 || (size_t)(in->p + in->n - end) < a->in_after ||
        memcmp(end, a->bytes + a->in_before, a->in_after) != 0)
        return false;
    const char *went = a->bytes + (a->same ? 0 : around_n);
    if (!buf_join(out, {went, a->out_before}, {text, (size_t)(end - text)},
                  {went + a->out_before, a->out_after}))
        return false;
    *in = str_skip(*in, a->in_before + (size_t)(end - text) + a->in_after);
    a->learnt_in_vain = 0;
    return true;
}
