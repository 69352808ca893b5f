// ledger_view.h - what the files of `caudal ledger` share: the question, and how answers are
// written.

#ifndef CAUDAL_LEDGER_VIEW_H
#define CAUDAL_LEDGER_VIEW_H

#include "base/buf.h"
#include "io/store.h"
#include "portfolio/portfolio.h"

enum ledger_form { LEDGER_TABLE, LEDGER_CSV, LEDGER_JSON, LEDGER_TRACE };

struct ledger_view {
    struct store_ask ask;
    enum ledger_form form;
    enum store_table table;             // of an export
    const struct portfolio *portfolio;  // NULL: a folder was given
};

// Text of nano-dollars: all nine digits, or rounded to six.
void ledger_usd(struct buf *out, int64_t nusd);
void ledger_usd6(struct buf *out, int64_t nusd);
struct str ledger_usd6_text(struct arena *a, int64_t nusd);
void ledger_csv_cell(struct buf *out, struct str s);  // quoted where it must be

MUST_USE enum err ledger_sums(struct store *s, const struct ledger_view *v, struct buf *out,
                              struct diag *diag);
// Writes to stdout what does not fit its memory, and a word to stderr on what a trace lacks.
MUST_USE enum err ledger_export(struct store *s, const struct ledger_view *v, struct buf *out,
                                struct diag *diag);
// What was committed to in the period of `at_us`, what of it was used by then, and where that
// leads. v->portfolio must be there.
MUST_USE enum err ledger_commitments(struct store *s, const struct ledger_view *v, int64_t at_us,
                                     struct buf *out, struct diag *diag);
// What operators changed in the time asked for.
MUST_USE enum err ledger_changes(struct store *s, const struct ledger_view *v, struct buf *out,
                                 struct diag *diag);
// Compares an invoice (CSV) by day and model. ERR_INVALID: it cannot be read; `diag` has the line.
MUST_USE enum err ledger_reconcile(struct store *s, const struct ledger_view *v, struct str invoice,
                                   struct buf *out, struct diag *diag);

#endif
