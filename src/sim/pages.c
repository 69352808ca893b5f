// Pages that no model answers: what there is, how it is, and the tests' own under /sim/.

#include "sim/inside.h"

static void send_page(struct client *c)
{
    reply_whole(c, 200, "application/json", buf_str(&c->sim->event));
}

static void write_model(struct buf *out, const char *name)
{
    buf_lit(out, "{\"id\":");
    buf_add_json(out, str_of(name));
    buf_lit(out, ",\"object\":\"model\",\"created\":0,\"owned_by\":\"caudal-sim\"}");
}

static void list_models(struct client *c)
{
    struct sim *s = c->sim;
    buf_lit(&s->event, "{\"object\":\"list\",\"data\":[");
    for (int32_t i = 0; i < s->config.n_models; i++) {
        if (i)
            buf_lit(&s->event, ",");
        write_model(&s->event, s->models[i].name);
    }
    buf_lit(&s->event, "]}");
    send_page(c);
}

static int hex(char d)
{
    if (d >= '0' && d <= '9')
        return d - '0';
    d = (char)(d | 0x20);
    return d >= 'a' && d <= 'f' ? d - 'a' + 10 : -1;
}

// %2F and the like, in place.
static void percent_decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        int high = from[0] == '%' ? hex(from[1]) : -1;
        int low = high >= 0 ? hex(from[2]) : -1;
        if (low >= 0 && (high || low)) {
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from;
        }
    }
    *to = 0;
}

static void one_model(struct client *c)
{
    struct sim *s = c->sim;
    char *name = c->path + strlen("/v1/models/");
    percent_decode(name);
    bool known = s->config.any_model;
    for (int32_t i = 0; i < s->config.n_models; i++)
        known = known || str_eq(str_of(s->models[i].name), str_of(name));
    if (!known) {
        s->record.rejected++;
        reply_error(c, 404, "model_not_found", "there is no model of that name");
        return;
    }
    write_model(&s->event, name);
    send_page(c);
}

static void write_service(const struct sim *s, struct buf *out)
{
    int64_t running = 0, waiting = 0;
    for (int32_t i = 0; i < s->config.n_models; i++)
        if (s->models[i].steps) {
            running += service_sim_running(s->models[i].steps);
            waiting += service_sim_waiting(s->models[i].steps);
        }
    buf_printf(out, "\"running\":%lld,\"waiting\":%lld", (long long)running, (long long)waiting);
}

static void show_calls(struct client *c)
{
    const struct sim_record *r = &c->sim->record;
    struct buf *out = &c->sim->event;
    buf_printf(out, "{\"total\":%lld,\"by_path\":", (long long)r->total);
    sim_record_write_counts(&r->paths, out);
    buf_lit(out, ",\"by_model\":");
    sim_record_write_counts(&r->models, out);
    buf_printf(
        out,
        ",\"started\":%lld,\"finished\":%lld,\"cancelled\":%lld,\"faulted\":%lld,"
        "\"rejected\":%lld,\"now\":%lld,\"most\":%lld,\"streams_now\":%lld,\"streams_most\":%lld,",
        (long long)r->started, (long long)r->finished, (long long)r->cancelled,
        (long long)r->faulted, (long long)r->rejected, (long long)r->now, (long long)r->most,
        (long long)r->streams, (long long)r->streams_most);
    write_service(c->sim, out);
    buf_printf(out,
               ",\"tokens\":{\"prompt\":%lld,\"cached\":%lld,\"output\":%lld},"
               "\"connections\":{\"now\":%lld,\"most\":%lld,\"total\":%lld},",
               (long long)r->prompt_tok, (long long)r->cached_tok, (long long)r->output_tok,
               (long long)r->connections, (long long)r->connections_most,
               (long long)r->connections_total);
    sim_record_write_names(r, out);
    buf_lit(out, "}");
    send_page(c);
}

static void show_last(struct client *c)
{
    sim_record_write_last(&c->sim->record, &c->sim->event);
    send_page(c);
}

static void show_faults(struct client *c)
{
    buf_lit(&c->sim->event, "{\"faults\":");
    sim_faults_write(&c->sim->faults, &c->sim->event, loop_now_us(c->sim->loop));
    buf_lit(&c->sim->event, "}");
    send_page(c);
}

static void set_faults(struct client *c, struct str body)
{
    struct diag diag = {.e = ERR_NONE};
    if (sim_faults_replace(&c->sim->faults, body, &diag)) {
        reply_error(c, 400, "invalid_fault", diag.text);
        return;
    }
    show_faults(c);
}

static void reset(struct client *c)
{
    struct sim *s = c->sim;
    sim_record_reset(&s->record);
    sim_cache_clear(s->cache);
    sim_faults_release(&s->faults);
    sim_faults_init(&s->faults, s->config.seed);
    s->seq = 0;
    buf_lit(&s->event, "{\"status\":\"ok\"}");
    send_page(c);
}

static void health(struct client *c)
{
    buf_lit(&c->sim->event, "{\"status\":\"ok\",\"system_fingerprint\":\"simulated\"}");
    send_page(c);
}

static bool sim_page(struct client *c, struct str path, struct str body)
{
    if (c->is_post && str_eq(path, STR("/sim/faults")))
        set_faults(c, body);
    else if (c->is_post && str_eq(path, STR("/sim/reset")))
        reset(c);
    else if (!c->is_post && str_eq(path, STR("/sim/faults")))
        show_faults(c);
    else if (!c->is_post && str_eq(path, STR("/sim/calls")))
        show_calls(c);
    else if (!c->is_post && str_eq(path, STR("/sim/last")))
        show_last(c);
    else
        return false;
    return true;
}

// `refuse` is for every path but /sim/: a supplier that is down has no health page either.
static bool refused(struct client *c)
{
    const struct sim_faults *faults = &c->sim->faults;
    int64_t now_us = loop_now_us(c->sim->loop);
    for (int32_t i = 0; i < faults->n; i++) {
        const struct sim_fault *f = &faults->faults[i];
        if (f->kind == SIM_REFUSE && f->share >= 1 && f->count < 0 && !f->model[0] &&
            now_us >= f->from_us && now_us < f->until_us)
            return true;
    }
    return false;
}

void page_answer(struct client *c, struct str body)
{
    struct str path = str_of(c->path);
    buf_clear(&c->sim->event);
    if (sim_page(c, path, body))
        return;
    if (refused(c)) {
        c->state = CLIENT_OVER;
        conn_abort(c->conn);
    } else if (!c->is_post &&
               (str_eq(path, STR("/health")) || str_eq(path, STR("/v1/tcp_warming")))) {
        health(c);
    } else if (!c->authorized) {
        c->sim->record.rejected++;
        reply_error(c, 401, "invalid_api_key",
                    "the key is not the one that this supplier was given");
    } else if (!c->is_post && str_eq(path, STR("/v1/models"))) {
        list_models(c);
    } else if (!c->is_post && str_starts(path, STR("/v1/models/"))) {
        one_model(c);
    } else {
        c->sim->record.rejected++;
        bool method = !path.n;
        reply_error(c, method ? 405 : 404, method ? "method_not_allowed" : "not_found",
                    "the simulated supplier has no such page");
    }
}
