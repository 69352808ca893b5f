#include "portfolio/service.h"
#include "base/rng.h"
#include "lib/test.h"

#include <inttypes.h>
#include <math.h>

// ---- where the parameters come from

struct fixture {
    struct portfolio p;
    struct site site;
    struct chip chip;
    struct point points[6];
    struct model model;
    struct pool pool;
};

static void fixture_init(struct fixture *f, int32_t n_points)
{
    memset(f, 0, sizeof *f);
    f->site.pue = 1.2;
    f->chip.points = f->points;
    f->chip.n_points = n_points;
    pool_defaults(&f->pool);
    f->pool.site = f->pool.chip = 0;
    f->p.sites = &f->site;
    f->p.chips = &f->chip;
    f->p.models = &f->model;
    f->p.n_sites = f->p.n_chips = f->p.n_models = 1;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b) + 1e-9;
}

static void nothing_known_is_a_stated_guess(void)
{
    struct fixture f;
    fixture_init(&f, 0);
    struct service s;
    f.pool.chip = f.pool.site = -1;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(s.basis == BASIS_NONE && s.why && s.slots == 64 && s.pue == 1, "%d slots", s.slots);
    EXPECT(near(service_step_us(&s, 1, 100), 20000), "50 tok/s: %g", service_step_us(&s, 1, 100));
    EXPECT(near(service_prefill_us(&s, 2000, 0), 1e6), "%g", service_prefill_us(&s, 2000, 0));
    f.pool.limits.in_flight = 8;
    f.pool.chip = 0;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(s.basis == BASIS_NONE && s.slots == 8, "a chip without figures: %d slots", s.slots);
    service_of(&s, &f.p, &f.pool, -1);
    EXPECT(s.basis == BASIS_NONE && s.slots == 8, "no model either");
}

static void stated_parameters_win(void)
{
    struct fixture f;
    fixture_init(&f, 2);
    f.points[0] = (struct point){.per_user_tok_s = 10, .batch = 4, .basis = BASIS_MEASURED};
    f.points[1] = (struct point){.step_us = 5000,
                                 .step_per_sequence_us = 20,
                                 .step_per_context_us = 0.01,
                                 .prefill_tok_s = 10000,
                                 .slots = 32,
                                 .kv_tok = 1000,
                                 .power_w = 900,
                                 .basis = BASIS_CLAIMED};
    f.pool.replicas = 2;
    f.chip.idle_w = 100;
    f.pool.limits.in_flight = 10;
    struct service s;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(service_step_us(&s, 8, 400), 5000 + 80 + 2), "%g", service_step_us(&s, 8, 400));
    EXPECT(near(s.prefill_us_per_tok, 100) && s.prefill_us == 0, "%g", s.prefill_us_per_tok);
    EXPECT(s.slots == 64 && s.kv_tok == 2000 && s.replicas == 2, "%d slots", s.slots);
    EXPECT(s.basis == BASIS_CLAIMED && s.busy_w == 1800 && s.idle_w == 200, "%g W", s.busy_w);
}

static void points_on_a_line_are_fitted_exactly(void)
{
    struct fixture f;
    fixture_init(&f, 4);
    double w = 4000, h = 60, p0 = 20000, p1 = 80, p2 = 0.004;
    for (int i = 0; i < 4; i++) {
        double n = 1 << (2 * i), u = 500 * (i + 1) * (i + 1), step = w + h * n;
        f.points[i] = (struct point){
            .model = i == 0 ? 0 : 0,
            .chips = 4,
            .per_user_tok_s = 1e6 / step,
            .batch = n,
            .prompt_tok = u,
            .ttft_us = (int64_t)(p0 + p1 * u + p2 * u * u + step + 0.5),
            .basis = i == 2 ? BASIS_CLAIMED : BASIS_MEASURED,
        };
    }
    f.pool.chips = 17;
    struct service s;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(s.step_us, w) && near(s.step_us_per_seq, h), "%g + %g n", s.step_us,
           s.step_us_per_seq);
    EXPECT(fabs(s.prefill_us - p0) < 200 && fabs(s.prefill_us_per_tok2 - p2) < 1e-4,
           "%g + %g u + %g u2", s.prefill_us, s.prefill_us_per_tok, s.prefill_us_per_tok2);
    EXPECT(s.replicas == 4 && s.slots == 64 * 4, "%d of %d", s.replicas, s.slots);
    EXPECT(s.basis == BASIS_CLAIMED, "the weakest of those used: %s", basis_name(s.basis));
}

