// The portfolio file: any bytes give a portfolio or problems, never a crash, never a secret.

#include "portfolio/committed.h"
#include "wire/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "zq-Secret-Of-The-Environment-qz";

static bool env_get(void *ctx, struct str name, struct str *value)
{
    (void)ctx;
    *value = str_starts(name, STR("KEY")) ? STR(secret) : STR("value");
    return !str_eq(name, STR("UNSET"));
}

static enum err env_read(void *ctx, struct arena *a, struct str path, struct str *text,
                         struct diag *diag)
{
    (void)ctx;
    if (!str_ends(path, STR("secret")))
        return diag_set(diag, ERR_MISSING, "not there");
    *text = arena_str(a, STR(secret));
    return text->p ? ERR_NONE : ERR_LIMIT;
}

static void look(struct arena *a, const struct portfolio *p, struct problems *problems)
{
    struct committed sums;
    check_portfolio(p, S(1800000000), problems);
    for (int32_t i = 0; i < p->n_pools; i++) {
        bool callable;
        pool_now(a, p, &p->pools[i], S(1800000000), &callable);
    }
    if (!committed_of(&sums, a, p))
        CHECK(sums.n_years >= 0 && sums.n_years <= COMMITTED_YEARS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config_env env = {NULL, env_get, env_read};
    struct str text = {(const char *)data, size};
    // Two files, split at a byte that YAML cannot hold.
    const char *cut = size ? memchr(data, 0, size) : NULL;
    struct config_file files[2] = {{STR("a.yaml"), text}, {STR("b.yaml"), text}};
    if (cut) {
        files[0].text.n = (size_t)(cut - text.p);
        files[1].text = str_skip(text, files[0].text.n + 1);
    }
    struct arena a;
    struct problems problems;
    struct portfolio p;
    arena_init(&a, 32 << 20);
    problems_init(&problems, &a);
    enum err e = config_load(&p, &a, files, cut ? 2 : 1, &env, &problems);
    CHECK(!e == (problems.errors == 0));
    if (!e)
        look(&a, &p, &problems);
    size_t at;
    if (!str_find(text, STR(secret), &at)) {
        for (const struct problem *x = problems.first; x; x = x->next) {
            struct buf raw, clean;
            buf_init(&raw, 1 << 16);
            buf_init(&clean, 1 << 16);
            problem_print(&raw, x);
            CHECK(secrets_hide(&clean, &p, buf_str(&raw)));
            CHECK(!str_find(buf_str(&clean), STR(secret), &at));
            buf_release(&raw);
            buf_release(&clean);
        }
    }
    arena_release(&a);
    return 0;
}
