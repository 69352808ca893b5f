// caudal ledger - what was called, what it cost, what is still open.

#include "cli/cmd_ledger.h"

#include "base/units.h"
#include "cli/ledger_view.h"
#include "cli/load.h"
#include "cli/options.h"
#include "io/file.h"
#include "io/fold.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    OUTPUT_MAX = 1 << 30,
    PATH_BYTES = 4096,
    INVOICE_BYTES_MAX = 256 << 20,
    NAMES_BYTES_MAX = 64 << 10
};

enum verb {
    VERB_SUMS,
    VERB_EXPORT,
    VERB_COMMITMENTS,
    VERB_CHANGES,
    VERB_RECONCILE,
    VERB_BACKUP,
    VERB_RETAIN,
    VERB_CHECK
};
static const struct {
    const char *name;
    enum verb verb;
    int32_t operands;  // behind the verb: the value, if it takes one, and the ledger
    const char *value;
} verbs[] = {
    {"export", VERB_EXPORT, 1, NULL},
    {"commitments", VERB_COMMITMENTS, 1, NULL},
    {"audit", VERB_CHANGES, 1, NULL},
    {"reconcile", VERB_RECONCILE, 2, "an invoice"},
    {"backup", VERB_BACKUP, 2, "the file to write"},
    {"retain", VERB_RETAIN, 2, "an age such as 90d"},
    {"check", VERB_CHECK, 1, NULL},
};

struct ledger_options {
    enum verb verb;
    struct ledger_view view;
    bool table, csv, json;
    struct str format, what;
    const char *value;  // of the verb
    const char *where;  // a portfolio file, or a folder
    int64_t now_us;
};

// --- options ----------------------------------------------------------------------------------

// A date, an instant, or how long ago it was: 7d.
static enum err read_when(void *to, struct str value, struct diag *diag)
{
    double us;
    if (!unit_parse(&us, UNIT_DURATION, value, NULL)) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        *(int64_t *)to = S(now.tv_sec) - (int64_t)us;
        return ERR_NONE;
    }
    if (!unit_instant(to, value, NULL))
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "an age such as 7d, or a date such as 2026-12-31 or 2026-12-31T08:30:00Z is "
                    "expected, got '" STR_FMT "'",
                    STR_ARG(value));
}

static enum err read_by(void *to, struct str value, struct diag *diag)
{
    struct store_ask *ask = to;
    struct str part;
    ask->n_by = 0;
    while (str_cut(&value, ',', &part)) {
        int by = 0;
        while (by < STORE_BYS && !str_eq(str_of(store_by_name((enum store_by)by)), part))
            by++;
        if (by == STORE_BYS)
            return diag_set(
                diag, ERR_INVALID,
                "day, pool, tenant, key, model, contract, supplier or fault is expected, "
                "got '" STR_FMT "'",
                STR_ARG(part));
        for (int32_t i = 0; i < ask->n_by; i++)
            if (ask->by[i] == (enum store_by)by)
                return diag_set(diag, ERR_INVALID, "'" STR_FMT "' stands twice", STR_ARG(part));
        ask->by[ask->n_by++] = (enum store_by)by;
    }
    return ERR_NONE;
}

static enum err read_format(void *to, struct str value, struct diag *diag)
{
    if (!str_eq(value, STR("csv")) && !str_eq(value, STR("jsonl")) && !str_eq(value, STR("trace")))
        return diag_set(diag, ERR_INVALID, "csv, jsonl or trace is expected, got '" STR_FMT "'",
                        STR_ARG(value));
    *(struct str *)to = value;
    return ERR_NONE;
}

static enum err read_what(void *to, struct str value, struct diag *diag)
{
    if (!str_eq(value, STR("attempts")) && !str_eq(value, STR("requests")))
        return diag_set(diag, ERR_INVALID, "attempts or requests is expected, got '" STR_FMT "'",
                        STR_ARG(value));
    *(struct str *)to = value;
    return ERR_NONE;
}

