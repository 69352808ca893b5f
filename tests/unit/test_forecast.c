#include "base/rng.h"
#include "lib/test.h"
#include "route/forecast.h"

#include <inttypes.h>

static struct arena arena;

static int32_t output_tok(const struct forecast *f, int32_t tenant, int32_t model, int32_t max_tok)
{
    return forecast_output_tok(f, &(struct forecast_who){tenant, model, 0, 0}, max_tok);
}

static void learn(struct forecast *f, int32_t tenant, int32_t model, int64_t prompt_bytes,
                  int32_t prompt_tok, int32_t tok)
{
    forecast_learn(f, &(struct forecast_who){tenant, model, 0, 0}, prompt_bytes, prompt_tok, tok);
}

static struct forecast *make(int32_t tenants, int32_t models)
{
    struct forecast *f = NULL;
    arena_release(&arena);
    arena_init(&arena, 16 << 20);
    NEED(!forecast_new(&f, &arena, tenants, models));
    return f;
}

static void before_anything_was_seen_it_guesses(void)
{
    struct forecast *f = make(2, 3);
    EXPECT(output_tok(f, 0, 0, 0) == 256, "%d", output_tok(f, 0, 0, 0));
    EXPECT(output_tok(f, -1, 2, 100) == 100, "capped");
    EXPECT(forecast_prompt_tok(f, 1, 4000) == 1000, "%d", forecast_prompt_tok(f, 1, 4000));
    EXPECT(forecast_prompt_tok(f, 1, 0) == 1 && forecast_prompt_tok(f, 1, 1) == 1, "at least 1");
    EXPECT(forecast_prompt_tok(f, 1, INT64_MAX) > 0, "no overflow");
    EXPECT(output_tok(f, 5, -1, 0) == 256, "strangers");
}

static void it_learns_lengths_for_each_tenant_and_model(void)
{
    struct forecast *f = make(2, 2);
    struct rng r;
    rng_seed(&r, 1);
    for (int32_t i = 0; i < 500; i++) {
        learn(f, 0, 0, 0, 0, 900 + (int32_t)rng_below(&r, 201));
        learn(f, 1, 0, 0, 0, 90 + (int32_t)rng_below(&r, 21));
    }
    int32_t a = output_tok(f, 0, 0, 0), b = output_tok(f, 1, 0, 0);
    EXPECT(a > 950 && a < 1050, "tenant 0: %d", a);
    EXPECT(b > 95 && b < 105, "tenant 1: %d", b);
    EXPECT(output_tok(f, 0, 0, 200) == 200, "capped by max_tokens");
    int32_t other = output_tok(f, -1, 0, 0);
    EXPECT(other > 90 && other < 1050, "a newcomer gets the model's mean: %d", other);
    EXPECT(output_tok(f, 0, 1, 0) == 256, "another model");
    for (int32_t i = 0; i < 100; i++)
        learn(f, 0, 0, 0, 0, 10);
    EXPECT(output_tok(f, 0, 0, 0) < 20, "it follows: %d", output_tok(f, 0, 0, 0));
}

// Lengths of users differ; what is not yet known of one is taken from everybody.
static void it_learns_lengths_of_each_end_user(void)
{
    struct forecast *f = make(2, 2);
    struct forecast_who terse = {0, 0, 7, 0}, wordy = {0, 0, 8, 0}, other = {0, 0, 9, 0};
    for (int32_t i = 0; i < 200; i++) {
        forecast_learn(f, &terse, 0, 0, 40);
        forecast_learn(f, &wordy, 0, 0, 2000);
    }
    int32_t few = forecast_output_tok(f, &terse, 0), many = forecast_output_tok(f, &wordy, 0);
    int32_t all = forecast_output_tok(f, &other, 0), nobody = output_tok(f, 0, 0, 0);
    EXPECT(few < 150 && many > 1900, "%d %d", few, many);
    EXPECT(all == nobody && all > few && all < many, "a stranger is like everybody: %d", all);
    forecast_learn(f, &other, 0, 0, 1);
    int32_t once = forecast_output_tok(f, &other, 0);
    EXPECT(once > all / 2, "one answer proves little: %d after %d", once, all);
    EXPECT(forecast_output_tok(f, &wordy, 100) == 100, "capped");
    struct forecast_who elsewhere = {1, 0, 8, 0}, model = {0, 1, 8, 0};
    EXPECT(forecast_output_tok(f, &elsewhere, 0) == output_tok(f, 1, 0, 0),
           "another tenant's user");
    EXPECT(forecast_output_tok(f, &model, 0) == 256, "another model");
    struct forecast *grown;
    many = forecast_output_tok(f, &wordy, 0);
    NEED(!forecast_new(&grown, &arena, 5, 5));
    forecast_move(grown, f);
    EXPECT(forecast_output_tok(grown, &wordy, 0) == many, "moved");
    for (int32_t i = 0; i < 5000; i++)
        forecast_learn(f, &wordy, 0, 0, 10);
    EXPECT(forecast_output_tok(f, &wordy, 0) < 50, "it follows");
}

