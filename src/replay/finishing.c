#include "replay/finishing.h"

void finishing_init(struct finishing *s)
{
    *s = (struct finishing){.near = NEVER};
    for (int32_t i = 0; i < FINISHING_NEAR; i++)
        s->head[i] = -1;
}

void finishing_release(struct finishing *s)
{
    queue_release(&s->far);
}

static int32_t place_of(int64_t step)
{
    return (int32_t)(step & (FINISHING_NEAR - 1));
}

void finishing_put(struct finishing *s, int32_t *links, int64_t now, int64_t step, int32_t id)
{
    // All lists are of steps in (now, now + FINISHING_NEAR), so each has its own place.
    if (step - now >= FINISHING_NEAR) {
        queue_put(&s->far, step, id);
        return;
    }
    int32_t i = place_of(step);
    links[id] = s->head[i];
    s->head[i] = id;
    s->some[i / 64] |= (uint64_t)1 << (i % 64);
    if (step < s->near)
        s->near = step;
}

// The first list behind that of `step`, round the ring once.
static int64_t next_near(const struct finishing *s, int64_t step)
{
    int32_t from = place_of(step + 1);
    for (int32_t k = 0; k <= FINISHING_WORDS; k++) {
        int32_t w = (from / 64 + k) % FINISHING_WORDS;
        uint64_t bits = s->some[w];
        if (k == 0)
            bits &= ~(uint64_t)0 << (from % 64);
        if (k == FINISHING_WORDS)
            bits &= ~(~(uint64_t)0 << (from % 64));
        if (bits)
            return step + 1 + ((w * 64 + __builtin_ctzll(bits) - from) & (FINISHING_NEAR - 1));
    }
    return NEVER;
}

static void emptied(struct finishing *s, int64_t step)
{
    int32_t i = place_of(step);
    s->some[i / 64] &= ~((uint64_t)1 << (i % 64));
    if (step == s->near)
        s->near = next_near(s, step);
}

int32_t finishing_pop(struct finishing *s, const int32_t *links)
{
    if (s->far.n && queue_first(&s->far)->at <= s->near)
        return queue_pop(&s->far);
    CHECK(s->near < NEVER);
    int32_t i = place_of(s->near), id = s->head[i];
    s->head[i] = links[id];
    if (s->head[i] < 0)
        emptied(s, s->near);
    return id;
}

void finishing_remove(struct finishing *s, int32_t *links, int64_t step, int32_t id)
{
    int32_t *at = &s->head[place_of(step)];
    while (*at >= 0 && *at != id)
        at = &links[*at];
    if (*at < 0) {
        queue_remove(&s->far, id);
        return;
    }
    *at = links[id];
    if (s->head[place_of(step)] < 0)
        emptied(s, step);
}
