#include "wire/http1_chunked.h"

enum { DIGITS_MAX = 16 };  // of a chunk size: fits a uint64_t, leading zeros counted

enum {
    SIZE,       // in the hex digits
    EXTENSION,  // behind ';'
    SIZE_LF,    // behind the CR of the size line
    DATA,       // `left` bytes to come
    DATA_CR,    // behind the data
    DATA_LF,
    TRAILER,  // at the start of a line after the last chunk
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,  // behind the CR of the empty line
};

void http1_chunked_init(struct http1_chunked *c)
{
    *c = (struct http1_chunked){0};
}

static enum http1_chunk_step bad(struct http1_fault *f, int32_t status, const char *why)
{
    *f = (struct http1_fault){status, why};
    return CHUNK_BAD;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum http1_chunk_step on_size(struct http1_chunked *c, char byte, int64_t room,
                                     struct http1_fault *f)
{
    int v = hex_value(byte);
    if (v >= 0) {
        if (c->digits++ == DIGITS_MAX)
            return bad(f, 400, "a chunk size of too many digits");
        c->left = c->left << 4 | (uint64_t)v;
        return CHUNK_MORE;
    }
    if (!c->digits || (byte != '\r' && byte != ';'))
        return bad(f, 400, "a chunk size that is not hexadecimal");
    if (c->left > (uint64_t)room)
        return bad(f, 413, "the body is too long");
    c->state = byte == '\r' ? SIZE_LF : EXTENSION;
    return CHUNK_MORE;
}

// Everything but the sizes and the data is one byte a turn: it is rare and short.
static enum http1_chunk_step on_byte(struct http1_chunked *c, char byte, int64_t room,
                                     const struct http1_limits *limits, struct http1_fault *f)
{
    bool is_extra = c->state == EXTENSION || c->state >= TRAILER;
    if (is_extra && ++c->extra_bytes > limits->head_bytes)
        return bad(f, 431, "the trailers or chunk extensions are too long");
    switch (c->state) {
    case SIZE: return on_size(c, byte, room, f);
    case EXTENSION:
        if (byte == '\r')
            c->state = SIZE_LF;
        else if (!http1_is(byte, HTTP1_VALUE) || (unsigned char)byte >= 0x80)
            return bad(f, 400, "a control character in a chunk extension");
        return CHUNK_MORE;
    case SIZE_LF:
        if (byte != '\n')
            return bad(f, 400, "a chunk size line that does not end with CRLF");
        c->state = c->left ? DATA : TRAILER;
        return CHUNK_MORE;
    case DATA_CR:
        if (byte != '\r')
            return bad(f, 400, "chunk data that goes on after its end");
        c->state = DATA_LF;
        return CHUNK_MORE;
    case DATA_LF:
        if (byte != '\n')
            return bad(f, 400, "chunk data that does not end with CRLF");
        c->state = SIZE;
        c->digits = 0;
        return CHUNK_MORE;
    case TRAILER:
        if (byte == '\r') {
            c->state = LAST_LF;
            return CHUNK_MORE;
        }
        if (!http1_is(byte, HTTP1_TOKEN))
            return bad(f, 400, "a trailer name that is not a token");
        if (c->trailers++ == limits->headers)
            return bad(f, 431, "too many trailers");
        c->state = TRAILER_NAME;
        return CHUNK_MORE;
    case TRAILER_NAME:
        if (byte == ':')
            c->state = TRAILER_VALUE;
        else if (!http1_is(byte, HTTP1_TOKEN))
            return bad(f, 400, "a trailer name that is not a token");
        return CHUNK_MORE;
    case TRAILER_VALUE:
        if (byte == '\r')
            c->state = TRAILER_LF;
        else if (!http1_is(byte, HTTP1_VALUE))
            return bad(f, 400, "a control character in a trailer");
        return CHUNK_MORE;
    case TRAILER_LF:
    case LAST_LF:
        if (byte != '\n')
            return bad(f, 400, "a trailer line that does not end with CRLF");
        if (c->state == LAST_LF)
            return CHUNK_END;
        c->state = TRAILER;
        return CHUNK_MORE;
    default: CHECK(false);
    }
}

enum http1_chunk_step http1_chunked_next(struct http1_chunked *c, struct str *in, int64_t room,
                                         const struct http1_limits *limits, struct str *data,
                                         struct http1_fault *f)
{
    while (in->n) {
        if (c->state == DATA) {
            *data = (struct str){in->p, c->left < in->n ? (size_t)c->left : in->n};
            *in = str_skip(*in, data->n);
            c->left -= data->n;
            if (!c->left)
                c->state = DATA_CR;
            return CHUNK_DATA;
        }
        char byte = in->p[0];
        *in = str_skip(*in, 1);
        enum http1_chunk_step step = on_byte(c, byte, room, limits, f);
        if (step != CHUNK_MORE)
            return step;
    }
    return CHUNK_MORE;
}
