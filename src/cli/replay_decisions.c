#include "cli/replay_decisions.h"

#include "cli/explain_view.h"
#include "cli/options.h"
#include "cli/receipt.h"
#include "portfolio/check.h"
#include "replay/decisions.h"
#include "wire/explain.h"

#include <inttypes.h>
#include <stdio.h>

enum { OUTPUT_MAX = 64 << 20, VERDICT_BYTES = 512 };

static const char *const ends[] = {
    [DECISIONS_WHOLE] = "",
    [DECISIONS_CUT_SHORT] = "It does not say that it ends: its gateway still runs, or was killed.",
    [DECISIONS_FULL] = "It ended when it had its size (serve.events_size).",
    [DECISIONS_DIFFERS] = "What is behind it is not compared: the two are in different states.",
    [DECISIONS_LACKS] = "It lacks records there, and what is behind them cannot be compared.",
    [DECISIONS_RELOADED] = "There the gateway went over to another portfolio: what is behind it is "
                           "not compared.",
};

static const char *const end_words[] = {
    [DECISIONS_WHOLE] = "whole", [DECISIONS_CUT_SHORT] = "open",
    [DECISIONS_FULL] = "full",   [DECISIONS_DIFFERS] = "differs",
    [DECISIONS_LACKS] = "lacks", [DECISIONS_RELOADED] = "reloaded",
};

// "send to wafer, 316.920 millionths of a USD"
static void add_verdict(struct buf *out, const struct portfolio *p, const struct route_decision *d)
{
    static const char *const verdicts[] = {
        [ROUTE_SEND] = "send to ", [ROUTE_WAIT] = "wait", [ROUTE_REFUSE] = "refuse"};
    if (d->verdict != ROUTE_SEND && !d->bar && d->why) {
        buf_add_str(out, str_of(d->why));
        return;
    }
    buf_add_str(out, str_of(verdicts[d->verdict]));
    if (d->verdict != ROUTE_SEND)
        buf_join(out, STR(": "), str_of(route_bar_text(d->bar)));
    else if (d->pool >= 0 && d->pool < p->n_pools && d->model >= 0 && d->model < p->n_models)
        buf_printf(out,
                   STR_FMT ", model " STR_FMT ", of %d that may, total %.6f millionths of a USD",
                   STR_ARG(p->pools[d->pool].name), STR_ARG(p->models[d->model].name), d->usable,
                   d->terms.total / 1e3);
    else
        buf_lit(out, "a pool that is not there");
}

static void add_candidates(struct buf *out, const struct portfolio *p,
                           const struct decisions_result *r, bool json)
{
    struct buf text;
    struct explained e = {.p = p,
                          .ask = &r->ask,
                          .now_us = r->now_us,
                          .decision = &r->found,
                          .candidates = r->candidates,
                          .n = r->n};
    buf_init(&text, OUTPUT_MAX);
    explain_json(&text, &e);
    if (json)
        buf_add_str(out, buf_str(&text));
    else
        explain_view(out, buf_str(&text));
    buf_release(&text);
}

static void add_text(struct buf *out, const struct replay_options *o, const struct portfolio *p,
                     const struct decisions_result *r)
{
    bool differs = r->end == DECISIONS_DIFFERS;
    buf_printf(out, STR_FMT ": %" PRId64 " records, %" PRId64 " of %" PRId64 " answers equal\n",
               STR_ARG(o->decisions), r->records, r->equal, r->answers);
    if (differs) {
        buf_printf(out, "\nThe first that differs is record %" PRIu64 ".\nserve     ", r->number);
        add_verdict(out, p, &r->said);
        buf_lit(out, "\nhere      ");
        add_verdict(out, p, &r->found);
        buf_lit(out, "\n");
        if (r->candidates) {
            buf_lit(out, "\n");
            add_candidates(out, p, r, false);
        }
        buf_lit(out, "\n");
    }
    if (ends[r->end][0])
        buf_join(out, str_of(ends[r->end]), STR("\n"));
}

static void add_json(struct buf *out, const struct portfolio *p, const struct decisions_result *r)
{
    struct buf said, found;
    buf_init(&said, VERDICT_BYTES);
    buf_init(&found, VERDICT_BYTES);
    buf_printf(out,
               "{\"records\":%" PRId64 ",\"answers\":%" PRId64 ",\"equal\":%" PRId64
               ",\"generations\":%" PRId64 ",\"end\":\"%s\",\"lost\":%" PRIu64,
               r->records, r->answers, r->equal, r->generations, end_words[r->end], r->lost);
    if (r->end == DECISIONS_DIFFERS) {
        add_verdict(&said, p, &r->said);
        add_verdict(&found, p, &r->found);
        buf_printf(out, ",\"differs\":{\"record\":%" PRIu64 ",\"serve\":", r->number);
        buf_add_json(out, buf_str(&said));
        buf_lit(out, ",\"here\":");
        buf_add_json(out, buf_str(&found));
        if (r->candidates) {
            buf_lit(out, ",\"explained\":");
            add_candidates(out, p, r, true);
        }
        buf_lit(out, "}");
    }
    buf_lit(out, "}\n");
    buf_release(&said);
    buf_release(&found);
}

int replay_decisions(struct arena *a, const struct replay_options *o, const struct portfolio *p)
{
    struct diag diag = {0};
    struct decisions_result r;
    struct buf raw, clean;
    buf_init(&raw, OUTPUT_MAX);
    buf_init(&clean, OUTPUT_MAX);
    enum err e = decisions_run(&r, a, p, o->decisions, &diag);
    bool some = !e || r.records > 0;  // also in front of a fault
    if (some && o->json)
        add_json(&raw, p, &r);
    else if (some)
        add_text(&raw, o, p, &r);
    bool ok = secrets_hide(&clean, p, buf_str(&raw)) && !raw.overflow;
    struct str text = buf_str(&clean);
    ok = ok && (!text.n || fwrite(text.p, 1, text.n, stdout) == text.n) && !fflush(stdout);
    buf_clear(&raw);
    add_shown(&raw, str_of(e ? diag.text : "the output could not be written"));
    if (e || !ok)
        fprintf(stderr, "caudal replay: " STR_FMT "\n", STR_ARG(buf_str(&raw)));
    buf_release(&raw);
    buf_release(&clean);
    return e || !ok || r.end == DECISIONS_DIFFERS ? EXIT_FAILED : EXIT_DONE;
}
