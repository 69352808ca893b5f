// check_inside.h - what the files of check.h share.

#ifndef CAUDAL_CHECK_INSIDE_H
#define CAUDAL_CHECK_INSIDE_H

#include "portfolio/check.h"

struct check {
    const struct portfolio *p;
    int64_t wall_us;
    struct problems *list;
};

// Adds a problem of `section`.`name`.`key`; the last two may be empty.
void check_say(const struct check *c, enum severity severity, struct place place,
               const char *section, struct str name, const char *key, const char *fmt, ...)
    PRINTF_LIKE(7, 8);

void check_tenants(const struct check *c);

#endif
