// score_kernel.h - score.h for vectors of WIDTH doubles; included by score.c once for each width.

typedef double NAME(lanes) __attribute__((vector_size(WIDTH * sizeof(double)), aligned(8)));
typedef int64_t NAME(masks) __attribute__((vector_size(WIDTH * sizeof(int64_t)), aligned(8)));
#define lanes NAME(lanes)
#define masks NAME(masks)
#define LOAD(row) (*(const lanes *)&(row)[k])
#define ALL(v) ((v) - (lanes){0})
// Where the mask (of a comparison) is set, a; elsewhere b, or 0.
#define SELECT(mask, a, b) ((lanes)(((mask) & (masks)(a)) | (~(mask) & (masks)(b))))
#define OR_ZERO(mask, a) ((lanes)((mask) & (masks)(a)))

struct NAME(terms) {
    lanes list, energy, wait_ttft, wait_tokens, total, ttft, per_token, model_ttft, model_per_token;
};

INLINE TARGET void NAME(worth_at)(lanes *cost, const lanes *us, const struct worth *w)
{
    lanes sum = w->rate * *us;
    for (int32_t i = 0; i < w->knees; i++) {
        lanes over = *us - w->from[i];
        sum += w->delta[i] * OR_ZERO(over > 0, over);
    }
    *cost = sum;
}

// Everything but admission, of candidates k to k + WIDTH of a block.
INLINE TARGET void NAME(terms_of)(const struct candidates *c, const struct candidates_more *m,
                                  const double *rtt, const struct scoring *s, bool bends,
                                  const double *warm, int k, struct NAME(terms) * t)
{
    lanes answer = ALL(s->answer), slope = LOAD(c->prefill_tok), full = LOAD(c->full);
    lanes fresh = ALL(s->prompt);
    if (warm)
        fresh -= LOAD(warm);
    if (bends) {
        lanes most = LOAD(m->answer_max);
        answer = SELECT(answer < most, answer, most);
        slope += LOAD(m->prefill_tok2) * fresh;
        lanes over = LOAD(m->kv) + LOAD(m->kv_tok) * (s->prompt + answer);
        full += OR_ZERO(over > 0, over);
    }
    lanes step = LOAD(c->step) + LOAD(c->step_ctx) * (s->prompt + answer);
    lanes prefill = LOAD(c->prefill) + slope * fresh;
    lanes hold = prefill + answer * step;
    lanes unread = LOAD(c->read_us) - s->now_us;
    lanes queue = OR_ZERO(unread > 0, unread) + full * hold;
    t->model_ttft = prefill + LOAD(rtt) + step + queue;
    t->model_per_token = step;
    t->ttft = t->model_ttft * LOAD(c->ttft_ratio);
    t->per_token = step * LOAD(c->step_ratio);
    t->list = s->prompt * LOAD(c->input) + answer * LOAD(c->output);
    if (warm)
        t->list -= LOAD(warm) * LOAD(m->cached_less);
    if (bends)
        t->list += LOAD(m->capacity) * hold;
    t->energy = hold * LOAD(c->energy);
    NAME(worth_at)(&t->wait_ttft, &t->ttft, s->ttft);
    NAME(worth_at)(&t->wait_tokens, &t->per_token, s->per_token);
    t->wait_tokens *= answer;
    t->total = t->list + t->energy + t->wait_ttft + t->wait_tokens;
}

// Which of them may have it: what admit() says, as far as it does not depend on who asks.
INLINE TARGET void NAME(may_of)(const struct candidates *c, const struct candidates_more *m,
                                const double *rtt, const struct scoring *s, bool bars,
                                const double *warm, int k, masks *may)
{
    *may = LOAD(c->free_us) <= s->now_us;
    if (!bars)
        return;
    lanes need = ALL(s->need_tok), most = LOAD(m->tokens_most);
    lanes drawn = LOAD(m->bucket_tok) * SELECT(need < most, need, most) * 1024;
    // Adding and taking away 2^52 rounds to a whole number; if that was down, one more is up.
    lanes whole = drawn + 0x1p52 - 0x1p52;
    whole += OR_ZERO(whole < drawn, ALL(1));
    lanes fresh = ALL(s->prompt);
    if (warm)
        fresh -= LOAD(warm);
    lanes slope = LOAD(c->prefill_tok) + LOAD(m->prefill_tok2) * fresh;
    lanes ttft = LOAD(c->prefill) + slope * fresh + LOAD(rtt);
    *may &= (LOAD(m->bucket_at) + whole <= s->bucket_now) & (s->prompt <= most) &
            (s->context <= LOAD(m->context_max)) & (ttft * LOAD(m->least_ratio) < s->ttft_most_us);
}

