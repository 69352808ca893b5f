// A portfolio out of what was read: suppliers for accounts, pools for what has limits of its own.

#include "cli/import_pools.h"

enum { TEXT_MAX = 8 << 20 };

struct writer {
    struct import *im;
    struct buf *out;
    const struct import_pools *pools;
};

// A text of YAML: as it is where that is safe anywhere, else in quotes.
static void text(struct buf *out, struct str s)
{
    static const char *const words[] = {"true", "false", "yes", "no", "on",
                                        "off",  "null",  "y",   "n"};
    bool plain = s.n > 0 && ((s.p[0] | 32) >= 'a' && (s.p[0] | 32) <= 'z');
    for (size_t i = 0; i < s.n && plain; i++) {
        char c = s.p[i];
        plain = ((c | 32) >= 'a' && (c | 32) <= 'z') || (c >= '0' && c <= '9') ||
                (c && strchr("-_./", c));
    }
    for (size_t i = 0; i < COUNTOF(words); i++)
        plain = plain && !str_eq_nocase(s, str_of(words[i]));
    if (plain)
        buf_add_str(out, s);
    else
        buf_add_json(out, s);
}

static void pair(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "%s: ", key);
    text(out, value);
}

// What stands before the next entry of a flow map.
static void comma(struct buf *out, bool *any)
{
    if (*any)
        buf_lit(out, ", ");
    *any = true;
}

static void number(struct buf *out, bool *any, bool said, const char *key, double v,
                   const char *unit)
{
    if (!said)
        return;
    comma(out, any);
    buf_printf(out, "%s: %.10g%s", key, v, unit);
}

static int32_t longest_fallback(const struct import *im)
{
    int32_t most = 0;
    for (const struct import_alias *f = im->fallbacks; f; f = f->next) {
        int32_t n = 0;
        for (const struct import_alias *g = im->fallbacks; g; g = g->next)
            n += str_eq(f->from, g->from);
        most = n > most ? n : most;
    }
    return most;
}

static const char *policy_of(const struct import *im, struct str *policy)
{
    bool weights = false, orders = false;
    for (const struct import_deployment *d = im->first; d; d = d->next) {
        weights = weights || d->share >= 0;
        orders = orders || d->order >= 0;
    }
    *policy = im->policy;
    if (policy->n)
        return "routing_strategy";
    if (orders)
        *policy = STR("priority-spill");
    else if (weights)
        *policy = STR("static-split");
    return orders ? "the order of deployments" : "weights, or else rpm or tpm, as simple-shuffle";
}

static void write_serve(struct writer *w)
{
    struct import *im = w->im;
    struct buf *out = w->out;
    struct str policy;
    const char *why = policy_of(im, &policy);
    buf_lit(out, "serve:\n  listen: 127.0.0.1:8080  # LiteLLM's is 0.0.0.0:4000\n");
    if (policy.n)
        buf_printf(out, "  policy: " STR_FMT "  # from %s; the default, caudal, weighs money\n",
                   STR_ARG(policy), why);
    if (im->price_speed)
        buf_lit(out, "  default_class: fast\n");
    if (im->retries >= 0) {
        double max = 1 + im->retries + longest_fallback(im);
        buf_printf(out, "  attempts: {max: %g}  # num_retries %g, the first call, and fallbacks\n",
                   max > 100 ? 100 : max, im->retries);
    }
    bool any = false;
    if (im->failures >= 0 || im->open_s > 0) {
        buf_lit(out, "  breaker: {");
        number(out, &any, im->failures >= 0, "failures", im->failures + 1, "");
        number(out, &any, im->open_s > 0, "open", im->open_s, " s");
        number(out, &any, im->open_s > 60, "open_max", im->open_s, " s");
        buf_lit(out, "}  # from allowed_fails and cooldown_time\n");
    }
    if (im->body_mb > 0)
        buf_printf(out, "  limits: {body: %.10g MB}\n", im->body_mb);
    if (im->log_json || im->log_debug)
        buf_printf(out, "  log: {%s%s%s}\n", im->log_json ? "format: json" : "",
                   im->log_json && im->log_debug ? ", " : "", im->log_debug ? "level: debug" : "");
    if (im->price_speed)
        buf_lit(out, "classes:\n  fast: {time_value: {ttft: 100 USD/h, per_token: 100 USD/h}}\n");
}

static void write_suppliers(struct writer *w)
{
    buf_lit(w->out, "suppliers:\n");
    for (int32_t i = 0; i < w->pools->n_suppliers; i++) {
        const struct import_deployment *d = w->pools->of_supplier[i];
        double first = d->first_byte_s > 0 ? d->first_byte_s : w->im->timeout_s;
        double idle = d->idle_s > 0 ? d->idle_s : first;
        buf_lit(w->out, "  ");
        text(w->out, w->pools->supplier_name[i]);
        buf_lit(w->out, ": {");
        pair(w->out, "api", str_of(d->provider->api));
        if (d->url.n) {
            buf_lit(w->out, ", ");
            pair(w->out, "url", d->url);
        }
        if (d->key.n) {
            buf_lit(w->out, ", ");
            pair(w->out, "key", d->key);
        }
        bool any = true;
        number(w->out, &any, first > 0, "first_byte", first, " s");
        number(w->out, &any, idle > 0, "idle", idle, " s");
        buf_lit(w->out, "}\n");
    }
}

