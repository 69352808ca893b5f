// tenants.h - what follows from who stands above whom. Private to the portfolio.

#ifndef CAUDAL_TENANTS_H
#define CAUDAL_TENANTS_H

#include "portfolio/portfolio.h"

// Carries down what each tenant has of those above it; all indices are checked already.
//   Errors  ERR_LIMIT    the arena is full
//           ERR_INVALID  a tenant is above itself, or has more than TENANT_ABOVE_MAX above it
MUST_USE enum err tenants_seal(struct portfolio *p, struct diag *diag);

#endif
