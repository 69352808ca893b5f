// receipt.h - what an answer came from and cost, as the gateway says it, for a person.

#ifndef CAUDAL_RECEIPT_H
#define CAUDAL_RECEIPT_H

#include "base/buf.h"

// Writes the lines of a receipt (the JSON that comes with header x-caudal-receipt); what it does
// not say is left out. False: `json` is not a JSON object.
bool receipt_text(struct buf *out, struct str json);

// Appends text that strangers made, for a terminal: control characters but LF and tab are left out.
void add_shown(struct buf *out, struct str text);

#endif
