// Curves through measurements (portfolio/fit.h), and how they are judged (bench/measured.h,
// validate.h).

#include "base/rng.h"
#include "bench/validate.h"
#include "lib/test.h"

#include <math.h>
#include <stdlib.h>

enum { N = 60 };

static double true_step_us(double n, double p, double o)
{
    return 5000 + 40 * n + 0.01 * n * (p + o / 2);
}

static int32_t machine(struct fit_sample *s, double noise)
{
    static const double batches[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512},
                        prompts[] = {128, 1024, 8192};
    struct rng rng;
    int32_t n = 0;
    rng_seed(&rng, 5);
    for (int32_t i = 0; i < 10; i++)
        for (int32_t k = 0; k < 3; k++)
            for (int32_t o = 0; o < 2; o++) {
                double us = true_step_us(batches[i], prompts[k], o ? 1024 : 128);
                s[n++] = (struct fit_sample){.batch = batches[i],
                                             .prompt = prompts[k],
                                             .output = o ? 1024 : 128,
                                             .us = us * (1 + noise * rng_normal(&rng))};
            }
    return n;
}

static void weights_come_back(void)
{
    struct fit_sample s[N];
    int32_t n = machine(s, 0);
    struct fit *f = fit_new(FIT_STEP, s, n, false);
    EXPECT(fabs(fit_weight(f, 0) / 5000 - 1) < 1e-6, "W %g", fit_weight(f, 0));
    EXPECT(fabs(fit_weight(f, 1) / 40 - 1) < 1e-6, "H %g", fit_weight(f, 1));
    EXPECT(fabs(fit_weight(f, 2) / 0.01 - 1) < 1e-6, "K %g", fit_weight(f, 2));
    EXPECT(fabs(fit_weight(f, 3)) < 1e-6 && fabs(fit_weight(f, 4)) < 1e-3, "no more");
    fit_free(f);
    EXPECT(!fit_new(FIT_STEP, s, 0, true), "nothing is no curve");
}

// Samples that service.h itself makes give back its parameters.
static void parameters_of_service_come_back(void)
{
    const struct service truth = {.prefill_us = 9000,
                                  .prefill_us_per_tok = 40,
                                  .prefill_us_per_tok2 = 1e-3,
                                  .prefill_us_per_seq = 70,
                                  .prefill_us_per_tok_seq = 0.3,
                                  .step_us = 7000,
                                  .step_us_per_seq = 25,
                                  .step_us_per_root = 300,
                                  .step_us_per_ctx = 0.02,
                                  .join_us_per_tok = 30,
                                  .slots = 4096,
                                  .replicas = 1};
    struct fit_sample steps[N], firsts[N];
    int32_t n = machine(steps, 0);
    for (int32_t i = 0; i < n; i++) {
        struct fit_sample *s = &steps[i];
        firsts[i] = *s;
        s->us = service_per_token_us(&truth, s->batch, s->prompt, s->output);
        firsts[i].us = service_ttft_us(&truth, s->batch, s->prompt);
    }
    struct service got;
    EXPECT(fit_service(&got, steps, n, firsts, n), "there are samples");
    const double pairs[][2] = {{got.step_us, truth.step_us},
                               {got.step_us_per_seq, truth.step_us_per_seq},
                               {got.step_us_per_root, truth.step_us_per_root},
                               {got.step_us_per_ctx, truth.step_us_per_ctx},
                               {got.join_us_per_tok, truth.join_us_per_tok},
                               {got.prefill_us, truth.prefill_us},
                               {got.prefill_us_per_tok, truth.prefill_us_per_tok},
                               {got.prefill_us_per_tok2, truth.prefill_us_per_tok2},
                               {got.prefill_us_per_seq, truth.prefill_us_per_seq},
                               {got.prefill_us_per_tok_seq, truth.prefill_us_per_tok_seq}};
    for (size_t i = 0; i < COUNTOF(pairs); i++)
        EXPECT(fabs(pairs[i][0] / pairs[i][1] - 1) < 1e-4, "%zu: %g, not %g", i, pairs[i][0],
               pairs[i][1]);
    EXPECT(!fit_service(&got, steps, 0, firsts, 0), "nothing to learn from");
}

