// explain_view.h - the JSON of wire/explain.h as a person reads it: the decision, then a table of
// its candidates.

#ifndef CAUDAL_EXPLAIN_VIEW_H
#define CAUDAL_EXPLAIN_VIEW_H

#include "base/buf.h"

void explain_view(struct buf *out, struct str json);  // `json` is valid

#endif
