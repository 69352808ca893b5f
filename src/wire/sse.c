#include "wire/sse.h"

// An event that is whole in the input is read where it lies. Otherwise its raw bytes wait in `kept`
// until its empty line comes, and it is read there. An event begins at its first line that is
// neither empty nor a comment, so a stream of comments alone keeps nothing; its limit counts from
// there.

void sse_init(struct sse *s, size_t event_bytes_max)
{
    *s = (struct sse){0};
    buf_init(&s->kept, event_bytes_max);
    buf_init(&s->joined, event_bytes_max);
}

void sse_release(struct sse *s)
{
    buf_release(&s->kept);
    buf_release(&s->joined);
}

// The first CR or LF, or NULL. In windows, so that a text of CRs alone does not search for an LF to
// its end once for every line.
static const char *line_end(const char *p, const char *end)
{
    enum { WINDOW = 512 };
    while (p < end) {
        size_t n = end - p < WINDOW ? (size_t)(end - p) : WINDOW;
        const char *lf = memchr(p, '\n', n);
        const char *cr = memchr(p, '\r', lf ? (size_t)(lf - p) : n);
        if (cr || lf)
            return cr ? cr : lf;
        p += n;
    }
    return NULL;
}

// Takes a line and its end off the front of `*rest`; false, and nothing taken, when it has no end.
// `*after_cr`: the line ended with the very last byte, a CR, to which an LF may still belong.
static bool take_line(struct str *rest, struct str *line, bool *after_cr)
{
    const char *at = line_end(rest->p, rest->p + rest->n);
    if (!at)
        return false;
    *line = (struct str){rest->p, (size_t)(at - rest->p)};
    bool cr = *at == '\r';
    *rest = str_skip(*rest, line->n + 1);
    *after_cr = cr && rest->n == 0;
    if (cr && rest->n && rest->p[0] == '\n')
        *rest = str_skip(*rest, 1);
    return true;
}

static void read_line(struct sse *s, struct sse_event *ev, struct str line)
{
    struct str value = {NULL, 0};
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    if (colon) {
        value = str_skip(line, (size_t)(colon - line.p) + 1);
        line.n = (size_t)(colon - line.p);
        if (value.n && value.p[0] == ' ')
            value = str_skip(value, 1);
    }
    if (str_eq(line, STR("event"))) {
        ev->name = value;
    } else if (str_eq(line, STR("data"))) {
        if (ev->has_data) {
            // Fits: what is joined is never longer than the event's raw bytes, which were counted.
            if (!buf_len(&s->joined))
                buf_add_str(&s->joined, ev->data);
            buf_lit(&s->joined, "\n");
            buf_add_str(&s->joined, value);
            value = buf_str(&s->joined);
        }
        ev->data = value;
        ev->has_data = true;
    }
}

static struct str without_bom(const struct sse *s, struct str bytes)
{
    bool has_one = !s->bom_passed && str_starts(bytes, STR("\xef\xbb\xbf"));
    return str_skip(bytes, has_one ? 3 : 0);
}

// Reads what was kept: an event without its empty line, perhaps cut.
static void read_kept(struct sse *s, struct sse_event *ev)
{
    struct str line, bytes = without_bom(s, buf_str(&s->kept));
    bool after_cr;
    while (bytes.n && take_line(&bytes, &line, &after_cr))
        read_line(s, ev, line);
    if (bytes.n)
        read_line(s, ev, bytes);
    s->bom_passed = true;
}

static void forget(struct sse *s, struct sse_event *ev)
{
    *ev = (struct sse_event){.has_data = false};
    buf_clear(&s->joined);
}

// What the call before gave out is given back.
static void begin(struct sse *s, struct sse_event *ev)
{
    if (s->eat_kept)
        buf_release(&s->kept);
    s->eat_kept = false;
    if (s->joined.p)
        buf_release(&s->joined);
    forget(s, ev);
}

// Nothing to keep: an empty line or a comment where an event would begin.
static bool is_nothing(struct str line)
{
    return line.n == 0 || line.p[0] == ':';
}

// The same for a first line whose beginning may be kept and whose end is `line`. Its first four
// bytes tell, wherever they were cut.
static bool first_is_nothing(const struct sse *s, struct str line)
{
    char text[4];
    struct str kept = buf_str(&s->kept);
    size_t n = 0;
    for (size_t i = 0; i < kept.n && n < sizeof text; i++)
        text[n++] = kept.p[i];
    for (size_t i = 0; i < line.n && n < sizeof text; i++)
        text[n++] = line.p[i];
    return is_nothing(without_bom(s, (struct str){text, n}));
}

enum err sse_next(struct sse *s, struct str *in, struct sse_event *ev, bool *got)
{
    struct str rest = *in, line;
    *got = false;
    begin(s, ev);
    if (s->kept.overflow)
        return ERR_LIMIT;
    if (rest.n == 0)
        return ERR_NONE;

    size_t kept_n = buf_len(&s->kept), limit = s->kept.limit;
    bool begun = s->open_n < kept_n;  // a line of the event is whole
    const char *from = rest.p;        // where the event's bytes in this input begin
    if (s->after_cr && rest.p[0] == '\n') {
        rest = str_skip(rest, 1);
        from = kept_n ? from : rest.p;
    }
    s->after_cr = false;
    while (rest.n && take_line(&rest, &line, &s->after_cr)) {
        // An empty line is counted without the LF of its CRLF, which may come later.
        size_t event_n = kept_n + (size_t)(line.p - from) + line.n;
        if (event_n + (begun && !line.n) > limit) {
            s->kept.overflow = true;
            return ERR_LIMIT;
        }
        bool is_empty = line.n == 0 && s->open_n == 0;
        s->open_n = 0;
        if (!begun && first_is_nothing(s, line)) {
            buf_release(&s->kept);
            s->bom_passed = true;
            kept_n = 0;
            from = rest.p;
            continue;
        }
        if (!begun || !is_empty) {
            if (!kept_n)  // else it is read when the event is whole
                read_line(s, ev, begun ? line : without_bom(s, line));
            begun = true;
            continue;
        }
        if (kept_n) {
            CHECK(buf_add(&s->kept, from, (size_t)(line.p - from)));
            read_kept(s, ev);
            s->eat_kept = true;
        }
        s->bom_passed = true;
        *in = rest;
        *got = ev->has_data;
        if (*got)
            return ERR_NONE;
        begin(s, ev);
        begun = false;
        kept_n = 0;
        from = rest.p;
    }
    s->open_n += rest.n;
    forget(s, ev);
    *in = str_skip(rest, rest.n);
    return buf_add(&s->kept, from, (size_t)(in->p - from)) ? ERR_NONE : ERR_LIMIT;
}

bool sse_end(struct sse *s, struct sse_event *ev)
{
    begin(s, ev);
    if (is_nothing(without_bom(s, buf_str(&s->kept))))
        return false;
    read_kept(s, ev);
    s->eat_kept = true;
    s->open_n = 0;
    return true;
}
