// table.h - names to numbers: a hash table from text to int32_t, in a stated bound.
//
// Used for names in a portfolio, keys of tenants, models learnt at run time. Order of insertion is
// kept and is the order of table_name(), so nothing depends on addresses.

#ifndef CAUDAL_TABLE_H
#define CAUDAL_TABLE_H

#include "base/arena.h"
#include "base/err.h"

struct table;  // lives as long as the arena it was made from

// A table of at most `max` names; `seed` keeps strangers from choosing colliding names.
// ERR_LIMIT: the arena is full.
MUST_USE enum err table_new(struct table **out, struct arena *a, int32_t max, uint64_t seed);
// Adds `name` (copied) with `value`. ERR_EXISTS: it is there already; ERR_LIMIT: no room.
MUST_USE enum err table_add(struct table *t, struct str name, int32_t value);
bool table_get(const struct table *t, struct str name, int32_t *value);
int32_t table_len(const struct table *t);
struct str table_name(const struct table *t, int32_t i);  // the i-th that was added
// The nearest name within two edits (a third of its length at most), for "did you mean".
bool table_nearest(const struct table *t, struct str name, struct str *nearest);

#endif
