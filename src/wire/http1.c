#include "wire/http1.h"
#include "wire/http1_chunked.h"
#include "wire/http1_scan.h"

#include <llhttp.h>
#include <stdlib.h>

//  bytes -> collect (until the empty line) -> http1_scan -> read again by llhttp -> http1_judge ->
//  HTTP1_HEAD
//        -> by length | chunked | until the end of the connection             -> HTTP1_BODY, _END

enum { BLANK_LINES_MAX = 2, INTERIM_MAX = 8 };

enum state { IN_HEAD, IN_LENGTH, IN_CHUNKS, IN_REST, AT_END, FAILED };

struct http1 {
    struct http1_limits limits;
    struct http1_head head;
    void *storage;  // the headers, then the raw head they point into
    size_t storage_bytes;
    struct buf part;      // a head that came in pieces
    size_t line_n;        // collecting: bytes of the last, open line
    int32_t lines;        //   and whole lines before it
    int32_t blank_lines;  //   before the request line
    int32_t interim;      // 1xx answers passed over before this one
    int64_t body_left;    // IN_LENGTH: to come. Otherwise how much more is allowed
    struct http1_chunked chunks;
    struct http1_fault fault;
    enum err failed;
    uint8_t side, state;
    bool after_cr;  // collecting: the last byte was CR
    bool no_body;   // the next answer has none
};

const struct str *http1_get(const struct http1_head *h, struct str name)
{
    if (name.n < 64 && !(h->name_lengths >> name.n & 1))
        return NULL;  // most of what is asked for is not there
    for (int32_t i = 0; i < h->n_headers; i++)
        if (str_eq_nocase(h->headers[i].name, name))
            return &h->headers[i].value;
    return NULL;
}

struct http1 *http1_new(enum http1_side side, struct http1_limits limits)
{
    CHECK(limits.headers >= 0 && limits.headers <= HTTP1_HEADERS_MAX && limits.body_bytes >= 0);
    struct http1 *h = take(sizeof *h);
    h->limits = limits;
    h->side = (uint8_t)side;
    buf_init(&h->part, limits.head_bytes);
    return h;
}

void http1_free(struct http1 *h)
{
    if (!h)
        return;
    http1_forget_head(h);
    buf_release(&h->part);
    free(h);
}

size_t http1_bytes(const struct http1 *h)
{
    return sizeof *h + h->part.size + h->storage_bytes;
}

static enum err fail(struct http1 *h, int32_t status, const char *why, struct diag *diag)
{
    bool limit = status == 413 || status == 414 || status == 431;
    h->fault = (struct http1_fault){status, why};
    h->failed = limit ? ERR_LIMIT : ERR_INVALID;
    h->state = FAILED;
    return diag_set(diag, h->failed, "%s", why);
}

// --- the head ---------------------------------------------------------------------------------

enum found { FOUND_NOTHING, FOUND_END, FOUND_BLANK, FOUND_BARE_LF };

// Looks for the empty line, going on where the bytes before stopped. `*used`: up to behind it.
static enum found find_end(struct http1 *h, struct str in, size_t *used)
{
    const char *p = in.p, *end = in.p + in.n;
    while (p < end) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        if (!lf) {
            h->line_n += (size_t)(end - p);
            h->after_cr = end[-1] == '\r';
            break;
        }
        if (lf > p ? lf[-1] != '\r' : !h->after_cr)
            return FOUND_BARE_LF;
        bool is_empty = h->line_n + (size_t)(lf - p) == 1;
        p = lf + 1;
        h->line_n = 0;
        h->after_cr = false;
        if (is_empty) {
            *used = (size_t)(p - in.p);
            return h->lines ? FOUND_END : FOUND_BLANK;
        }
        h->lines++;
    }
    *used = in.n;
    return FOUND_NOTHING;
}

// --- the second reader ------------------------------------------------------------------------

// llhttp reads again what decides where a message begins, what it is and where it ends: the first
// line and the headers of framing. Two readers that disagree are what smuggling is made of. The
// other headers are text to both, and every byte of them has been scanned.
struct second {
    const struct http1_head *first;    // as our scan read it
    const struct http1_header *given;  // the header whose line llhttp gets
    const struct http1_header *named;  // whose name it has read; its value may come a line later
    int32_t n_given, n_named;
    bool same, done;
};

