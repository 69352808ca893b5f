#include "route/score.h"

#include <math.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

// The same functions for each width of vectors that a machine may have. The compilers' own way
// (target_clones) needs a resolver in the loader; this needs a `switch`.
#define NAME2(name, width) name##_##width
#define NAME1(name, width) NAME2(name, width)
#define NAME(name) NAME1(name, WIDTH)
// BELOW, UP_TO: a bit for each element that is below, or at most, the limit. ONES: how many are 1.
// LEAST: of all elements.
#define WIDTH 2
#define TARGET
#define BELOW(v, limit) ((unsigned)((v)[0] < (limit)) | (unsigned)((v)[1] < (limit)) << 1)
#define UP_TO(v, limit) ((unsigned)((v)[0] <= (limit)) | (unsigned)((v)[1] <= (limit)) << 1)
#define ONES(bits) (int32_t)(((bits)&1) + ((bits) >> 1))
#define LEAST(v) ((v)[0] < (v)[1] ? (v)[0] : (v)[1])
#include "route/score_kernel.h"
#undef WIDTH
#undef TARGET
#undef BELOW
#undef UP_TO
#undef ONES
#undef LEAST
#if defined(__x86_64__)
#define WIDTH 4
#define TARGET __attribute__((target("avx2,popcnt")))
#define BELOW(v, limit) (unsigned)_mm256_movemask_pd((__m256d)((v) < (limit)))
#define UP_TO(v, limit) (unsigned)_mm256_movemask_pd((__m256d)((v) <= (limit)))
#define ONES(bits) __builtin_popcount(bits)
#define LEAST(v) least_of_4((__m256d)(v))
INLINE TARGET double least_of_4(__m256d v)
{
    __m128d two = _mm_min_pd(_mm256_castpd256_pd128(v), _mm256_extractf128_pd(v, 1));
    return _mm_cvtsd_f64(_mm_min_sd(two, _mm_unpackhi_pd(two, two)));
}
#include "route/score_kernel.h"
#undef WIDTH
#undef TARGET
#undef BELOW
#undef UP_TO
#undef LEAST
#define WIDTH 8
#define TARGET __attribute__((target("avx512f,avx512dq,avx512vl,popcnt")))
#define BELOW(v, limit) _mm512_cmp_pd_mask((__m512d)(v), _mm512_set1_pd(limit), _CMP_LT_OQ)
#define UP_TO(v, limit) _mm512_cmp_pd_mask((__m512d)(v), _mm512_set1_pd(limit), _CMP_LE_OQ)
#define LEAST(v) _mm512_reduce_min_pd((__m512d)(v))
#include "route/score_kernel.h"
#endif

// gcc aligns what the address sanitizer keeps of a stack to 32 bytes, whatever stands in it (its
// bug 110027), and vectors of 64 are stored as if they were aligned.
#if defined(__SANITIZE_ADDRESS__) && !defined(__clang__)
enum { WIDEST = 4 };
#else
enum { WIDEST = 8 };
#endif

int32_t score_width(void)
{
#if defined(__x86_64__)
    enum { YMM = 0x06, ZMM = 0xe6 };  // registers that the system saves, in XCR0
    unsigned a, b, c, d, saved, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX))
        return 2;
    __asm__("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
    if ((saved & YMM) != YMM || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2))
        return 2;
    unsigned all = bit_AVX512F | bit_AVX512DQ | bit_AVX512VL;
    return WIDEST == 8 && (saved & ZMM) == ZMM && (b & all) == all ? 8 : 4;
#else
    return 2;
#endif
}

enum err worth_of(struct worth *out, struct arena *a, const struct value_curve *c)
{
    double rate = 0, *delta = arena_new(a, double, c->n), *from = arena_new(a, double, c->n);
    if (!delta || !from)
        return ERR_LIMIT;
    *out = (struct worth){.delta = delta, .from = from};
    for (int32_t i = 0; i < c->n; i++) {
        const struct value_step *s = &c->steps[i];
        if (s->from_us <= 0) {
            out->rate = rate = s->nusd_per_us;
            continue;
        }
        from[out->knees] = (double)s->from_us;
        delta[out->knees++] = s->nusd_per_us - rate;
        rate = s->nusd_per_us;
    }
    return ERR_NONE;
}

void score_list(const struct candidates *c, const struct candidates_more *m,
                const double *round_trip_us, const struct scoring *s, int32_t n,
                const struct score_room *r, double band, struct score_best *best)
{
    switch (r->width) {
#if defined(__x86_64__)
    case 8: score_list_8(c, m, round_trip_us, s, n, r, band, best); break;
    case 4: score_list_4(c, m, round_trip_us, s, n, r, band, best); break;
#endif
    default: score_list_2(c, m, round_trip_us, s, n, r, band, best);
    }
}

void score_terms(const struct candidates *c, const struct candidates_more *m,
                 const double *round_trip_us, const struct scoring *s, int32_t i,
                 struct terms_kept *kept)
{
    struct terms_2 t;
    int32_t b = i / LANES;
    int k = i % LANES / 2 * 2, of = i % 2;
    const double *warm = s->warm ? &s->warm[b * LANES] : NULL;
    terms_of_2(&c[b], &m[b], &round_trip_us[b * LANES], s, s->bends || s->bars || warm, warm, k,
               &t);
    kept->list[0] = t.list[of];
    kept->energy[0] = t.energy[of];
    kept->wait_ttft[0] = t.wait_ttft[of];
    kept->wait_tokens[0] = t.wait_tokens[of];
    kept->total[0] = t.total[of];
    kept->ttft[0] = t.ttft[of];
    kept->per_token[0] = t.per_token[of];
    kept->model_ttft[0] = t.model_ttft[of];
    kept->model_per_token[0] = t.model_per_token[of];
}

void score_best(const struct score_room *r, int32_t n, double band, struct score_best *best)
{
    for (int32_t i = n; i % LANES; i++)
        r->scores[i] = INFINITY;
    switch (r->width) {
#if defined(__x86_64__)
    case 8: score_best_8(r, n, band, best); break;
    case 4: score_best_4(r, n, band, best); break;
#endif
    default: score_best_2(r, n, band, best);
    }
}
