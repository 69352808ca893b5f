// validate.h - how far off a curve is on measurements that it has not seen.

#ifndef CAUDAL_BENCH_VALIDATE_H
#define CAUDAL_BENCH_VALIDATE_H

#include "bench/measured.h"
#include "portfolio/fit.h"

enum { FOLDS = 5, TRAIN_LEAST = 4 };  // rows of a configuration that a curve needs

enum fitted {
    FITTED_TERMS,    // fit.h, the sum of terms
    FITTED_CURVE,    // with what the neighbours say
    FITTED_SERVICE,  // the parameters of service.h, with what it computes from them
};

struct trial {
    enum fit_kind of;  // time per token or to the first
    enum fitted by;
    bool apart;  // repeats of a measurement all go to one fold
};

// |predicted / measured - 1| of each row of `t` into out[n]; -1: there was too little to learn
// from.
//   seen    by 5-fold cross-validation: rows are dealt to folds at random within each (model,
//           system), and each is predicted from the rows of its configuration in the other four
//   unseen  each configuration is predicted from all others of its model and system
void validate_seen(double *out, const struct measured_table *t, const struct trial *x,
                   uint64_t seed);
void validate_unseen(double *out, const struct measured_table *t, const struct trial *x);

// The same of each row by the mean of its repeats: no fit knows more of a measurement than another
// of it does. Values within a thousandth are copies: they foretell nobody, and only one counts.
void validate_repeats(double *step, double *first, const struct measured_table *t);

// Parameters of service.h from rows from..to of the table.
bool validate_service(struct service *out, const struct measured_table *t, int32_t from,
                      int32_t to);

struct error_summary {
    double median, p90;
    int32_t n;
};
// Of out[0, n) without the -1.
struct error_summary error_summary_of(const double *errors, int32_t n);

#endif