static int compare(llhttp_t *parser, struct str a, struct str b)
{
    struct second *s = parser->data;
    s->same &= a.n == b.n && (a.n == 0 || a.p == b.p);
    return 0;
}

static int on_method(llhttp_t *parser, const char *p, size_t n)
{
    const struct second *s = parser->data;
    return compare(parser, (struct str){p, n}, s->first->method);
}

static int on_target(llhttp_t *parser, const char *p, size_t n)
{
    const struct second *s = parser->data;
    return compare(parser, (struct str){p, n}, s->first->target);
}

static int on_name(llhttp_t *parser, const char *p, size_t n)
{
    struct second *s = parser->data;
    s->named = s->given;
    s->n_named++;
    return s->named ? compare(parser, (struct str){p, n}, s->named->name) : -1;
}

static int on_value(llhttp_t *parser, const char *p, size_t n)
{
    const struct second *s = parser->data;
    struct str value = str_trim((struct str){p, n});
    return s->named ? compare(parser, value, s->named->value) : -1;
}

// The body is not for llhttp.
static int on_headers_done(llhttp_t *parser)
{
    struct second *s = parser->data;
    s->done = true;
    s->same &=
        parser->status_code == s->first->status && parser->http_minor == s->first->version_minor;
    return HPE_PAUSED;
}

static const llhttp_settings_t callbacks = {
    .on_method = on_method,
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_done,
};

// From the name to the CRLF behind the value.
static struct str line_of(const struct http1_header *h, const char *end)
{
    const char *behind = h->value.p + h->value.n;
    const char *lf = memchr(behind, '\n', (size_t)(end - behind));
    CHECK(lf);  // it was scanned
    return (struct str){h->name.p, (size_t)(lf - h->name.p) + 1};
}

// Reads what our scan has read from `raw` with llhttp. False: not the same.
static bool read_again(struct http1 *h, const struct http1_head *first, struct str raw)
{
    struct second s = {.first = first, .same = true};
    llhttp_t parser;
    const char *lf = memchr(raw.p, '\n', raw.n), *end = raw.p + raw.n;
    CHECK(lf);  // it was scanned
    llhttp_init(&parser, h->side == HTTP1_REQUESTS ? HTTP_REQUEST : HTTP_RESPONSE, &callbacks);
    parser.data = &s;
    enum llhttp_errno e = llhttp_execute(&parser, raw.p, (size_t)(lf + 1 - raw.p));
    for (int32_t i = 0; !e && i < first->n_headers; i++) {
        if (first->headers[i].meaning < HTTP1_UPGRADE)
            continue;
        s.given = &first->headers[i];
        s.n_given++;
        struct str line = line_of(s.given, end);
        e = llhttp_execute(&parser, line.p, line.n);
    }
    if (!e)
        e = llhttp_execute(&parser, end - 2, 2);
    if (e == HPE_PAUSED && s.done && s.same && s.n_given == s.n_named)
        return true;
    h->fault = e == HPE_INVALID_METHOD
                   ? (struct http1_fault){501, "a method that is not known"}
                   : (struct http1_fault){400, llhttp_get_error_reason(&parser)};
    if (!h->fault.why || e == HPE_OK || e == HPE_PAUSED)
        h->fault.why = "a head that can be read in two ways";
    return false;
}

// --- a whole head -----------------------------------------------------------------------------

// Says how the body comes. False when it is longer than allowed.
static bool frame(struct http1 *h)
{
    struct http1_head *head = &h->head;
    bool answer = h->side == HTTP1_ANSWERS;
    h->body_left = h->limits.body_bytes;
    if (answer && (h->no_body || head->status == 204 || head->status == 304)) {
        // A sender that announces a body here may also send one: not to be used again.
        if (head->status == 204 && (head->chunked || head->content_length > 0))
            head->keep_alive = false;
        h->state = AT_END;
    } else if (head->chunked) {
        http1_chunked_init(&h->chunks);
        h->state = IN_CHUNKS;
    } else if (head->content_length >= 0) {
        if (head->content_length > h->limits.body_bytes)
            return false;
        h->body_left = head->content_length;
        h->state = h->body_left ? IN_LENGTH : AT_END;
    } else if (answer) {
        head->keep_alive = false;
        h->state = IN_REST;
    } else {
        h->state = AT_END;
    }
    return true;
}