static void a_fit_has_no_negative_terms(void)
{
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        struct fixture f;
        fixture_init(&f, (int32_t)rng_below(&r, 6) + 1);
        for (int i = 0; i < 6; i++)
            f.points[i] =
                (struct point){.model = -1,
                               .per_user_tok_s = 1 + 500 * rng_unit(&r),
                               .batch = (double)rng_below(&r, 200),
                               .throughput_tok_s = 3000 * rng_unit(&r) * (double)(seed % 2),
                               .prompt_tok = (double)rng_below(&r, 20000),
                               .ttft_us = (int64_t)rng_below(&r, 3000000)};
        struct service s;
        service_of(&s, &f.p, &f.pool, 0);
        EXPECT(s.step_us >= 0 && s.step_us_per_seq >= 0 && s.step_us + s.step_us_per_seq > 0,
               "seed %" PRIu64 ": %g + %g n", seed, s.step_us, s.step_us_per_seq);
        EXPECT(s.prefill_us >= 0 && s.prefill_us_per_tok >= 0 && s.prefill_us_per_tok2 >= 0,
               "seed %" PRIu64, seed);
        EXPECT(s.slots >= 1 && s.basis == BASIS_ASSUMED, "no basis said is an assumption");
    }
}

static void one_point_gives_what_it_holds(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    struct service s;
    f.points[0] = (struct point){.per_user_tok_s = 2000, .basis = BASIS_CLAIMED};
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(service_step_us(&s, 1, 0), 500), "%g", service_step_us(&s, 1, 0));
    // 100 tok/s alone, 1600 tok/s of 32 at once (50 each): W + H = 10 ms, W + 32 H = 20 ms.
    f.points[0] = (struct point){.per_user_tok_s = 100, .throughput_tok_s = 1600, .batch = 32};
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(service_step_us(&s, 1, 0), 10000) && near(service_step_us(&s, 32, 0), 20000),
           "%g, %g", service_step_us(&s, 1, 0), service_step_us(&s, 32, 0));
    EXPECT(s.slots == 32, "%d", s.slots);
    f.points[0] =
        (struct point){.per_user_tok_s = 100, .batch = 1, .prompt_tok = 1000, .ttft_us = 210000};
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(service_prefill_us(&s, 1000, 0), 200000), "TTFT less a step: %g",
           service_prefill_us(&s, 1000, 0));
    EXPECT(near(s.prefill_us, 100000) && near(s.prefill_us_per_tok, 100) && s.prefill_split,
           "half of it is said to be each token's: %g + %g u", s.prefill_us, s.prefill_us_per_tok);
    // Those of the model itself come before those of any.
    fixture_init(&f, 2);
    f.points[0] = (struct point){.model = -1, .per_user_tok_s = 1, .batch = 1};
    f.points[1] = (struct point){.model = 0, .per_user_tok_s = 1000, .batch = 1};
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(service_step_us(&s, 1, 0), 1000), "%g", service_step_us(&s, 1, 0));
}

// Lengths that are nearly one do not tell a token's part; the chip's data sheet does.
static void prompts_of_one_length_are_split_by_the_roofline(void)
{
    struct fixture f;
    struct service s;
    fixture_init(&f, 2);
    f.chip.bandwidth_bytes_s = 3.35e12;
    f.chip.compute_flop_s = 1000e12;
    f.chip.efficiency = 0.5;
    f.model = (struct model){.parameters = 10e9, .bytes_per_parameter = 1};  // 40 us for each token
    f.points[0] =
        (struct point){.per_user_tok_s = 100, .batch = 1, .prompt_tok = 900, .ttft_us = 210000};
    f.points[1] = f.points[0];
    f.points[1].prompt_tok = 1100;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(s.prefill_us_per_tok, 40) && near(s.prefill_us, 160000) && s.prefill_split,
           "%g + %g u: %s", s.prefill_us, s.prefill_us_per_tok, s.why);
    f.points[0].ttft_us = f.points[1].ttft_us = 30000;  // faster than the roofline allows
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(near(s.prefill_us_per_tok, 20) && s.prefill_us == 0, "%g + %g u", s.prefill_us,
           s.prefill_us_per_tok);
    f.points[1].prompt_tok = 1126;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(!s.prefill_split, "a quarter longer tells");
}

