#include "io/log.h"
#include "io/file.h"
#include "lib/test.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

static char path[] = "/tmp/caudal-log-XXXXXX";
static struct arena arena;

static struct log *open_log(bool json, enum log_level level)
{
    struct log *log = NULL;
    struct diag diag = {0};
    NEED(truncate(path, 0) == 0);
    NEED(log_new(&log, str_of(path), json, level, &diag) == ERR_NONE);
    return log;
}

static struct str written(void)
{
    struct str text = {0};
    arena_reset(&arena);
    NEED(file_read(&text, &arena, str_of(path), 50 * 1000 * 1000, NULL) == ERR_NONE);
    return text;
}

static struct str after_time(struct str line)  // "2026-11-21T08:30:00.123Z " is 25 long
{
    return str_skip(line, 25);
}

static void a_text_line_reads_well(void)
{
    struct log *log = open_log(false, LOG_INFO);
    log_line(log, LOG_WARN, "supplier failed", log_text("supplier", "groq"),
             log_int("status", -503), log_num("share", 0.25), log_ms("took", 1500),
             log_bool("again", true), log_str("none", STR("")), log_text("words", "two words"),
             log_text("line", "a\nb\"c\\"), log_num("nan", NAN));
    log_free(log);
    struct str line = written();
    EXPECT(line.n > 25 && line.p[4] == '-' && line.p[10] == 'T' && line.p[19] == '.' &&
               line.p[23] == 'Z',
           STR_FMT, STR_ARG(line));
    EXPECT(
        str_eq(after_time(line),
               STR("warn  supplier failed supplier=groq status=-503 share=0.25 took=1.5 again=true "
                   "none=\"\" words=\"two words\" line=\"a\\u000ab\\\"c\\\\\" nan=none\n")),
        STR_FMT, STR_ARG(line));
}

static void a_json_line_is_json(void)
{
    struct log *log = open_log(true, LOG_INFO);
    log_line(log, LOG_INFO, "answered", log_text("text", "a\n\"\xff"), log_int("n", 7),
             log_num("inf", INFINITY), log_bool("ok", false));
    log_line(log, LOG_INFO, "bare");
    log_free(log);
    struct str text = written(), line = {0};
    str_cut(&text, '\n', &line);
    EXPECT(str_starts(line, STR("{\"time\":\"2")), STR_FMT, STR_ARG(line));
    EXPECT(str_ends(line, STR("Z\",\"level\":\"info\",\"event\":\"answered\",\"text\":"
                              "\"a\\u000a\\\"\xef\xbf\xbd\","
                              "\"n\":7,\"inf\":null,\"ok\":false}")),
           STR_FMT, STR_ARG(line));
    EXPECT(str_ends(text, STR("\"event\":\"bare\"}\n")), STR_FMT, STR_ARG(text));
}

static int evaluated;

static int64_t costly(void)
{
    return ++evaluated;
}

static void levels_decide_and_cost_nothing(void)
{
    struct log *log = open_log(false, LOG_WARN);
    evaluated = 0;
    log_line(log, LOG_INFO, "no", log_int("n", costly()));
    log_line(log, LOG_DEBUG, "no", log_int("n", costly()));
    log_line(NULL, LOG_ERROR, "no", log_int("n", costly()));
    EXPECT(evaluated == 0, "%d", evaluated);
    log_line(log, LOG_WARN, "yes", log_int("n", costly()));
    EXPECT(evaluated == 1, "%d", evaluated);
    log_free(log);
    EXPECT(str_eq(after_time(written()), STR("warn  yes n=1\n")), STR_FMT, STR_ARG(written()));
    enum log_level level;
    EXPECT(log_level_read(&level, STR("debug")) && level == LOG_DEBUG, "debug");
    EXPECT(!log_level_read(&level, STR("loud")), "loud");
}

static char long_text[100 * 1000];

// Whatever is logged: one line, at most 8 KiB, and a JSON line still ends as one.
static void long_lines_are_bounded(void)
{
    for (int kind = 0; kind < 3; kind++) {
        memset(long_text, kind == 0 ? 'x' : kind == 1 ? '\n' : '\xe4', sizeof long_text - 1);
        for (int json = 0; json < 2; json++) {
            struct log *log = open_log(json, LOG_INFO);
            log_line(log, LOG_INFO, "long", log_text("a", long_text), log_text("b", long_text),
                     log_text("c", long_text), log_text("d", long_text), log_text("e", long_text),
                     log_text("f", long_text), log_text("g", long_text), log_text("h", long_text),
                     log_text("i", long_text), log_int("last", 1));
            log_free(log);
            struct str text = written(), line = {0};
            size_t at;
            str_cut(&text, '\n', &line);
            EXPECT(text.n == 0, "%d %d: more than one line", kind, json);
            EXPECT(line.n < 8192 && line.n > 1000, "%d %d: %zu bytes", kind, json, line.n);
            EXPECT(str_find(line, STR("..."), &at), "%d %d: not cut", kind, json);
            EXPECT(str_ends(line, json ? STR(",\"cut\":true}") : STR(" cut=true")),
                   "%d %d: ends " STR_FMT, kind, json, STR_ARG(str_skip(line, line.n - 40)));
            EXPECT(str_find(line, STR("last"), &at), "%d %d: what fits is kept", kind, json);
        }
    }
}

static void a_character_is_not_cut_in_two(void)
{
    memset(long_text, 'x', sizeof long_text - 1);
    memcpy(long_text + 1023, "\xc3\xa4\xc3\xa4", 4);
    struct log *log = open_log(true, LOG_INFO);
    log_line(log, LOG_INFO, "long", log_text("a", long_text));
    log_free(log);
    EXPECT(str_ends(written(), STR("xxx...\"}\n")), STR_FMT, STR_ARG(written()));
}

enum { THREADS = 4, LINES = 2000 };

static void *log_many(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_line(arg, LOG_INFO, "many", log_text("text", "0123456789"), log_int("i", 1000000 + i));
    return NULL;
}

static void threads_do_not_mix_lines(void)
{
    struct log *log = open_log(false, LOG_INFO);
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&t[i], NULL, log_many, log) == 0);
    for (int i = 0; i < 20; i++)
        EXPECT(log_reopen(log, NULL) == ERR_NONE, "reopen");
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    log_free(log);
    struct str text = written(), line;
    int n = 0;
    for (; text.n && str_cut(&text, '\n', &line); n++)
        EXPECT(line.n == 25 + strlen("info  many text=0123456789 i=1000000"), STR_FMT,
               STR_ARG(line));
    EXPECT(n == THREADS * LINES, "%d lines", n);
}

static void a_file_that_cannot_be_opened_is_named(void)
{
    struct log *log = NULL;
    struct diag diag = {0};
    EXPECT(log_new(&log, STR("/nowhere/x.log"), false, LOG_INFO, &diag) == ERR_MISSING, "missing");
    EXPECT(strcmp(diag.text, "log file /nowhere/x.log: No such file or directory") == 0, "%s",
           diag.text);
}

int main(void)
{
    int fd = mkstemp(path);
    NEED(fd >= 0);
    close(fd);
    arena_init(&arena, 100 * 1000 * 1000);
    TEST(a_text_line_reads_well);
    TEST(a_json_line_is_json);
    TEST(levels_decide_and_cost_nothing);
    TEST(long_lines_are_bounded);
    TEST(a_character_is_not_cut_in_two);
    TEST(threads_do_not_mix_lines);
    TEST(a_file_that_cannot_be_opened_is_named);
    arena_release(&arena);
    unlink(path);
    return test_end();
}
