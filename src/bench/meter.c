#include "bench/meter.h"

#include "io/command.h"
#include "io/file.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PACKAGES_MAX = 64,
    OUTPUT_BYTES_MAX = 4 << 20,
    PATH_BYTES_MAX = 1024,
    SMALL_FILE_BYTES = 64
};
static const int64_t command_us = S(10);
static const char powercap_folder[] = "/sys/class/powercap";

struct rapl_package {
    char path[PATH_BYTES_MAX];  // of energy_uj
    double last_uj, range_uj;   // where the counter begins anew
    double joules;              // so far
};

// --- RAPL -------------------------------------------------------------------------------------

static bool read_number(const char *path, double *out)
{
    char text[SMALL_FILE_BYTES];
    FILE *f = fopen(path, "re");
    bool read = f && fgets(text, sizeof text, f);
    if (f)
        fclose(f);
    if (!read)
        return false;
    char *end;
    *out = strtod(text, &end);
    return end != text;
}

// "intel-rapl:0" is a package; "intel-rapl:0:1" is a part of one, "intel-rapl-mmio:0" another view.
static bool is_package(const char *name)
{
    static const char prefix[] = "intel-rapl:";
    return strncmp(name, prefix, sizeof prefix - 1) == 0 && !strchr(name + sizeof prefix - 1, ':');
}

static enum err find_packages(struct meter *m, struct arena *a, const char *folder,
                              struct diag *diag)
{
    m->packages = arena_new(a, struct rapl_package, PACKAGES_MAX);
    if (!m->packages)
        return ERR_LIMIT;
    DIR *d = opendir(folder);
    const struct dirent *entry;
    while (d && (entry = readdir(d)) && m->n_packages < PACKAGES_MAX) {
        struct rapl_package *p = &m->packages[m->n_packages];
        char range[PATH_BYTES_MAX + 64];
        if (!is_package(entry->d_name) || strlen(folder) + strlen(entry->d_name) > 400)
            continue;
        snprintf(p->path, sizeof p->path, "%s/%s/energy_uj", folder, entry->d_name);
        snprintf(range, sizeof range, "%s/%s/max_energy_range_uj", folder, entry->d_name);
        if (!read_number(p->path, &p->last_uj)) {
            closedir(d);
            return diag_set(diag, ERR_MISSING, "%s cannot be read: only root may, as a rule",
                            p->path);
        }
        if (!read_number(range, &p->range_uj))
            p->range_uj = 0;
        m->n_packages++;
    }
    if (d)
        closedir(d);
    if (m->n_packages)
        return ERR_NONE;
    return diag_set(diag, ERR_MISSING, "rapl: there is no intel-rapl:N in %s", folder);
}

static enum err read_rapl(struct meter *m, double *joules, struct diag *diag)
{
    *joules = 0;
    for (int32_t i = 0; i < m->n_packages; i++) {
        struct rapl_package *p = &m->packages[i];
        double uj;
        if (!read_number(p->path, &uj))
            return diag_set(diag, ERR_MISSING, "%s cannot be read", p->path);
        p->joules += (uj - p->last_uj + (uj < p->last_uj ? p->range_uj : 0)) / 1e6;
        p->last_uj = uj;
        *joules += p->joules;
    }
    return ERR_NONE;
}

// --- text -------------------------------------------------------------------------------------

static bool number_of(double *out, struct str text)
{
    char copy[SMALL_FILE_BYTES], *end;
    struct str s = str_trim(text);
    size_t n = s.n < sizeof copy - 1 ? s.n : sizeof copy - 1;
    memcpy(copy, s.p ? s.p : "", n);
    copy[n] = 0;
    *out = strtod(copy, &end);
    return end != copy && isfinite(*out);
}

static bool sum_of_lines(double *out, struct str text)
{
    struct str line;
    bool any = false;
    *out = 0;
    while (str_cut(&text, '\n', &line)) {
        double v;
        if (!str_trim(line).n)
            continue;
        if (!number_of(&v, line))
            return false;
        *out += v;
        any = true;
    }
    return any;
}

// Each `name="value"` of `wanted` stands in `labels`.
static bool has_labels(struct str labels, struct str wanted)
{
    struct str one;
    size_t at;
    while (str_cut(&wanted, ',', &one))
        if (str_trim(one).n && !str_find(labels, str_trim(one), &at))
            return false;
    return true;
}

static void cut_labels(struct str *name, struct str *labels, struct str text)
{
    size_t open = 0, n = text.n;
    *labels = (struct str){NULL, 0};
    *name = text;
    if (!str_find(text, STR("{"), &open))
        return;
    while (n > open && text.p[n - 1] != '}')
        n--;
    *name = (struct str){text.p, open};
    *labels = (struct str){text.p + open + 1, n > open + 1 ? n - open - 2 : 0};
}

