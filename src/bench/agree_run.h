// agree_run.h - the same questions to two suppliers, and how often their answers agree.
//
// Both are asked at once, each question once. Greedy: temperature 0 and one seed, without a wish
// for a length. A supplier that batches may still answer differently from one call to the next.

#ifndef CAUDAL_BENCH_AGREE_RUN_H
#define CAUDAL_BENCH_AGREE_RUN_H

#include "bench/agree.h"
#include "bench/figures.h"
#include "bench/load.h"

enum { AGREE_SIDES = 2 };

struct agree_config {
    const struct agree_questions *questions;
    int32_t users;       // questions at once, of each supplier
    int32_t output_tok;  // an answer has no more
    int64_t seed;
    const volatile sig_atomic_t *stop;  // once it is set, no more is asked
};

struct agree_answer {
    bool answered;
    struct buf text;
    char why[LOAD_WHY_BYTES];  // not answered: what failed; empty: it was not asked
};

struct agree_side {
    // Given:
    struct bench_target target;
    struct purse purse;
    // Measured:
    struct agree_answer *answers;  // [n] of the questions, freed by agree_side_release
    int32_t n_failed;
};

// Blocks until all is answered.
//   Errors  ERR_SYSTEM  no loop could be made
MUST_USE enum err agree_run(struct agree_side sides[AGREE_SIDES], const struct agree_config *c,
                            struct diag *diag);
void agree_side_release(struct agree_side *s, int32_t n);

// Two answers to one question, both given.
struct agreement {
    bool exact, normal;
    bool checked, right[AGREE_SIDES];
};
struct agreement agreement_of(const struct agree_question *q, const struct agree_answer *first,
                              const struct agree_answer *second);

struct agree_counts {
    int32_t n;  // questions that both have answered
    int32_t exact, normal;
    int32_t checked;            // of these with a check
    int32_t both, neither;      // are right
    int32_t only[AGREE_SIDES];  // is right
};
void agree_count(struct agree_counts *c, const struct agreement *a);

#endif