// With prompts of one length the times come back, and half of each is said to be the tokens'.
static void one_length_of_prompt_is_halved(void)
{
    struct fit_sample steps[4], firsts[4];
    struct service s;
    for (int32_t i = 0; i < 4; i++) {
        double n = 1 << i;
        steps[i] =
            (struct fit_sample){.batch = n, .prompt = 1000, .output = 64, .us = 5000 + 100 * n};
        firsts[i] = steps[i];
        firsts[i].us = 5000 + 100 * n + 80000 + 20000 * (n - 1);
    }
    EXPECT(fit_service(&s, steps, 4, firsts, 4) && s.prefill_split, "it is said");
    EXPECT(fabs(s.prefill_us - 40000) < 40 && fabs(s.prefill_us_per_tok - 40) < 0.04, "%g + %g u",
           s.prefill_us, s.prefill_us_per_tok);
    EXPECT(fabs(s.prefill_us_per_seq - 10000) < 10 && fabs(s.prefill_us_per_tok_seq - 10) < 0.01,
           "others %g + %g u", s.prefill_us_per_seq, s.prefill_us_per_tok_seq);
    firsts[3].prompt = 2000;
    EXPECT(fit_service(&s, steps, 4, firsts, 4) && !s.prefill_split, "two lengths tell");
}

static void no_weight_is_negative(void)
{
    struct rng rng;
    rng_seed(&rng, 9);
    for (int32_t round = 0; round < 300; round++) {
        struct fit_sample s[12];
        int32_t n = 1 + (int32_t)rng_below(&rng, 12);
        for (int32_t i = 0; i < n; i++)
            s[i] = (struct fit_sample){.batch = 1 + (double)rng_below(&rng, 500),
                                       .prompt = (double)rng_below(&rng, 9000),
                                       .output = (double)rng_below(&rng, 3) * 500,
                                       .us = 1 + 1e6 * rng_unit(&rng)};
        enum fit_kind kind = (enum fit_kind)(round % 2);
        struct fit *f = fit_new(kind, s, n, true);
        for (int32_t t = 0; t < FIT_TERMS; t++)
            EXPECT(fit_weight(f, t) >= 0, "round %d: %g", round, fit_weight(f, t));
        for (int32_t i = 0; i < n; i++) {
            double us = fit_us(f, s[i].batch, s[i].prompt, s[i].output);
            EXPECT(isfinite(us) && us >= 0, "round %d: %g", round, us);
        }
        fit_free(f);
    }
}

// A step of batches above 64 that no term knows: the neighbours know it, and far away they are
// silent.
static void the_correction_follows_its_neighbours_and_fades(void)
{
    struct fit_sample s[N];
    int32_t n = machine(s, 0);
    for (int32_t i = 0; i < n; i++)
        s[i].us *= s[i].batch > 64 ? 1.5 : 1;
    struct fit *plain = fit_new(FIT_STEP, s, n, false);
    struct fit *f = fit_new(FIT_STEP, s, n, true);
    double plain_off = 0, off = 0;
    for (int32_t i = 0; i < n; i++) {
        plain_off += fabs(fit_us(plain, s[i].batch, s[i].prompt, s[i].output) / s[i].us - 1) / n;
        off += fabs(fit_us(f, s[i].batch, s[i].prompt, s[i].output) / s[i].us - 1) / n;
    }
    EXPECT(off < 0.3 * plain_off, "%g, without %g", off, plain_off);
    double far = fit_us(f, 1, 1e12, 1e9), sum = fit_us(plain, 1, 1e12, 1e9);
    EXPECT(fabs(far / sum - 1) < 1e-6, "%g, the sum says %g", far, sum);
    fit_free(plain);
    fit_free(f);
}

// --- tables -------------------------------------------------------------------------------------

#define HEAD "id,model_path,system,tp_size,isl,osl,batch_size,silicon_ttft_ms,silicon_tpot_ms\n"

static enum err read_text(struct measured_table *t, struct arena *a, const char *text,
                          struct diag *d)
{
    *t = (struct measured_table){0};
    enum err e = measured_read(t, a, "t.csv", str_of(text), d);
    measured_sort(t);
    return e;
}

