#include "gateway/ledger_inside.h"

#include <inttypes.h>

struct totals {
    uint64_t records, writes, write_us, failures, lost, steps[LEDGER_STEPS];
    int64_t open;
    int32_t full;
};

static uint64_t get(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

static struct totals sum(const struct ledger *l)
{
    struct totals t = {0};
    for (int32_t i = 0; i < l->n_pens; i++) {
        const struct pen *pen = &l->pens[i];
        t.records += get(&pen->records);
        t.writes += get(&pen->writes);
        t.write_us += get(&pen->write_us);
        t.failures += get(&pen->failures);
        t.lost += get(&pen->lost);
        t.open += atomic_load_explicit(&pen->open, memory_order_relaxed);
        t.full += atomic_load_explicit(&pen->full, memory_order_relaxed);
        for (int k = 0; k < LEDGER_STEPS; k++)
            t.steps[k] += get(&pen->steps[k]);
    }
    return t;
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void number(struct buf *out, const char *name, const char *type, const char *help,
                   uint64_t n)
{
    head(out, name, type, help);
    buf_printf(out, "%s %" PRIu64 "\n", name, n);
}

void ledger_metrics(const struct pen *pen, struct buf *out)
{
    const struct ledger *l = pen ? pen->ledger : NULL;
    static const char write[] = "caudal_ledger_write_seconds";
    if (!l)
        return;
    struct totals t = sum(l);
    uint64_t folded = atomic_load(&l->folded), n = 0;
    number(out, "caudal_ledger_records_total", "counter", "Records of the ledger's journals.",
           t.records);
    number(out, "caudal_ledger_lag_records", "gauge",
           "Records that the ledger's store does not have yet.",
           t.records > folded ? t.records - folded : 0);
    number(out, "caudal_ledger_open_calls", "gauge",
           "Calls of suppliers that are reserved and not settled.", (uint64_t)max_i64(0, t.open));
    number(out, "caudal_ledger_unrecorded_total", "counter",
           "Calls and requests that found no room in the journal.", t.lost);
    number(out, "caudal_ledger_full", "gauge", "Loops whose journal had no room at its last call.",
           (uint64_t)t.full);
    number(out, "caudal_ledger_failures_total", "counter",
           "Writes to the journal or the store that failed, to be tried again.",
           t.failures + atomic_load(&l->fold_failures));
    head(out, write, "histogram",
         "Writes to the journal, one for each turn of a loop that has any.");
    for (int i = 0; i < LEDGER_STEPS - 1; i++) {
        n += t.steps[i];
        buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", write, (double)(1u << i) / 1e6, n);
    }
    buf_printf(out,
               "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n%s_sum %" PRIu64 ".%06" PRIu64
               "\n%s_count %" PRIu64 "\n",
               write, t.writes, write, t.write_us / 1000000, t.write_us % 1000000, write, t.writes);
}
