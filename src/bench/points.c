#include "bench/points.h"

enum err points_of_rows(struct point **out, int32_t *n_out, struct arena *a, const struct row *rows,
                        int32_t n_rows)
{
    *n_out = 0;
    *out = arena_new(a, struct point, n_rows ? n_rows : 1);
    if (!*out)
        return ERR_LIMIT;
    for (int32_t i = 0; i < n_rows; i++) {
        const struct row *r = &rows[i];
        if (row_out(r))
            continue;
        struct point *pt = &(*out)[(*n_out)++];
        *pt = (struct point){.model = -1,
                             .batch = r->batch > 1 ? r->batch : 1,
                             .per_user_tok_s = 1e6 / r->per_token_us.value,
                             .power_w = energy_watts(&r->energy),
                             .basis = BASIS_MEASURED};
        if (r->users != 1)
            continue;
        pt->prompt_tok = r->counted ? r->prompt_tok - r->cached_tok : r->prompt_asked;
        pt->ttft_us = (int64_t)r->ttft_us.value;
    }
    return ERR_NONE;
}

void points_service(struct service *out, struct point *points, int32_t n)
{
    struct chip chip = {.points = points, .n_points = n};
    struct portfolio p = {.chips = &chip, .n_chips = 1};
    struct pool pool = {.supplier = -1, .site = -1, .contract = -1, .derate = 1};
    service_of(out, &p, &pool, -1);
}
