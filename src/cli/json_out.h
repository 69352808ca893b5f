// json_out.h - JSON as the commands write it: commas by themselves, and no secret of the portfolio
// in any text, so that it stays JSON.

#ifndef CAUDAL_JSON_OUT_H
#define CAUDAL_JSON_OUT_H

#include "base/buf.h"
#include "portfolio/portfolio.h"

struct json_out {
    struct buf *out;
    const struct portfolio *p;  // whose secrets are hidden
    bool comma;                 // before the next value or key
};

// `name` NULL: a value of a list, or one whose key stands there already.
void json_out_key(struct json_out *o, const char *name);
void json_out_open(struct json_out *o, const char *name, const char *bracket);
void json_out_close(struct json_out *o, const char *bracket);
void json_out_text(struct json_out *o, const char *name, struct str s);
void json_out_count(struct json_out *o, const char *name, int64_t v);
void json_out_number(struct json_out *o, const char *name, double v, int digits);
void json_out_bool(struct json_out *o, const char *name, bool v);
void json_out_null(struct json_out *o, const char *name);

#endif