// More users than there is room for: memory stays as it is, and one that was heard of just now is
// known.
// Half of the prompts are long and have long answers; a user who is known goes by his own.
static void it_learns_lengths_by_that_of_the_prompt(void)
{
    struct forecast *f = make(2, 2);
    struct forecast_who brief = {0, 0, 0, 300}, lengthy = {0, 0, 0, 5000};
    for (int32_t i = 0; i < 400; i++) {
        forecast_learn(f, &brief, 0, 280 + i % 40, 100);
        forecast_learn(f, &lengthy, 0, 4800 + i, 1500);
    }
    int32_t few = forecast_output_tok(f, &brief, 0), many = forecast_output_tok(f, &lengthy, 0);
    EXPECT(few > 80 && few < 130 && many > 1300 && many < 1600, "%d %d", few, many);
    int32_t all = output_tok(f, 0, 0, 0);
    EXPECT(all > 700 && all < 900, "nothing known of the prompt: %d", all);
    struct forecast_who strange = {0, 0, 0, 1 << 30}, other = {1, 0, 0, 5000};
    EXPECT(forecast_output_tok(f, &strange, 0) > 400, "a kind that was not seen is like all");
    EXPECT(forecast_output_tok(f, &other, 0) > 1300, "prompts are alike for tenants: %d",
           forecast_output_tok(f, &other, 0));
    struct forecast_who known = {0, 0, 5, 5000};
    for (int32_t i = 0; i < 300; i++)
        forecast_learn(f, &known, 0, 5000, 20);
    EXPECT(forecast_output_tok(f, &known, 0) < 60, "his own: %d",
           forecast_output_tok(f, &known, 0));
    struct forecast *grown;
    NEED(!forecast_new(&grown, &arena, 5, 5));
    forecast_move(grown, f);
    EXPECT(forecast_output_tok(grown, &brief, 0) == forecast_output_tok(f, &brief, 0), "moved");
}

static void users_without_end_share_bounded_memory(void)
{
    struct forecast *f = make(1, 1);
    size_t used = arena.used;
    int32_t wrong = 0;
    for (uint64_t u = 1; u <= 5 * FORECAST_USERS; u++) {
        struct forecast_who who = {0, 0, u, 0};
        for (int32_t i = 0; i < 3; i++)
            forecast_learn(f, &who, 0, 0, u % 2 ? 4000 : 1);
        int32_t tok = forecast_output_tok(f, &who, 0), all = output_tok(f, 0, 0, 0);
        wrong += u > 100 && (u % 2 ? tok <= all : tok >= all);
    }
    EXPECT(wrong == 0 && arena.used == used, "%d wrong, %zu bytes", wrong, arena.used);
}

static void it_learns_bytes_per_token(void)
{
    struct forecast *f = make(0, 1);
    learn(f, -1, 0, 10, 40, 0);  // a tiny prompt inside a long template
    double first = forecast_bytes_per_tok(f, 0);
    EXPECT(first > 2, "one small sample moves it little: %g", first);
    for (int32_t i = 0; i < 500; i++)
        learn(f, -1, 0, 3000, 1000, 0);
    EXPECT(forecast_prompt_tok(f, 0, 30000) > 9900 && forecast_prompt_tok(f, 0, 30000) < 10100,
           "%d", forecast_prompt_tok(f, 0, 30000));
    for (int32_t i = 0; i < 500; i++)
        learn(f, -1, 0, 1 << 30, 1, 0);
    EXPECT(forecast_bytes_per_tok(f, 0) <= 64, "bounded: %g", forecast_bytes_per_tok(f, 0));
}

