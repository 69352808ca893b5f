// points.h - what was measured as operating points of a chip, and what the one model of service
// time (portfolio/service.h) makes of them.

#ifndef CAUDAL_BENCH_POINTS_H
#define CAUDAL_BENCH_POINTS_H

#include "base/arena.h"
#include "bench/row.h"
#include "portfolio/service.h"

// Rows that become points: not saturated nor cut off, without a warm prefix, with answers of two
// tokens or more. A TTFT is told where the user was alone: elsewhere it holds a queue, which is not
// the chip's.
//   Errors  ERR_LIMIT  `a` is full
MUST_USE enum err points_of_rows(struct point **out, int32_t *n_out, struct arena *a,
                                 const struct row *rows, int32_t n_rows);

// Parameters that `serve`, `replay` and `sim` will compute with, from these points.
void points_service(struct service *out, struct point *points, int32_t n);

#endif