static void the_roofline_reads_weights_once_a_step(void)
{
    struct fixture f;
    fixture_init(&f, 0);
    f.chip.memory_bytes = 80e9;
    f.chip.bandwidth_bytes_s = 3.35e12;
    f.chip.compute_flop_s = 989e12;
    f.chip.power_w = 700;
    f.chip.idle_w = 70;
    f.model =
        (struct model){.parameters = 70e9, .bytes_per_parameter = 2, .kv_bytes_per_tok = 327680};
    f.pool.chips = 6;
    struct service s;
    service_of(&s, &f.p, &f.pool, 0);
    // 140 GB need three chips of 80 GB with a fifth kept: two replicas of three.
    EXPECT(s.replicas == 2 && s.basis == BASIS_ROOFLINE, "%d replicas, %s", s.replicas, s.why);
    EXPECT(near(s.step_us, 1e6 * 140e9 / (3.35e12 * 3 * 0.5)), "%g", s.step_us);
    EXPECT(near(s.prefill_us_per_tok, 1e6 * 140e9 / (989e12 * 3 * 0.5)), "%g",
           s.prefill_us_per_tok);
    EXPECT(near(s.kv_tok, 2 * (240e9 * 0.9 - 140e9) / 327680), "%g", s.kv_tok);
    EXPECT(s.busy_w == 4200 && s.idle_w == 420, "%g W", s.busy_w);
    f.chip.efficiency = 1;
    struct service full;
    service_of(&full, &f.p, &f.pool, 0);
    EXPECT(near(full.step_us * 2, s.step_us), "twice the efficiency, half the time");
}

// What was measured has an end; what was claimed or computed has none to leave.
static void beyond_what_was_measured_is_known(void)
{
    struct fixture f;
    fixture_init(&f, 1);
    f.points[0] = (struct point){.model = -1,
                                 .step_us = 5000,
                                 .prefill_tok_s = 1e4,
                                 .batch = 32,
                                 .prompt_tok = 4096,
                                 .slots = 64,
                                 .basis = BASIS_MEASURED};
    struct service s;
    f.pool.replicas = 2;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(s.slots == 128 && s.seen_batch == 64, "%d slots, %g", s.slots, s.seen_batch);
    EXPECT(!service_is_beyond(&s, 64, 4096), "within");
    EXPECT(service_is_beyond(&s, 65, 1) && service_is_beyond(&s, 1, 4097), "beyond either");
    f.points[0].basis = BASIS_CLAIMED;
    service_of(&s, &f.p, &f.pool, 0);
    EXPECT(!service_is_beyond(&s, 128, 1e6), "nothing was measured");
}

static void energy_adds_up_to_the_meter(void)
{
    struct service s = {.prefill_us_per_tok = 100,
                        .step_us = 10000,
                        .slots = 8,
                        .replicas = 1,
                        .idle_w = 100,
                        .busy_w = 900,
                        .pue = 1.5};
    // Eight together for 100 tokens: 900 W for one second, shared by eight.
    EXPECT(near(service_joules(&s, 0, 100, 8, 0), 900 * 1.5 / 8), "%g",
           service_joules(&s, 0, 100, 8, 0));
    EXPECT(near(service_joules(&s, 0, 100, 1, 0), 200 * 1.5), "%g",
           service_joules(&s, 0, 100, 1, 0));
    EXPECT(service_joules(&s, 1000, 100, 1, 0) > service_joules(&s, 0, 100, 1, 0),
           "prefill counts");
}

