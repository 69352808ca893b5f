// manager.h - what the service manager (systemd, Type=notify) hears of the gateway: that it is
// ready, reloads, stops, has given its place to another process, and that every loop still turns.
//
// On the main thread. Without a manager nothing happens.

#ifndef CAUDAL_MANAGER_H
#define CAUDAL_MANAGER_H

#include "base/str.h"

struct gateway;
struct manager;

struct manager *manager_new(struct gateway *g);  // before any other thread starts
void manager_free(struct manager *m);            // behind the loops
void manager_ready(struct manager *m, struct str url);
void manager_reloading(struct manager *m);
void manager_reloaded(struct manager *m, const char *how);  // "reloaded", "refused"
void manager_stopping(struct manager *m);
void manager_followed_by(struct manager *m, int32_t pid);

#endif
