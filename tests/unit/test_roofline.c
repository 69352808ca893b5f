// The roofline with what other systems reach (portfolio/roofline.h), and its fit (bench/roofs.h).

#include "base/rng.h"
#include "bench/roofs.h"
#include "bench/validate.h"
#include "lib/test.h"

#include <math.h>

static const struct chip chips[] = {
    {.name = STR("slow"), .bandwidth_bytes_s = 3e12, .compute_flop_s = 1e15},
    {.name = STR("fast"), .bandwidth_bytes_s = 8e12, .compute_flop_s = 4e15},
};
static const struct model models[] = {
    {.name = STR("dense"),
     .parameters = 70e9,
     .layers = 80,
     .kv_bytes_per_tok = 163840,
     .kv_heads = 8,
     .bytes_per_parameter = 1},
    {.name = STR("experts"),
     .parameters = 120e9,
     .active_parameters = 5e9,
     .layers = 36,
     .experts = 128,
     .experts_active = 4,
     .kv_bytes_per_tok = 36864,
     .kv_heads = 2,
     .bytes_per_parameter = 0.5},
};

static const struct roofline truth = {
    .step = {20, 9, 40, 1.4, 6, 2.5},
    .first = {11, 1, 0.1, 4, 20, 8, 2.5, 3.5, 3},
};

static struct roofline_machine machine_of(int32_t chip, int32_t model, double n,
                                          enum roofline_engine engine)
{
    return (struct roofline_machine){.chip = &chips[chip],
                                     .model = &models[model],
                                     .chips = n,
                                     .bytes_per_parameter = models[model].bytes_per_parameter,
                                     .engine = engine};
}

static void a_step_is_what_the_data_sheet_says(void)
{
    struct roofline_machine m = machine_of(0, 0, 2, ENGINE_VLLM);
    double t[ROOF_STEP_TERMS];
    roofline_step_terms(t, &m, 4, 1000, 0);
    EXPECT(fabs(t[ROOF_MEMORY] - 1e6 * (70e9 + 4 * 1000 * 163840.0) / 6e12) < 1e-6, "%g",
           t[ROOF_MEMORY]);
    EXPECT(t[ROOF_LAYER_CHIPS] == 80 && t[ROOF_LAYER_EXPERTS] == 0, "two chips, no experts");
    // Of 120 G parameters 115 G sleep, which are 124 of 128 experts.
    m = machine_of(0, 1, 8, ENGINE_VLLM);
    roofline_step_terms(t, &m, 1, 0, 0);
    EXPECT(fabs(t[ROOF_MEMORY] - 1e6 * 5e9 * 0.5 / 24e12) < 1e-6, "one wakes the active: %g",
           t[ROOF_MEMORY]);
    roofline_step_terms(t, &m, 1e6, 0, 0);
    EXPECT(fabs(t[ROOF_MEMORY] - 1e6 * 120e9 * 0.5 / 24e12) < 1e-6, "many wake all: %g",
           t[ROOF_MEMORY]);
    roofline_step_terms(t, &m, 1, 1000, 0);
    double kv = t[ROOF_MEMORY];
    roofline_step_terms(t, &m, 1, 0, 0);
    EXPECT(fabs(kv - t[ROOF_MEMORY] - 4 * 1e6 * 1000 * 36864.0 / 24e12) < 1e-6,
           "8 chips hold 4 copies of 2 heads: %g", kv - t[ROOF_MEMORY]);
}

