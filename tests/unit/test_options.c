#include "cli/options.h"
#include "lib/test.h"

enum { WORDS_MAX = 16 };

struct given {  // what the options of the test's command say
    bool json;
    struct str name;
    int32_t count;
    char collected[64];
};

struct fixture {
    struct given given;
    struct option_row rows[4];
    struct command command;
    const char *words[WORDS_MAX];
    char *argv[WORDS_MAX];
    int n_operands;
    struct diag diag;
    enum options_verdict verdict;
};

static enum err collect(void *to, struct str value, struct diag *diag)
{
    char *collected = to;
    if (str_eq(value, STR("bad")))
        return diag_set(diag, ERR_INVALID, "is bad");
    snprintf(collected + strlen(collected), 32, "[" STR_FMT "]", STR_ARG(value));
    return ERR_NONE;
}

// Reads the words (of which none holds a blank) as the arguments of `caudal try`.
static void fixture_read(struct fixture *f, const char *line)
{
    static char text[256];
    *f = (struct fixture){0};
    f->rows[0] = option_flag("--json", &f->given.json, "for programs");
    f->rows[1] = option_text("--name", "NAME", &f->given.name, "a name\nof two lines");
    f->rows[2] = option_count("--count", "N", &f->given.count, 1, 100, "how many");
    f->rows[3] = option_custom("--each", "VALUE", f->given.collected, collect, "may stand twice");
    f->command = (struct command){.name = "try",
                                  .usage = "[--json] FILE...",
                                  .about = "Tries.",
                                  .more = "Exit status: 0.",
                                  .options = f->rows,
                                  .n_options = 4,
                                  .operands_min = 1,
                                  .operands_max = 2,
                                  .operand = "a file"};
    snprintf(text, sizeof text, "try %s", line);
    int argc = 0;
    for (char *word = strtok(text, " "); word && argc < WORDS_MAX; word = strtok(NULL, " "))
        f->argv[argc++] = word;
    f->verdict = options_read(&f->command, argc, f->argv, &f->n_operands, &f->diag);
}

static void options_and_operands_mix(void)
{
    struct fixture f;
    fixture_read(&f, "one --name=n --json two --count 7");
    EXPECT(f.verdict == OPTIONS_READ, "%s", f.diag.text);
    EXPECT(f.given.json && f.given.count == 7 && str_eq(f.given.name, STR("n")), "all are stored");
    EXPECT(f.n_operands == 2 && !strcmp(f.argv[1], "one") && !strcmp(f.argv[2], "two"),
           "%d operands", f.n_operands);
}

static void a_value_may_hold_what_an_option_begins_with(void)
{
    struct fixture f;
    fixture_read(&f, "x --name=a=b --each=--json --each -1 --each=");
    EXPECT(f.verdict == OPTIONS_READ, "%s", f.diag.text);
    EXPECT(str_eq(f.given.name, STR("a=b")), STR_FMT, STR_ARG(f.given.name));
    EXPECT(!strcmp(f.given.collected, "[--json][-1][]"), "%s", f.given.collected);
    EXPECT(!f.given.json, "a value is no option");
}

static void behind_two_dashes_all_are_operands(void)
{
    struct fixture f;
    fixture_read(&f, "-- --json -");
    EXPECT(f.verdict == OPTIONS_READ && f.n_operands == 2 && !f.given.json, "%s", f.diag.text);
    fixture_read(&f, "- --json");
    EXPECT(f.verdict == OPTIONS_READ && f.n_operands == 1 && !strcmp(f.argv[1], "-"),
           "a lone dash");
}

static void the_last_of_two_counts(void)
{
    struct fixture f;
    fixture_read(&f, "x --count=1 --count=2");
    EXPECT(f.verdict == OPTIONS_READ && f.given.count == 2, "%d", f.given.count);
}

