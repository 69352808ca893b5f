// bench_values.h - values of the options of `caudal bench`: readers for its table (options.h).

#ifndef CAUDAL_BENCH_VALUES_H
#define CAUDAL_BENCH_VALUES_H

#include "base/err.h"
#include "base/str.h"

// Into a struct sweep_config:
enum err bench_read_users(void *to, struct str value, struct diag *diag);
enum err bench_read_rates(void *to, struct str value, struct diag *diag);
enum err bench_read_prompts(void *to, struct str value, struct diag *diag);
enum err bench_read_outputs(void *to, struct str value, struct diag *diag);
enum err bench_read_prefix(void *to, struct str value, struct diag *diag);
// Into a struct tariff, and the surface of a struct bench_side:
enum err bench_read_price(void *to, struct str value, struct diag *diag);
enum err bench_read_surface(void *to, struct str value, struct diag *diag);
// Into a double: nano-dollars, USD an hour, tokens.
enum err bench_read_money(void *to, struct str value, struct diag *diag);
enum err bench_read_hourly(void *to, struct str value, struct diag *diag);
enum err bench_read_token_bound(void *to, struct str value, struct diag *diag);
// Into an int64_t: us, and a whole number.
enum err bench_read_time(void *to, struct str value, struct diag *diag);
enum err bench_read_seed(void *to, struct str value, struct diag *diag);

#endif
