#include "cli/bench_values.h"

#include "base/units.h"
#include "cli/bench_options.h"

enum { USERS_MAX = 4096, LENGTH_MAX = 10 * 1000 * 1000 };

// Whole numbers between commas. Returns how many; 0: not that.
static int32_t read_numbers(int32_t *to, int32_t room, int32_t most, struct str value)
{
    struct str part;
    int32_t n = 0;
    while (str_cut(&value, ',', &part)) {
        int64_t v;
        if (n == room || !str_to_i64(str_trim(part), &v) || v < 1 || v > most)
            return 0;
        to[n++] = (int32_t)v;
    }
    return n;
}

enum err bench_read_users(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    c->n_users = 0;
    if (str_eq(value, STR("0")))
        return ERR_NONE;
    c->n_users = read_numbers(c->users, SWEEP_LEVELS, USERS_MAX, value);
    for (int32_t i = 1; i < c->n_users; i++)
        if (c->users[i] <= c->users[i - 1])
            c->n_users = 0;
    if (c->n_users)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "is \"" STR_FMT
                    "\", expected at most %d rising numbers of users, such as 1,4,16",
                    STR_ARG(value), SWEEP_LEVELS);
}

enum err bench_read_rates(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    struct str part, rest = value;
    while (str_cut(&rest, ',', &part)) {
        double rate;
        if (c->n_rates == SWEEP_LEVELS || unit_parse(&rate, UNIT_RATE, str_trim(part), NULL) ||
            !(rate > 0) || (c->n_rates && rate <= c->rates[c->n_rates - 1]))
            return diag_set(diag, ERR_INVALID,
                            "is \"" STR_FMT "\", expected at most %d rising rates, such as 1/s,2/s",
                            STR_ARG(value), SWEEP_LEVELS);
        c->rates[c->n_rates++] = rate;
    }
    return ERR_NONE;
}

static enum err lengths(int32_t *to, int32_t *n, struct str value, struct diag *diag)
{
    *n = read_numbers(to, SWEEP_LENGTHS, LENGTH_MAX, value);
    if (*n)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "is \"" STR_FMT "\", expected at most %d lengths in tokens, such as 128,1024",
                    STR_ARG(value), SWEEP_LENGTHS);
}

enum err bench_read_prompts(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    return lengths(c->prompts, &c->n_prompts, value, diag);
}

enum err bench_read_outputs(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    return lengths(c->outputs, &c->n_outputs, value, diag);
}

enum err bench_read_prefix(void *to, struct str value, struct diag *diag)
{
    struct sweep_config *c = to;
    bool both = str_eq(value, STR("both"));
    c->cold = both || str_eq(value, STR("cold"));
    c->warm = both || str_eq(value, STR("warm"));
    if (c->cold || c->warm)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected cold, warm or both",
                    STR_ARG(value));
}

enum err bench_read_price(void *to, struct str value, struct diag *diag)
{
    struct tariff *price = to;
    struct str input, rest = value;
    double in, out;
    if (!str_cut(&rest, ',', &input) || !rest.n)
        return diag_set(diag, ERR_INVALID,
                        "is \"" STR_FMT "\", expected prices of prompt and answer, such as "
                        "\"0.35 USD/Mtok,0.75 USD/Mtok\"",
                        STR_ARG(value));
    enum err e = unit_parse(&in, UNIT_TOKEN_PRICE, str_trim(input), diag);
    if (!e)
        e = unit_parse(&out, UNIT_TOKEN_PRICE, str_trim(rest), diag);
    if (e)
        return e;
    price->listed = true;
    price->input_nusd_per_tok = in / 1e6;
    price->output_nusd_per_tok = out / 1e6;
    return ERR_NONE;
}

enum err bench_read_money(void *to, struct str value, struct diag *diag)
{
    double uusd;
    enum err e = unit_parse(&uusd, UNIT_MONEY, value, diag);
    if (!e)
        *(double *)to = uusd * 1e3;
    return e;
}

enum err bench_read_token_bound(void *to, struct str value, struct diag *diag)
{
    return unit_parse(to, UNIT_TOKENS, value, diag);
}

enum err bench_read_time(void *to, struct str value, struct diag *diag)
{
    double us;
    enum err e = unit_parse(&us, UNIT_DURATION, value, diag);
    if (!e && us < 1000)
        e = diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected 1 ms or more",
                     STR_ARG(value));
    if (!e)
        *(int64_t *)to = us < 1e15 ? (int64_t)us : (int64_t)1e15;
    return e;
}

enum err bench_read_seed(void *to, struct str value, struct diag *diag)
{
    if (str_to_i64(value, to) && *(int64_t *)to >= 0)
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID, "is \"" STR_FMT "\", expected a whole number from 0 on",
                    STR_ARG(value));
}

enum err bench_read_hourly(void *to, struct str value, struct diag *diag)
{
    return unit_parse(to, UNIT_MONEY_RATE, value, diag);
}

enum err bench_read_surface(void *to, struct str value, struct diag *diag)
{
    if (surface_of_name(to, value))
        return ERR_NONE;
    return diag_set(diag, ERR_INVALID,
                    "is \"" STR_FMT "\", expected chat, completions, responses or messages",
                    STR_ARG(value));
}
