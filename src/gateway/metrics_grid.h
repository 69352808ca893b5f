// metrics_grid.h - how the counters lie in memory; for metrics.c and metrics_*.c only.
//
// A family has an axis for each of its labels and one series for each point of the grid that they
// span: one cell in every worker's shard for a counter, a row of cells for a histogram. Where the
// grid of all labels would be too large, what is counted is split over families with fewer of them.
//
//   metrics_request() -> spot: a slot on every axis -> cells of the worker's shard    metrics.c
//   metrics_write() -> each series of each grid -> its cells of all shards -> a line metrics_page.c
//   the families, their labels and the names of slots metrics_families.c

#ifndef CAUDAL_METRICS_GRID_H
#define CAUDAL_METRICS_GRID_H

#include "gateway/metrics.h"

#include <pthread.h>
#include <stdatomic.h>

enum axis {
    AXIS_TENANT,
    AXIS_MODEL,
    AXIS_CLASS,
    AXIS_POOL,
    AXIS_CODE,
    AXIS_OUTCOME,
    AXIS_OPERATION,
    AXIS_TYPE,
    AXIS_SIDE,
    AXIS_SKIP,
    AXIS_COUNT
};

enum label {  // of a family; 0 ends the list
    LABEL_END,
    LABEL_TENANT,
    LABEL_MODEL,
    LABEL_CLASS,
    LABEL_POOL,
    LABEL_CODE,
    LABEL_OUTCOME,
    LABEL_TYPE,
    LABEL_WHY,
    LABEL_GEN_AI_OPERATION,
    LABEL_GEN_AI_MODEL,
    LABEL_GEN_AI_TYPE,
    LABEL_COUNT
};

enum what {  // is counted
    WHAT_REQUESTS,
    WHAT_ATTEMPTS,
    WHAT_TOKENS,
    WHAT_ESTIMATED,
    WHAT_LIST_USD,
    WHAT_ENERGY,
    WHAT_CUT,
    WHAT_BAD,
    WHAT_TTFT,
    WHAT_PER_TOKEN,
    WHAT_DURATION,
    WHAT_USAGE,
    WHAT_ATTEMPT_TTFT,
    WHAT_SHADOW,
    WHAT_SHADOW_SKIPPED,
    WHAT_SHADOW_TOKENS,
    WHAT_SHADOW_USD,
    WHAT_SHADOW_TTFT,
    WHAT_SHADOW_PER_TOKEN,
    WHAT_COUNT
};

// The first of these under which all families of a `what` are small enough is the one in use.
enum split { SPLIT_NONE = 1, SPLIT_SOME = 2, SPLIT_ALL = 4 };

// What a counter's cell holds, or the last cell of a histogram's row. Joules are the bits of a
// double.
enum measure { MEASURE_EACH, MEASURE_NUSD, MEASURE_US, MEASURE_JOULES };

enum { LABELS_MAX = 4, STEPS_MAX = 18, FAMILIES_MAX = 32, SPLIT_MAX = 3 };
enum { FAMILY_CELLS_MAX = 1 << 16 };  // of a shard; cells never counted in take no memory

struct ladder {  // upper bounds of a histogram's buckets, in its measure
    int32_t n;
    int64_t most[STEPS_MAX];
};

struct family {
    enum what what;
    uint32_t splits;  // under which it is in use
    enum measure measure;
    const char *name, *help;
    enum label labels[LABELS_MAX];
    const struct ladder *ladder;  // NULL: a counter
    const char *fixed;            // one more label, written out; may be NULL
};

extern const struct family metrics_families[];
extern const int32_t metrics_n_families;
const char *metrics_label_name(enum label label);
enum axis metrics_label_axis(enum label label);

typedef _Atomic uint64_t cell;

struct grid {  // a family in use
    const struct family *family;
    size_t first;   // cell of a shard
    int32_t width;  // cells of a series: 1, or a ladder's steps, one without a bound, and the sum
    int32_t n_labels, n_series;
    enum axis axis[LABELS_MAX];  // of each label
    int32_t stride[LABELS_MAX];  // in series
};

struct metrics {
    struct str *names[NAMES_KINDS];  // [n_names of the kind], by number
    int32_t n_names[NAMES_KINDS];
    int32_t workers;
    int32_t size[AXIS_COUNT];   // slots, that of `other` included
    int32_t other[AXIS_COUNT];  // the slot of all that has none of its own; -1: none is needed
    struct grid grids[FAMILIES_MAX];
    int32_t n_grids;
    struct {
        int32_t n;
        const struct grid *grids[SPLIT_MAX];
    } of[WHAT_COUNT];
    size_t n_cells;  // of a shard: the gauges, then the grids
    cell **shards;   // [workers][n_cells]
    // While the workers move from smaller shards, those are what a scrape sees.
    struct metrics *from;    // NULL: all have moved
    _Atomic int32_t moved;   // workers
    pthread_mutex_t moving;  // held while `from` is read by others than its writers, or freed
};

// Slots of the axes that the portfolio does not name.
enum { TYPE_INPUT, TYPE_OUTPUT, TYPE_CACHED, TYPE_COUNT, SIDE_COUNT = TYPE_CACHED };
enum { OPERATION_CHAT, OPERATION_COMPLETION, OPERATION_EMBEDDINGS, OPERATION_COUNT };
enum { CODE_COUNT = 37 };
extern const int32_t metrics_codes[CODE_COUNT];  // statuses, frequent ones first

enum { SLOT_NAME_BYTES = 12 };
// The label's value; borrowed from the portfolio, static, or in `number`.
struct str metrics_slot_name(const struct metrics *m, enum axis axis, int32_t slot,
                             char number[SLOT_NAME_BYTES]);

// What a scrape reads: `m`, or what its workers have not all moved from. Under m->moving.
const struct metrics *metrics_shown(const struct metrics *m);
uint64_t metrics_sum(const struct metrics *m, size_t at);  // of a cell, over all shards

// Every cell is read by scrapes while its worker writes it.
static inline uint64_t cell_get(const cell *c)
{
    return atomic_load_explicit(c, memory_order_relaxed);
}

// A shard has one writer, so a load and a store are as good as a locked addition, and cheaper.
static inline void cell_put(cell *c, uint64_t value)
{
    atomic_store_explicit(c, value, memory_order_relaxed);
}

static inline double cell_double(uint64_t bits)
{
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline uint64_t cell_bits(double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof bits);
    return bits;
}

#endif
