#include "base/hist.h"

enum { STEP_BITS = 5 };
_Static_assert(1 << STEP_BITS == HIST_STEPS, "the steps of a power of two are a power of two");

// Values below HIST_STEPS have a bucket each; from there on every power of two has HIST_STEPS.
static size_t bucket_of(int64_t value)
{
    if (value < HIST_STEPS)
        return (size_t)value;
    int shift = 63 - __builtin_clzll((unsigned long long)value) - STEP_BITS;
    return (size_t)shift * HIST_STEPS + (size_t)(value >> shift);
}

static int64_t middle_of(size_t bucket)
{
    if (bucket < 2 * HIST_STEPS)
        return (int64_t)bucket;
    size_t shift = bucket / HIST_STEPS - 1;
    int64_t low = (int64_t)(bucket - shift * HIST_STEPS) << shift;
    return low + (((int64_t)1 << shift) - 1) / 2;
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

// A bucket that is full stays full: 4 billion equal values lose no accuracy that matters.
static uint32_t add_bucket(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

void hist_add(struct hist *h, int64_t value)
{
    if (value < 0)
        value = 0;
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (h->count == 0 || value > h->max)
        h->max = value;
    h->count++;
    h->sum = add_saturating(h->sum, value);
    size_t i = bucket_of(value);
    h->bucket[i] = add_bucket(h->bucket[i], 1);
}

void hist_merge(struct hist *h, const struct hist *other)
{
    if (other->count == 0)
        return;
    if (h->count == 0 || other->min < h->min)
        h->min = other->min;
    if (h->count == 0 || other->max > h->max)
        h->max = other->max;
    h->count += other->count;
    h->sum = add_saturating(h->sum, other->sum);
    for (size_t i = 0; i < HIST_BUCKETS; i++)
        h->bucket[i] = add_bucket(h->bucket[i], other->bucket[i]);
}

int64_t hist_quantile(const struct hist *h, double q)
{
    if (h->count == 0)
        return 0;
    if (!(q > 0))
        return h->min;
    if (q >= 1)
        return h->max;
    // The value of rank ceil(q n): at least a share q of all values is no greater.
    double exact = q * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact || rank == 0)
        rank++;
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return min_i64(max_i64(middle_of(i), h->min), h->max);
    }
    return h->max;
}

double hist_mean(const struct hist *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