static void help_is_found_among_others(void)
{
    struct fixture f;
    const char *lines[] = {"--help", "-h", "x --json --help --nonsense"};
    for (size_t i = 0; i < COUNTOF(lines); i++) {
        fixture_read(&f, lines[i]);
        EXPECT(f.verdict == OPTIONS_HELP, "%s", lines[i]);
    }
}

static void what_is_wrong_is_said(void)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"", "a file is needed"},
        {"a b c", "'c' is one word too many"},
        {"x --jsn", "unknown option '--jsn'; did you mean --json?"},
        {"x --cuont=3", "unknown option '--cuont'; did you mean --count?"},
        {"x --hepl", "unknown option '--hepl'; did you mean --help?"},
        {"x --entirely-else=3", "unknown option '--entirely-else'"},
        {"x -j", "unknown option '-j'"},
        {"x --json=yes", "--json takes no value"},
        {"x --name", "--name needs a value: --name=NAME"},
        {"x --name --json", "--name needs a value: --name=NAME"},
        {"x --count=0", "--count: a whole number from 1 to 100 is expected, got '0'"},
        {"x --count 101", "--count: a whole number from 1 to 100 is expected, got '101'"},
        {"x --count=7x", "--count: a whole number from 1 to 100 is expected, got '7x'"},
        {"x --count=99999999999999999999", "--count: a whole number from 1 to 100 is expected, got "
                                           "'99999999999999999999'"},
        {"x --each=bad", "--each: is bad"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct fixture f;
        fixture_read(&f, cases[i].line);
        EXPECT(f.verdict == OPTIONS_WRONG && !strcmp(f.diag.text, cases[i].says),
               "'%s' says '%s', not '%s'", cases[i].line, f.diag.text, cases[i].says);
    }
}

static void what_is_not_given_is_not_touched(void)
{
    struct fixture f;
    fixture_read(&f, "x");
    int32_t n = 42;
    f.rows[2].to = &n;
    char word[] = "try", operand[] = "x";
    char *argv[] = {word, operand};
    EXPECT(options_read(&f.command, 2, argv, &f.n_operands, &f.diag) == OPTIONS_READ && n == 42,
           "%d", n);
}

static void help_lines_up(void)
{
    struct fixture f;
    struct buf out;
    buf_init(&out, 4096);
    fixture_read(&f, "x");
    options_help(&f.command, &out);
    struct str expected = STR("usage: caudal try [--json] FILE...\n"
                              "\n"
                              "Tries.\n"
                              "\n"
                              "  --json        for programs\n"
                              "  --name NAME   a name\n"
                              "                of two lines\n"
                              "  --count N     how many\n"
                              "  --each VALUE  may stand twice\n"
                              "  --help        this text\n"
                              "\n"
                              "Exit status: 0.\n");
    EXPECT(str_eq(buf_str(&out), expected), "\n" STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static void the_nearest_name_is_near(void)
{
    static const char *const names[] = {"serve", "check", "sim", "ask", "key"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {{"srve", "serve"},   {"chekc", "check"}, {"sum", "sim"}, {"keys", "key"},
                 {"server", "serve"}, {"plan", NULL},     {"", NULL},     {"x", NULL}};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        const char *got = nearest_name(names, COUNTOF(names), cases[i].word);
        EXPECT((!got && !cases[i].nearest) ||
                   (got && cases[i].nearest && !strcmp(got, cases[i].nearest)),
               "%s is near %s", cases[i].word, got ? got : "nothing");
    }
}

int main(void)
{
    TEST(options_and_operands_mix);
    TEST(a_value_may_hold_what_an_option_begins_with);
    TEST(behind_two_dashes_all_are_operands);
    TEST(the_last_of_two_counts);
    TEST(help_is_found_among_others);
    TEST(what_is_wrong_is_said);
    TEST(what_is_not_given_is_not_touched);
    TEST(help_lines_up);
    TEST(the_nearest_name_is_near);
    return test_end();
}
