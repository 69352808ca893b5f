// Watts beside a measurement: power.h, meter.h, and io/command.h that runs what prints them.

#include "bench/figures.h"
#include "bench/meter.h"
#include "bench/power.h"
#include "bench/row.h"
#include "io/command.h"
#include "io/loop.h"
#include "lib/test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct tap {
    double value, step;  // it grows by so much with each reading
    bool fails;
};

static enum err read_source(void *ctx, double *value, struct diag *diag)
{
    struct tap *s = ctx;
    if (s->fails)
        return diag_set(diag, ERR_SYSTEM, "it is broken");
    *value = s->value += s->step;
    return ERR_NONE;
}

// Between readings, before the first and behind the last: watts that stay are watts times time.
static void even_power_is_watts_times_time(void)
{
    struct tap s = {.value = 250};
    struct power_config c = {.read = read_source, .ctx = &s, .every_us = MS(2)};
    struct power *p;
    struct diag diag = {0};
    EXPECT(power_start(&p, &c, &diag) == ERR_NONE, "%s", diag.text);
    int64_t from_us = power_mark(p), to_us = from_us;
    while (power_readings(p) < 10)
        to_us = power_mark(p);
    double wide_s = (double)(to_us - from_us) / 1e6, joules = power_joules(p, from_us, to_us);
    EXPECT(fabs(joules / (250 * wide_s) - 1) < 1e-9, "%g J in %g s", joules, wide_s);
    joules = power_joules(p, to_us + S(100), to_us + S(104));
    EXPECT(fabs(joules / 1000 - 1) < 1e-9, "behind the last: %g J", joules);
    joules = power_joules(p, from_us - S(104), from_us - S(100));
    EXPECT(fabs(joules / 1000 - 1) < 1e-9, "before the first: %g J", joules);
    power_stop(p);
}

// A counter that grows by 2 J with each of 20 readings, however far apart they come.
static void a_counter_is_taken_at_its_word(void)
{
    struct tap s = {.step = 2};
    struct power_config c = {
        .read = read_source, .ctx = &s, .counts_joules = true, .every_us = S(1000)};
    struct power *p;
    struct diag diag = {0};
    EXPECT(power_start(&p, &c, &diag) == ERR_NONE, "%s", diag.text);
    int64_t from_us = clock_now_us();
    int64_t mid_us = from_us, to_us = from_us;
    while (power_readings(p) < 20) {
        int64_t at_us = clock_now_us();
        while (clock_now_us() < at_us + 20)
            ;
        to_us = power_mark(p);
        mid_us = power_readings(p) == 10 ? to_us : mid_us;
    }
    double whole = power_joules(p, from_us, to_us);
    double parts = power_joules(p, from_us, mid_us) + power_joules(p, mid_us, to_us);
    EXPECT(fabs(whole / parts - 1) < 1e-9, "%g J, in parts %g J", whole, parts);
    EXPECT(whole > 2 * 16, "%g J", whole);
    power_stop(p);
}

static void what_cannot_be_read_is_told_or_counted(void)
{
    struct tap s = {.fails = true};
    struct power_config c = {.read = read_source, .ctx = &s, .every_us = S(1000)};
    struct power *p;
    struct diag diag = {0};
    EXPECT(power_start(&p, &c, &diag) == ERR_SYSTEM, "the first reading fails");
    EXPECT(strcmp(diag.text, "it is broken") == 0, "%s", diag.text);
    s.fails = false;
    EXPECT(power_start(&p, &c, &diag) == ERR_NONE, "%s", diag.text);
    s.fails = true;
    power_mark(p);
    EXPECT(power_readings(p) == 1 && power_failures(p) == 1, "%d, %d", power_readings(p),
           power_failures(p));
    power_stop(p);
    power_stop(NULL);
}

static void energy_is_shared_by_tokens(void)
{
    struct energy e = {.s = 10, .joules = 1000, .idle_w = 60, .prompt_tok = 300, .output_tok = 100};
    EXPECT(energy_watts(&e) == 100 && energy_watts_above_idle(&e) == 40, "%g W", energy_watts(&e));
    EXPECT(energy_per_output_tok(&e, false) == 10 && energy_per_output_tok(&e, true) == 4,
           "answer");
    EXPECT(energy_per_tok(&e, false) == 2.5 && energy_per_tok(&e, true) == 1, "both");
    e.idle_w = 100;
    EXPECT(energy_per_tok(&e, true) == 0, "nothing is above idle");
    e = (struct energy){0};
    EXPECT(energy_watts(&e) == 0 && energy_per_tok(&e, false) == 0, "nothing measured");
}