// Which verb the operands begin with, and what they say. False: the wrong number of them.
static bool read_operands(struct ledger_options *o, char **operands, int n)
{
    o->verb = VERB_SUMS;
    int32_t want = 1;
    for (size_t i = 0; i < COUNTOF(verbs); i++)
        if (n > 1 && strcmp(operands[0], verbs[i].name) == 0) {
            o->verb = verbs[i].verb;
            want = verbs[i].operands;
            operands++;
            n--;
            break;
        }
    if (n != want)
        return false;
    if (want == 2)
        o->value = operands[0];
    o->where = operands[want - 1];
    return true;
}

// NULL: the options make sense together.
static const char *wrong(const struct ledger_options *o)
{
    bool trace = str_eq(o->format, STR("trace"));
    if (o->table + o->csv + o->json > 1)
        return "one of --table, --csv and --json is enough";
    if (trace && str_eq(o->what, STR("attempts")))
        return "a trace is of requests, not of attempts";
    return trace && o->verb != VERB_EXPORT ? "--format trace goes with export" : NULL;
}

static int read_options(struct ledger_options *o, int argc, char **argv)
{
    *o = (struct ledger_options){
        .view = {.ask = {.until_us = INT64_MAX, .by = {STORE_BY_DAY, STORE_BY_POOL}, .n_by = 2}}};
    struct store_ask *ask = &o->view.ask;
    const struct option_row rows[] = {
        option_custom("--since", "WHEN", &ask->since_us, read_when,
                      "calls from then on: a date, an instant, or an age: 7d"),
        option_custom("--until", "WHEN", &ask->until_us, read_when, "calls before then"),
        option_text("--tenant", "NAME", &ask->tenant, "only those"),
        option_text("--pool", "NAME", &ask->pool, "only those"),
        option_text("--supplier", "NAME", &ask->supplier, "only those; whose invoice it is"),
        option_custom(
            "--by", "KEYS", ask, read_by,
            "day, pool, tenant, key, model, contract, supplier,\nfault, with commas between; "
            "day,pool unless said"),
        option_flag("--table", &o->table, "for people; so it is unless said"),
        option_flag("--csv", &o->csv, "for spreadsheets"),
        option_flag("--json", &o->json, "for programs"),
        option_custom("--format", "FORMAT", &o->format, read_format,
                      "of an export: csv, jsonl, or trace, which caudal replay\nreads; csv"),
        option_custom("--rows", "WHICH", &o->what, read_what,
                      "of an export: attempts or requests; attempts"),
    };
    const struct command command = {
        .name = "ledger",
        .usage = "[export | commitments | audit | reconcile INVOICE | backup FILE | retain AGE |\n"
                 "       check] [OPTIONS] "
                 "PORTFOLIO | FOLDER",
        .about =
            "What was called, what it cost and what is still open: sums of the ledger that\n"
            "`caudal serve` keeps in serve.state. Give its portfolio file, or the folder.\n"
            "  export       every row, as CSV, JSON lines or a trace\n"
            "  commitments  what contracts commit to: used, left, pace, what would be stranded\n"
            "  audit        what operators changed: who, when, what\n"
            "  reconcile    compares with a supplier's invoice, by day and model\n"
            "  backup       a whole copy, while the gateway runs\n"
            "  retain       turns rows older than AGE (90d) into sums by day; not while it runs\n"
            "  check        reads all of the store, for a doubt",
        .more = "A gateway that runs folds its journals twice a second; without one they are "
                "folded here.\n"
                "Exit status: 0 done, 1 failed, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 1,
        .operands_max = 3,
        .operand = "a portfolio file or a state folder",
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    if (!read_operands(o, argv + 1, n))
        return options_wrong("ledger", "what to do and one portfolio file or folder are expected");
    const char *why = wrong(o);
    if (why)
        return options_wrong("ledger", why);
    bool json = o->json || str_eq(o->format, STR("jsonl")), trace = str_eq(o->format, STR("trace"));
    o->view.form = trace ? LEDGER_TRACE : json ? LEDGER_JSON : o->csv ? LEDGER_CSV : LEDGER_TABLE;
    o->view.table = trace || str_eq(o->what, STR("requests")) ? STORE_REQUESTS : STORE_ATTEMPTS;
    return OPTIONS_GO;
}

// --- opening ----------------------------------------------------------------------------------

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool has_ledger(const char *folder)
{
    char path[PATH_BYTES];
    return (size_t)snprintf(path, sizeof path, "%s/ledger.db", folder) < sizeof path &&
           access(path, F_OK) == 0;
}

static enum err find_folder(struct ledger_options *o, struct arena *a, char out[PATH_BYTES],
                            struct diag *diag)
{
    if (is_folder(o->where)) {
        snprintf(out, PATH_BYTES, "%s", o->where);
        if (!has_ledger(out))
            snprintf(out, PATH_BYTES, "%s/ledger", o->where);
    } else {
        struct portfolio *p = arena_new(a, struct portfolio, 1);
        struct problems problems;
        problems_init(&problems, a);
        char *const paths[] = {(char *)(uintptr_t)o->where};
        enum err e = p ? load_portfolio(p, a, paths, 1, &problems) : ERR_LIMIT;
        if (e)
            return diag_set(diag, e,
                            "%s is neither a folder nor a right portfolio: see caudal check",
                            o->where);
        if (!p->serve.state.n)
            return diag_set(diag, ERR_MISSING, "%s: serve.state is not said, so no ledger is kept",
                            o->where);
        o->view.portfolio = p;
        snprintf(out, PATH_BYTES, STR_FMT "/ledger", STR_ARG(p->serve.state));
    }
    if (!has_ledger(out))
        return diag_set(diag, ERR_MISSING, "%s: there is no ledger here", out);
    return ERR_NONE;
}

static void say(void *ctx, const char *path, const char *what)
{
    (void)ctx;
    fprintf(stderr, "caudal ledger: %s %s\n", path, what);
}

// Folds what lies there when nobody else does.
static enum err open_and_fold(struct store **s, struct store_lock **lock, const char *folder,
                              struct diag *diag)
{
    struct diag held = {0};
    enum err e = store_lock(lock, str_of(folder), &held);
    if (e) {
        if (e != ERR_EXISTS)
            fprintf(stderr, "caudal ledger: %s; rows still in its journals are left out\n",
                    held.text);
        return store_open(s, str_of(folder), STORE_READ, diag);
    }
    e = store_open(s, str_of(folder), STORE_WRITE, diag);
    if (e)
        return e;
    struct fold f = {.store = *s, .folder = str_of(folder), .say = say};
    uint32_t epoch;
    e = fold_folder(&f, &epoch, diag);
    fold_release(&f);
    return e;
}

// --- doing ------------------------------------------------------------------------------------

struct suppliers {  // that the ledger knows
    struct str asked;
    bool found;
    struct buf names;
};

static void on_supplier(void *ctx, struct str name)
{
    struct suppliers *s = ctx;
    s->found = s->found || str_eq(name, s->asked);
    buf_join(&s->names, buf_len(&s->names) ? STR(", ") : STR(""), name);
}

// Nobody's rows would look like an invoice for what was never sent.
static enum err check_supplier(struct store *s, struct str name, struct diag *diag)
{
    struct suppliers known = {.asked = name};
    buf_init(&known.names, NAMES_BYTES_MAX);
    enum err e = name.n ? store_known(s, RECORD_SUPPLIER, on_supplier, &known, diag) : ERR_NONE;
    if (!e && name.n && !known.found)
        e = diag_set(diag, ERR_MISSING,
                     "--supplier: no supplier is called \"" STR_FMT "\", the ledger knows " STR_FMT,
                     STR_ARG(name),
                     STR_ARG(buf_len(&known.names) ? buf_str(&known.names) : STR("none")));
    buf_release(&known.names);
    return e;
}

static enum err reconcile(struct store *s, const struct ledger_options *o, struct buf *out,
                          struct diag *diag)
{
    struct arena a;
    struct str invoice;
    arena_init(&a, INVOICE_BYTES_MAX * 2u);
    enum err e = check_supplier(s, o->view.ask.supplier, diag);
    if (!e)
        e = file_read(&invoice, &a, str_of(o->value), INVOICE_BYTES_MAX, diag);
    if (!e)
        e = ledger_reconcile(s, &o->view, invoice, out, diag);
    arena_release(&a);
    return e;
}

static enum err commitments(struct store *s, const struct ledger_options *o, struct buf *out,
                            struct diag *diag)
{
    if (!o->view.portfolio)
        return diag_set(
            diag, ERR_INVALID,
            "what was committed to stands in a portfolio file: give that, not a folder");
    return ledger_commitments(s, &o->view, min_i64(o->now_us, o->view.ask.until_us), out, diag);
}

static enum err retain(struct store *s, const struct ledger_options *o, bool locked,
                       struct buf *out, struct diag *diag)
{
    double age_us;
    int64_t rows;
    if (!locked)
        return diag_set(diag, ERR_EXISTS,
                        "a gateway has this ledger: say serve.ledger.retain in its portfolio");
    enum err e = unit_parse(&age_us, UNIT_DURATION, str_of(o->value), diag);
    if (!e)
        e = store_retain(s, o->now_us - (int64_t)age_us, &rows, diag);
    if (!e)
        buf_printf(out, "%lld rows became sums by day\n", (long long)rows);
    return e;
}

static enum err backup(struct store *s, const char *path, struct buf *out, struct diag *diag)
{
    struct stat st;
    enum err e = store_backup(s, str_of(path), diag);
    if (!e && stat(path, &st) == 0)
        buf_printf(out, "%s: a whole copy, %lld bytes\n", path, (long long)st.st_size);
    return e;
}

static enum err check(struct store *s, struct buf *out, struct diag *diag)
{
    int64_t rows;
    enum err e = store_check(s, &rows, diag);
    if (!e)
        buf_printf(out, "the store is whole: %lld rows of attempts and requests were read\n",
                   (long long)rows);
    return e;
}

static enum err act(struct store *s, const struct ledger_options *o, bool locked, struct buf *out,
                    struct diag *diag)
{
    switch (o->verb) {
    case VERB_SUMS: return ledger_sums(s, &o->view, out, diag);
    case VERB_EXPORT: return ledger_export(s, &o->view, out, diag);
    case VERB_COMMITMENTS: return commitments(s, o, out, diag);
    case VERB_CHANGES: return ledger_changes(s, &o->view, out, diag);
    case VERB_RECONCILE: return reconcile(s, o, out, diag);
    case VERB_BACKUP: return backup(s, o->value, out, diag);
    case VERB_RETAIN: return retain(s, o, locked, out, diag);
    case VERB_CHECK: return check(s, out, diag);
    }
    return ERR_INVALID;
}

static bool print(const struct buf *out)
{
    size_t n = buf_len(out);
    return !out->overflow && (!n || fwrite(buf_str(out).p, 1, n, stdout) == n) &&
           fflush(stdout) == 0;
}

int cmd_ledger(int argc, char **argv)
{
    struct ledger_options o;
    int status = read_options(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    o.now_us = S(now.tv_sec) + now.tv_nsec / 1000;
    struct store *s = NULL;
    struct store_lock *lock = NULL;
    struct diag diag = {0};
    struct arena a;
    struct buf out;
    char folder[PATH_BYTES];
    arena_init(&a, PORTFOLIO_BYTES_MAX);
    buf_init(&out, OUTPUT_MAX);
    enum err e = find_folder(&o, &a, folder, &diag);
    if (!e)
        e = open_and_fold(&s, &lock, folder, &diag);
    if (!e)
        e = act(s, &o, lock != NULL, &out, &diag);
    bool written = print(&out);
    if (e)
        fprintf(stderr, "caudal ledger: %s\n", diag.text[0] ? diag.text : err_text(e));
    else if (!written)
        fputs("caudal ledger: the output could not be written\n", stderr);
    store_close(s);
    store_unlock(lock);
    buf_release(&out);
    arena_release(&a);
    return e || !written ? EXIT_FAILED : EXIT_DONE;
}
