// place.h - where in the files something was said, for messages.

#ifndef CAUDAL_PLACE_H
#define CAUDAL_PLACE_H

#include "base/str.h"

struct place {
    struct str file;
    int32_t line, column;  // 1-based; 0: not said anywhere, a default
};

#endif
