#include "cli/json_out.h"

#include "portfolio/check.h"

#include <inttypes.h>

enum { TEXT_BYTES_MAX = 1 << 20 };

void json_out_key(struct json_out *o, const char *name)
{
    if (o->comma)
        buf_lit(o->out, ",");
    if (name)
        buf_printf(o->out, "\"%s\":", name);
    o->comma = false;
}

void json_out_open(struct json_out *o, const char *name, const char *bracket)
{
    json_out_key(o, name);
    buf_printf(o->out, "%s", bracket);
}

void json_out_close(struct json_out *o, const char *bracket)
{
    buf_printf(o->out, "%s", bracket);
    o->comma = true;
}

void json_out_text(struct json_out *o, const char *name, struct str s)
{
    struct buf clean;
    buf_init(&clean, TEXT_BYTES_MAX);
    json_out_key(o, name);
    if (secrets_hide(&clean, o->p, s))
        buf_add_json(o->out, buf_str(&clean));
    else
        buf_lit(o->out, "\"***\"");
    buf_release(&clean);
    o->comma = true;
}

void json_out_count(struct json_out *o, const char *name, int64_t v)
{
    json_out_key(o, name);
    buf_printf(o->out, "%" PRId64, v);
    o->comma = true;
}

void json_out_number(struct json_out *o, const char *name, double v, int digits)
{
    json_out_key(o, name);
    buf_printf(o->out, "%.*g", digits, v);
    o->comma = true;
}

void json_out_bool(struct json_out *o, const char *name, bool v)
{
    json_out_key(o, name);
    buf_printf(o->out, "%s", v ? "true" : "false");
    o->comma = true;
}

void json_out_null(struct json_out *o, const char *name)
{
    json_out_key(o, name);
    buf_lit(o->out, "null");
    o->comma = true;
}
