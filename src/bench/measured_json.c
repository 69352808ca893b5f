#include "bench/measured_json.h"

#include "wire/json.h"

struct reading {  // of one file
    struct measured_table *t;
    struct arena *arena;
    const char *name;
    struct diag *diag;
};

static enum err wrong(const struct reading *r, const char *member)
{
    return diag_set(r->diag, ERR_INVALID,
                    "%s: is not what caudal bench --json says: %s is missing or wrong", r->name,
                    member);
}

static bool get_text(const struct reading *r, struct str *out, struct str object, struct str member)
{
    struct json_span v;
    if (!json_get(object, member, &v) || v.kind != JSON_STRING)
        return false;
    size_t room = json_string_bytes(object, v) + 1, n;
    char *to = arena_new(r->arena, char, room);
    if (!to || !json_string(object, v, to, room, &n))
        return false;
    *out = (struct str){to, n};
    return true;
}

static bool get_number(double *out, struct str object, struct str member)
{
    struct json_span v;
    return json_get(object, member, &v) && json_double(object, v, out) && *out >= 0;
}

// Of a figure with its interval.
static bool get_value(double *out, struct str object, struct str member)
{
    struct json_span v;
    return json_get(object, member, &v) && v.kind == JSON_OBJECT &&
           get_number(out, json_slice(object, v), STR("value"));
}

static bool is_true(struct str object, struct str member)
{
    struct json_span v;
    return json_get(object, member, &v) && v.kind == JSON_TRUE;
}

static enum measured_out out_of(const struct reading *r, struct str row)
{
    struct str prefix;
    if (is_true(row, STR("partial")))
        return MEASURED_CUT_OFF;
    if (is_true(row, STR("saturated")))
        return MEASURED_SATURATED;
    bool warm = get_text(r, &prefix, row, STR("prefix")) && str_eq(prefix, STR("warm"));
    return warm ? MEASURED_WARM : MEASURED_KEPT;
}

static enum err read_row(const struct reading *r, struct measured m, struct str row)
{
    static const struct str names[] = {STR("prompt_tok"), STR("cached_tok"), STR("prompt_asked"),
                                       STR("output_tok"), STR("batch")};
    double v[COUNTOF(names)];
    for (size_t i = 0; i < COUNTOF(names); i++)
        if (!get_number(&v[i], row, names[i]))
            return wrong(r, names[i].p);
    if (!get_value(&m.ttft_us, row, STR("ttft_us")))
        return wrong(r, "ttft_us");
    if (!get_value(&m.per_token_us, row, STR("per_token_us")))
        return wrong(r, "per_token_us");
    m.prompt = is_true(row, STR("counted")) ? v[0] - v[1] : v[2];
    m.output = v[3];
    if (!get_number(&m.users, row, STR("users")))
        m.users = 0;  // an open loop
    m.queued = m.users != 1;
    m.batch = v[4] > 1 ? v[4] : 1;
    return measured_add(r->t, r->arena, m, out_of(r, row));
}

static enum err read_supplier(const struct reading *r, struct str supplier)
{
    struct measured m = {.engine = ENGINE_VLLM};
    struct json_span v;
    struct json_walk w;
    enum err e = ERR_NONE;
    if (!get_text(r, &m.system, supplier, STR("url")))
        return wrong(r, "a supplier's url");
    if (!get_text(r, &m.model, supplier, STR("model")))
        return wrong(r, "a supplier's model");
    if (!json_get(supplier, STR("rows"), &v) || v.kind != JSON_ARRAY)
        return wrong(r, "a supplier's list of rows");
    struct str rows = json_slice(supplier, v);
    for (json_walk(&w, rows); !e && json_step(&w);)
        e = w.value.kind == JSON_OBJECT ? read_row(r, m, json_slice(rows, w.value))
                                        : wrong(r, "a row");
    return e;
}

enum err measured_read_json(struct measured_table *t, struct arena *a, const char *name,
                            struct str text, struct diag *diag)
{
    struct reading r = {t, a, name, diag};
    struct json_span v;
    struct json_walk w;
    enum err e = json_validate(text, diag);
    if (e) {
        struct diag why = *diag;
        return diag_set(diag, e, "%s: is not JSON: %s", name, why.text);
    }
    if (!json_get(text, STR("suppliers"), &v) || v.kind != JSON_ARRAY)
        return wrong(&r, "suppliers");
    struct str suppliers = json_slice(text, v);
    for (json_walk(&w, suppliers); !e && json_step(&w);)
        e = w.value.kind == JSON_OBJECT ? read_supplier(&r, json_slice(suppliers, w.value))
                                        : wrong(&r, "a supplier");
    return e;
}
