#include "route/forecast.h"

#include "base/rng.h"

enum { CELLS_MAX = 65536, WARM = 16, OUTPUT_FIRST = 256, WAYS = 4 };
enum { KINDS = 24 };  // of prompts, by halving their length
static const double BYTES_PER_TOK_FIRST = 4, TOKENS_FIRST = 64;  // what is believed, and how firmly
static const double BYTES_PER_TOK_MIN = 0.5, BYTES_PER_TOK_MAX = 64;
static const double OUTPUT_KEEP = 1 - 1.0 / WARM;
static const double USER_KEEP = 1 - 1.0 / 1024;
static const double USER_DOUBT = 8;  // answers of everybody's that one user's stand against

static const double BYTES_KEEP = 1 - 1.0 / 64;
static const double KIND_KEEP = 1 - 1.0 / 4096;
static const double KIND_DOUBT = 8;  // answers to all prompts that those to a kind stand against

// A mean that starts as the plain one and forgets after WARM samples.
struct mean {
    double value;
    int32_t n;
};

// One (tenant, model). With more of them than CELLS_MAX, two may share a cell: the newer has it,
// the other falls back to the mean of its model.
struct cell {
    int32_t tenant, model;
    struct mean output;
};

// One end user with one model. `key` stands for both; n counts what was seen, faded.
struct user {
    uint64_t key;
    double mean, n;
    uint64_t heard;  // when it was learnt of last, in lessons
};

// Answers of one model: to prompts of each kind, and to all. Sums that fade.
struct answers {
    double tok, n;
    struct {
        double tok, n;
    } kinds[KINDS];
};

struct forecast {
    int32_t n_tenants, n_models, n_cells;
    struct cell *cells;
    struct user *users;  // [FORECAST_USERS], in sets of WAYS by their key
    uint64_t lessons;
    struct mean *model_output;             // [n_models]
    struct answers *answers;               // [n_models]
    double *bytes, *tokens;                // [n_models], sums that fade
    double *answer_bytes, *answer_tokens;  // likewise
};

enum err forecast_new(struct forecast **out, struct arena *a, int32_t n_tenants, int32_t n_models)
{
    CHECK(n_tenants >= 0 && n_models >= 0);
    int64_t cells = ((int64_t)n_tenants + 1) * n_models;
    struct forecast *f = arena_new(a, struct forecast, 1);
    if (!f)
        return ERR_LIMIT;
    f->n_tenants = n_tenants;
    f->n_models = n_models;
    f->n_cells = (int32_t)min_i64(cells, CELLS_MAX);
    f->cells = arena_new(a, struct cell, f->n_cells);
    f->users = arena_new(a, struct user, FORECAST_USERS);
    f->model_output = arena_new(a, struct mean, n_models);
    f->answers = arena_new(a, struct answers, n_models);
    f->bytes = arena_new(a, double, n_models);
    f->tokens = arena_new(a, double, n_models);
    f->answer_bytes = arena_new(a, double, n_models);
    f->answer_tokens = arena_new(a, double, n_models);
    if (!f->cells || !f->users || !f->model_output || !f->answers || !f->bytes || !f->tokens ||
        !f->answer_bytes || !f->answer_tokens)
        return ERR_LIMIT;
    for (int32_t m = 0; m < n_models; m++) {
        f->tokens[m] = TOKENS_FIRST;
        f->bytes[m] = TOKENS_FIRST * BYTES_PER_TOK_FIRST;
    }
    *out = f;
    return ERR_NONE;
}

static bool is_known(const struct forecast *f, int32_t model)
{
    return model >= 0 && model < f->n_models;
}

static struct cell *cell_of(const struct forecast *f, int32_t tenant, int32_t model)
{
    if (tenant < 0 || tenant >= f->n_tenants)
        tenant = -1;
    uint64_t place = (uint64_t)(tenant + 1) * (uint64_t)f->n_models + (uint64_t)model;
    if (((int64_t)f->n_tenants + 1) * f->n_models > f->n_cells)
        place = mix64(place) % (uint64_t)f->n_cells;
    return &f->cells[place];
}

