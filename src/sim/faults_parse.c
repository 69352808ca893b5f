// One fault as it is written: NAME[=VALUE][,KEY=VALUE]...

#include "sim/faults.h"

#include "base/units.h"

// What may stand after '=' in the fault's own name.
enum value {
    VALUE_NONE,
    VALUE_AFTER,
    VALUE_CODE,
    VALUE_FACTOR,
    VALUE_DRIP,
    VALUE_DELAY,
    VALUE_STATUS
};

struct fault_name {
    const char *name;
    enum sim_fault_kind kind;
    enum value value;
    int32_t status;
    const char *code;
    const char *spec, *meaning;
};

static const struct fault_name names[] = {
    {"refuse", SIM_REFUSE, VALUE_NONE, 0, "", "refuse", "drop the connection without a byte"},
    {"status", SIM_STATUS, VALUE_STATUS, 0, "", "429, 500, status=529",
     "an HTTP error; retry-after=D adds the header, code=C the error's code"},
    {"context-length", SIM_STATUS, VALUE_NONE, 400, "context_length_exceeded", "context-length",
     "400 context_length_exceeded"},
    {"content-filter", SIM_STATUS, VALUE_NONE, 400, "content_filter", "content-filter",
     "400 content_filter"},
    {"quota", SIM_STATUS, VALUE_NONE, 429, "insufficient_quota", "quota", "429 insufficient_quota"},
    {"stall-before", SIM_STALL_BEFORE, VALUE_NONE, 0, "", "stall-before", "never answer"},
    {"stall-after", SIM_STALL_AFTER, VALUE_AFTER, 0, "", "stall-after=N",
     "send nothing more after N tokens"},
    {"cut-after", SIM_CUT_AFTER, VALUE_AFTER, 0, "", "cut-after=N",
     "close the connection after N tokens, without an end"},
    {"garbage", SIM_GARBAGE, VALUE_NONE, 0, "", "garbage", "bytes that are not HTTP"},
    {"garbage-event", SIM_GARBAGE_EVENT, VALUE_NONE, 0, "", "garbage-event",
     "one event that is not JSON (after=N tokens), then on as usual"},
    {"error-event", SIM_ERROR_EVENT, VALUE_CODE, 0, "", "error-event[=CODE]",
     "an error event (after=N tokens) and the end"},
    {"role-then-nothing", SIM_ROLE_THEN_NOTHING, VALUE_NONE, 0, "", "role-then-nothing",
     "the first chunk, without content, and nothing more"},
    {"empty", SIM_EMPTY, VALUE_NONE, 0, "", "empty", "200 without a byte of body"},
    {"bad-length", SIM_BAD_LENGTH, VALUE_NONE, 0, "", "bad-length",
     "fewer bytes than announced, then the end"},
    {"slow", SIM_SLOW, VALUE_FACTOR, 0, "", "slow=3",
     "so many times slower (p and count not taken)"},
    {"drip", SIM_DRIP, VALUE_DRIP, 0, "", "drip=1byte/10ms", "so many bytes each so often"},
    {"delay", SIM_DELAY, VALUE_DELAY, 0, "", "delay=2s", "so long before anything"},
    {"no-done", SIM_NO_DONE, VALUE_NONE, 0, "", "no-done",
     "a clean end of a stream without [DONE]"},
    {"no-usage", SIM_NO_USAGE, VALUE_NONE, 0, "", "no-usage", "no token counts"},
};

bool sim_fault_help(int32_t i, const char **spec, const char **meaning)
{
    if (i < 0 || (size_t)i >= COUNTOF(names))
        return false;
    *spec = names[i].spec;
    *meaning = names[i].meaning;
    return true;
}

static bool copy_text(char *out, size_t size, struct str s)
{
    if (s.n >= size)
        return false;
    memcpy(out, s.p, s.n);
    out[s.n] = 0;
    return true;
}