// ---- virtual time

static const struct service small = {.prefill_us = 1000,
                                     .prefill_us_per_tok = 10,
                                     .step_us = 5000,
                                     .step_us_per_seq = 100,
                                     .step_us_per_ctx = 0.5,
                                     .slots = 4,
                                     .replicas = 1};

// 1000 + 10 u, then steps of 5100 + c / 2 us, c one more each.
static void alone_it_takes_its_prefill_and_its_steps(void)
{
    struct service_sim *sim = service_sim_new(&small, 10);
    int32_t id = service_sim_add(sim, 100, 40, 5, S(1));
    int64_t at = S(1) + 1000 + 600;
    EXPECT(service_sim_running(sim) == 1 && service_sim_waiting(sim) == 0, "in prefill");
    for (int32_t token = 1; token <= 5; token++) {
        at += 5100 + (int64_t)((100 + token - 1) * 0.5 + 0.5);
        struct service_event ev = service_sim_next(sim, at - 1);
        EXPECT(ev.kind == SERVICE_NONE, "not before %" PRId64, at);
        EXPECT(service_sim_due(sim) == at, "%" PRId64 ", not %" PRId64, service_sim_due(sim), at);
        ev = service_sim_next(sim, at);
        enum service_event_kind kind = token == 1   ? SERVICE_FIRST
                                       : token == 5 ? SERVICE_LAST
                                                    : SERVICE_TOKEN;
        EXPECT(ev.at_us == at && ev.kind == kind && ev.id == id && ev.token == token,
               "token %d at %" PRId64, token, ev.at_us);
    }
    EXPECT(service_sim_next(sim, NEVER).kind == SERVICE_NONE, "no more");
    EXPECT(service_sim_due(sim) == NEVER && service_sim_running(sim) == 0, "idle");
    service_sim_free(sim);
}

// What others lose to a prompt is of its own time: read on the step that it joins, and not before
// it as well. Of 100 tokens at 100 us each 40 us are read beside the others, 4 ms, and 60 us on a
// step of 5 + 6 ms.
static void a_prompt_is_read_once(void)
{
    struct service s = {.prefill_us_per_tok = 100,
                        .join_us_per_tok = 60,
                        .step_us = 5000,
                        .slots = 4,
                        .replicas = 1};
    EXPECT(near(service_ttft_us(&s, 1, 100), 15000) && near(service_ttft_us(&s, 3, 100), 15000),
           "alone or not: %g, %g", service_ttft_us(&s, 1, 100), service_ttft_us(&s, 3, 100));
    struct service_sim *sim = service_sim_new(&s, 10);
    int32_t first = service_sim_add(sim, 100, 0, 3, 0);
    EXPECT(service_sim_next(sim, NEVER).at_us == 15000, "alone it takes what the model says");
    int32_t second = service_sim_add(sim, 100, 0, 2, 16000);
    struct service_event ev = service_sim_next(sim, NEVER);
    EXPECT(ev.id == first && ev.at_us == 20000, "the step that is on is nobody's: %" PRId64,
           ev.at_us);
    ev = service_sim_next(sim, NEVER);
    EXPECT(ev.id == first && ev.at_us == 31000, "it joined at 20: %" PRId64, ev.at_us);
    ev = service_sim_next(sim, NEVER);
    EXPECT(ev.id == second && ev.kind == SERVICE_FIRST && ev.at_us == 31000, "15 after it came");
    service_sim_free(sim);
    s.join_us_per_tok = 100;  // an engine that does nothing else while it reads
    EXPECT(near(service_beside_us(&s, 100, 3), 0) && near(service_ttft_us(&s, 2, 100), 15000),
           "all of it on the step");
}

static void a_slow_pool_is_slow_from_the_next_step(void)
{
    struct service s = {.prefill_us = 1000, .step_us = 5000, .slots = 4, .replicas = 1};
    struct service_sim *sim = service_sim_new(&s, 10);
    service_sim_add(sim, 10, 0, 3, 0);
    EXPECT(service_sim_next(sim, 6000).at_us == 6000, "first");
    EXPECT(service_sim_next(sim, 6000).kind == SERVICE_NONE, "the second step has begun");
    service_sim_slow(sim, 3);
    EXPECT(service_sim_next(sim, NEVER).at_us == 11000, "the step that is on keeps its length");
    EXPECT(service_sim_next(sim, NEVER).at_us == 26000, "the next is three times as long");
    service_sim_free(sim);
}

