// caudal key - keys of clients: a new one with its hash, and those of a running gateway.

#include "cli/cmd_key.h"

#include "base/arena.h"
#include "base/units.h"
#include "cli/columns.h"
#include "cli/operator.h"
#include "cli/options.h"
#include "io/file.h"
#include "io/key_text.h"
#include "wire/json.h"

#include <stdio.h>
#include <unistd.h>

enum { KEY_INPUT_MAX = 4096, ANSWER_BYTES_MAX = 64 * 1024 * 1024, ARENA_BYTES = 64 * 1024 * 1024 };

struct key_options {
    bool json, hard;
    struct operator operator;
    struct str tenant, name, until, requests, tokens, in_flight, budget, models, classes, addresses;
};

static enum err hash_stdin(struct key_text *t, struct diag *diag)
{
    struct arena a;
    struct str key;
    arena_init(&a, 4 * KEY_INPUT_MAX);
    enum err e = file_read_stdin(&key, &a, KEY_INPUT_MAX, diag);
    if (!e) {
        while (key.n && strchr(" \t\r\n", key.p[key.n - 1]))
            key.n--;
        key_text_hash(t, key);
        if (!key.n)
            e = diag_set(diag, ERR_MISSING, "there is no key on standard input");
    }
    arena_release(&a);
    return e;
}

static void print(const struct key_text *t, bool json)
{
    if (json && t->key[0])
        printf("{\"key\":\"%s\",\"hash\":\"%s\"}\n", t->key, t->hash);
    else if (json)
        printf("{\"hash\":\"%s\"}\n", t->hash);
    else if (t->key[0])
        printf("%s\n%s\n", t->key, t->hash);
    else
        printf("%s\n", t->hash);
}

static void explain(const char *rest)
{
    if (isatty(STDERR_FILENO))
        fprintf(stderr,
                "\nThe first line is for the client, who sends it as `Authorization: Bearer`; %s",
                rest);
}

// --- of a running gateway -----------------------------------------------------------------------

static void write_member(struct buf *out, const char *name, struct str value)
{
    if (!value.n)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_add_json(out, value);
}

// "a,b" as a list.
static void write_members(struct buf *out, const char *name, struct str values)
{
    struct str one;
    if (!values.n)
        return;
    buf_printf(out, ",\"%s\":[", name);
    for (bool first = true; str_cut(&values, ',', &one); first = false) {
        buf_add_str(out, first ? STR("") : STR(","));
        buf_add_json(out, str_trim(one));
    }
    buf_lit(out, "]");
}

// "5 USD/day" alone, or with --hard as a map.
static void write_budget(struct buf *out, const struct key_options *o)
{
    struct str rest = o->budget, money;
    if (!o->hard || !str_cut(&rest, '/', &money)) {
        write_member(out, "budget", o->budget);
        return;
    }
    buf_printf(out, ",\"budget\":{\"kind\":\"hard\"");
    rest = str_trim(rest);
    buf_lit(out, ",");
    buf_add_json(out, rest);
    buf_lit(out, ":");
    buf_add_json(out, str_trim(money));
    buf_lit(out, "}");
}

static enum err add_key(const struct key_options *o, struct diag *diag)
{
    struct key_text t = {{0}, {0}};
    struct buf body, out;
    buf_init(&body, 64 * 1024);
    buf_init(&out, ANSWER_BYTES_MAX);
    key_text_new(&t);  // here: the gateway never sees the key itself
    buf_printf(&body, "{\"sha256\":\"%s\",\"tenant\":", t.hash);
    buf_add_json(&body, o->tenant);
    write_member(&body, "name", o->name);
    write_member(&body, "until", o->until);
    write_member(&body, "requests", o->requests);
    write_member(&body, "tokens", o->tokens);
    write_member(&body, "in_flight", o->in_flight);
    write_budget(&body, o);
    write_members(&body, "models", o->models);
    write_members(&body, "classes", o->classes);
    write_members(&body, "addresses", o->addresses);
    buf_lit(&body, "}");
    enum err e =
        operator_call(&o->operator, "POST", STR("/admin/keys"), buf_str(&body), &out, diag);
    if (!e) {
        print(&t, o->json);
        explain("the\nsecond is its hash. caudal keeps the hash alone, and the key holds from now "
                "on.\n");
    }
    buf_release(&body);
    buf_release(&out);
    return e;
}