static enum err read_count(int32_t *out, struct str what, struct str value, int64_t low,
                           struct diag *diag)
{
    int64_t v;
    if (!str_to_i64(value, &v) || v < low || v > 1000000000)
        return diag_set(diag, ERR_INVALID,
                        STR_FMT " must be a whole number from %lld, is '" STR_FMT "'",
                        STR_ARG(what), (long long)low, STR_ARG(value));
    *out = (int32_t)v;
    return ERR_NONE;
}

enum err sim_fault_duration(int64_t *out, struct str value, struct diag *diag)
{
    double us;
    enum err e = unit_parse(&us, UNIT_DURATION, value, diag);
    if (e)
        return e;
    if (!(us >= 0) || us > (double)S(10000000))
        return diag_set(diag, ERR_INVALID,
                        "a duration from 0 to 10000000 s is expected, not '" STR_FMT "'",
                        STR_ARG(value));
    *out = (int64_t)us;
    return ERR_NONE;
}

// "1byte/10ms", "16/1ms", "4 bytes/10 ms"
static enum err read_drip(struct sim_fault *f, struct str value, struct diag *diag)
{
    struct str bytes = {NULL, 0};
    str_cut(&value, '/', &bytes);
    bytes = str_trim(bytes);
    static const char *const tails[] = {"bytes", "byte", "B"};
    for (size_t i = 0; i < COUNTOF(tails); i++)
        if (str_ends(bytes, str_of(tails[i]))) {
            bytes.n -= strlen(tails[i]);
            break;
        }
    enum err e = read_count(&f->drip_bytes, STR("drip"), str_trim(bytes), 1, diag);
    if (e)
        return e;
    struct diag why = {0};
    e = sim_fault_duration(&f->drip_us, str_trim(value), &why);
    if (e)
        return diag_set(diag, e, "drip: %s, as in drip=1byte/10ms", why.text);
    if (f->drip_us < 1)
        return diag_set(diag, ERR_INVALID, "drip: the time must be above 0, as in drip=1byte/10ms");
    return ERR_NONE;
}

static enum err read_factor(double *out, struct str value, struct diag *diag)
{
    double v;
    if (!str_to_double(value, &v) || !(v > 0) || v > 1e6)
        return diag_set(diag, ERR_INVALID, "slow: a factor above 0 is expected, not '" STR_FMT "'",
                        STR_ARG(value));
    *out = v;
    return ERR_NONE;
}

static enum err read_status(int32_t *out, struct str value, struct diag *diag)
{
    int64_t v;
    if (!str_to_i64(value, &v) || v < 400 || v > 599)
        return diag_set(diag, ERR_INVALID,
                        "a status from 400 to 599 is expected, not '" STR_FMT "'", STR_ARG(value));
    *out = (int32_t)v;
    return ERR_NONE;
}

static enum err read_value(struct sim_fault *f, const struct fault_name *name, struct str value,
                           bool said, struct diag *diag)
{
    bool needed = name->value != VALUE_NONE && name->value != VALUE_CODE;
    if (!said && !needed)
        return ERR_NONE;
    if (!said)
        return diag_set(diag, ERR_INVALID, "%s needs a value, as in %s", name->name, name->spec);
    switch (name->value) {
    case VALUE_NONE: return diag_set(diag, ERR_INVALID, "%s takes no value", name->name);
    case VALUE_AFTER: return read_count(&f->after, str_of(name->name), value, 0, diag);
    case VALUE_CODE:
        if (!copy_text(f->code, sizeof f->code, value))
            return diag_set(diag, ERR_INVALID, "the code of %s is too long", name->name);
        return ERR_NONE;
    case VALUE_FACTOR: return read_factor(&f->factor, value, diag);
    case VALUE_DRIP: return read_drip(f, value, diag);
    case VALUE_DELAY: return sim_fault_duration(&f->delay_us, value, diag);
    case VALUE_STATUS: return read_status(&f->status, value, diag);
    }
    return ERR_NONE;
}

