// caudal replay convert - a trace in our own form: 16 bytes a request, read fastest.

#include "cli/cmd_replay.h"

#include "base/arena.h"
#include "cli/options.h"
#include "io/stream.h"
#include "wire/trace.h"

#include <stdio.h>
#include <stdlib.h>

enum { FLUSH_BYTES = 256 << 10, OUT_BYTES = 4 << 20 };

struct convert {
    bool sort;
    int32_t skip_bad;
    struct stream_in in;
    struct stream_out out;
    struct trace *trace;
    struct trace_writer writer;
    struct buf buf;
    int64_t skipped;
    char first_fault[DIAG_BYTES];
    struct kept {
        struct trace_item item;
        size_t block, order;
    } * kept;
    uint64_t *blocks;
    size_t n_kept, kept_size, n_blocks, blocks_size;
};

static enum err read_piece(void *ctx, struct str *bytes, struct diag *diag)
{
    return stream_in_read(ctx, bytes, diag);
}

static enum err flush(struct convert *c, size_t over, struct diag *diag)
{
    if (buf_len(&c->buf) <= over)
        return ERR_NONE;
    enum err e = stream_out_write(&c->out, buf_str(&c->buf), diag);
    buf_clear(&c->buf);
    return e;
}

static enum err put(struct convert *c, const struct trace_item *item, struct diag *diag)
{
    // The date is known when the first request has been read, or never.
    if (c->writer.count == 0)
        trace_write_begin(&c->writer, &c->buf, trace_wall_us(c->trace));
    if (!trace_write(&c->writer, &c->buf, c->trace, item))
        return diag_set(diag, ERR_LIMIT, "a request does not fit %d bytes", OUT_BYTES);
    return flush(c, FLUSH_BYTES, diag);
}

static enum err next(struct convert *c, struct trace_item *item, bool *more, struct diag *diag)
{
    for (;;) {
        struct diag why = {0};
        enum err e = trace_next(c->trace, item, more, &why);
        if (!e)
            return ERR_NONE;
        if (trace_is_broken(c->trace) || c->skipped >= c->skip_bad)
            return diag_set(diag, e, "%s", why.text);
        if (c->skipped++ == 0)
            memcpy(c->first_fault, why.text, sizeof why.text);
    }
}

static void keep(struct convert *c, const struct trace_item *item)
{
    c->kept = take_more(c->kept, &c->kept_size, c->n_kept + 1, sizeof *c->kept);
    c->blocks = take_more(c->blocks, &c->blocks_size, c->n_blocks + (size_t)item->n_blocks,
                          sizeof *c->blocks);
    if (item->n_blocks)
        memcpy(c->blocks + c->n_blocks, item->blocks, (size_t)item->n_blocks * sizeof *c->blocks);
    c->kept[c->n_kept] = (struct kept){*item, c->n_blocks, c->n_kept};
    c->n_kept++;
    c->n_blocks += (size_t)item->n_blocks;
}

static int by_time(const void *x, const void *y)
{
    const struct kept *a = x, *b = y;
    if (a->item.at_us != b->item.at_us)
        return a->item.at_us < b->item.at_us ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static enum err put_kept(struct convert *c, struct diag *diag)
{
    if (c->n_kept)
        qsort(c->kept, c->n_kept, sizeof *c->kept, by_time);
    for (size_t i = 0; i < c->n_kept; i++) {
        c->kept[i].item.blocks = c->kept[i].item.n_blocks ? c->blocks + c->kept[i].block : NULL;
        enum err e = put(c, &c->kept[i].item, diag);
        if (e)
            return e;
    }
    return ERR_NONE;
}

static enum err copy(struct convert *c, struct diag *diag)
{
    for (;;) {
        struct trace_item item;
        bool more;
        enum err e = next(c, &item, &more, diag);
        if (e)
            return e;
        if (!more)
            break;
        if (c->sort) {
            keep(c, &item);
            continue;
        }
        if (item.at_us < c->writer.last_us)
            return diag_set(
                diag, ERR_INVALID,
                "%s:%lld: time goes back, from %.6f s to %.6f s; --sort puts it in order",
                c->in.name, (long long)trace_line(c->trace), (double)c->writer.last_us / 1e6,
                (double)item.at_us / 1e6);
        e = put(c, &item, diag);
        if (e)
            return e;
    }
    enum err e = put_kept(c, diag);
    if (!e && c->writer.count == 0)
        e = diag_set(diag, ERR_INVALID, "%s: the trace is empty", c->in.name);
    if (e)
        return e;
    trace_write_end(&c->writer, &c->buf);
    e = flush(c, 0, diag);
    return e ? e : stream_out_finish(&c->out, diag);
}

static enum err convert(struct convert *c, char **names, struct diag *diag)
{
    c->out.fd = -1;
    enum err e = stream_in_open(&c->in, names[0], diag);
    if (e)
        return e;
    const struct trace_source source = {&c->in, read_piece};
    e = trace_new(&c->trace, str_of(c->in.name), &source, diag);
    if (!e)
        e = stream_out_open(&c->out, names[1], diag);
    if (!e)
        e = copy(c, diag);
    if (e)
        stream_out_drop(&c->out);
    return e;
}

int replay_convert(int argc, char **argv)
{
    struct convert c = {.in = {.fd = -1}};
    int n;
    const struct option_row rows[] = {
        option_flag("--sort", &c.sort, "put it in order of time, in memory"),
        option_count("--skip-bad", "N", &c.skip_bad, 0, INT32_MAX,
                     "pass over so many faulty lines"),
    };
    const struct command command = {
        .name = "replay convert",
        .usage = "[--sort] [--skip-bad N] IN OUT",
        .about = "Writes the trace IN to OUT in our own form; - is standard input or output.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 2,
        .operands_max = 2,
        .operand = "a trace to read and a file to write",
    };
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    struct diag diag = {0};
    buf_init(&c.buf, OUT_BYTES);
    enum err e = convert(&c, argv + 1, &diag);
    if (e)
        options_complain("replay convert", diag.text);
    else if (c.skipped) {
        char text[DIAG_BYTES + 64];
        snprintf(text, sizeof text, "%lld faulty lines passed over, the first: %s",
                 (long long)c.skipped, c.first_fault);
        options_complain("replay convert", text);
    }
    trace_free(c.trace);
    stream_in_close(&c.in);
    buf_release(&c.buf);
    free(c.kept);
    free(c.blocks);
    return e ? EXIT_FAILED : EXIT_DONE;
}
