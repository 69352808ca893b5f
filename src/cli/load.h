// load.h - portfolio files named on a command line to a portfolio.

#ifndef CAUDAL_LOAD_H
#define CAUDAL_LOAD_H

#include "portfolio/check.h"
#include "portfolio/portfolio.h"

enum { PORTFOLIO_BYTES_MAX = 256 << 20 };  // of the arena that a command gives a portfolio

// Reads `paths` ("-": standard input), expands them from the environment of the process, and fills
// `*out` from `a`, with the prices that it names. Every problem goes to `problems`, those of
// unreadable files too; none holds a secret as long as it is printed through secrets_hide().
//   Errors  as config_load()
MUST_USE enum err load_portfolio(struct portfolio *out, struct arena *a, char *const *paths,
                                 int32_t n_paths, struct problems *problems);

// The portfolio layer knows no policies: an error when there is none of the name that it says.
void load_check_policy(const struct portfolio *p, struct arena *a, struct problems *problems);

// The errors among `problems` to standard error, a line each, without any secret.
void load_print_errors(const struct portfolio *p, const struct problems *problems);

// The prices of the file `path`, instead of those that the portfolio names itself.
//   Errors  ERR_INVALID  problems->errors has grown; ERR_LIMIT `a` is full
MUST_USE enum err load_prices(struct portfolio *p, struct arena *a, struct str path,
                              struct problems *problems);

// What load_portfolio() finds in the environment from now on is what is there now, whatever is
// taken out of it later.
void load_keep_environment(void);

#endif
