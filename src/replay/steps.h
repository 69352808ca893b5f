// steps.h - a row of decode steps between two changes of a batch: its i-th step takes a + b i, the
// first `extra` more.
//
// Time counts in 1/1024 us, so that steps of a fraction of a microsecond add up.

#ifndef CAUDAL_STEPS_H
#define CAUDAL_STEPS_H

#include "base/base.h"

enum { FINE_BITS = 10 };
static const int64_t FAR_US = (int64_t)1 << 51;  // 71 years: no time of a unit is beyond it

struct steps {
    int64_t done;         // before the row began
    int64_t from;         // when it began, fine
    int64_t a, b, extra;  // fine
};

static inline int64_t steps_before(const struct steps *s, int64_t i)  // fine, without `extra`
{
    return i * s->a + s->b * (i * (i - 1) / 2);
}

// When the i-th step ends.
static inline int64_t steps_end_us(const struct steps *s, int64_t i)
{
    int64_t half = 1 << (FINE_BITS - 1);
    return (s->from + s->extra + steps_before(s, i) + half) >> FINE_BITS;
}

// The row goes on behind its i-th step, as if it had begun there.
static inline void steps_pass(struct steps *s, int64_t i)
{
    s->from += steps_before(s, i) + (i > 0 ? s->extra : 0);
    s->extra = i > 0 ? 0 : s->extra;
    s->a += s->b * i;
    s->done += i;
}

int64_t steps_fine(double us);  // at most FAR_US
// As steps_end_us(), of any step: FAR_US stands for whatever is later.
int64_t steps_end_at_most(const struct steps *s, int64_t i);
// The first step to end at `at_us` or later.
int64_t steps_at(const struct steps *s, int64_t at_us);

#endif