static struct str moved(struct str s, const char *from, const char *to)
{
    return (struct str){s.n ? to + (s.p - from) : to, s.n};
}

// Keeps what was read of a head, which points into `raw`: all of it in one piece of memory.
static void keep_head(struct http1 *h, const struct http1_head *read, struct str raw)
{
    size_t header_bytes = sizeof(struct http1_header) * (size_t)read->n_headers;
    h->storage_bytes = header_bytes + raw.n;
    h->storage = malloc(h->storage_bytes);
    CHECK(h->storage);
    char *copy = (char *)h->storage + header_bytes;
    memcpy(copy, raw.p, raw.n);
    h->head = *read;
    h->head.method = moved(read->method, raw.p, copy);
    h->head.target = moved(read->target, raw.p, copy);
    h->head.headers = h->storage;
    for (int32_t i = 0; i < read->n_headers; i++) {
        const struct http1_header *from = &read->headers[i];
        h->head.headers[i] = (struct http1_header){moved(from->name, raw.p, copy),
                                                   moved(from->value, raw.p, copy), from->meaning};
    }
    buf_release(&h->part);
}

// A whole head: checks it, keeps it, says what it means.
static enum err take_head(struct http1 *h, struct str raw, struct diag *diag)
{
    struct http1_header headers[HTTP1_HEADERS_MAX];
    struct http1_head read = {.headers = headers};
    struct http1_fault f;
    if (!http1_scan(raw, h->side, h->limits.headers, &read, &f))
        return fail(h, f.status, f.why, diag);
    if (!read_again(h, &read, raw))
        return fail(h, h->fault.status, h->fault.why, diag);
    keep_head(h, &read, raw);
    if (!http1_judge(&h->head, h->side, &f))
        return fail(h, f.status, f.why, diag);
    return frame(h) ? ERR_NONE : fail(h, 413, "the body is too long", diag);
}

// 100 and 103 only say that the answer is coming; 101 would be another protocol.
static enum err pass_interim(struct http1 *h, bool *passed, struct diag *diag)
{
    const struct http1_head *head = &h->head;
    *passed = h->side == HTTP1_ANSWERS && head->status < 200;
    if (!*passed)
        return ERR_NONE;
    if (head->status == 101)
        return fail(h, 400, "an upgrade that nobody asked for", diag);
    if (head->chunked || head->content_length > 0)
        return fail(h, 400, "an interim answer with a body", diag);
    if (h->interim++ == INTERIM_MAX)
        return fail(h, 400, "too many interim answers", diag);
    http1_forget_head(h);
    h->state = IN_HEAD;
    h->lines = 0;
    return ERR_NONE;
}

// The first byte tells a TLS handshake or noise from a request that is only slow.
static bool may_begin(const struct http1 *h, char c)
{
    return h->side == HTTP1_ANSWERS ? c == 'H' : c == '\r' || http1_is(c, HTTP1_TOKEN);
}

static enum err next_in_head(struct http1 *h, struct str *in, struct http1_event *ev,
                             struct diag *diag)
{
    while (in->n) {
        if (!h->lines && !h->line_n && !may_begin(h, in->p[0]))
            return fail(h, 400, "something other than HTTP", diag);
        struct str piece = {in->p, in->n};
        size_t used = 0, room = h->limits.head_bytes - buf_len(&h->part);
        if (piece.n > room)
            piece.n = room;
        enum found found = find_end(h, piece, &used);
        if (found == FOUND_BARE_LF)
            return fail(h, 400, "a line that does not end with CRLF", diag);
        *in = str_skip(*in, used);
        if (found == FOUND_BLANK) {
            if (h->side == HTTP1_ANSWERS || h->blank_lines++ == BLANK_LINES_MAX)
                return fail(h, 400, "an empty line where a message should begin", diag);
            buf_release(&h->part);
            continue;
        }
        struct str raw = {piece.p, used};
        if (found == FOUND_NOTHING || buf_len(&h->part)) {
            CHECK(buf_add_str(&h->part, raw));
            raw = buf_str(&h->part);
        }
        if (found == FOUND_NOTHING) {
            if (raw.n == h->limits.head_bytes)
                return fail(h, h->lines ? 431 : 414, "the head is too long", diag);
            continue;
        }
        bool passed = false;
        enum err e = take_head(h, raw, diag);
        if (!e)
            e = pass_interim(h, &passed, diag);
        if (e)
            return e;
        if (!passed) {
            ev->kind = HTTP1_HEAD;
            return ERR_NONE;
        }
    }
    return ERR_NONE;
}