static void one_and_no_tokens_have_a_last_event(void)
{
    struct service_sim *sim = service_sim_new(&small, 10);
    service_sim_add(sim, 0, 0, 1, 0);
    struct service_event ev = service_sim_next(sim, NEVER - 1);
    EXPECT(ev.kind == SERVICE_LAST && ev.token == 1 && ev.at_us == 6100, "%" PRId64, ev.at_us);
    service_sim_add(sim, 100, 0, 0, S(1));
    ev = service_sim_next(sim, S(2));
    EXPECT(ev.kind == SERVICE_LAST && ev.token == 0 && ev.at_us == S(1) + 2000, "%" PRId64,
           ev.at_us);
    EXPECT(service_sim_due(sim) == NEVER, "idle");
    service_sim_free(sim);
}

static void prefills_that_end_together_step_together(void)
{
    struct service s = {.prefill_us = 1000, .step_us = 5000, .slots = 4, .replicas = 3};
    struct service_sim *sim = service_sim_new(&s, 10);
    for (int i = 0; i < 3; i++)
        service_sim_add(sim, 10, 0, 2, 0);
    for (int i = 0; i < 6; i++) {
        struct service_event ev = service_sim_next(sim, S(1));
        EXPECT(ev.id == i % 3 && ev.at_us == (i < 3 ? 6000 : 11000), "%d: %d at %" PRId64, i, ev.id,
               ev.at_us);
    }
    service_sim_free(sim);
}

static void one_prefill_at_a_time_for_each_replica(void)
{
    struct service s = {.prefill_us = 1000, .step_us = 100, .slots = 9, .replicas = 2};
    struct service_sim *sim = service_sim_new(&s, 10);
    for (int i = 0; i < 5; i++)
        service_sim_add(sim, 10, 0, 1, 0);
    EXPECT(service_sim_running(sim) == 2 && service_sim_waiting(sim) == 3,
           "two replicas, two prefills");
    for (int i = 0; i < 5; i++) {
        struct service_event ev = service_sim_next(sim, S(1));
        EXPECT(ev.kind == SERVICE_LAST && ev.at_us == (i / 2 + 1) * 1000 + 100, "%d at %" PRId64, i,
               ev.at_us);
    }
    service_sim_free(sim);
}

static void kv_room_bounds_and_never_blocks_for_ever(void)
{
    struct service s = {.step_us = 100, .slots = 9, .replicas = 9, .kv_tok = 100};
    struct service_sim *sim = service_sim_new(&s, 10);
    int32_t a = service_sim_add(sim, 50, 0, 10, 0);
    service_sim_add(sim, 50, 0, 10, 0);
    int32_t huge = service_sim_add(sim, 500, 0, 10, 0);
    EXPECT(service_sim_running(sim) == 1 && service_sim_waiting(sim) == 2,
           "60 and 60 are above 100");
    service_sim_cancel(sim, a, 50);
    EXPECT(service_sim_running(sim) == 1 && service_sim_waiting(sim) == 1,
           "its room is the next one's");
    int32_t last = -1, events = 0;
    for (struct service_event ev; (ev = service_sim_next(sim, S(1))).kind; events++)
        last = ev.id;
    EXPECT(last == huge && events == 20, "%d events, the last of %d", events, last);
    for (int i = 0; i < 4; i++)
        service_sim_add(sim, 15, 0, 10, S(2));
    EXPECT(service_sim_next(sim, S(2)).kind == SERVICE_NONE, "their prefills take no time");
    EXPECT(service_sim_running(sim) == 4, "all room is given back: %d", service_sim_running(sim));
    service_sim_free(sim);
}