static void write_prices(struct buf *out, const struct import_prices *p)
{
    bool any = false;
    if (p->input < 0 && p->output < 0)
        return;
    buf_lit(out, ", price: {");
    number(out, &any, p->input >= 0, "input", p->input * 1e6, " USD/Mtok");
    number(out, &any, p->cached_input >= 0, "cached_input", p->cached_input * 1e6, " USD/Mtok");
    number(out, &any, p->cache_write >= 0, "cache_write", p->cache_write * 1e6, " USD/Mtok");
    number(out, &any, p->output >= 0, "output", p->output * 1e6, " USD/Mtok");
    buf_lit(out, "}");
}

static void write_serving(struct writer *w, const struct import_deployment *d, struct str name)
{
    bool any = true;
    buf_lit(w->out, "      ");
    text(w->out, name);
    buf_lit(w->out, ": {");
    pair(w->out, "as", d->as);
    write_prices(w->out, &d->prices);
    number(w->out, &any, d->context >= 1, "context", d->context, "");
    number(w->out, &any, d->output_max >= 1, "output_max", d->output_max, "");
    if (d->surfaces)
        buf_printf(w->out, ", surfaces: [%s]", d->surfaces);
    buf_printf(w->out, "}  # line %d\n", (int)d->line);
}

// A deployment without an order comes after all that have one, as in LiteLLM.
static double order_of(const struct import *im, const struct import_deployment *d)
{
    double most = -1;
    for (const struct import_deployment *x = im->first; x; x = x->next)
        most = x->order > most ? x->order : most;
    return d->order >= 0 ? d->order : most + 1;
}

static void write_pool_limits(struct writer *w, const struct import_deployment *d)
{
    bool any = false, ordered = order_of(w->im, d) > 0;
    if (d->requests_per_min > 0 || d->tokens_per_min > 0 || d->in_flight > 0) {
        buf_lit(w->out, "    limits: {");
        number(w->out, &any, d->in_flight > 0, "in_flight", d->in_flight, "");
        number(w->out, &any, d->requests_per_min > 0, "requests", d->requests_per_min, "/min");
        number(w->out, &any, d->tokens_per_min > 0, "tokens", d->tokens_per_min, "/min");
        buf_lit(w->out, "}\n");
    }
    if (d->share >= 0)
        buf_printf(w->out, "    weight: %.10g\n", d->share);
    if (ordered)
        buf_printf(w->out, "    priority: %.10g\n", order_of(w->im, d));
}

static void write_pools(struct writer *w)
{
    buf_lit(w->out, "pools:\n");
    for (int32_t g = 0; g < w->pools->n_pools; g++) {
        const struct import_deployment *first = w->pools->pools[g].first;
        int32_t i = 0;
        buf_lit(w->out, "  ");
        text(w->out, w->pools->pools[g].name);
        buf_lit(w->out, ":\n    ");
        pair(w->out, "supplier", w->pools->supplier_name[first->supplier]);
        buf_lit(w->out, "\n");
        write_pool_limits(w, first);
        buf_lit(w->out, "    serves:\n");
        for (const struct import_deployment *d = w->im->first; d; d = d->next, i++) {
            if (w->pools->pool_of[i] != g)
                continue;
            write_serving(w, d, d->model);
            for (const struct import_alias *x = w->im->aliases; x; x = x->next)
                if (str_eq(x->to, d->model) && !import_pool_serves(w->pools, g, x->from))
                    write_serving(w, d, x->from);
        }
    }
}

static bool is_deployed(const struct import *im, struct str model)
{
    for (const struct import_deployment *d = im->first; d; d = d->next)
        if (str_eq(d->model, model))
            return true;
    return false;
}

static bool is_served(const struct import *im, struct str model)
{
    for (const struct import_alias *x = im->aliases; x; x = x->next)
        if (str_eq(x->from, model) && is_deployed(im, x->to))
            return true;
    return is_deployed(im, model);
}

// Whether an entry before `end` already gives `to` to `from`.
static bool is_repeated(const struct import_alias *list, const struct import_alias *end,
                        struct str from)
{
    for (; list != end; list = list->next)
        if (str_eq(list->to, end->to) && (str_eq(list->from, from) || str_eq(list->from, STR("*"))))
            return true;
    return false;
}