// --- the body ---------------------------------------------------------------------------------

static void give_body(struct http1 *h, struct str piece, struct http1_event *ev)
{
    h->body_left -= (int64_t)piece.n;
    *ev = (struct http1_event){HTTP1_BODY, piece};
}

static enum err next_in_length(struct http1 *h, struct str *in, struct http1_event *ev)
{
    struct str piece = *in;
    if (piece.n == 0)
        return ERR_NONE;
    if ((uint64_t)h->body_left < piece.n)
        piece.n = (size_t)h->body_left;
    *in = str_skip(*in, piece.n);
    give_body(h, piece, ev);
    if (!h->body_left && h->state == IN_LENGTH)
        h->state = AT_END;
    return ERR_NONE;
}

static enum err next_in_rest(struct http1 *h, struct str *in, struct http1_event *ev,
                             struct diag *diag)
{
    if (in->n && !h->body_left)
        return fail(h, 413, "the body is too long", diag);
    return next_in_length(h, in, ev);
}

static void finish(struct http1 *h)
{
    http1_forget_head(h);
    h->state = IN_HEAD;
    h->lines = h->blank_lines = h->interim = 0;
    h->no_body = false;
}

static enum err next_in_chunks(struct http1 *h, struct str *in, struct http1_event *ev,
                               struct diag *diag)
{
    struct str piece;
    struct http1_fault f;
    switch (http1_chunked_next(&h->chunks, in, h->body_left, &h->limits, &piece, &f)) {
    case CHUNK_MORE: break;
    case CHUNK_DATA: give_body(h, piece, ev); break;
    case CHUNK_END:
        finish(h);
        ev->kind = HTTP1_END;
        break;
    case CHUNK_BAD: return fail(h, f.status, f.why, diag);
    }
    return ERR_NONE;
}

enum err http1_next(struct http1 *h, struct str *in, struct http1_event *ev, struct diag *diag)
{
    *ev = (struct http1_event){.kind = HTTP1_MORE};
    switch ((enum state)h->state) {
    case IN_HEAD: return next_in_head(h, in, ev, diag);
    case IN_LENGTH: return next_in_length(h, in, ev);
    case IN_CHUNKS: return next_in_chunks(h, in, ev, diag);
    case IN_REST: return next_in_rest(h, in, ev, diag);
    case AT_END:
        finish(h);
        ev->kind = HTTP1_END;
        return ERR_NONE;
    case FAILED: return diag_set(diag, h->failed, "%s", h->fault.why);
    }
    CHECK(false);
}

int32_t http1_status(const struct http1 *h)
{
    return h->state == FAILED ? h->fault.status : 400;
}

const struct http1_head *http1_head(const struct http1 *h)
{
    return &h->head;
}

// What is a number stays: the status and keep_alive are still asked for when a stream ends.
void http1_forget_head(struct http1 *h)
{
    struct str none = {NULL, 0};
    free(h->storage);
    h->storage = NULL;
    h->storage_bytes = 0;
    h->head.method = h->head.target = h->head.path = h->head.query = h->head.host = none;
    h->head.headers = NULL;
    h->head.n_headers = 0;
    h->head.name_lengths = 0;
}

void http1_expect_no_body(struct http1 *h)
{
    h->no_body = true;
}

bool http1_eof(struct http1 *h)
{
    if (h->state != IN_REST && h->state != AT_END)
        return false;
    finish(h);
    return true;
}

bool http1_idle(const struct http1 *h)
{
    return h->state == IN_HEAD && !h->lines && !h->line_n && !h->interim;
}
