// page.h - a report as one page that needs nothing else: Chart.js and the report's JSON, embedded.

#ifndef CAUDAL_PAGE_H
#define CAUDAL_PAGE_H

#include "base/buf.h"

// Writes `page` (an HTML text whose first <script> draws the charts) up to that script, Chart.js,
// and a script that sets R to `report`. Behind it the caller may write more of that script (";const
// X=..."), and then page_end().
void page_begin(struct buf *out, struct str page, struct str report);
// A text as the script writes one.
void page_text(struct buf *out, struct str text);
void page_end(struct buf *out, struct str page);

#endif
