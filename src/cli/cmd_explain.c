// caudal explain - why a request goes where it goes: every pool that might have it, what it would
// cost there, and what bars it.
//
//   a portfolio      -> a router that has seen nothing yet ---.
//   --url: /admin/explain of a running gateway, as it is now --+-> JSON -> explain_view.c

#include "cli/cmd_explain.h"

#include "base/units.h"
#include "cli/explain_view.h"
#include "cli/load.h"
#include "cli/operator.h"
#include "cli/options.h"
#include "route/live.h"
#include "route/pace.h"
#include "route/policy.h"
#include "wire/explain.h"
#include "wire/json.h"

#include <stdio.h>
#include <time.h>

enum { OUTPUT_MAX = 16 << 20, ROUTER_BYTES_MAX = 1 << 30 };
static const int64_t now_us = S(1);  // of a clock that began with the command

struct explain_options {
    struct explain_asked asked;
    struct str policy;
    int64_t at_us;  // wall time; -1: not said
    bool json;
    struct operator gateway;
    struct str url;
    char **paths;
    int n_paths;
};

static enum err read_at(void *to, struct str value, struct diag *diag)
{
    return unit_instant(to, value, diag);
}

// The exit status, or OPTIONS_GO.
static int read_options(struct explain_options *o, int argc, char **argv)
{
    *o = (struct explain_options){.asked = {.prompt_tok = 1000, .output_tok = 256},
                                  .at_us = -1,
                                  .gateway = operator_default(),
                                  .paths = argv + 1};
    const struct option_row rows[] = {
        option_text("--model", "NAME", &o->asked.model,
                    "the model, or the group, that is asked for"),
        option_text("--class", "NAME", &o->asked.class,
                    "how it is to be answered; the default one"),
        option_text("--tenant", "NAME", &o->asked.tenant, "who asks; nobody in particular"),
        option_count("--prompt", "N", &o->asked.prompt_tok, 0, INT32_MAX,
                     "tokens of the prompt; 1000"),
        option_count("--output", "N", &o->asked.output_tok, 1, INT32_MAX,
                     "tokens that the answer is expected to have; 256"),
        option_count("--max", "N", &o->asked.output_tok_max, 1, INT32_MAX,
                     "tokens that it may have at most"),
        option_flag("--stand-in", &o->asked.stand_in,
                    "other models of the group may answer, as after\nattempts.stand_in_after"),
        option_text("--policy", "NAME", &o->policy, "instead of the portfolio's"),
        option_custom("--at", "TIME", &o->at_us, read_at, "as if it were then; now"),
        option_text("--url", "URL", &o->url,
                    "instead of a file: the admin address of a gateway that\nruns; its state now"),
        option_text("--key", "KEY", &o->gateway.key,
                    "of an operator; better in the environment, as\nCAUDAL_ADMIN_KEY"),
        option_flag("--json", &o->json, "the same for programs"),
        WEB_TRUST_OPTIONS(&o->gateway.trust),
    };
    const struct command command = {
        .name = "explain",
        .usage = "(P | --url URL) --model NAME [OPTIONS]",
        .about =
            "Says which pool a request would go to and why: every pool that serves the model,\n"
            "what bars it, what the request would cost there, term by term, and how fast it\n"
            "is expected to answer. Of a portfolio file P as if nothing had happened yet and\n"
            "commitments had been used evenly, or of a running gateway as it is.",
        .more = "Exit status: 0 done, 1 failed, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 0,
        .operands_max = INT32_MAX,
    };
    int status = options_begin(&command, argc, argv, &o->n_paths);
    if (status != OPTIONS_GO)
        return status;
    if (!o->asked.model.n)
        return options_wrong("explain", "--model is missing");
    if (!o->url.n && !o->n_paths)
        return options_wrong("explain", "expected a portfolio file, or --url");
    if (o->url.n && (o->n_paths || o->policy.n || o->at_us >= 0))
        return options_wrong("explain", "--url asks a gateway as it is: no file, --policy or --at");
    return OPTIONS_GO;
}

static int fail(const char *what)
{
    return options_complain("explain", what);
}

static int show(const struct explain_options *o, struct str json)
{
    struct buf out;
    buf_init(&out, OUTPUT_MAX);
    if (o->json)
        buf_join(&out, str_trim(json), STR("\n"));
    else
        explain_view(&out, json);
    struct str text = buf_str(&out);
    bool written = !out.overflow && fwrite(text.p, 1, text.n, stdout) == text.n && !fflush(stdout);
    buf_release(&out);
    return written ? EXIT_DONE : fail("the output could not be written");
}

// --- a running gateway ------------------------------------------------------------------------