static void tables_are_read_and_rows_left_out_by_rule(void)
{
    struct arena a;
    struct diag d = {0};
    struct measured_table t;
    arena_init(&a, 1 << 20);
    enum err e = read_text(&t, &a,
                           HEAD "1,\"m\",h100,8,1024,128,4,100,10\r\n2,m,h100,4,1024,128,4,100,10\n"
                                "3,m,h100,8,1024,128,8,5001,10\n4,m,h100,8,1024,128,,100,10\n"
                                "5,m,h100,8,1024,128,8,,10\n6,m,h100,8,512,128,8,5000,11\n",
                           &d);
    EXPECT(!e, "%s", d.text);
    EXPECT(t.n == 3 && t.n_configs == 2, "%d rows, %d configurations", t.n, t.n_configs);
    EXPECT(t.left_out[MEASURED_SATURATED] == 1 && t.left_out[MEASURED_NO_BATCH] == 1 &&
               t.left_out[MEASURED_NO_TIME] == 1,
           "left out");
    EXPECT(t.rows[0].chips == 4 && t.rows[1].chips == 8, "chips");
    EXPECT(t.rows[1].per_token_us == 11000 && t.rows[1].prompt == 512, "in order");
    free(t.rows);
    EXPECT(read_text(&t, &a, HEAD "1,m,h100,8,x,128,4,100,10\n", &d) == ERR_INVALID,
           "not a number");
    EXPECT(strstr(d.text, "t.csv:2: isl is \"x\"") != NULL, "%s", d.text);
    free(t.rows);
    d = (struct diag){0};
    EXPECT(read_text(&t, &a, "id,system\n", &d) == ERR_INVALID, "%s", d.text);
    free(t.rows);
    d = (struct diag){0};
    EXPECT(read_text(&t, &a, "", &d) == ERR_INVALID, "%s", d.text);
    free(t.rows);
    arena_release(&a);
}

static void a_batch_is_that_of_all_ranks_of_attention(void)
{
    struct arena a;
    struct diag d = {0};
    struct measured_table t;
    arena_init(&a, 1 << 20);
    enum err e = read_text(&t, &a,
                           "model_path,system,isl,osl,batch_size,decode_batch_size,tp_size,"
                           "attention_dp_size,decode_attention_dp_size,silicon_ttft_ms,"
                           "silicon_tpot_ms\nm,s,9,9,16,,1,8,,5,5\nm,s,9,9,,4,,,2,5,5\n"
                           "m,s,9,9,3,,1,0,7,5,5\n",
                           &d);
    EXPECT(!e && t.n == 3, "%s", d.text);
    double all = 0;
    for (int32_t i = 0; i < t.n; i++)
        all += t.rows[i].batch;
    EXPECT(all == 16 * 8 + 4 * 2 + 3, "%g", all);
    free(t.rows);
    arena_release(&a);
}

// What a row says of itself counts, and a slow machine that says it was not saturated is none.
static void rows_say_why_they_are_left_out(void)
{
    struct arena a;
    struct diag d = {0};
    struct measured_table t;
    struct buf said;
    char text[64];
    arena_init(&a, 1 << 20);
    buf_init(&said, 256);
    enum err e = read_text(&t, &a,
                           "left_out," HEAD ",1,m,cpu,1,1024,128,1,9000,10\n"
                           "saturated,1,m,cpu,1,1024,128,4,100,10\n"
                           "warm prefix,1,m,cpu,1,1024,128,4,100,10\n"
                           "cut off,1,m,cpu,1,1024,128,4,0,0\ncut off,1,m,cpu,1,9,9,4,9,9\n",
                           &d);
    measured_outs_text(&said, &t);
    EXPECT(!e && t.n == 1 && t.rows[0].ttft_us == 9e6, "%s: %d rows", d.text, t.n);
    snprintf(text, sizeof text, STR_FMT, STR_ARG(buf_str(&said)));
    EXPECT(!strcmp(text, "1 saturated, 2 cut off, 1 warm prefix"), "%s", text);
    free(t.rows);
    EXPECT(read_text(&t, &a, "left_out," HEAD "cold,1,m,cpu,1,1024,128,1,9,10\n", &d) ==
               ERR_INVALID,
           "an unknown reason");
    EXPECT(strstr(d.text, "t.csv:2: left_out is \"cold\", expected") != NULL, "%s", d.text);
    free(t.rows);
    buf_release(&said);
    arena_release(&a);
}