// Levels of known joules give them back; levels that are alike, or too few, say nothing.
static void prompts_and_answers_are_told_apart(void)
{
    struct energy levels[3];
    double prompt_j = 0, output_j = 0;
    for (int32_t i = 0; i < 3; i++) {
        struct energy *e = &levels[i];
        *e = (struct energy){
            .s = 2, .idle_w = 50, .prompt_tok = 100 * (1 << 2 * i), .output_tok = 200};
        e->joules = 2 * 50 + 0.01 * e->prompt_tok + 0.5 * e->output_tok;
    }
    EXPECT(energy_split(&prompt_j, &output_j, levels, 3), "three lengths");
    EXPECT(fabs(prompt_j - 0.01) < 1e-9 && fabs(output_j - 0.5) < 1e-9, "%g, %g", prompt_j,
           output_j);
    EXPECT(!energy_split(&prompt_j, &output_j, levels, 1), "one length");
    levels[1] = levels[0];
    EXPECT(!energy_split(&prompt_j, &output_j, levels, 2), "twice the same");
    levels[1].prompt_tok *= 16;
    EXPECT(energy_split(&prompt_j, &output_j, levels, 2) && prompt_j == 0 && output_j > 0,
           "a longer prompt took no more: %g, %g", prompt_j, output_j);
    levels[1].joules = 0;
    EXPECT(!energy_split(&prompt_j, &output_j, levels, 2), "nothing above idle");
}

// Whatever the bounds, two halves have as many tokens as the whole.
static void tokens_are_cut_at_the_bounds(void)
{
    const struct sample all[] = {
        {.due_us = 0, .first_us = 100, .last_us = 300, .prompt_tok = 10, .output_tok = 20},
        {.due_us = 50, .first_us = 90, .last_us = 90, .prompt_tok = 5, .output_tok = 1},
    };
    double prompt, output;
    tokens_within(&prompt, &output, all, 2, 0, 300);
    EXPECT(prompt == 15 && output == 21, "all: %g, %g", prompt, output);
    tokens_within(&prompt, &output, all, 2, 200, 400);
    EXPECT(prompt == 0 && output == 10, "half of an answer: %g, %g", prompt, output);
    tokens_within(&prompt, &output, all, 1, 50, 100);
    EXPECT(prompt == 5 && output == 0, "half of a prompt: %g, %g", prompt, output);
}

// --- meters -----------------------------------------------------------------------------------

static void metrics_are_found_by_name_and_labels(void)
{
    static const char text[] =
        "# TYPE watts gauge\nwatts{gpu=\"0\",host=\"a b}\"} 100.5\n"
        "watts{gpu=\"1\",host=\"c\"} 50 1700000000\nwatts_total 7\nplain 3e2\n";
    static const struct {
        const char *metric;
        double value;  // 0: none
    } cases[] = {
        {"watts", 150.5},        {"watts{gpu=\"1\"}", 50}, {"watts{host=\"c\",gpu=\"1\"}", 50},
        {"watts{gpu=\"2\"}", 0}, {"plain", 300},           {"wat", 0},
        {"watts_total", 7},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        double v = 0;
        bool found = meter_metric(&v, STR(text), str_of(cases[i].metric));
        EXPECT(found == (cases[i].value > 0) && v == cases[i].value, "%s: %g", cases[i].metric, v);
    }
}

