// levers_inside.h - what levers.c (the calls) and levers_file.c (the file and the pages) share.

#ifndef CAUDAL_LEVERS_INSIDE_H
#define CAUDAL_LEVERS_INSIDE_H

#include "gateway/levers.h"

enum { LEVERS_MAX = 1024 };

enum lever_state { LEVER_ENABLED, LEVER_DRAINED, LEVER_DISABLED };
const char *lever_state_name(enum lever_state state);  // as the audit says it: "drain"

struct lever_pool {
    struct str name;  // owned
    enum lever_state state;
    double weight;  // below 0: the portfolio's
    double derate;  // 1: none
    double share;   // 0: as the portfolio says, in steps or all
    struct route_window windows[ROUTE_WINDOWS_MAX];
    int32_t n_windows;
};

struct lever_site {
    struct str name;  // owned
    double cap_w;     // 0: none
};

struct levers {
    struct gateway *gateway;
    pthread_mutex_t lock;  // the main thread changes the table under it, others read it so
    struct lever_pool pools[LEVERS_MAX];
    struct lever_site sites[LEVERS_MAX];
    int32_t n_pools, n_sites;
    // the file
    char *path;  // NULL: none is kept
    pthread_t writer;
    bool writing, again;  // of the main thread
    struct buf text;      // of the writer while it runs
};

struct lever_pool *levers_pool(struct levers *s, struct str name, bool make);  // NULL: no room
struct lever_site *levers_site(struct levers *s, struct str name, bool make);
void levers_save(struct levers *s);  // begins it

#endif