INLINE TARGET void NAME(keep)(struct terms_kept *kept, int32_t i, const struct NAME(terms) * t)
{
    *(lanes *)&kept->list[i] = t->list;
    *(lanes *)&kept->energy[i] = t->energy;
    *(lanes *)&kept->wait_ttft[i] = t->wait_ttft;
    *(lanes *)&kept->wait_tokens[i] = t->wait_tokens;
    *(lanes *)&kept->total[i] = t->total;
    *(lanes *)&kept->ttft[i] = t->ttft;
    *(lanes *)&kept->per_token[i] = t->per_token;
    *(lanes *)&kept->model_ttft[i] = t->model_ttft;
    *(lanes *)&kept->model_per_token[i] = t->model_per_token;
}

// What is found while going through scores.
struct NAME(found) {
    lanes least;
    int32_t usable;
};

INLINE TARGET void NAME(score_each)(const struct candidates *c, const struct candidates_more *m,
                                    const double *rtt, const struct scoring *s, int32_t n,
                                    bool bends, bool bars, bool warms, double *out,
                                    struct terms_kept *kept, struct NAME(found) * found)
{
    static const double place[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    lanes least = ALL(INFINITY);
    int32_t usable = 0;
    for (int32_t i = 0; i < n; i += WIDTH) {
        struct NAME(terms) t;
        masks may;
        int32_t b = i / LANES, k = i % LANES;
        const double *warm = warms ? &s->warm[b * LANES] : NULL;
        NAME(terms_of)(&c[b], &m[b], &rtt[b * LANES], s, bends, warm, k, &t);
        NAME(may_of)(&c[b], &m[b], &rtt[b * LANES], s, bars, warm, k, &may);
        if (i + WIDTH > n)
            may &= *(const lanes *)place < n - i;
        lanes v = SELECT(may, t.total, ALL(INFINITY));
        *(lanes *)&out[i] = v;
        least = SELECT(v < least, v, least);
        usable += ONES(BELOW(v, INFINITY));
        if (kept)
            NAME(keep)(kept, i, &t);
    }
    found->least = least;
    found->usable = usable;
}

INLINE TARGET void NAME(within_of)(const double *scores, int32_t n, double band,
                                   const struct NAME(found) * found, struct score_best *out,
                                   int32_t *within)
{
    int32_t count = 0;
    out->least = LEAST(found->least);
    out->usable = found->usable;
    double most = found->usable > 0 ? out->least + out->least * band : -INFINITY;
    // Bits of 64 candidates first, so that where among them the best are is no branch.
    for (int32_t i = 0; i < n; i += 64) {
        uint64_t bits = 0;
        for (int32_t j = i; j < i + 64 && j < n; j += WIDTH)
            bits |= (uint64_t)UP_TO(*(const lanes *)&scores[j], most) << (j - i);
        for (; bits; bits &= bits - 1)
            within[count++] = i + __builtin_ctzll(bits);
    }
    out->within = count;
}

TARGET static void NAME(score_list)(const struct candidates *c, const struct candidates_more *m,
                                    const double *rtt, const struct scoring *s, int32_t n,
                                    const struct score_room *r, double band,
                                    struct score_best *best)
{
    struct NAME(found) found;
    struct terms_kept *kept = n <= TERMS_KEPT ? r->kept : NULL;
    if (s->warm)
        NAME(score_each)(c, m, rtt, s, n, true, true, true, r->scores, kept, &found);
    else if (s->bars)
        NAME(score_each)(c, m, rtt, s, n, true, true, false, r->scores, kept, &found);
    else if (s->bends)
        NAME(score_each)(c, m, rtt, s, n, true, false, false, r->scores, kept, &found);
    else
        NAME(score_each)(c, m, rtt, s, n, false, false, false, r->scores, kept, &found);
    if (best)
        NAME(within_of)(r->scores, n, band, &found, best, r->within);
}

TARGET static void NAME(score_best)(const struct score_room *r, int32_t n, double band,
                                    struct score_best *best)
{
    struct NAME(found) found = {ALL(INFINITY), 0};
    for (int32_t i = 0; i < n; i += WIDTH) {
        lanes v = *(const lanes *)&r->scores[i];
        found.least = SELECT(v < found.least, v, found.least);
        found.usable += ONES(BELOW(v, INFINITY));
    }
    NAME(within_of)(r->scores, n, band, &found, best, r->within);
}

#undef lanes
#undef masks
#undef LOAD
#undef ALL
#undef SELECT
#undef OR_ZERO
