#include "cli/load.h"

#include "io/file.h"
#include "route/policy.h"
#include "wire/config.h"
#include "wire/prices.h"
#include "wire/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SECRET_BYTES_MAX = 64 << 10, ERRORS_BYTES_MAX = 64 << 20 };

// ${CAUDAL} is the program that reads the file, so that a portfolio can run simulated suppliers
// wherever caudal was installed.
static const char *own_path(void)
{
    static char path[4096];
    ssize_t n = path[0] ? 1 : readlink("/proc/self/exe", path, sizeof path - 1);
    return n > 0 ? path : NULL;
}

static char **kept;  // NULL: the environment as it is

void load_keep_environment(void)
{
    size_t n = 0;
    while (environ[n])
        n++;
    free(kept);
    kept = take_n(sizeof *kept, n + 1);
    memcpy(kept, environ, n * sizeof *kept);
}

static const char *value_of(const char *name)
{
    size_t n = strlen(name);
    for (char **v = kept; v && *v; v++)
        if (strncmp(*v, name, n) == 0 && (*v)[n] == '=')
            return *v + n + 1;
    return kept ? NULL : getenv(name);
}

static bool env_get(void *ctx, struct str name, struct str *value)
{
    (void)ctx;
    char z[256];
    if (name.n >= sizeof z)
        return false;
    memcpy(z, name.p, name.n);
    z[name.n] = 0;
    const char *v = value_of(z);
    if (!v && strcmp(z, "CAUDAL") == 0)
        v = own_path();
    if (v)
        *value = str_of(v);
    return v != NULL;
}

static enum err secret_read(void *ctx, struct arena *a, struct str path, struct str *text,
                            struct diag *diag)
{
    (void)ctx;
    return file_read(text, a, path, SECRET_BYTES_MAX, diag);
}

enum err load_portfolio(struct portfolio *out, struct arena *a, char *const *paths, int32_t n_paths,
                        struct problems *problems)
{
    const struct config_env env = {NULL, env_get, secret_read};
    struct config_file *files = arena_new(a, struct config_file, n_paths);
    int32_t n = 0;
    *out = (struct portfolio){.arena = a};
    if (!files)
        return ERR_LIMIT;
    for (int32_t i = 0; i < n_paths; i++) {
        struct diag diag = {0};
        bool in = strcmp(paths[i], "-") == 0;
        struct config_file *f = &files[n];
        f->name = in ? STR("<stdin>") : str_of(paths[i]);
        enum err e = in ? file_read_stdin(&f->text, a, YAML_BYTES_MAX, &diag)
                        : file_read(&f->text, a, f->name, YAML_BYTES_MAX, &diag);
        if (e)
            problems_add(problems, SEVERITY_ERROR, (struct place){0}, STR(""), "%s", diag.text);
        else
            n++;
    }
    if (n < n_paths)
        return ERR_INVALID;
    enum err e = config_load(out, a, files, n, &env, problems);
    for (int32_t i = 0; i < n; i++)
        out->fingerprint = str_hash(files[i].text, out->fingerprint + 1);
    return !e && out->serve.prices.n ? load_prices(out, a, out->serve.prices, problems) : e;
}

enum err load_prices(struct portfolio *p, struct arena *a, struct str path,
                     struct problems *problems)
{
    struct diag diag = {0};
    struct str text;
    p->serve.prices = path;
    if (file_read(&text, a, path, YAML_BYTES_MAX, &diag)) {
        problems_add(problems, SEVERITY_ERROR, (struct place){0}, STR("serve.prices"), "%s",
                     diag.text);
        return ERR_INVALID;
    }
    p->fingerprint = str_hash(text, p->fingerprint + 1);
    return prices_read(&p->prices, a, p, path, text, problems);
}

void load_check_policy(const struct portfolio *p, struct arena *a, struct problems *problems)
{
    if (!policy_find(arena_str(a, p->serve.policy).p))
        problems_add(problems, SEVERITY_ERROR, p->serve.policy_place, STR("serve.policy"),
                     "is not known, got \"" STR_FMT "\", expected one of %s",
                     STR_ARG(p->serve.policy), policy_names());
}

void load_print_errors(const struct portfolio *p, const struct problems *problems)
{
    struct buf raw, clean;
    buf_init(&raw, ERRORS_BYTES_MAX);
    buf_init(&clean, ERRORS_BYTES_MAX);
    for (const struct problem *x = problems->first; x; x = x->next) {
        if (x->severity != SEVERITY_ERROR)
            continue;
        buf_lit(&raw, "error: ");
        problem_print(&raw, x);
        buf_lit(&raw, "\n");
    }
    if (secrets_hide(&clean, p, buf_str(&raw)))
        fwrite(buf_str(&clean).p, 1, buf_len(&clean), stderr);
    buf_release(&raw);
    buf_release(&clean);
}