static void it_learns_bytes_per_token_of_answers(void)
{
    struct forecast *f = make(0, 2);
    EXPECT(forecast_answer_bytes_per_tok(f, 0) == 0, "nothing is known at first");
    forecast_learn_answer(f, 0, 0, 10);
    forecast_learn_answer(f, 0, 10, 0);
    EXPECT(forecast_answer_bytes_per_tok(f, 0) == 0, "and nothing is learnt from nothing");
    forecast_learn_answer(f, 0, 600, 100);
    EXPECT(forecast_answer_bytes_per_tok(f, 0) == 6, "the first is believed");
    for (int32_t i = 0; i < 500; i++)
        forecast_learn_answer(f, 0, 300, 100);
    double now = forecast_answer_bytes_per_tok(f, 0);
    EXPECT(now > 2.99 && now < 3.02, "it fades: %g", now);
    EXPECT(forecast_answer_bytes_per_tok(f, 1) == 0, "each model by itself");
    struct forecast *grown;
    NEED(!forecast_new(&grown, &arena, 0, 3));
    forecast_move(grown, f);
    EXPECT(forecast_answer_bytes_per_tok(grown, 0) == now, "moved");
}

// More tenants and models have come: what was learnt of those before stays theirs.
static void what_was_learnt_moves_into_a_larger_one(void)
{
    struct forecast *f = make(3, 2), *grown;
    for (int32_t t = -1; t < 3; t++)
        for (int32_t m = 0; m < 2; m++)
            for (int32_t i = 0; i < 20; i++)
                learn(f, t, m, 300 * (m + 1), 100, 40 + 10 * t + 100 * m);
    EXPECT(forecast_holds(f, 3, 2) && !forecast_holds(f, 4, 2) && !forecast_holds(f, 3, 3), "room");
    NEED(!forecast_new(&grown, &arena, 7, 5));
    forecast_move(grown, f);
    for (int32_t m = 0; m < 2; m++) {
        EXPECT(forecast_bytes_per_tok(grown, m) == forecast_bytes_per_tok(f, m), "model %d", m);
        for (int32_t t = -1; t < 3; t++)
            EXPECT(output_tok(grown, t, m, 0) == output_tok(f, t, m, 0), "tenant %d, model %d", t,
                   m);
    }
    EXPECT(output_tok(grown, 5, 1, 0) == output_tok(f, 5, 1, 0),
           "a new tenant has the model's mean");
    EXPECT(output_tok(grown, 0, 4, 0) == 256, "of a new model nothing is known");
}

// A million (tenant, model): memory stays bounded, and who lost a shared cell gets the model's
// mean.
static void many_tenants_share_bounded_memory(void)
{
    struct forecast *f = make(100000, 50);
    size_t used = arena.used;
    EXPECT(used < 5 << 20, "%zu bytes", used);
    struct rng r;
    rng_seed(&r, 2);
    for (int32_t i = 0; i < 200000; i++)
        learn(f, (int32_t)rng_below(&r, 100000), (int32_t)rng_below(&r, 50), 400, 100, 500);
    int32_t wrong = 0;
    for (int32_t t = 0; t < 100000; t++)
        wrong += output_tok(f, t, t % 50, 0) != 500;
    EXPECT(wrong == 0 && arena.used == used, "%d wrong, %zu bytes", wrong, arena.used);
}

static void without_memory_it_says_so(void)
{
    for (size_t limit = 0;; limit += limit < 4096 ? 64 : 65536) {
        struct arena a;
        struct forecast *f = NULL;
        arena_init(&a, limit);
        enum err e = forecast_new(&f, &a, 10, 10);
        EXPECT(!e || (e == ERR_LIMIT && !f), "limit %zu", limit);
        arena_release(&a);
        if (!e)
            break;
        NEED(limit < 2 << 20);
    }
}

int main(void)
{
    TEST(before_anything_was_seen_it_guesses);
    TEST(it_learns_lengths_for_each_tenant_and_model);
    TEST(it_learns_lengths_of_each_end_user);
    TEST(it_learns_lengths_by_that_of_the_prompt);
    TEST(users_without_end_share_bounded_memory);
    TEST(it_learns_bytes_per_token);
    TEST(it_learns_bytes_per_token_of_answers);
    TEST(what_was_learnt_moves_into_a_larger_one);
    TEST(many_tenants_share_bounded_memory);
    TEST(without_memory_it_says_so);
    arena_release(&arena);
    return test_end();
}
