// prices.h - the file of a plan's prices: text to struct planned_prices and back. docs/formats.md
// describes it.

#ifndef CAUDAL_PRICES_FILE_H
#define CAUDAL_PRICES_FILE_H

#include "base/buf.h"
#include "portfolio/check.h"
#include "portfolio/portfolio.h"

// Reads `text`, the content of the file `name`, as prices of the sealed portfolio `p`. Every fault
// goes to `problems`: contracts and pools that `p` does not have are faults.
//   Memory  all from `a`; `name` is borrowed as long as `problems`
//   Errors  ERR_INVALID  problems->errors has grown
//           ERR_LIMIT    `a` is full (also said in `problems`)
MUST_USE enum err prices_read(const struct planned_prices **out, struct arena *a,
                              const struct portfolio *p, struct str name, struct str text,
                              struct problems *problems);

// `made` is a line for people: how they were found. False: `out` is full.
bool prices_write(struct buf *out, const struct portfolio *p, const struct planned_prices *prices,
                  struct str made);

#endif
