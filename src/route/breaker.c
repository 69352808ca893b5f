#include "route/breaker.h"

#include "base/rng.h"

enum breaker_says breaker_look(const struct breaker *b, int64_t now_us)
{
    if (!b->open)
        return BREAKER_PASS;
    return !b->probing && now_us >= b->open_until_us ? BREAKER_PROBE : BREAKER_STOP;
}

uint32_t breaker_probe_number(const struct breaker *b)
{
    uint32_t next = b->probes + 1;
    return next ? next : 1;
}

void breaker_probe_sent(struct breaker *b)
{
    b->probes = breaker_probe_number(b);
    b->probing = true;
}

static bool is_the_probe(const struct breaker *b, uint32_t probe)
{
    return b->open && b->probing && probe != 0 && probe == b->probes;
}

static void window_move(struct breaker *b, int64_t now_us)
{
    int64_t gone = now_us - b->window_us;
    if (gone < BREAKER_WINDOW_US)
        return;
    bool next = gone < 2 * (int64_t)BREAKER_WINDOW_US;
    b->ok[1] = next ? b->ok[0] : 0;
    b->failed[1] = next ? b->failed[0] : 0;
    b->ok[0] = b->failed[0] = 0;
    b->window_us = now_us - gone % BREAKER_WINDOW_US;
}

static void forget(struct breaker *b)
{
    b->in_row = 0;
    b->ok[0] = b->ok[1] = b->failed[0] = b->failed[1] = 0;
}

static void count(int32_t *n, int32_t more)
{
    *n = (int32_t)min_i64((int64_t)*n + more, INT32_MAX);
}

bool breaker_first(struct breaker *b, uint32_t probe, bool panic, int64_t now_us)
{
    if (!b->open || (!is_the_probe(b, probe) && !panic))
        return false;
    b->open = b->probing = b->held = false;
    b->closed_us = now_us;
    forget(b);
    return true;
}

void breaker_ok(struct breaker *b, uint32_t probe, bool panic, int64_t now_us)
{
    breaker_first(b, probe, panic, now_us);
    if (b->open)
        return;
    window_move(b, now_us);
    count(&b->ok[0], 1);
    b->in_row = 0;
}

// Up to a quarter shorter, by chance: breakers that opened together do not probe together.
static int64_t jittered(int64_t us, uint64_t draw)
{
    double share = (double)(mix64(draw ^ 0x6272656b) >> 11) * 0x1p-53;
    return us - (int64_t)((double)us * 0.25 * share);
}

static void open_for_longer(struct breaker *b, const struct breaker_rules *rules, uint64_t draw,
                            int64_t now_us)
{
    // A breaker that stayed closed for twice as long as it was open starts over.
    if (!b->open && now_us - b->closed_us > 2 * b->length_us)
        b->openings = 0;
    int64_t us = rules->open_us;
    for (int32_t i = 0; i < b->openings && us < rules->open_us_max; i++)
        us = us > rules->open_us_max / 2 ? rules->open_us_max : us * 2;
    us = min_i64(us, max_i64(rules->open_us_max, rules->open_us));
    if (b->openings < 62)
        b->openings++;
    b->length_us = us;
    b->open_until_us = now_us + jittered(us, draw);
    b->open = true;
    b->probing = b->held = false;
    forget(b);
}

void breaker_failed(struct breaker *b, const struct breaker_rules *rules, uint32_t probe,
                    int32_t counts, uint64_t draw, int64_t now_us)
{
    if (b->open) {
        if (is_the_probe(b, probe))
            open_for_longer(b, rules, draw, now_us);
        return;
    }
    window_move(b, now_us);
    count(&b->failed[0], counts);
    count(&b->in_row, counts);
    int64_t ok = (int64_t)b->ok[0] + b->ok[1], failed = (int64_t)b->failed[0] + b->failed[1];
    if (b->in_row >= rules->failures || (failed >= rules->failures && failed > ok))
        open_for_longer(b, rules, draw, now_us);
}

void breaker_no_say(struct breaker *b, uint32_t probe)
{
    if (is_the_probe(b, probe))
        b->probing = false;
}

void breaker_hold(struct breaker *b, int64_t us, int64_t now_us)
{
    int64_t until_us = us > NEVER - now_us ? NEVER : now_us + us;
    b->open_until_us = b->open ? max_i64(b->open_until_us, until_us) : until_us;
    b->open = b->held = true;
    b->probing = false;
}
