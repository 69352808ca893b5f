// bench_view.h - what was measured, as it is shown.

#ifndef CAUDAL_BENCH_VIEW_H
#define CAUDAL_BENCH_VIEW_H

#include "bench/meter.h"
#include "bench/points.h"
#include "cli/bench_options.h"

struct bench_side_view {
    struct meter meter;  // of sweep.power
    struct sweep sweep;
    struct point *points;  // [n_points]
    int32_t n_points;
    struct service service;  // of the points; nothing where there are none
};

struct bench_view {
    struct arena *arena;
    const struct bench_options *options;
    struct bench_side_view sides[BENCH_SIDES];
    int64_t wall_us;  // when it was measured
    bool stopped;     // before the end
};

// Two rows of the same level, of both suppliers: how much faster the second is. Above 1 it is.
struct bench_ratio {
    const struct row *a, *b;
    struct figure ttft, speed;  // a's time over b's
    double price;               // b's price of a million tokens over a's; 0: not known
};
// False: the second has no row of that level.
bool bench_ratio_of(struct bench_ratio *out, const struct bench_view *v, const struct row *a);

// What the options say of the i-th supplier. bench_target_release() gives its TLS back, after its
// loop is gone.
//   Errors  ERR_MISSING, ERR_DENIED, ERR_TLS, ERR_INVALID  of the files of --ca and --cert
MUST_USE enum err bench_target_make(struct bench_target *out, const struct bench_options *o,
                                    int32_t i, struct diag *diag);
void bench_target_release(struct bench_target *t);
struct purse bench_purse(const struct bench_options *o, int32_t i);

// Starts reading the power of the suppliers whose options say how, and waits for what they use
// idle.
//   Errors  those of meter_init() and of the first reading; `diag` names the option
MUST_USE enum err bench_power_start(struct bench_view *v, const volatile sig_atomic_t *stop,
                                    struct diag *diag);
void bench_power_stop(struct bench_view *v);
// What they said of a supplier: a table, a member of its JSON, and one of a row's. Nothing without
// one.
void bench_power_text(struct buf *out, const struct bench_view *v, int32_t side);
void bench_power_json(struct buf *out, const struct bench_view *v, int32_t side);
void bench_energy_json(struct buf *out, const struct energy *e);

// `caudal bench --agree`. Returns the exit status; `stop`, once it is set, ends it early.
int bench_agree(const struct bench_options *o, const volatile sig_atomic_t *stop);

// Prices at equal speed for each length that both were measured at: calls `each` once for each.
void bench_equals(const struct bench_view *v,
                  void (*each)(void *ctx, const struct row *like, const struct equal *q),
                  void *ctx);

void bench_comparison_text(struct buf *out, const struct bench_view *v);

void bench_text(struct buf *out, const struct bench_view *v);
void bench_json(struct buf *out, const struct bench_view *v);
void bench_html(struct buf *out, const struct bench_view *v);
// A portfolio with a chip and a pool for each supplier.
void bench_yaml(struct buf *out, const struct bench_view *v);
// A table that `caudal bench fit` reads: a row for each level, which says why it is left out if it
// is. The supplier's URL stands for the system.
void bench_csv(struct buf *out, const struct bench_view *v);

#endif
