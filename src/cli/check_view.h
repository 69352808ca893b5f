// check_view.h - what `caudal check` shows of a portfolio, for people and for programs.

#ifndef CAUDAL_CHECK_VIEW_H
#define CAUDAL_CHECK_VIEW_H

#include "portfolio/check.h"
#include "portfolio/committed.h"

struct check_view {
    const struct portfolio *p;
    const struct problems *problems;
    const struct committed *committed;
    struct arena *a;  // for texts on the way
    int64_t now_us;
    char *const *paths;  // [n_paths]
    int32_t n_paths;
};

// Everything; call secrets_hide() on the result.
void check_text(struct buf *out, const struct check_view *v);
// One JSON object. Secrets are hidden here, text by text, so that it stays JSON. Without a right
// portfolio (`v->committed` NULL) only the problems are in it.
void check_json(struct buf *out, const struct check_view *v);

const char *check_name(const struct check_view *v);  // of the first file, for a person

// For both.
const char *commitment_unit_text(enum commitment_unit unit);
const char *period_text(enum period period);

#endif
