#include "gateway/span.h"

#include "io/tls.h"

#include <inttypes.h>

enum { STATUS_ERROR = 2 };

void span_begin(struct span_writer *w, uint64_t id, uint64_t parent, enum span_kind kind,
                struct str name)
{
    char trace[2 * sizeof w->of->trace + 1];
    hex_of(trace, w->of->trace, sizeof w->of->trace);
    buf_printf(w->out, "{\"traceId\":\"%s\",\"spanId\":\"%016" PRIx64 "\",\"kind\":%d,\"flags\":1",
               trace, id, (int)kind);
    if (parent)
        buf_printf(w->out, ",\"parentSpanId\":\"%016" PRIx64 "\"", parent);
    if (w->of->state.n) {
        buf_lit(w->out, ",\"traceState\":");
        buf_add_json(w->out, w->of->state);
    }
    buf_lit(w->out, ",\"name\":");
    buf_add_json(w->out, name);
}

void span_instant(struct span_writer *w, const char *key, int64_t at_us)
{
    buf_printf(w->out, "\"%s\":\"%" PRId64 "000\"", key, at_us + w->wall_us);
}

void span_times(struct span_writer *w, int64_t from_us, int64_t to_us)
{
    buf_lit(w->out, ",");
    span_instant(w, "startTimeUnixNano", from_us);
    buf_lit(w->out, ",");
    span_instant(w, "endTimeUnixNano", to_us);
}

void span_attributes(struct span_writer *w)
{
    buf_lit(w->out, ",\"attributes\":[");
    w->any = false;
}

static void begin_item(struct span_writer *w, const char *key)
{
    buf_printf(w->out, "%s{\"key\":\"%s\",\"value\":", w->any ? "," : "", key);
    w->any = true;
}

void span_text(struct span_writer *w, const char *key, struct str value)
{
    if (!value.n)
        return;
    begin_item(w, key);
    buf_lit(w->out, "{\"stringValue\":");
    buf_add_json(w->out, value);
    buf_lit(w->out, "}}");
}

void span_whole(struct span_writer *w, const char *key, int64_t value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"intValue\":\"%" PRId64 "\"}}", value);
}

void span_real(struct span_writer *w, const char *key, double value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"doubleValue\":%.9g}}", value);
}

void span_truth(struct span_writer *w, const char *key, bool value)
{
    begin_item(w, key);
    buf_printf(w->out, "{\"boolValue\":%s}}", value ? "true" : "false");
}

void span_attributes_end(struct span_writer *w)
{
    buf_lit(w->out, "]");
}

void span_end(struct span_writer *w, bool failed)
{
    if (failed)
        buf_printf(w->out, ",\"status\":{\"code\":%d}", STATUS_ERROR);
    buf_lit(w->out, "}");
}
