// units_parts.h - what units.c and units_time.c share. Private to them.

#ifndef CAUDAL_UNITS_PARTS_H
#define CAUDAL_UNITS_PARTS_H

#include "base/units.h"

// A value as it goes into a message: one line, not endless, nothing that moves a terminal's cursor.
struct quoted {
    char text[64];
};

struct quoted unit_quote(struct str s);

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

#endif
