// The few bytes that caudal changes, in requests on their way to a supplier and in answers on their
// way back: the model's name, the wish for usage, and usage nobody asked for.

#include "wire/openai.h"

// A place in a text where other bytes go in.
struct edit {
    size_t at, drop;
    struct str name;   // goes in as a JSON string, if there
    struct str bytes;  // then these, as they are
};

static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '"' || s.p[i] == '\\')
            return false;
    return true;
}

static void add_name(struct buf *out, struct str s)
{
    if (!is_plain(s)) {
        buf_add_json(out, s);
        return;
    }
    buf_lit(out, "\"");
    buf_add_str(out, s);
    buf_lit(out, "\"");
}

// Appends `text` with its edits, at most two, in whichever order. All of it or nothing.
static bool write_edits(struct buf *out, struct str text, const struct edit *edits, size_t n)
{
    bool overflow = out->overflow;
    size_t before = buf_len(out), from = 0, more = 0;
    bool swapped = n == 2 && edits[1].at < edits[0].at;
    char *at;
    for (size_t i = 0; i < n; i++)
        more += edits[i].name.n + edits[i].bytes.n + 2;
    buf_reserve(out, text.n + more, &at);  // where that is too much, the pieces may still fit
    out->overflow = false;
    for (size_t i = 0; i < n; i++) {
        const struct edit *e = &edits[swapped ? n - 1 - i : i];
        buf_add(out, text.p + from, e->at - from);
        if (e->name.n > 0)
            add_name(out, e->name);
        buf_add_str(out, e->bytes);
        from = e->at + e->drop;
    }
    buf_add_str(out, str_skip(text, from));
    if (out->overflow) {
        out->to = out->from + before;
        return false;
    }
    out->overflow = overflow;
    return true;
}

// --- requests ---------------------------------------------------------------------------------

// Asks for usage in the stream options that are there.
static struct edit ask_usage(const struct openai_request *rq)
{
    struct json_span v = rq->stream_options_at;
    struct json_walk w;
    if (v.kind != JSON_OBJECT)
        return (struct edit){.at = v.at, .drop = v.n, .bytes = STR("{\"include_usage\":true}")};
    bool empty = true;
    json_walk(&w, json_slice(rq->body, v));
    for (; json_step(&w); empty = false)
        if (json_key_is(&w, STR("include_usage")))
            return (struct edit){.at = v.at + w.value.at, .drop = w.value.n, .bytes = STR("true")};
    return (struct edit){.at = v.at + 1,
                         .bytes = empty ? STR("\"include_usage\":true")
                                        : STR("\"include_usage\":true,")};
}

enum err openai_write(struct buf *out, const struct openai_request *rq, enum surface surface,
                      struct str as)
{
    bool chunks = surface == SURFACE_CHAT || surface == SURFACE_COMPLETIONS;
    struct edit edits[2] = {{.at = rq->model_at.at, .drop = rq->model_at.n, .name = as}};
    size_t n = 1;
    if (rq->stream && chunks && !rq->usage_wanted) {
        if (rq->stream_options_at.n > 0)
            edits[n++] = ask_usage(rq);
        else
            edits[0].bytes = STR(",\"stream_options\":{\"include_usage\":true}");
    }
    return write_edits(out, rq->body, edits, n) ? ERR_NONE : ERR_LIMIT;
}

// --- answers ----------------------------------------------------------------------------------

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

// Takes the usage member out, and the one comma that goes with it.
static struct edit drop_usage(const struct openai_event *ev, struct str data)
{
    size_t from = ev->usage_key_at, to = ev->usage_at.at + ev->usage_at.n, back = from;
    while (to < data.n && is_blank(data.p[to]))
        to++;
    if (to < data.n && data.p[to] == ',')
        return (struct edit){.at = from, .drop = to + 1 - from};
    while (back > 0 && is_blank(data.p[back - 1]))
        back--;
    if (back > 0 && data.p[back - 1] == ',')
        from = back - 1;
    return (struct edit){.at = from, .drop = to - from};
}

// The model's name, where it is there and another one.
static size_t edit_model(struct edit *e, const struct openai_event *ev, struct str data,
                         struct str model)
{
    struct json_span at = ev->model_at;
    if (at.n < 2 || model.n == 0)
        return 0;
    struct str raw = {data.p + at.at + 1, at.n - 2};
    if (str_eq(raw, model) && is_plain(model))
        return 0;
    *e = (struct edit){.at = at.at, .drop = at.n, .name = model};
    return 1;
}

bool openai_event_write(struct buf *out, const struct openai_event *ev, struct str data,
                        struct str model, bool strip_usage)
{
    struct edit edits[2];
    if (strip_usage && ev->usage_only)
        return false;
    size_t n = edit_model(edits, ev, data, model);
    if (strip_usage && ev->usage_at.n > 0)
        edits[n++] = drop_usage(ev, data);
    return write_edits(out, data, edits, n);
}

bool openai_event_write_usage(struct buf *out, const struct openai_event *ev, struct str data,
                              struct str model)
{
    struct edit edits[2];
    CHECK(ev->choices_at.n > 0);
    size_t n = edit_model(edits, ev, data, model);
    edits[n++] =
        (struct edit){.at = ev->choices_at.at, .drop = ev->choices_at.n, .bytes = STR("[]")};
    return write_edits(out, data, edits, n);
}