static void write_file(const char *folder, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void rapl_counts_packages_and_goes_on_when_a_counter_begins_anew(void)
{
    char root[] = "/tmp/test_power_XXXXXX", one[64], two[64], part[64];
    CHECK(mkdtemp(root));
    snprintf(one, sizeof one, "%s/intel-rapl:0", root);
    snprintf(two, sizeof two, "%s/intel-rapl:1", root);
    snprintf(part, sizeof part, "%s/intel-rapl:0:0", root);
    CHECK(mkdir(one, 0700) == 0 && mkdir(two, 0700) == 0 && mkdir(part, 0700) == 0);
    write_file(one, "energy_uj", "9000000\n");
    write_file(one, "max_energy_range_uj", "10000000\n");
    write_file(two, "energy_uj", "0\n");
    write_file(two, "max_energy_range_uj", "10000000\n");
    write_file(part, "energy_uj", "5\n");
    struct arena a;
    struct meter m;
    struct diag diag = {0};
    double joules;
    arena_init(&a, 1 << 20);
    EXPECT(meter_init(&m, &a, STR("rapl"), root, &diag) == ERR_NONE, "%s", diag.text);
    EXPECT(m.n_packages == 2 && meter_counts_joules(&m), "%d packages", m.n_packages);
    write_file(one, "energy_uj", "1000000\n");
    write_file(two, "energy_uj", "3000000\n");
    EXPECT(meter_read(&m, &joules, &diag) == ERR_NONE && fabs(joules - 5) < 1e-9, "%g J", joules);
    const char *const files[] = {one, two, part};
    for (size_t i = 0; i < COUNTOF(files); i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/energy_uj", files[i]);
        unlink(path);
        snprintf(path, sizeof path, "%s/max_energy_range_uj", files[i]);
        unlink(path);
        rmdir(files[i]);
    }
    EXPECT(meter_read(&m, &joules, &diag) == ERR_MISSING, "it is gone");
    EXPECT(meter_init(&m, &a, STR("rapl"), root, &diag) == ERR_MISSING, "there is none");
    rmdir(root);
    arena_release(&a);
}

static void commands_print_watts(void)
{
    static const struct {
        const char *command;
        double watts;  // -1: an error
    } cases[] = {{"echo 12.5", 12.5}, {"echo '100 W'; echo ' 50.5 W'", 150.5},
                 {"echo N/A", -1},    {"exit 3", -1},
                 {"true", -1},        {"echo nan", -1}};
    struct arena a;
    arena_init(&a, 1 << 20);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct meter m;
        struct diag diag = {0};
        double watts = -1;
        EXPECT(meter_init(&m, &a, str_of(cases[i].command), NULL, &diag) == ERR_NONE, "a command");
        enum err e = meter_read(&m, &watts, &diag);
        EXPECT(!e == (cases[i].watts >= 0), "%s: %s", cases[i].command, diag.text);
        EXPECT(e || watts == cases[i].watts, "%s: %g", cases[i].command, watts);
    }
    struct meter m;
    struct diag diag = {0};
    EXPECT(meter_init(&m, &a, STR("nvidia-smi:0,1"), NULL, &diag) == ERR_NONE, "%s", diag.text);
    EXPECT(strstr(m.command, "nounits -i 0,1"), "%s", m.command);
    EXPECT(meter_init(&m, &a, STR("nvidia-smi:;rm"), NULL, &diag) == ERR_INVALID, "%s", m.command);
    EXPECT(meter_init(&m, &a, STR(" "), NULL, &diag) == ERR_INVALID, "empty");
    arena_release(&a);
}

static void a_command_that_hangs_is_killed_with_all_that_it_started(void)
{
    struct buf out;
    struct diag diag = {0};
    buf_init(&out, 4096);
    enum err e = command_output(&out, "echo $$; sleep 1000 & sleep 1000", MS(50), &diag);
    EXPECT(e == ERR_TIMEOUT, "%s", diag.text);
    EXPECT(strstr(diag.text, "took more than 0.05 s"), "%s", diag.text);
    buf_clear(&out);
    EXPECT(command_output(&out, "exec >&-; sleep 1000", MS(50), &diag) == ERR_TIMEOUT, "%s",
           diag.text);
    EXPECT(command_output(&out, "yes", S(30), &diag) == ERR_LIMIT, "%s", diag.text);
    buf_release(&out);
}

int main(void)
{
    TEST(even_power_is_watts_times_time);
    TEST(a_counter_is_taken_at_its_word);
    TEST(what_cannot_be_read_is_told_or_counted);
    TEST(energy_is_shared_by_tokens);
    TEST(prompts_and_answers_are_told_apart);
    TEST(tokens_are_cut_at_the_bounds);
    TEST(metrics_are_found_by_name_and_labels);
    TEST(rapl_counts_packages_and_goes_on_when_a_counter_begins_anew);
    TEST(commands_print_watts);
    TEST(a_command_that_hangs_is_killed_with_all_that_it_started);
    return test_end();
}