// One KEY=VALUE behind the name.
static enum err read_option(struct sim_fault *f, struct str option, struct diag *diag)
{
    struct str key = {NULL, 0}, value = option;
    str_cut(&value, '=', &key);
    key = str_trim(key);
    value = str_trim(value);
    if (str_eq(key, STR("p"))) {
        if (!str_to_double(value, &f->share) || !(f->share >= 0) || f->share > 1)
            return diag_set(diag, ERR_INVALID, "p must be from 0 to 1, is '" STR_FMT "'",
                            STR_ARG(value));
        return ERR_NONE;
    }
    if (str_eq(key, STR("count")))
        return read_count(&f->count, key, value, 1, diag);
    if (str_eq(key, STR("after")))
        return read_count(&f->after, key, value, 0, diag);
    if (str_eq(key, STR("retry-after")))
        return sim_fault_duration(&f->retry_after_us, value, diag);
    if (str_eq(key, STR("model"))) {
        if (!value.n || !copy_text(f->model, sizeof f->model, value))
            return diag_set(diag, ERR_INVALID, "model: a name of 1 to 127 bytes is expected");
        return ERR_NONE;
    }
    if (str_eq(key, STR("code"))) {
        if (!copy_text(f->code, sizeof f->code, value))
            return diag_set(diag, ERR_INVALID, "code: at most 47 bytes are expected");
        return ERR_NONE;
    }
    return diag_set(diag, ERR_INVALID,
                    "'" STR_FMT
                    "' is not known behind a fault; p, count, model, after, retry-after and "
                    "code are",
                    STR_ARG(option));
}

static const struct fault_name *name_of(struct str name)
{
    for (size_t i = 0; i < COUNTOF(names); i++)
        if (str_eq(name, str_of(names[i].name)))
            return &names[i];
    return NULL;
}

static enum err unknown_name(struct str name, struct diag *diag)
{
    const char *near = NULL;
    size_t least = 4;
    for (size_t i = 0; i < COUNTOF(names); i++) {
        size_t d = str_distance(name, str_of(names[i].name));
        if (d < least) {
            least = d;
            near = names[i].name;
        }
    }
    return diag_set(diag, ERR_INVALID, "'" STR_FMT "' is not a fault%s%s%s", STR_ARG(name),
                    near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

// NAME, NAME=VALUE or a bare status; "NAME:KEY=VALUE" is read as "NAME,KEY=VALUE".
static enum err read_head(struct sim_fault *f, struct str head, struct diag *diag)
{
    struct str rest = head, name = {NULL, 0};
    str_cut(&rest, ':', &name);
    bool option = name.n < head.n;
    struct str value = name;
    str_cut(&value, '=', &name);
    bool said = value.p != NULL && name.n < head.n && head.p[name.n] == '=';
    name = str_trim(name);
    int64_t status;
    if (!said && str_to_i64(name, &status)) {
        f->kind = SIM_STATUS;
        enum err e = read_status(&f->status, name, diag);
        return e || !option ? e : read_option(f, rest, diag);
    }
    const struct fault_name *known = name_of(name);
    if (!known)
        return unknown_name(name, diag);
    f->kind = known->kind;
    f->status = known->status;
    copy_text(f->code, sizeof f->code, str_of(known->code));
    enum err e = read_value(f, known, str_trim(value), said, diag);
    return e || !option ? e : read_option(f, rest, diag);
}

enum err sim_fault_parse(struct sim_fault *out, struct str spec, struct diag *diag)
{
    struct sim_fault f = {
        .count = -1, .share = 1, .factor = 1, .retry_after_us = -1, .until_us = NEVER};
    spec = str_trim(spec);
    if (!copy_text(f.text, sizeof f.text, spec))
        return diag_set(diag, ERR_INVALID, "a fault has at most %d bytes, this one %zu",
                        SIM_FAULT_TEXT - 1, spec.n);
    struct str rest = spec, part = {NULL, 0};
    str_cut(&rest, ',', &part);
    enum err e = read_head(&f, str_trim(part), diag);
    while (!e && str_cut(&rest, ',', &part))
        e = read_option(&f, str_trim(part), diag);
    if (e)
        return e;
    if (f.kind == SIM_SLOW && (f.share < 1 || f.count >= 0))
        return diag_set(diag, ERR_INVALID,
                        "slow holds for the whole model: p and count do not go with it");
    *out = f;
    return ERR_NONE;
}
