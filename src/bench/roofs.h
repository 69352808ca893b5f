// roofs.h - the weights of roofline.h from tables of measurements, and how far off they are where
// nothing was measured.

#ifndef CAUDAL_BENCH_ROOFS_H
#define CAUDAL_BENCH_ROOFS_H

#include "bench/measured.h"
#include "portfolio/fit.h"
#include "portfolio/roofline.h"

struct roofs {
    const struct measured_table *t;
    struct roofline_machine *machine;  // [t->n]
    bool *known;                       // [t->n]: its model has a shape and its system a data sheet
    int32_t n_known;
};

// `p` has the models and chips by the names that the table gives to models and systems. The table
// and `p` are borrowed.
void roofs_init(struct roofs *r, const struct measured_table *t, const struct portfolio *p);
void roofs_release(struct roofs *r);

// From the rows with use[i], [t->n]; those that are not known do not count.
void roofs_fit(struct roofline *out, const struct roofs *r, const bool *use);

// As validate_seen(): |predicted / measured - 1| of each row into step[n] and first[n], -1 where
// its machine is not known.
//   system  each system from all others, by its data sheet alone
//   config  each configuration by its data sheet, with weights from other machines (model and
//           system), corrected by how far off those are on the other configurations of its machine
void roofs_validate_system(double *step, double *first, const struct roofs *r);
void roofs_validate_config(double *step, double *first, const struct roofs *r);

#endif
