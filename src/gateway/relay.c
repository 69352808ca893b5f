#include "gateway/relay.h"

enum { ERROR_BYTES_MAX = 16 * 1024 };

static bool speaks_done(enum surface surface)
{
    return surface == SURFACE_CHAT || surface == SURFACE_COMPLETIONS;
}

void relay_init(struct relay *r, enum surface surface, struct str model, bool strip_usage,
                size_t event_bytes_max)
{
    *r = (struct relay){.surface = surface, .model = model};
    // In the other dialects usage always belongs to the answer.
    r->strip_usage = strip_usage && speaks_done(surface);
    sse_init(&r->sse, event_bytes_max);
    buf_init(&r->work, event_bytes_max + 1024);
    buf_init(&r->error, ERROR_BYTES_MAX);
}

void relay_release(struct relay *r)
{
    sse_release(&r->sse);
    buf_release(&r->work);
    buf_release(&r->error);
}

static void note(struct relay_said *said, const struct openai_event *ev)
{
    said->content |= ev->content;
    said->finish |= ev->finish;
    said->pieces += ev->pieces;
    said->content_bytes += ev->content_bytes;
    if (ev->usage.said)
        openai_usage_join(&said->usage, &ev->usage);
}

static bool write_event(struct buf *out, enum surface surface, struct str name, struct str data)
{
    bool ok = true;
    if (name.n && !speaks_done(surface))
        ok = buf_lit(out, "event: ") && buf_add_str(out, name) && buf_lit(out, "\n");
    ok = ok && buf_lit(out, "data: ");
    // Data of several lines was joined with LF; each needs its own field again.
    struct str line;
    for (bool first = true; ok && str_cut(&data, '\n', &line); first = false)
        ok = (first || buf_lit(out, "\ndata: ")) && buf_add_str(out, line);
    return ok && buf_lit(out, "\n\n");
}

static bool is_same_model(const struct relay *r, const struct openai_event *ev, struct str data)
{
    return ev->model_at.n == 0 ||
           (ev->model_at.n == r->model.n + 2 &&
            memcmp(data.p + ev->model_at.at + 1, r->model.p, r->model.n) == 0);
}

static bool rewrite_event(struct relay *r, const struct openai_event *ev, const struct sse_event *sse,
                          bool strip, struct buf *out)
{
    buf_clear(&r->work);
    bool kept = openai_event_write(&r->work, ev, sse->data, r->model, strip);
    if (r->work.overflow)
        return false;
    return !kept || write_event(out, r->surface, sse->name, buf_str(&r->work));
}

static enum err take_event(struct relay *r, const struct sse_event *sse, struct buf *out)
{
    struct openai_event ev;
    r->said.events++;
    openai_event_read(&ev, r->surface, sse->name, sse->data, false);
    if (ev.done) {
        r->said.done = true;
        return ERR_NONE;
    }
    if (!ev.json) {
        r->said.bad_events++;
        return ERR_NONE;
    }
    if (ev.error) {
        r->said.error = true;
        if (!buf_add_str(&r->error, sse->data))
            buf_lit(&r->error, "{}");
        return ERR_NONE;
    }
    note(&r->said, &ev);
    struct str data = sse->data;
    bool splits = !r->strip_usage && openai_event_splits(&ev);
    if (is_same_model(r, &ev, data) && !splits && (ev.usage_at.n == 0 || !r->strip_usage))
        return write_event(out, r->surface, sse->name, data) ? ERR_NONE : ERR_LIMIT;
    bool ok = rewrite_event(r, &ev, sse, r->strip_usage || splits, out);
    if (ok && splits) {  // a client that asked for usage looks for it in a chunk of its own
        buf_clear(&r->work);
        ok = openai_event_write_usage(&r->work, &ev, data, r->model) &&
             write_event(out, r->surface, sse->name, buf_str(&r->work));
    }
    return ok ? ERR_NONE : ERR_LIMIT;
}

enum err relay_stream(struct relay *r, struct str bytes, struct buf *out)
{
    bool got;
    struct sse_event ev;
    while (!r->said.done && !r->said.error) {
        enum err e = sse_next(&r->sse, &bytes, &ev, &got);
        if (e)
            return e;
        if (!got)
            break;
        if (!ev.has_data || !ev.data.n)
            continue;
        e = take_event(r, &ev, out);
        if (e)
            return e;
    }
    buf_release(&r->work);
    return ERR_NONE;
}

bool relay_stream_end(struct relay *r, struct buf *out)
{
    struct sse_event ev;
    // Some suppliers omit the last newline; a whole JSON there is an event like any other.
    if (!r->said.done && !r->said.error && sse_end(&r->sse, &ev) && ev.has_data) {
        if (take_event(r, &ev, out))
            return false;
    }
    return !r->said.error && (r->said.done || r->said.finish);
}

bool relay_write_end(const struct relay *r, struct str receipt, struct buf *out)
{
    bool ok = true;
    if (receipt.n)
        ok = buf_lit(out, ": caudal-receipt ") && buf_add_str(out, receipt) && buf_lit(out, "\n\n");
    if (speaks_done(r->surface))
        ok = buf_lit(out, "data: [DONE]\n\n") && ok;
    return ok;
}

static bool write_message(struct buf *out, const char *message)
{
    return buf_add_json(out, str_of(message));
}

bool relay_write_error(enum surface surface, const char *message, const char *type,
                       const char *code, struct buf *out)
{
    switch (surface) {
    case SURFACE_MESSAGES:
        return buf_lit(out, "event: error\ndata: "
                            "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":") &&
               write_message(out, message) && buf_lit(out, "}}\n\n");
    case SURFACE_RESPONSES:
        return buf_lit(out, "event: error\ndata: {\"type\":\"error\",\"code\":") &&
               buf_add_json(out, str_of(code)) && buf_lit(out, ",\"message\":") &&
               write_message(out, message) && buf_lit(out, ",\"param\":null}\n\n");
    case SURFACE_CHAT:
    case SURFACE_COMPLETIONS:
    case SURFACE_EMBEDDINGS: break;
    }
    return buf_lit(out, "data: ") && openai_error_write(out, message, type, NULL, code) &&
           buf_lit(out, "\n\n");
}

enum err relay_whole(struct relay *r, struct str body, struct buf *out)
{
    struct openai_event ev;
    openai_event_read(&ev, r->surface, (struct str){0}, body, true);
    if (!ev.json)
        return ERR_INVALID;
    if (ev.error) {
        r->said.error = true;
        if (!buf_add_str(&r->error, body))
            buf_lit(&r->error, "{}");
        return ERR_NONE;
    }
    note(&r->said, &ev);
    r->said.content = r->said.finish = true;
    openai_event_write(out, &ev, body, r->model, false);
    return out->overflow ? ERR_LIMIT : ERR_NONE;
}
