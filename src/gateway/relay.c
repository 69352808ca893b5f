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
    alike_release(&r->alike);
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

static bool rewrite_event(struct relay *r, const struct openai_event *ev,
                          const struct sse_event *sse, bool strip, struct buf *out)
{
    buf_clear(&r->work);
    bool kept = openai_event_write(&r->work, ev, sse->data, r->model, strip);
    if (r->work.overflow)
        return false;
    return !kept || write_event(out, r->surface, sse->name, buf_str(&r->work));
}

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return true;
}

// Where the one text of an event's data is in what was written of it; SIZE_MAX: it is not known.
// The model's name and the usage may have been edited, each before or behind it.
static size_t text_in_written(const struct relay *r, const struct openai_event *ev, struct str data,
                              size_t written_n)
{
    size_t at = ev->text_at.at;
    bool model_before = ev->model_at.n && ev->model_at.at < at;
    bool model_behind = ev->model_at.n && ev->model_at.at > at;
    bool usage_before = ev->usage_at.n && ev->usage_at.at < at;
    bool usage_behind = ev->usage_at.n && ev->usage_at.at > at;
    if (!model_before && !usage_before)
        return at;
    if (!model_behind && !usage_behind)
        return written_n - (data.n - at);
    if (usage_before || !r->model.n || !is_plain(r->model))
        return SIZE_MAX;
    return at - ev->model_at.n + r->model.n + 2;
}

// An event with one text and nothing else that counts: those that follow may be alike. `raw` is all
// of it as it came, `went` as it went, with `written_n` bytes of data.
static void learn(struct relay *r, const struct openai_event *ev, struct str data, struct str raw,
                  struct str went, size_t written_n)
{
    bool lies_in_raw = data.p >= raw.p && data.p + data.n <= raw.p + raw.n;
    if (ev->texts != 1 || ev->pieces != 1 || ev->finish || ev->usage.said || !lies_in_raw ||
        raw.p[raw.n - 1] != '\n')
        return;
    size_t at = text_in_written(r, ev, data, written_n);
    if (at == SIZE_MAX)
        return;
    at += went.n - 2 - written_n;  // behind "data: "
    if (at + ev->text_at.n > went.n ||
        memcmp(went.p + at, data.p + ev->text_at.at, ev->text_at.n) != 0)
        return;
    alike_learn(&r->alike, raw, (size_t)(data.p - raw.p) + ev->text_at.at, went, at, ev->text_at.n);
}

// `raw`: the event's bytes as they came; empty when they were not all in this input.
static enum err take_event(struct relay *r, const struct sse_event *sse, struct str raw,
                           struct buf *out)
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
    size_t before = buf_len(out), written_n = data.n;
    bool ok, splits = !r->strip_usage && openai_event_splits(&ev);
    if (is_same_model(r, &ev, data) && !splits && (ev.usage_at.n == 0 || !r->strip_usage)) {
        ok = write_event(out, r->surface, sse->name, data);
    } else {
        ok = rewrite_event(r, &ev, sse, r->strip_usage || splits, out);
        written_n = buf_len(&r->work);
    }
    if (ok && splits) {  // a client that asked for usage looks for it in a chunk of its own
        buf_clear(&r->work);
        ok = openai_event_write_usage(&r->work, &ev, data, r->model) &&
             write_event(out, r->surface, sse->name, buf_str(&r->work));
    }
    if (ok && raw.n)
        learn(r, &ev, data, raw, str_skip(buf_str(out), before), written_n);
    return ok ? ERR_NONE : ERR_LIMIT;
}

enum err relay_stream(struct relay *r, struct str bytes, struct buf *out)
{
    bool got;
    struct sse_event ev;
    while (!r->said.done && !r->said.error) {
        struct str raw = bytes;
        bool whole = sse_is_between(&r->sse);
        size_t text_bytes;
        if (whole && alike_take(&r->alike, &bytes, out, &text_bytes)) {
            r->said.events++;
            r->said.pieces++;
            r->said.content_bytes += (int64_t)text_bytes;
            continue;
        }
        enum err e = sse_next(&r->sse, &bytes, &ev, &got);
        if (e)
            return e;
        if (!got)
            break;
        if (!ev.has_data || !ev.data.n)
            continue;
        raw.n = whole ? raw.n - bytes.n : 0;
        e = take_event(r, &ev, raw, out);
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
        if (take_event(r, &ev, (struct str){0}, out))
            return false;
    }
    return !r->said.error && (r->said.finish || (r->said.done && r->said.content));
}

bool relay_write_end(const struct relay *r, struct buf *out)
{
    return !speaks_done(r->surface) || buf_lit(out, "data: [DONE]\n\n");
}

bool relay_write_receipt(struct str receipt, struct buf *out)
{
    return buf_lit(out, ": caudal-receipt ") && buf_add_str(out, receipt) && buf_lit(out, "\n\n");
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
        // Twice: as the reference says it, and as `error`, without which the Python client hands it
        // on like any event and ends as if the answer were whole.
        return buf_lit(out, "event: error\ndata: {\"type\":\"error\",\"code\":") &&
               buf_add_json(out, str_of(code)) && buf_lit(out, ",\"message\":") &&
               write_message(out, message) &&
               buf_lit(out, ",\"param\":null,\"error\":{\"type\":") &&
               buf_add_json(out, str_of(type)) && buf_lit(out, ",\"code\":") &&
               buf_add_json(out, str_of(code)) && buf_lit(out, ",\"message\":") &&
               write_message(out, message) && buf_lit(out, ",\"param\":null}}\n\n");
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
