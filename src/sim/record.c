#include "sim/record.h"

void sim_record_release(struct sim_record *r)
{
    for (int i = 0; i < SIM_LAST; i++) {
        buf_release(&r->last[i].head);
        buf_release(&r->last[i].body);
    }
    r->calls = 0;
}

void sim_record_reset(struct sim_record *r)
{
    sim_record_release(r);
    struct sim_record kept = {
        .started = r->now,
        .now = r->now,
        .most = r->now,
        .streams = r->streams,
        .streams_most = r->streams,
        .connections = r->connections,
        .connections_most = r->connections,
    };
    *r = kept;
}

static void count(struct sim_counts *c, struct str name)
{
    for (int32_t i = 0; i < c->n; i++)
        if (str_eq(str_of(c->at[i].name), name)) {
            c->at[i].calls++;
            return;
        }
    if (c->n == SIM_COUNTS || name.n >= sizeof c->at[0].name) {
        c->other++;
        return;
    }
    struct sim_count *first = &c->at[c->n++];
    memcpy(first->name, name.p, name.n);
    first->name[name.n] = 0;
    first->calls = 1;
}

uint64_t sim_record_head(struct sim_record *r, const struct http1_head *head, int64_t wall_us)
{
    r->total++;
    count(&r->paths, head->path);
    struct sim_call *call = &r->last[r->calls % SIM_LAST];
    if (!call->head.limit) {
        buf_init(&call->head, SIM_LAST_BYTES);
        buf_init(&call->body, SIM_LAST_BYTES);
    }
    buf_clear(&call->head);
    buf_clear(&call->body);
    call->body_bytes = 0;
    call->at_us = wall_us;
    call->model[0] = 0;
    call->status = 0;
    buf_add_str(&call->head, head->method);
    buf_lit(&call->head, " ");
    buf_add_str(&call->head, head->target);
    buf_lit(&call->head, "\n");
    for (int32_t i = 0; i < head->n_headers; i++) {
        buf_add_str(&call->head, head->headers[i].name);
        buf_lit(&call->head, ": ");
        buf_add_str(&call->head, head->headers[i].value);
        buf_lit(&call->head, "\n");
    }
    return r->calls++;
}

// NULL when the ring has gone over it.
static struct sim_call *call_of(struct sim_record *r, uint64_t call)
{
    if (call >= r->calls || r->calls - call > SIM_LAST)
        return NULL;
    return &r->last[call % SIM_LAST];
}

void sim_record_body(struct sim_record *r, uint64_t call, struct str piece)
{
    struct sim_call *c = call_of(r, call);
    if (!c)
        return;
    c->body_bytes += (int64_t)piece.n;
    size_t room = SIM_LAST_BYTES - buf_len(&c->body);
    if (piece.n > room)
        piece.n = room;
    buf_add_str(&c->body, piece);
}

void sim_record_model(struct sim_record *r, uint64_t call, struct str model)
{
    count(&r->models, model);
    struct sim_call *c = call_of(r, call);
    if (c && model.n < sizeof c->model) {
        memcpy(c->model, model.p, model.n);
        c->model[model.n] = 0;
    }
}

void sim_record_status(struct sim_record *r, uint64_t call, int32_t status)
{
    struct sim_call *c = call_of(r, call);
    if (c)
        c->status = status;
}

void sim_record_started(struct sim_record *r, bool stream)
{
    r->started++;
    r->now++;
    r->most = max_i64(r->most, r->now);
    if (stream) {
        r->streams++;
        r->streams_most = max_i64(r->streams_most, r->streams);
    }
}

void sim_record_ended(struct sim_record *r, bool stream)
{
    r->now--;
    if (stream)
        r->streams--;
}

void sim_record_write_counts(const struct sim_counts *c, struct buf *out)
{
    buf_lit(out, "{");
    for (int32_t i = 0; i < c->n; i++) {
        if (i)
            buf_lit(out, ",");
        buf_add_json(out, str_of(c->at[i].name));
        buf_printf(out, ":%lld", (long long)c->at[i].calls);
    }
    if (c->other)
        buf_printf(out, ",\"other\":%lld", (long long)c->other);
    buf_lit(out, "}");
}

static void write_header(struct buf *out, struct str line, bool values)
{
    size_t colon = 0;
    if (!str_find(line, STR(": "), &colon))
        return;
    if (values)
        buf_lit(out, "[");
    buf_add_json(out, (struct str){line.p, colon});
    if (!values)
        return;
    buf_lit(out, ",");
    buf_add_json(out, str_skip(line, colon + 2));
    buf_lit(out, "]");
}

// Method, target, path, model, status and headers; with values or the names alone.
static void write_call(const struct sim_call *c, struct buf *out, bool values)
{
    struct str lines = buf_str(&c->head), line = {NULL, 0}, method = {NULL, 0}, path = {NULL, 0};
    str_cut(&lines, '\n', &line);
    struct str target = line;
    str_cut(&target, ' ', &method);
    struct str rest = target;
    str_cut(&rest, '?', &path);
    buf_lit(out, "{\"method\":");
    buf_add_json(out, method);
    buf_lit(out, ",\"target\":");
    buf_add_json(out, target);
    buf_lit(out, ",\"path\":");
    buf_add_json(out, path);
    buf_lit(out, ",\"model\":");
    buf_add_json(out, str_of(c->model));
    buf_printf(out, ",\"status\":%d,\"body_bytes\":%lld,\"at_us\":%lld,\"headers\":[", c->status,
               (long long)c->body_bytes, (long long)c->at_us);
    for (bool first = true; str_cut(&lines, '\n', &line) && line.n; first = false) {
        if (!first)
            buf_lit(out, ",");
        write_header(out, line, values);
    }
    buf_lit(out, "]");
    if (values) {
        buf_lit(out, ",\"body\":");
        buf_add_json(out, buf_str(&c->body));
    }
    buf_lit(out, "}");
}

static void write_calls(const struct sim_record *r, struct buf *out, bool values)
{
    uint64_t first = r->calls > SIM_LAST ? r->calls - SIM_LAST : 0;
    for (uint64_t i = first; i < r->calls; i++) {
        if (i > first)
            buf_lit(out, ",");
        write_call(&r->last[i % SIM_LAST], out, values);
    }
}

void sim_record_write_last(const struct sim_record *r, struct buf *out)
{
    buf_lit(out, "{\"requests\":[");
    write_calls(r, out, true);
    buf_lit(out, "]}");
}

void sim_record_write_names(const struct sim_record *r, struct buf *out)
{
    buf_lit(out, "\"last\":[");
    write_calls(r, out, false);
    buf_lit(out, "]");
}