static int ask_gateway(struct explain_options *o)
{
    struct buf body, answer;
    struct diag diag = {0};
    buf_init(&body, OUTPUT_MAX);
    buf_init(&answer, OUTPUT_MAX);
    buf_lit(&body, "{\"model\":");
    buf_add_json(&body, o->asked.model);
    if (o->asked.class.n) {
        buf_lit(&body, ",\"class\":");
        buf_add_json(&body, o->asked.class);
    }
    if (o->asked.tenant.n) {
        buf_lit(&body, ",\"tenant\":");
        buf_add_json(&body, o->asked.tenant);
    }
    buf_printf(&body, ",\"prompt_tok\":%d,\"output_tok\":%d,\"output_tok_max\":%d,\"stand_in\":%d}",
               o->asked.prompt_tok, o->asked.output_tok, o->asked.output_tok_max,
               o->asked.stand_in);
    o->gateway.url = o->url;
    enum err e =
        operator_call(&o->gateway, "POST", STR("/admin/explain"), buf_str(&body), &answer, &diag);
    if (!e)
        e = json_validate(str_trim(buf_str(&answer)), &diag);
    int status = e ? fail(diag.text) : show(o, str_trim(buf_str(&answer)));
    buf_release(&body);
    buf_release(&answer);
    return status;
}

// --- a file -----------------------------------------------------------------------------------

// As much is used as an even pace would have used: nobody has said how much it was.
static void use_evenly(struct route *r, const struct portfolio *p, int64_t wall_us)
{
    for (int32_t i = 0; i < p->n_contracts; i++) {
        struct pace c = {0};
        struct pace_terms terms = pace_terms_of(&p->contracts[i]);
        if (!(terms.amount > 0))
            continue;
        pace_see(&c, &terms, wall_us);
        struct pace_outlook o = pace_outlook(&c, wall_us);
        double used = o.gone > 0 ? c.amount * o.gone : 0;
        route_commitment_used(r, i, used, now_us, wall_us);
    }
}

static enum err make_router(struct route **out, struct arena *a, const struct portfolio *p,
                            struct diag *diag)
{
    struct live *live;
    int32_t pairs = 1, names = p->n_pools > p->n_contracts ? p->n_pools : p->n_contracts;
    for (int32_t i = 0; i < p->n_pools; i++)
        pairs += p->pools[i].n_serves;
    enum err e = live_new(&live, a, names + 1, pairs);
    if (!e)
        e = route_new(out, a, p, live, arena_str(a, p->serve.policy).p, diag);
    if (e && !diag->text[0])
        diag_set(diag, e, "the portfolio is too large");
    return e;
}

static int explain(const struct explain_options *o, struct arena *a, struct portfolio *p)
{
    struct diag diag = {0};
    struct route *r;
    struct route_ask ask;
    struct buf raw, clean;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    int64_t wall_us = o->at_us >= 0 ? o->at_us : S(t.tv_sec) + t.tv_nsec / 1000;
    if (o->policy.n)
        p->serve.policy = o->policy;
    enum err e = explain_ask(&ask, p, &o->asked, now_us, wall_us, &diag);
    if (!e)
        e = make_router(&r, a, p, &diag);
    if (e)
        return fail(diag.text);
    use_evenly(r, p, wall_us);
    struct route_decision d = route_pick(r, &ask, now_us);
    int32_t n = route_explain(r, &ask, now_us, NULL, 0);
    struct route_candidate *all = arena_new(a, struct route_candidate, n + 1);
    if (!all)
        return fail("the portfolio is too large");
    route_explain(r, &ask, now_us, all, n);
    buf_init(&raw, OUTPUT_MAX);
    buf_init(&clean, OUTPUT_MAX);
    explain_json(
        &raw,
        &(struct explained){
            .p = p, .ask = &ask, .now_us = now_us, .decision = &d, .candidates = all, .n = n});
    int status = secrets_hide(&clean, p, buf_str(&raw)) && !raw.overflow
                     ? show(o, buf_str(&clean))
                     : fail("the output is too large");
    buf_release(&raw);
    buf_release(&clean);
    return status;
}

static int explain_file(const struct explain_options *o)
{
    struct arena a;
    struct portfolio p;
    struct problems problems;
    arena_init(&a, ROUTER_BYTES_MAX);
    problems_init(&problems, &a);
    enum err e = load_portfolio(&p, &a, o->paths, o->n_paths, &problems);
    int status;
    if (problems.errors) {
        load_print_errors(&p, &problems);
        status = EXIT_FAILED;
    } else {
        status = e ? fail(err_text(e)) : explain(o, &a, &p);
    }
    arena_release(&a);
    return status;
}

int cmd_explain(int argc, char **argv)
{
    struct explain_options o;
    int status = read_options(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    return o.url.n ? ask_gateway(&o) : explain_file(&o);
}