// What service.h computes from the parameters is the sum of the terms that they were fitted with.
static void the_service_is_the_sum_of_its_terms(void)
{
    struct rng rng;
    rng_seed(&rng, 3);
    for (int32_t round = 0; round < 500; round++) {
        struct roofline_machine m =
            machine_of((int32_t)rng_below(&rng, 2), (int32_t)rng_below(&rng, 2),
                       1 + (double)rng_below(&rng, 16), (enum roofline_engine)rng_below(&rng, 3));
        double n = 1 + (double)rng_below(&rng, 300), p = (double)rng_below(&rng, 9000),
               o = 1 + (double)rng_below(&rng, 2000);
        double step[ROOF_STEP_TERMS], first[ROOF_FIRST_TERMS], step_us = 0, first_us = 0;
        struct service s = {.slots = 4096, .replicas = 1}, bare;
        roofline_service(&s, &m, &truth);
        bare = s;
        bare.prefill_us_per_tok = bare.prefill_us_per_seq = bare.prefill_us_per_tok_seq = 0;
        bare.prefill_steps = bare.prefill_steps_per_tok = 0;
        roofline_step_terms(step, &m, n, p, o);
        roofline_first_terms(first, &m, &s, n, p);
        for (int i = 0; i < ROOF_STEP_TERMS; i++)
            step_us += truth.step[i] * step[i];
        for (int i = 0; i < ROOF_FIRST_TERMS; i++)
            first_us += truth.first[i] * first[i];
        first_us += service_ttft_us(&bare, n, p);
        double got = service_per_token_us(&s, n, p, o);
        EXPECT(fabs(got / step_us - 1) < 1e-9, "round %d: %g, terms %g", round, got, step_us);
        got = service_ttft_us(&s, n, p);
        EXPECT(fabs(got / first_us - 1) < 1e-9, "round %d: %g, terms %g", round, got, first_us);
    }
}

enum { ROWS = 2 * 2 * 3 * 3 * 5 * 2 };

static int32_t measure(struct measured *rows)
{
    static const double replicas[] = {1, 2, 8}, batches[] = {1, 4, 16, 64, 256},
                        prompts[] = {512, 8192};
    int32_t n = 0;
    for (int32_t i = 0; i < ROWS; i++) {
        int32_t chip = i % 2, model = i / 2 % 2, r = i / 4 % 3, engine = i / 12 % 3;
        double batch = batches[i / 36 % 5], prompt = prompts[i / 180];
        struct roofline_machine m =
            machine_of(chip, model, replicas[r], (enum roofline_engine)engine);
        struct service s = {.slots = 4096, .replicas = 1};
        roofline_service(&s, &m, &truth);
        static const struct str setups[] = {STR("a"), STR("b"), STR("c"), STR("d"), STR("e"),
                                            STR("f"), STR("g"), STR("h"), STR("i")};
        rows[n++] = (struct measured){.model = models[model].name,
                                      .system = chips[chip].name,
                                      .setup = setups[3 * r + engine],
                                      .prompt = prompt,
                                      .output = 500,
                                      .batch = batch,
                                      .ttft_us = service_ttft_us(&s, batch, prompt),
                                      .per_token_us = service_per_token_us(&s, batch, prompt, 500),
                                      .chips = (int32_t)replicas[r],
                                      .bytes_per_parameter = m.bytes_per_parameter,
                                      .engine = m.engine};
    }
    return n;
}

static void weights_come_back_and_foretell_the_other_system(void)
{
    static struct measured rows[ROWS];
    struct measured_table t = {.rows = rows, .n = measure(rows)};
    struct portfolio p = {.models = (struct model *)models,
                          .n_models = 2,
                          .chips = (struct chip *)chips,
                          .n_chips = 2};
    struct roofs r;
    struct roofline got;
    static double step[ROWS], first[ROWS];
    bool all[ROWS];
    measured_sort(&t);
    roofs_init(&r, &t, &p);
    EXPECT(r.n_known == ROWS, "%d of %d", r.n_known, ROWS);
    for (int32_t i = 0; i < ROWS; i++)
        all[i] = true;
    roofs_fit(&got, &r, all);
    for (int i = 0; i < ROOF_STEP_TERMS; i++)
        EXPECT(fabs(got.step[i] / truth.step[i] - 1) < 0.02, "step %d: %g", i, got.step[i]);
    for (int32_t way = 0; way < 2; way++) {
        if (way)
            roofs_validate_config(step, first, &r);
        else
            roofs_validate_system(step, first, &r);
        struct error_summary s = error_summary_of(step, ROWS), f = error_summary_of(first, ROWS);
        EXPECT(s.n == ROWS && s.median < 0.02 && s.p90 < 0.1, "way %d: %d, %g", way, s.n, s.median);
        EXPECT(f.n == ROWS && f.median < 0.05 && f.p90 < 0.2, "way %d: %d, %g", way, f.n, f.median);
    }
    roofs_release(&r);
}

int main(void)
{
    TEST(a_step_is_what_the_data_sheet_says);
    TEST(the_service_is_the_sum_of_its_terms);
    TEST(weights_come_back_and_foretell_the_other_system);
    return test_end();
}
