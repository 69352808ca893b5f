// holder.h - who listens on a port of this machine.

#ifndef CAUDAL_HOLDER_H
#define CAUDAL_HOLDER_H

#include <stdbool.h>
#include <stdint.h>

// Does a connection to 127.0.0.1:`port` end at a process of this group, and at no other? Reads
// through all of /proc, so not for each request. False also when the group's descriptors may not be
// seen (a program that changes its user).
bool group_listens(int32_t group, int32_t port);

#endif