static struct str member(struct arena *a, struct str object, const char *name)
{
    struct json_span s;
    if (!json_get(object, str_of(name), &s))
        return STR("-");
    if (s.kind != JSON_STRING)
        return (struct str){object.p + s.at, s.n};
    size_t size = json_string_bytes(object, s) + 1, n;
    char *text = arena_take(a, size);
    if (!text || !json_string(object, s, text, size, &n))
        return STR("?");
    return n ? (struct str){text, n} : STR("-");
}

// "2 of 20": what is used of a limit; "-" where there is none.
static struct str used_of(struct arena *a, struct str key, const char *limit, const char *used)
{
    struct json_span s, u, now;
    struct str object;
    double most, sum;
    if (!json_get(key, str_of(limit), &s) || !json_double(key, s, &most))
        return STR("-");
    if (!json_get(key, STR("used"), &u))
        return STR("?");
    object = (struct str){key.p + u.at, u.n};
    if (!json_get(object, str_of(used), &now) || !json_double(object, now, &sum))
        return STR("?");
    enum { SIZE = 64 };
    char *text = arena_take(a, SIZE);
    if (!text)
        return STR("?");
    snprintf(text, SIZE, "%.10g of %.10g", sum, most);
    return str_of(text);
}

static void print_keys(struct arena *a, struct str answer)
{
    static const char *const names[] = {"id", "name", "tenant", "of", "holds", "until"};
    static const struct {
        const char *limit, *used;
    } limits[] = {{"requests_per_minute", "requests"},
                  {"tokens_per_minute", "tokens"},
                  {"in_flight", "in_flight"},
                  {"budget_day_usd", "day_usd"},
                  {"budget_month_usd", "month_usd"}};
    struct json_span keys;
    struct json_walk w;
    struct columns c;
    struct buf out;
    if (!json_get(answer, STR("keys"), &keys))
        return;
    columns_init(&c, a);
    buf_init(&out, ANSWER_BYTES_MAX);
    columns_row(&c, "id", "name", "tenant", "of", "holds", "until", "requests/min", "tokens/min",
                "in flight", "USD/day", "USD/month", NULL);
    struct str list = {answer.p + keys.at, keys.n};
    for (json_walk(&w, list); json_step(&w);) {
        struct str cells[COUNTOF(names) + COUNTOF(limits)], key = {list.p + w.value.at, w.value.n};
        for (size_t i = 0; i < COUNTOF(names); i++)
            cells[i] = member(a, key, names[i]);
        for (size_t i = 0; i < COUNTOF(limits); i++)
            cells[COUNTOF(names) + i] = used_of(a, key, limits[i].limit, limits[i].used);
        cells[4] = str_eq(cells[4], STR("true")) ? STR("yes") : STR("revoked");
        columns_row_str(&c, cells, COUNTOF(cells));
    }
    columns_print(&c, &out, 0, 0x7c0);
    fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    buf_release(&out);
}

static enum err list_keys(const struct key_options *o, struct diag *diag)
{
    struct arena a;
    struct buf out;
    arena_init(&a, ARENA_BYTES);
    buf_init(&out, ANSWER_BYTES_MAX);
    enum err e =
        operator_call(&o->operator, "GET", STR("/admin/keys"), (struct str){0}, &out, diag);
    if (!e && json_validate(buf_str(&out), diag))
        e = ERR_PROTOCOL;
    if (!e && o->json)
        fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    else if (!e)
        print_keys(&a, buf_str(&out));
    buf_release(&out);
    arena_release(&a);
    return e;
}

static enum err revoke_key(const struct key_options *o, struct str id, struct diag *diag)
{
    struct buf path, out;
    buf_init(&path, 4096);
    buf_init(&out, ANSWER_BYTES_MAX);
    buf_lit(&path, "/admin/keys/");
    for (size_t i = 0; i < id.n; i++)
        buf_printf(&path, "%%%02X", (unsigned char)id.p[i]);
    enum err e = path.overflow ? diag_set(diag, ERR_INVALID, "the name is too long")
                               : operator_call(&o->operator, "DELETE", buf_str(&path),
                                               (struct str){0}, &out, diag);
    if (!e && o->json)
        fwrite(buf_str(&out).p, 1, buf_len(&out), stdout);
    else if (!e)
        printf("revoked " STR_FMT "\n", STR_ARG(id));
    buf_release(&path);
    buf_release(&out);
    return e;
}