static bool is_of(const struct cell *c, int32_t tenant, int32_t model)
{
    return c->output.n > 0 && c->tenant == tenant && c->model == model;
}

bool forecast_holds(const struct forecast *f, int32_t n_tenants, int32_t n_models)
{
    return n_tenants <= f->n_tenants && n_models <= f->n_models;
}

void forecast_move(struct forecast *f, const struct forecast *from)
{
    CHECK(forecast_holds(f, from->n_tenants, from->n_models));
    memcpy(f->users, from->users, FORECAST_USERS * sizeof *f->users);
    f->lessons = from->lessons;
    for (int32_t i = 0; i < from->n_cells; i++) {
        const struct cell *c = &from->cells[i];
        if (c->output.n > 0)
            *cell_of(f, c->tenant, c->model) = *c;
    }
    for (int32_t m = 0; m < from->n_models; m++) {
        f->model_output[m] = from->model_output[m];
        f->answers[m] = from->answers[m];
        f->bytes[m] = from->bytes[m];
        f->tokens[m] = from->tokens[m];
        f->answer_bytes[m] = from->answer_bytes[m];
        f->answer_tokens[m] = from->answer_tokens[m];
    }
}

static uint64_t user_key(const struct forecast_who *who)
{
    uint64_t key =
        mix64(who->user ^ mix64((uint64_t)(uint32_t)who->tenant << 32 | (uint32_t)who->model));
    return key ? key : 1;
}

static struct user *user_set(const struct forecast *f, uint64_t key)
{
    return &f->users[key % (FORECAST_USERS / WAYS) * WAYS];
}

static struct user *user_of(const struct forecast *f, const struct forecast_who *who)
{
    if (!who->user)
        return NULL;
    uint64_t key = user_key(who);
    struct user *set = user_set(f, key);
    for (int i = 0; i < WAYS; i++)
        if (set[i].key == key)
            return &set[i];
    return NULL;
}

static int32_t kind_of(int32_t prompt_tok)
{
    int32_t kind = prompt_tok > 0 ? 31 - __builtin_clz((uint32_t)prompt_tok) : -1;
    return kind < KINDS ? kind : KINDS - 1;
}

// How much longer answers to prompts like this one are than those to all.
static double of_kind(const struct forecast *f, int32_t model, int32_t prompt_tok)
{
    const struct answers *a = &f->answers[model];
    int32_t kind = kind_of(prompt_tok);
    if (kind < 0 || !(a->n > 0) || !(a->tok > 0))
        return 1;
    double mean = a->tok / a->n;
    return (a->kinds[kind].tok + KIND_DOUBT * mean) / (a->kinds[kind].n + KIND_DOUBT) / mean;
}

static void kind_learn(struct forecast *f, int32_t model, int32_t prompt_tok, int32_t output_tok)
{
    struct answers *a = &f->answers[model];
    int32_t kind = kind_of(prompt_tok);
    if (kind < 0)
        return;
    a->tok = a->tok * KIND_KEEP + output_tok;
    a->n = a->n * KIND_KEEP + 1;
    a->kinds[kind].tok = a->kinds[kind].tok * KIND_KEEP + output_tok;
    a->kinds[kind].n = a->kinds[kind].n * KIND_KEEP + 1;
}

static double output_mean(const struct forecast *f, const struct forecast_who *who)
{
    if (!is_known(f, who->model))
        return OUTPUT_FIRST;
    const struct cell *c = cell_of(f, who->tenant, who->model);
    const struct mean *all = &f->model_output[who->model];
    double tok = is_of(c, who->tenant, who->model) ? c->output.value
                 : all->n > 0                      ? all->value
                                                   : OUTPUT_FIRST;
    tok *= of_kind(f, who->model, who->prompt_tok);
    const struct user *u = user_of(f, who);
    return u ? (u->n * u->mean + USER_DOUBT * tok) / (u->n + USER_DOUBT) : tok;
}

