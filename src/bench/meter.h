// meter.h - where watts come from: a command, a URL, RAPL, nvidia-smi, IPMI.
//
//   rapl               energy of the CPU's packages, as the kernel counts it (/sys/class/powercap)
//   nvidia-smi[:0,1]   power.draw of all GPUs, or of these, together
//   ipmi               the machine's power supply: ipmitool dcmi power reading
//   http://...         a number; behind '#' the name of a Prometheus metric, and labels it must
//   have anything else      a shell command; the numbers that begin its lines, together

#ifndef CAUDAL_BENCH_METER_H
#define CAUDAL_BENCH_METER_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum meter_kind { METER_COMMAND, METER_RAPL, METER_IPMI, METER_URL };

struct meter {
    enum meter_kind kind;
    struct str url, metric;         // METER_URL: without the '#'; empty: the answer is the number
    const char *command;            // METER_COMMAND, METER_IPMI
    const char *basis;              // what it measures, for people
    struct rapl_package *packages;  // [n_packages]
    int32_t n_packages;
    // Fetches `url` for meter_read(); set by the caller.
    enum err (*fetch)(void *ctx, struct str url, struct buf *out, struct diag *diag);
    void *ctx;
};

// What `spec` says; texts live in `a`. `powercap` is the folder that RAPL is read from, NULL: the
// kernel's.
//   Errors  ERR_MISSING  there is no RAPL here, or it may not be read; `diag` says which
//           ERR_INVALID  `spec` is empty, or an https URL that is wrong
MUST_USE enum err meter_init(struct meter *out, struct arena *a, struct str spec,
                             const char *powercap, struct diag *diag);
bool meter_counts_joules(const struct meter *m);
// Watts, or joules since meter_init(). For power_config.read: `ctx` is the meter.
enum err meter_read(void *ctx, double *value, struct diag *diag);

// The sum of the samples of `metric` ("node_power_watts", "power{gpu=\"0\"}") in a Prometheus text.
// False: there is none.
bool meter_metric(double *out, struct str text, struct str metric);

#endif