static void json_that_is_not_of_bench_is_an_error(void)
{
    static const char *const texts[] = {
        "{",
        "{\"suppliers\":3}",
        "{\"suppliers\":[3]}",
        "{\"suppliers\":[{\"url\":\"u\"}]}",
        "{\"suppliers\":[{\"url\":\"u\",\"model\":\"m\",\"rows\":[4]}]}",
        "{\"suppliers\":[{\"url\":\"u\",\"model\":\"m\",\"rows\":[{\"prompt_tok\":-1}]}]}"};
    struct arena a;
    struct measured_table t;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNTOF(texts); i++) {
        struct diag d = {0};
        EXPECT(read_text(&t, &a, texts[i], &d) == ERR_INVALID && d.text[0], "%s", texts[i]);
        free(t.rows);
    }
    arena_release(&a);
}

// Two that differ foretell each other; a copy, or one that was rounded, foretells nobody.
static void repeats_foretell_each_other(void)
{
    struct measured rows[4];
    double step[4], first[4];
    for (int32_t i = 0; i < 4; i++)
        rows[i] = (struct measured){.model = STR("m"),
                                    .system = STR("s"),
                                    .setup = STR("x"),
                                    .prompt = i < 3 ? 100 : 200,
                                    .output = 9,
                                    .batch = 4,
                                    .ttft_us = i == 1 ? 125 : 100,
                                    .per_token_us = i == 2 ? 10.001 : 10};
    struct measured_table t = {.rows = rows, .n = 4};
    measured_sort(&t);
    validate_repeats(step, first, &t);
    struct error_summary s = error_summary_of(step, 4), f = error_summary_of(first, 4);
    EXPECT(s.n == 0, "%d that differ per token", s.n);
    EXPECT(f.n == 2 && fabs(f.median - (0.25 + 0.2) / 2) < 1e-12, "%d, %g", f.n, f.median);
}

// Of a machine whose times scatter by 5 percent no honest figure is below that of the scatter
// itself.
static void what_is_judged_was_not_learnt(void)
{
    struct fit_sample s[N];
    struct measured rows[N];
    double off[N];
    int32_t n = machine(s, 0.05);
    for (int32_t i = 0; i < n; i++)
        rows[i] = (struct measured){.model = STR("m"),
                                    .system = STR("s"),
                                    .setup = STR("x"),
                                    .prompt = s[i].prompt,
                                    .output = s[i].output,
                                    .batch = s[i].batch,
                                    .ttft_us = 1,
                                    .per_token_us = s[i].us};
    struct measured_table t = {.rows = rows, .n = n};
    measured_sort(&t);
    for (int32_t by = FITTED_TERMS; by <= FITTED_SERVICE; by++) {
        validate_seen(off, &t, &(struct trial){FIT_STEP, (enum fitted)by, true}, 1);
        struct error_summary e = error_summary_of(off, n);
        EXPECT(e.n == n, "%d of %d", e.n, n);
        EXPECT(e.median > 0.02 && e.median < 0.07, "by %d: %g", by, e.median);
    }
    validate_unseen(off, &t, &(struct trial){FIT_STEP, FITTED_TERMS, false});
    EXPECT(error_summary_of(off, n).n == 0, "there is no other configuration");
}

int main(void)
{
    TEST(weights_come_back);
    TEST(parameters_of_service_come_back);
    TEST(one_length_of_prompt_is_halved);
    TEST(no_weight_is_negative);
    TEST(the_correction_follows_its_neighbours_and_fades);
    TEST(tables_are_read_and_rows_left_out_by_rule);
    TEST(a_batch_is_that_of_all_ranks_of_attention);
    TEST(rows_say_why_they_are_left_out);
    TEST(json_that_is_not_of_bench_is_an_error);
    TEST(repeats_foretell_each_other);
    TEST(what_is_judged_was_not_learnt);
    return test_end();
}
