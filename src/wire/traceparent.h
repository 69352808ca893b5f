// traceparent.h - W3C Trace Context (level 1 and 2): which trace a request belongs to.
//
//   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
//                version, trace, the caller's span, flags (1: the caller records it)

#ifndef CAUDAL_TRACEPARENT_H
#define CAUDAL_TRACEPARENT_H

#include "base/str.h"

struct traceparent {
    unsigned char trace[16];
    uint64_t span;  // as the hexadecimal number that it is written as; never 0
    bool sampled;
};

enum { TRACEPARENT_TEXT = 55 };

// Reads the value of the header. False: it is none, and a trace begins here; `*out` is untouched. A
// version that is not known yet is read as far as version 00 goes.
bool traceparent_read(struct traceparent *out, struct str value);
void traceparent_write(char out[TRACEPARENT_TEXT + 1], const struct traceparent *t);

#endif
