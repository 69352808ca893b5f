// notify.h - tells the service manager how this process fares: the protocol of sd_notify(3), in a
// few lines of our own. Without a manager (NOTIFY_SOCKET) nothing is said.

#ifndef CAUDAL_NOTIFY_H
#define CAUDAL_NOTIFY_H

#include "base/err.h"
#include "base/str.h"

struct notify;

// Reads what the environment says and takes it out of there, so that no child speaks for us: before
// other threads start.
struct notify *notify_new(void);
void notify_free(struct notify *n);
// Lines such as "READY=1" and "STATUS=text". Never waits; false: it was not said.
bool notify_say(const struct notify *n, const char *fmt, ...) PRINTF_LIKE(2, 3);
// Within which time the manager wants to hear WATCHDOG=1 again; 0: it does not.
int64_t notify_watchdog_us(const struct notify *n);

#endif