static void full_is_full_and_ids_come_again(void)
{
    struct service_sim *sim = service_sim_new(&small, 3);
    for (int i = 0; i < 3; i++)
        EXPECT(service_sim_add(sim, 1, 0, 2, 0) == i, "ids from 0");
    EXPECT(service_sim_add(sim, 1, 0, 2, 0) == -1, "full");
    service_sim_cancel(sim, 1, 10);
    EXPECT(service_sim_add(sim, 1, 0, 2, 10) == 1, "the free one");
    service_sim_free(sim);
    service_sim_free(NULL);
}

static void cancelling_the_last_of_a_step_ends_the_step(void)
{
    struct service s = {.step_us = S(10), .slots = 1, .replicas = 1};
    struct service_sim *sim = service_sim_new(&s, 3);
    int32_t id = service_sim_add(sim, 1, 0, 2, 0);
    EXPECT(service_sim_next(sim, S(1)).kind == SERVICE_NONE && service_sim_due(sim) == S(10),
           "in a step");
    service_sim_add(sim, 1, 0, 1, S(2));
    service_sim_cancel(sim, id, S(3));
    struct service_event ev = service_sim_next(sim, S(100));
    EXPECT(ev.kind == SERVICE_LAST && ev.at_us == S(13), "%" PRId64, ev.at_us);
    service_sim_free(sim);
}

// A random story: arrivals, cancels, slow spells. What must always hold is checked at every event,
// and a hash of all events comes back, so that two runs can be compared.
struct story {
    uint64_t hash;
    int64_t events;
};

enum { STORY_MAX = 150 };

static struct story tell_story(uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed);
    struct service s = {.prefill_us = (double)rng_below(&r, 3000),
                        .prefill_us_per_tok = (double)rng_below(&r, 20),
                        .step_us = (double)rng_below(&r, 5000),
                        .step_us_per_seq = (double)rng_below(&r, 100),
                        .step_us_per_ctx = rng_unit(&r),
                        .slots = (int32_t)rng_below(&r, 40) + 1,
                        .replicas = (int32_t)rng_below(&r, 4) + 1,
                        .kv_tok = rng_below(&r, 2) ? 3000 : 0};
    struct service_sim *sim = service_sim_new(&s, STORY_MAX);
    int32_t want[STORY_MAX], got[STORY_MAX];
    int64_t came[STORY_MAX];
    bool live[STORY_MAX] = {false};
    int32_t alive = 0;
    int64_t now = 0, last = 0, arrivals_until = S(3);
    struct story story = {0};
    while (now < arrivals_until || alive > 0) {
        now += (int64_t)rng_below(&r, 20000);
        bool drained = rng_below(&r, 4) > 0;  // some callers come late
        while (drained) {
            int64_t due = service_sim_due(sim);
            struct service_event ev = service_sim_next(sim, now);
            if (!ev.kind) {
                EXPECT(service_sim_due(sim) > now, "nothing to say, and due");
                break;
            }
            EXPECT(due <= ev.at_us && ev.at_us <= now,
                   "seed %" PRIu64 ": due %" PRId64 ", at %" PRId64, seed, due, ev.at_us);
            EXPECT(ev.at_us >= last, "seed %" PRIu64 ": back in time", seed);
            last = ev.at_us;
            NEED(ev.id >= 0 && ev.id < STORY_MAX && live[ev.id]);
            EXPECT(ev.at_us >= came[ev.id] + (int64_t)s.prefill_us, "seed %" PRIu64 ": too soon",
                   seed);
            if (want[ev.id])
                EXPECT(ev.token == ++got[ev.id], "seed %" PRIu64 ": token %d", seed, ev.token);
            EXPECT((ev.kind == SERVICE_LAST) == (got[ev.id] == want[ev.id]), "last at the last");
            if (ev.kind == SERVICE_LAST) {
                live[ev.id] = false;
                alive--;
            }
            story.events++;
            story.hash =
                mix64(story.hash ^ mix64((uint64_t)ev.at_us * 1000003 + (uint64_t)ev.id * 31 +
                                         (uint64_t)ev.token * 7 + ev.kind));
            EXPECT(service_sim_running(sim) <= s.slots, "%d of %d", service_sim_running(sim),
                   s.slots);
        }
        if (now < arrivals_until && rng_below(&r, 3)) {
            int32_t prompt = (int32_t)rng_below(&r, 1500), out = (int32_t)rng_below(&r, 30);
            int32_t id = service_sim_add(sim, prompt, (int32_t)rng_below(&r, 1000), out, now);
            EXPECT((id < 0) == (alive == STORY_MAX), "full when it is");
            if (id >= 0) {
                NEED(!live[id]);
                live[id] = true;
                want[id] = out;
                came[id] = now;
                got[id] = 0;
                alive++;
            }
        }
        int32_t victim = (int32_t)rng_below(&r, STORY_MAX);
        if (live[victim] && rng_below(&r, 3) == 0) {
            service_sim_cancel(sim, victim, now);
            live[victim] = false;
            alive--;
        }
        if (rng_below(&r, 50) == 0)
            service_sim_slow(sim, rng_below(&r, 2) ? 1 : 5);
        EXPECT(service_sim_running(sim) + service_sim_waiting(sim) == alive,
               "seed %" PRIu64 ": %d + %d, not %d", seed, service_sim_running(sim),
               service_sim_waiting(sim), alive);
        NEED(now < S(3600));
    }
    EXPECT(service_sim_due(sim) == NEVER, "seed %" PRIu64 ": idle at the end", seed);
    service_sim_free(sim);
    return story;
}