bool meter_metric(double *out, struct str text, struct str metric)
{
    struct str name, wanted, line;
    bool any = false;
    cut_labels(&name, &wanted, metric);
    *out = 0;
    while (str_cut(&text, '\n', &line)) {
        struct str rest, found, labels;
        double v;
        if (!str_starts(line, name))
            continue;
        rest = str_skip(line, name.n);
        if (!rest.n || (rest.p[0] != ' ' && rest.p[0] != '{'))
            continue;
        cut_labels(&found, &labels, rest);
        if (rest.p[0] == '{')
            rest = str_skip(rest, (size_t)(labels.p - rest.p) + labels.n + 1);
        if (!has_labels(labels, wanted) || !number_of(&v, rest))
            continue;
        *out += v;
        any = true;
    }
    return any;
}

// --- reading ----------------------------------------------------------------------------------

static bool number_in(const struct meter *m, double *out, struct str text)
{
    static const char reading[] = "Instantaneous power reading:";
    size_t at;
    if (m->kind == METER_IPMI)
        return str_find(text, STR(reading), &at) &&
               number_of(out, str_skip(text, at + sizeof reading - 1));
    return m->metric.n ? meter_metric(out, text, m->metric) : sum_of_lines(out, text);
}

enum err meter_read(void *ctx, double *value, struct diag *diag)
{
    struct meter *m = ctx;
    struct buf text;
    if (m->kind == METER_RAPL)
        return read_rapl(m, value, diag);
    buf_init(&text, OUTPUT_BYTES_MAX);
    enum err e = m->kind == METER_URL ? m->fetch(m->ctx, m->url, &text, diag)
                                      : command_output(&text, m->command, command_us, diag);
    if (!e && !number_in(m, value, buf_str(&text))) {
        struct str s = buf_str(&text);
        e = diag_set(diag, ERR_INVALID, "no number of watts in \"%.*s\"",
                     (int)(s.n < 80 ? s.n : 80), s.p ? s.p : "");
    }
    buf_release(&text);
    return e;
}

bool meter_counts_joules(const struct meter *m)
{
    return m->kind == METER_RAPL;
}

// --- what it is -------------------------------------------------------------------------------

static bool is_gpu_list(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != ',')
            return false;
    return s.n > 0;
}

static enum err init_nvidia(struct meter *m, struct arena *a, struct str list, struct diag *diag)
{
    if (list.n && !is_gpu_list(list))
        return diag_set(diag, ERR_INVALID, "is not a list of GPUs, such as nvidia-smi:0,1");
    m->command = arena_printf(a,
                              "nvidia-smi --query-gpu=power.draw --format=csv,noheader,nounits"
                              "%s" STR_FMT,
                              list.n ? " -i " : "", STR_ARG(list))
                     .p;
    m->basis = list.n ? "the GPUs named (nvidia-smi power.draw), without the rest of the machine"
                      : "all GPUs (nvidia-smi power.draw), without the rest of the machine";
    return m->command ? ERR_NONE : ERR_LIMIT;
}

static void init_url(struct meter *m, struct str spec)
{
    size_t at;
    m->kind = METER_URL;
    m->url = spec;
    m->basis = "what the URL says";
    if (str_find(spec, STR("#"), &at)) {
        m->url = (struct str){spec.p, at};
        m->metric = str_skip(spec, at + 1);
        m->basis = "what the metric at the URL says";
    }
}

enum err meter_init(struct meter *out, struct arena *a, struct str spec, const char *powercap,
                    struct diag *diag)
{
    static const char nvidia[] = "nvidia-smi:";
    *out = (struct meter){.kind = METER_COMMAND, .basis = "what the command says"};
    if (!str_trim(spec).n)
        return diag_set(diag, ERR_INVALID, "is empty");
    if (str_eq(spec, STR("rapl"))) {
        out->kind = METER_RAPL;
        out->basis = "the CPU's packages (RAPL), without memory, disks, fans and power supply";
        return find_packages(out, a, powercap ? powercap : powercap_folder, diag);
    }
    if (str_eq(spec, STR("nvidia-smi")) || str_starts(spec, STR(nvidia)))
        return init_nvidia(out, a, str_skip(spec, sizeof nvidia - 1), diag);
    if (str_starts(spec, STR("http://")) || str_starts(spec, STR("https://"))) {
        init_url(out, spec);
        return ERR_NONE;
    }
    bool ipmi = str_eq(spec, STR("ipmi"));
    if (ipmi) {
        out->kind = METER_IPMI;
        out->basis = "the whole machine (IPMI DCMI)";
    }
    out->command = ipmi ? "ipmitool dcmi power reading" : arena_str(a, spec).p;
    return out->command ? ERR_NONE : ERR_LIMIT;
}