// --- the command --------------------------------------------------------------------------------

static bool says_limits(const struct key_options *o)
{
    return o->hard || o->name.n || o->until.n || o->requests.n || o->tokens.n || o->in_flight.n ||
           o->budget.n || o->models.n || o->classes.n || o->addresses.n;
}

// NULL: the words make sense together.
static const char *wrong(const struct key_options *o, struct str what, int n)
{
    bool adds = str_eq(what, STR("add")), revokes = str_eq(what, STR("revoke"));
    if (n && !adds && !revokes && !str_eq(what, STR("list")) && !str_eq(what, STR("hash")))
        return "'add', 'list', 'revoke', 'hash' or nothing is expected";
    if (revokes != (n == 2))
        return revokes ? "'revoke' needs a key's id or name" : "too many operands";
    if (adds && !o->tenant.n)
        return "'add' needs --tenant";
    if (!adds && (o->tenant.n || says_limits(o)))
        return "limits are said with 'add'";
    return adds && o->hard && !o->budget.n ? "--hard needs --budget" : NULL;
}

static enum err run(const struct key_options *o, struct str what, const char *id, struct diag *diag)
{
    struct key_text t = {{0}, {0}};
    if (str_eq(what, STR("add")))
        return add_key(o, diag);
    if (str_eq(what, STR("list")))
        return list_keys(o, diag);
    if (id)
        return revoke_key(o, str_of(id), diag);
    enum err e = ERR_NONE;
    if (what.n)
        e = hash_stdin(&t, diag);
    else
        key_text_new(&t);
    if (e)
        return e;
    print(&t, o->json);
    if (t.key[0] && !o->json)
        explain("the second\nfor `keys` of a tenant in the portfolio. caudal keeps neither.\n");
    return ERR_NONE;
}

int cmd_key(int argc, char **argv)
{
    struct key_options o = {.operator= operator_default()};
    const struct option_row rows[] = {
        option_flag("--json", &o.json, "for programs, one JSON object"),
        option_text("--url", "URL", &o.operator.url,
                    "the gateway's admin address; http://127.0.0.1:8081, or CAUDAL_ADMIN_URL"),
        option_text("--key", "KEY", &o.operator.key,
                    "of an operator; better in the environment, as CAUDAL_ADMIN_KEY"),
        WEB_TRUST_OPTIONS(&o.operator.trust),
        option_text("--tenant", "NAME", &o.tenant, "add: whose key it is"),
        option_text("--name", "NAME", &o.name, "add: what people call it"),
        option_text("--until", "DATE", &o.until, "add: from here on it is refused"),
        option_text("--requests", "RATE", &o.requests, "add: such as 100/min"),
        option_text("--tokens", "RATE", &o.tokens, "add: such as 1M/min"),
        option_text("--in-flight", "N", &o.in_flight, "add: requests at once"),
        option_text("--budget", "MONEY", &o.budget, "add: such as '5 USD/day', '90 USD/month'"),
        option_flag("--hard", &o.hard, "add: the budget is never overrun"),
        option_text("--models", "NAMES", &o.models, "add: a,b: only these of its tenant's"),
        option_text("--classes", "NAMES", &o.classes, "add: likewise"),
        option_text("--addresses", "RANGES", &o.addresses, "add: 10.0.0.0/8,::1: only from there"),
    };
    const struct command command = {
        .name = "key",
        .usage = "[options] [hash | add | list | revoke ID]",
        .about = "Prints a new random key of a client, and below it its hash, which is what the "
                 "portfolio\nholds under tenants.NAME.keys. With `hash`, reads a key from standard "
                 "input instead and\nprints its hash alone.\n\n"
                 "With `add`, the gateway that runs knows the new key from now on, `list` shows "
                 "those it knows\nand what they have used, `revoke` takes one away: no reload, and "
                 "restarts change nothing.",
        .more = "Exit status: 0 done, 1 failed, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_max = 2,
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    struct str what = n ? str_of(argv[1]) : (struct str){0};
    const char *why = wrong(&o, what, n);
    if (why)
        return options_wrong("key", why);
    struct diag diag = {0};
    if (run(&o, what, n == 2 ? argv[2] : NULL, &diag)) {
        fprintf(stderr, "caudal key: %s\n", diag.text);
        return EXIT_FAILED;
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