static void whatever_happens_the_promises_hold(void)
{
    int64_t events = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct story a = tell_story(seed), b = tell_story(seed);
        EXPECT(a.hash == b.hash && a.events == b.events, "seed %" PRIu64 " repeats", seed);
        events += a.events;
    }
    EXPECT(events > 50000, "%" PRId64 " events", events);
}

static void twenty_thousand_at_once(void)
{
    struct service s = {
        .prefill_us = 1, .step_us = 1000, .step_us_per_seq = 1, .slots = 20000, .replicas = 1};
    struct service_sim *sim = service_sim_new(&s, 20000);
    for (int i = 0; i < 20000; i++)
        NEED(service_sim_add(sim, 10, 0, 50, 0) == i);
    int64_t events = 0;
    while (service_sim_next(sim, NEVER).kind)
        events++;
    EXPECT(events == 20000 * 50, "%" PRId64, events);
    // All waiting behind one slot: adding and leaving must not look at the others.
    s.slots = 1;
    service_sim_free(sim);
    sim = service_sim_new(&s, 20000);
    for (int i = 0; i < 20000; i++)
        service_sim_add(sim, 10, 0, 2, 0);
    for (int i = 19999; i > 0; i -= 2)
        service_sim_cancel(sim, i, 0);
    events = 0;
    while (service_sim_next(sim, NEVER).kind)
        events++;
    EXPECT(events == 20000, "%" PRId64, events);
    service_sim_free(sim);
}

int main(void)
{
    TEST(nothing_known_is_a_stated_guess);
    TEST(stated_parameters_win);
    TEST(points_on_a_line_are_fitted_exactly);
    TEST(a_fit_has_no_negative_terms);
    TEST(one_point_gives_what_it_holds);
    TEST(prompts_of_one_length_are_split_by_the_roofline);
    TEST(the_roofline_reads_weights_once_a_step);
    TEST(beyond_what_was_measured_is_known);
    TEST(energy_adds_up_to_the_meter);
    TEST(alone_it_takes_its_prefill_and_its_steps);
    TEST(a_prompt_is_read_once);
    TEST(a_slow_pool_is_slow_from_the_next_step);
    TEST(one_and_no_tokens_have_a_last_event);
    TEST(prefills_that_end_together_step_together);
    TEST(one_prefill_at_a_time_for_each_replica);
    TEST(kv_room_bounds_and_never_blocks_for_ever);
    TEST(full_is_full_and_ids_come_again);
    TEST(cancelling_the_last_of_a_step_ends_the_step);
    TEST(whatever_happens_the_promises_hold);
    TEST(twenty_thousand_at_once);
    return test_end();
}
