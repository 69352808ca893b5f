// holder.h - who listens on a port of this machine.

#ifndef CAUDAL_HOLDER_H
#define CAUDAL_HOLDER_H

#include "io/loop.h"

// Does a connection to 127.0.0.1:`port` end at a process of this group, and at no other? Reads
// through all of /proc, so not for each request. False also when the group's descriptors may not be
// seen (a program that changes its user).
bool group_listens(int32_t group, int32_t port);

// The same beside the loop, whose clients would wait: 78 ms with 160 processes on two busy cores.
// `told` is called on the loop, unless holder_forget() comes before; the look is gone then.
struct holder_look;
struct holder_look *holder_look(struct loop *l, int32_t group, int32_t port,
                                void (*told)(void *ctx, bool listens), void *ctx);
void holder_forget(struct holder_look *h);  // NULL: nothing happens

#endif
