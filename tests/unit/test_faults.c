// Faults of the simulated supplier: reading specs and schedules, and deciding by them.

#include "lib/test.h"
#include "sim/faults.h"

static struct sim_fault parsed(const char *spec)
{
    struct sim_fault f = {.kind = SIM_OK};
    struct diag diag = {.e = ERR_NONE};
    enum err e = sim_fault_parse(&f, str_of(spec), &diag);
    EXPECT(!e, "%s: %s", spec, diag.text);
    return f;
}

static void specs_say_what_they_mean(void)
{
    struct sim_fault f = parsed("429:retry-after=2s");
    EXPECT(f.kind == SIM_STATUS && f.status == 429 && f.retry_after_us == S(2), "429");
    f = parsed("status=529");
    EXPECT(f.kind == SIM_STATUS && f.status == 529 && f.retry_after_us == -1, "529");
    f = parsed("500,p=0.25,count=3,model=gpt-oss:120b,code=boom");
    EXPECT(f.share == 0.25 && f.count == 3, "p %g count %d", f.share, f.count);
    EXPECT(str_eq(str_of(f.model), STR("gpt-oss:120b")), "model %s", f.model);
    EXPECT(str_eq(str_of(f.code), STR("boom")), "code %s", f.code);
    f = parsed("stall-after=5");
    EXPECT(f.kind == SIM_STALL_AFTER && f.after == 5, "after %d", f.after);
    f = parsed("cut-after=0");
    EXPECT(f.kind == SIM_CUT_AFTER && f.after == 0, "after %d", f.after);
    f = parsed("error-event=overloaded,after=3");
    EXPECT(f.kind == SIM_ERROR_EVENT && f.after == 3, "after %d", f.after);
    EXPECT(str_eq(str_of(f.code), STR("overloaded")), "code %s", f.code);
    f = parsed("error-event");
    EXPECT(f.kind == SIM_ERROR_EVENT && !f.code[0], "code %s", f.code);
    f = parsed("drip=1byte/10ms");
    EXPECT(f.drip_bytes == 1 && f.drip_us == MS(10), "%d %ld", f.drip_bytes, (long)f.drip_us);
    f = parsed("drip=16/1 ms");
    EXPECT(f.drip_bytes == 16 && f.drip_us == MS(1), "%d %ld", f.drip_bytes, (long)f.drip_us);
    f = parsed("slow=2.5,model=m");
    EXPECT(f.kind == SIM_SLOW && f.factor == 2.5, "factor %g", f.factor);
    f = parsed("delay=150ms");
    EXPECT(f.kind == SIM_DELAY && f.delay_us == MS(150), "delay %ld", (long)f.delay_us);
    f = parsed("quota");
    EXPECT(f.status == 429 && str_eq(str_of(f.code), STR("insufficient_quota")), "%s", f.code);
    f = parsed("context-length");
    EXPECT(f.status == 400 && str_eq(str_of(f.code), STR("context_length_exceeded")), "%s", f.code);
    f = parsed(" 503 ");
    EXPECT(f.status == 503 && f.count == -1 && f.until_us == NEVER, "503");
}

static void every_fault_of_the_help_is_known(void)
{
    const char *spec, *meaning;
    int32_t n = 0;
    for (; sim_fault_help(n, &spec, &meaning); n++) {
        EXPECT(spec[0] && meaning[0], "row %d", n);
        char text[64];
        size_t k = 0;  // "stall-after=N" with a number; the first of "429, 500"; without "[=CODE]"
        for (; spec[k] && spec[k] != ',' && spec[k] != '[' && k < sizeof text - 1; k++)
            text[k] = spec[k] == 'N' ? '7' : spec[k];
        text[k] = 0;
        parsed(text);
    }
    EXPECT(n > 15, "%d rows", n);
}

static void wrong_specs_are_refused_with_words(void)
{
    static const char *const wrong[] = {
        "",
        "nonsense",
        "399",
        "600",
        "status",
        "status=ok",
        "stall-after",
        "stall-after=-1",
        "stall-after=x",
        "503,p=2",
        "503,p=nan",
        "503,p",
        "503,count=0",
        "503,what=1",
        "503,",
        "drip=1",
        "drip=0/1ms",
        "drip=1/0s",
        "slow=0",
        "slow=2,p=0.5",
        "slow=2,count=1",
        "garbage=1",
        "delay=soon",
        "503,model=",
        "503,retry-after=2",
        "503 p=1",
    };
    for (size_t i = 0; i < COUNTOF(wrong); i++) {
        struct sim_fault f;
        struct diag diag = {.e = ERR_NONE};
        enum err e = sim_fault_parse(&f, str_of(wrong[i]), &diag);
        EXPECT(e == ERR_INVALID && diag.text[0], "'%s' gave %d '%s'", wrong[i], (int)e, diag.text);
    }
    struct sim_fault f;
    struct diag diag = {.e = ERR_NONE};
    EXPECT(sim_fault_parse(&f, STR("stall-befor"), &diag) == ERR_INVALID, "typo");
    size_t at;
    EXPECT(str_find(str_of(diag.text), STR("stall-before"), &at), "%s", diag.text);
}

