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
    int64_t clients_until_us, admin_until_us;  // their certificates; 0: there are none
};

// Opens the files of serve.tls and serve.admin.tls: says what is wrong, and until when they are
// good.
void check_certificates(struct check_view *v, struct problems *problems);

// Everything; call secrets_hide() on the result.
void check_text(struct buf *out, const struct check_view *v);
// One JSON object. Secrets are hidden here, text by text, so that it stays JSON. Without a right
// portfolio (`v->committed` NULL) only the problems are in it.
void check_json(struct buf *out, const struct check_view *v);

const char *check_name(const struct check_view *v);  // of the first file, for a person

// For both.
const char *commitment_unit_text(enum commitment_unit unit);
const char *period_text(enum period period);

// For the files of check_text().
void check_contracts(struct buf *out, const struct check_view *v);
void check_sums(struct buf *out, const struct check_view *v);
void check_speeds(struct buf *out, const struct check_view *v);
void check_heading(struct buf *out, const char *what);
const char *check_words(const struct check_view *v, struct str s);  // terminated, as long as v->a
// "a, b, c", and how many more when there are many.
const char *check_list(const struct check_view *v, const struct str *names, int32_t n);
const char *check_z(struct str s);  // of texts that are terminated in their arena

#endif