static int32_t write_group(struct writer *w, struct str model)
{
    struct import *im = w->im;
    int32_t n = 0;
    for (const struct import_alias *f = im->fallbacks; f; f = f->next) {
        bool its = str_eq(f->from, model) || str_eq(f->from, STR("*"));
        if (!its || str_eq(f->to, model) || !is_served(im, f->to) ||
            is_repeated(im->fallbacks, f, model))
            continue;
        if (!n++) {
            buf_lit(w->out, "  ");
            text(w->out, arena_printf(im->a, "for-" STR_FMT, STR_ARG(model)));
            buf_lit(w->out, ": [");
            text(w->out, model);
        }
        buf_lit(w->out, ", ");
        text(w->out, f->to);
    }
    if (n)
        buf_lit(w->out, "]\n");
    return n;
}

static void write_groups(struct writer *w)
{
    struct import *im = w->im;
    int32_t n = 0;
    if (!im->fallbacks)
        return;
    buf_lit(w->out,
            "groups:  # from fallbacks; the models of a group stand in for each other, both "
            "ways\n");
    for (const struct import_deployment *d = im->first; d; d = d->next) {
        bool first = true;
        for (const struct import_deployment *x = im->first; x != d; x = x->next)
            first = first && !str_eq(x->model, d->model);
        if (first)
            n += write_group(w, d->model);
    }
    for (const struct import_alias *x = im->aliases; x; x = x->next)
        if (is_served(im, x->from))
            n += write_group(w, x->from);
    if (!n)
        buf_lit(w->out, "  {}\n");
}

static void note_fallbacks(struct import *im)
{
    for (const struct import_alias *f = im->fallbacks; f; f = f->next) {
        struct yaml_node at = {.place = {.line = f->line}};
        if (!is_served(im, f->to) || (!str_eq(f->from, STR("*")) && !is_served(im, f->from)))
            import_note(im, &at, "fallbacks",
                        "from " STR_FMT " to " STR_FMT " names a model that no pool serves",
                        STR_ARG(f->from), STR_ARG(f->to));
    }
    for (const struct import_alias *x = im->aliases; x; x = x->next) {
        struct yaml_node at = {.place = {.line = x->line}};
        if (!is_served(im, x->from))
            import_note(im, &at, "model_group_alias",
                        STR_FMT " stands for a model that no pool serves", STR_ARG(x->from));
    }
}

// The variables that `body` needs, each once; not those that may be empty.
static void write_variables(struct buf *out, struct str body)
{
    struct str rest = body;
    size_t at, seen, shown = 0;
    while (rest.p && str_find(rest, STR("${"), &at)) {
        bool escaped = at > 0 && rest.p[at - 1] == '$';
        struct str all = str_skip(rest, at), name;
        rest = str_skip(rest, at + 2);
        struct str from = rest;
        if (escaped || !str_cut(&from, '}', &name) || memchr(name.p, ':', name.n))
            continue;
        all.n = name.n + sizeof "${}" - 1;
        struct str before = {body.p, (size_t)(all.p - body.p)};
        if (!str_find(before, all, &seen))
            buf_printf(out, "%s" STR_FMT,
                       shown++ ? " " : "# It needs in its environment: ", STR_ARG(name));
    }
    if (shown)
        buf_lit(out, "\n#\n");
}

static void write_head(struct buf *out, const struct import *im, struct str body)
{
    bool unpriced = false;
    for (const struct import_deployment *d = im->first; d; d = d->next)
        unpriced = unpriced || (d->prices.input < 0 && d->prices.output < 0);
    buf_printf(out,
               "# From " STR_FMT
               ", by `caudal import litellm`. Look at it with `caudal check`, then\n"
               "# start it beside the old gateway with `caudal serve`.\n#\n",
               STR_ARG(im->file));
    write_variables(out, body);
    if (unpriced)
        buf_lit(out, "# LiteLLM knows list prices by the names of models; a portfolio states them. "
                     "Where one\n# has no price, its tokens count as free: add price: {input: , "
                     "output: } in USD/Mtok.\n#\n");
    if (im->notes)
        buf_lit(out, "# Not carried over, or not in the same way:\n");
    for (const struct import_note *n = im->notes; n; n = n->next)
        buf_printf(out, "#   line %d, " STR_FMT ": " STR_FMT "\n", (int)n->line, STR_ARG(n->what),
                   STR_ARG(n->why));
    if (im->notes)
        buf_lit(out, "#\n");
}

void import_write(struct buf *out, struct import *im)
{
    struct buf body;
    struct import_pools pools;
    if (!import_pools_make(&pools, im))
        return;
    buf_init(&body, TEXT_MAX);
    struct writer w = {im, &body, &pools};
    note_fallbacks(im);
    write_serve(&w);
    write_suppliers(&w);
    write_pools(&w);
    write_groups(&w);
    if (im->master[0])
        buf_printf(&body,
                   "tenants:\n  litellm-master:  # whoever has the master key\n    keys: [%s]\n",
                   im->master);
    write_head(out, im, buf_str(&body));
    buf_lit(out, "caudal: 1\n");
    buf_add_str(out, buf_str(&body));
    im->full = im->full || body.overflow || out->overflow;
    buf_release(&body);
}