static void the_first_that_fits_decides_and_the_rest_add_up(void)
{
    struct sim_faults fs;
    sim_faults_init(&fs, 1);
    struct diag diag = {.e = ERR_NONE};
    enum err e = sim_faults_add_lines(
        &fs,
        STR("# a comment\n\n500,model=a,count=2\r\n503,model=a\nno-done\ndelay=1ms\ndelay=2ms\n"),
        &diag);
    EXPECT(!e && fs.n == 5, "%s, %d", diag.text, fs.n);
    for (int i = 0; i < 4; i++) {
        struct sim_effect got = sim_faults_pick(&fs, STR("a"), S(1));
        EXPECT(got.kind == SIM_STATUS && got.status == (i < 2 ? 500 : 503), "%d: %d", i,
               got.status);
        EXPECT(got.any && got.no_done && !got.no_usage && got.delay_us == MS(3), "%d", i);
    }
    struct sim_effect got = sim_faults_pick(&fs, STR("b"), S(1));
    EXPECT(got.kind == SIM_OK && got.any && got.no_done, "b");
    sim_faults_clear(&fs);
    got = sim_faults_pick(&fs, STR("a"), S(1));
    EXPECT(got.kind == SIM_OK && !got.any && got.retry_after_us == -1, "cleared");
    sim_faults_release(&fs);
}

static void a_wrong_line_adds_none(void)
{
    struct sim_faults fs;
    sim_faults_init(&fs, 1);
    struct diag diag = {.e = ERR_NONE};
    EXPECT(sim_faults_add_lines(&fs, STR("503\nnonsense\n"), &diag) == ERR_INVALID, "%d", fs.n);
    EXPECT(fs.n == 0, "%d", fs.n);
    struct str line = STR("503\n");
    for (int i = 0; i < SIM_FAULTS_MAX; i++)
        EXPECT(!sim_faults_add_lines(&fs, line, &diag), "%d", i);
    EXPECT(sim_faults_add_lines(&fs, line, &diag) == ERR_LIMIT, "%d", fs.n);
    sim_faults_release(&fs);
}

static void a_schedule_holds_when_it_says(void)
{
    struct sim_faults fs;
    sim_faults_init(&fs, 1);
    struct diag diag = {.e = ERR_NONE};
    enum err e = sim_faults_schedule(&fs, STR("day"),
                                     STR("# at lasts what\n10s 20s 503\n60s - slow=3,model=a\n"),
                                     S(100), &diag);
    EXPECT(!e && fs.n == 2, "%s", diag.text);
    static const struct {
        int64_t at_us;
        bool fails, slow;
    } want[] = {{S(100), false, false},    {S(110) - 1, false, false}, {S(110), true, false},
                {S(130) - 1, true, false}, {S(130), false, false},     {S(160), false, true}};
    for (size_t i = 0; i < COUNTOF(want); i++) {
        struct sim_effect got = sim_faults_pick(&fs, STR("a"), want[i].at_us);
        EXPECT((got.kind == SIM_STATUS) == want[i].fails, "at %ld", (long)want[i].at_us);
        double slow = sim_faults_slow(&fs, STR("a"), want[i].at_us);
        EXPECT(slow == (want[i].slow ? 3.0 : 1.0), "at %ld: %g", (long)want[i].at_us, slow);
        EXPECT(sim_faults_slow(&fs, STR("b"), want[i].at_us) == 1.0, "another model");
    }
    e = sim_faults_schedule(&fs, STR("day"), STR("10s 503\n"), 0, &diag);
    EXPECT(e == ERR_INVALID && str_starts(str_of(diag.text), STR("day: line '10s 503': got 503")),
           "%s", diag.text);
    struct diag drip = {.e = ERR_NONE};
    e = sim_faults_add(&fs, STR("drip=1"), &drip);
    EXPECT(e == ERR_INVALID && str_starts(str_of(drip.text), STR("drip: got nothing")), "%s",
           drip.text);
    EXPECT(fs.n == 2, "%d", fs.n);
    sim_faults_release(&fs);
}

static void shares_hold_and_repeat_with_the_seed(void)
{
    char first[1000];
    for (int run = 0; run < 2; run++) {
        struct sim_faults fs;
        sim_faults_init(&fs, 42);
        struct diag diag = {.e = ERR_NONE};
        EXPECT(!sim_faults_add(&fs, STR("503,p=0.3"), &diag), "%s", diag.text);
        int hit = 0;
        for (int i = 0; i < 1000; i++) {
            bool failed = sim_faults_pick(&fs, STR("m"), 0).kind == SIM_STATUS;
            hit += failed;
            if (run == 0)
                first[i] = failed;
            else
                EXPECT(first[i] == failed, "draw %d", i);
        }
        EXPECT(hit > 240 && hit < 360, "%d of 1000", hit);
        sim_faults_release(&fs);
    }
}

int main(void)
{
    TEST(specs_say_what_they_mean);
    TEST(every_fault_of_the_help_is_known);
    TEST(wrong_specs_are_refused_with_words);
    TEST(the_first_that_fits_decides_and_the_rest_add_up);
    TEST(a_wrong_line_adds_none);
    TEST(a_schedule_holds_when_it_says);
    TEST(shares_hold_and_repeat_with_the_seed);
    return test_end();
}