int32_t forecast_output_tok(const struct forecast *f, const struct forecast_who *who,
                            int32_t max_tok)
{
    double tok = output_mean(f, who);
    if (max_tok > 0 && tok > max_tok)
        tok = max_tok;
    return tok < 1 ? 1 : (int32_t)(tok + 0.5);
}

double forecast_bytes_per_tok(const struct forecast *f, int32_t model)
{
    if (!is_known(f, model))
        return BYTES_PER_TOK_FIRST;
    double ratio = f->bytes[model] / f->tokens[model];
    if (ratio < BYTES_PER_TOK_MIN)
        return BYTES_PER_TOK_MIN;
    return ratio > BYTES_PER_TOK_MAX ? BYTES_PER_TOK_MAX : ratio;
}

double forecast_answer_bytes_per_tok(const struct forecast *f, int32_t model)
{
    if (!is_known(f, model) || !(f->answer_tokens[model] > 0))
        return 0;
    double ratio = f->answer_bytes[model] / f->answer_tokens[model];
    if (ratio < BYTES_PER_TOK_MIN)
        return BYTES_PER_TOK_MIN;
    return ratio > BYTES_PER_TOK_MAX ? BYTES_PER_TOK_MAX : ratio;
}

void forecast_learn_answer(struct forecast *f, int32_t model, int64_t bytes, int32_t tok)
{
    if (!is_known(f, model) || bytes <= 0 || tok <= 0)
        return;
    f->answer_bytes[model] = f->answer_bytes[model] * BYTES_KEEP + (double)bytes;
    f->answer_tokens[model] = f->answer_tokens[model] * BYTES_KEEP + (double)tok;
}

int32_t forecast_prompt_tok(const struct forecast *f, int32_t model, int64_t prompt_bytes)
{
    if (prompt_bytes <= 0)
        return 1;
    double tok = (double)prompt_bytes / forecast_bytes_per_tok(f, model) + 0.5;
    if (tok < 1)
        return 1;
    return tok > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)tok;
}

static void mean_learn(struct mean *m, double value)
{
    if (m->n < WARM) {
        m->value += (value - m->value) / (m->n + 1);
        m->n++;
    } else {
        m->value = OUTPUT_KEEP * m->value + (1 - OUTPUT_KEEP) * value;
    }
}

static void user_learn(struct forecast *f, const struct forecast_who *who, double value)
{
    struct user *u = user_of(f, who);
    if (!u) {
        uint64_t key = user_key(who);
        struct user *set = user_set(f, key);
        u = set;
        for (int i = 1; i < WAYS; i++)
            u = set[i].heard < u->heard ? &set[i] : u;
        *u = (struct user){.key = key};
    }
    u->n = u->n * USER_KEEP + 1;
    u->mean += (value - u->mean) / u->n;
    u->heard = ++f->lessons;
}

void forecast_learn(struct forecast *f, const struct forecast_who *who, int64_t prompt_bytes,
                    int32_t prompt_tok, int32_t output_tok)
{
    int32_t model = who->model;
    if (!is_known(f, model))
        return;
    if (output_tok > 0) {
        struct cell *c = cell_of(f, who->tenant, model);
        if (!is_of(c, who->tenant, model))
            *c = (struct cell){.tenant = who->tenant, .model = model};
        // As long as it would have been, had the prompt been one like all.
        double plain = output_tok / of_kind(f, model, prompt_tok);
        mean_learn(&c->output, plain);
        mean_learn(&f->model_output[model], plain);
        kind_learn(f, model, prompt_tok, output_tok);
        if (who->user)
            user_learn(f, who, output_tok);
    }
    if (prompt_bytes > 0 && prompt_tok > 0) {
        f->bytes[model] = f->bytes[model] * BYTES_KEEP + (double)prompt_bytes;
        f->tokens[model] = f->tokens[model] * BYTES_KEEP + (double)prompt_tok;
    }
}
