// When two answers say the same, and which answers are right: agree.h, agree_run.h, question.h.

#include "bench/agree_run.h"
#include "bench/question.h"
#include "lib/test.h"

#include <math.h>

static void forms_are_left_aside(void)
{
    static const struct {
        const char *text, *normal;
    } cases[] = {
        {"  The answer:\n\n 42. ", "the answer 42"},
        {"THE ANSWER 42", "the answer 42"},
        {"1,000.50", "1000.5"},
        {"1e3 and 1000.0", "1000 and 1000"},
        {"12,34", "12 34"},
        {"-5 is not 2026-11-22", "-5 is not 2026 11 22"},
        {"-0", "0"},
        {"don't \xe2\x80\x99tis \xe2\x80\x9cwell\xe2\x80\x9d", "dont tis well"},
        {"caf\xc3\xa9\xc2\xa0noir", "caf\xc3\xa9 noir"},
        {"1.2.3", "1.2 3"},
        {"...", ""},
        {"", ""},
    };
    struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        buf_clear(&out);
        agree_normal(&out, str_of(cases[i].text));
        EXPECT(str_eq(buf_str(&out), str_of(cases[i].normal)), "\"%s\" is \"" STR_FMT "\"",
               cases[i].text, STR_ARG(buf_str(&out)));
    }
    buf_release(&out);
}

// However it is written, what is normal stays what it is.
static void normal_text_is_normal(void)
{
    static const char alphabet[] = "aZ0 19,.-'e+\n\xc3\xa9";
    struct rng rng;
    rng_seed(&rng, 7);
    for (int32_t n = 0; n < 20000; n++) {
        char text[16];
        struct buf once, twice;
        size_t length = rng_below(&rng, sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
        buf_init(&once, 4096);
        buf_init(&twice, 4096);
        agree_normal(&once, (struct str){text, length});
        agree_normal(&twice, buf_str(&once));
        EXPECT(str_eq(buf_str(&once), buf_str(&twice)),
               "\"%.*s\" is \"" STR_FMT "\", then \"" STR_FMT "\"", (int)length, text,
               STR_ARG(buf_str(&once)), STR_ARG(buf_str(&twice)));
        buf_release(&once);
        buf_release(&twice);
    }
}

static void checks_know_a_right_answer(void)
{
    static const struct {
        const char *check, *right, *wrong;
    } cases[] = {
        {"{\"equals\":\"Paris\"}", " paris. ", "Paris, France"},
        {"{\"contains\":\"new york\"}", "It is New  York!", "It is York"},
        {"{\"one_of\":[\"yes\",\"true\"]}", "True.", "no"},
        {"{\"regex\":\"^[0-9]{3}$\"}", "123", "1234"},
        {"{\"number\":42}", "6 times 7 is 42.", "it is 42, or 41"},
        {"{\"number\":3.14,\"tolerance\":0.01}", "about 3.1416", "3.2"},
        {"{\"number\":-1500}", "-1,500", "1500"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct arena a;
        struct agree_questions q;
        struct diag diag = {0};
        char line[256];
        arena_init(&a, 1 << 20);
        snprintf(line, sizeof line, "{\"prompt\":\"?\",\"check\":%s}\n", cases[i].check);
        EXPECT(agree_questions_read(&q, &a, "q", str_of(line), &diag) == ERR_NONE, "%s", diag.text);
        EXPECT(agree_is_right(&q.at[0].check, str_of(cases[i].right)), "%s", cases[i].right);
        EXPECT(!agree_is_right(&q.at[0].check, str_of(cases[i].wrong)), "%s", cases[i].wrong);
        agree_questions_release(&q);
        arena_release(&a);
    }
}

static void what_is_no_question_is_named(void)
{
    static const char *const cases[][2] = {
        {"{\"prompt\":\"a\"}\n{\"prompt\":", "q:2: is not JSON"},
        {"[]", "q:1: expected an object"},
        {"{}", "q:1: expected a prompt, or messages"},
        {"{\"prompt\":\"a\",\"messages\":[]}", "q:1: expected a prompt, or messages"},
        {"{\"messages\":3}", "q:1: messages is not a list"},
        {"{\"prompt\":7}", "q:1: prompt is not a text"},
        {"{\"prompt\":\"a\",\"check\":{}}", "q:1: check: one of"},
        {"{\"prompt\":\"a\",\"check\":{\"regex\":\"(\"}}", "q:1: check: regex \"(\""},
        {"{\"prompt\":\"a\",\"check\":{\"regex\":\"a\",\"equals\":\"b\"}}",
         "q:1: check: more than one"},
        {"{\"prompt\":\"a\",\"check\":{\"equals\":\"...\"}}", "q:1: check: a text has no letter"},
        {"{\"prompt\":\"a\",\"check\":{\"one_of\":[]}}", "q:1: check: one_of is empty"},
        {"{\"prompt\":\"a\",\"check\":{\"number\":1,\"tolerance\":-1}}", "q:1: check: expected"},
        {"{\"prompt\":\"a\",\"check\":{\"equals\":\"b\",\"tolerance\":1}}",
         "q:1: check: a tolerance"},
        {"\n \n", "q: there is no question"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct arena a;
        struct agree_questions q;
        struct diag diag = {0};
        arena_init(&a, 1 << 20);
        EXPECT(agree_questions_read(&q, &a, "q", str_of(cases[i][0]), &diag) == ERR_INVALID, "%s",
               cases[i][0]);
        EXPECT(strncmp(diag.text, cases[i][1], strlen(cases[i][1])) == 0, "%s: %s", cases[i][0],
               diag.text);
        agree_questions_release(&q);
        arena_release(&a);
    }
}

static void too_small_an_arena_is_told(void)
{
    static const char text[] = "{\"prompt\":\"a\",\"check\":{\"regex\":\"a+\"}}\n"
                               "{\"prompt\":\"b\",\"check\":{\"one_of\":[\"x\",\"y\"]}}\n";
    enum err e = ERR_LIMIT;
    for (size_t room = 0; e && room < 1 << 20; room += 64) {
        struct arena a;
        struct agree_questions q;
        struct diag diag = {0};
        arena_init(&a, room);
        e = agree_questions_read(&q, &a, "q", str_of(text), &diag);
        EXPECT(!e || e == ERR_LIMIT, "%zu bytes: %s", room, diag.text);
        agree_questions_release(&q);
        arena_release(&a);
    }
    EXPECT(!e, "with a mebibyte");
}

static void every_answer_is_counted_once(void)
{
    struct agree_counts c = {0};
    for (int32_t i = 0; i < 16; i++) {
        struct agreement a = {
            .exact = i & 1, .normal = i & 1, .checked = i & 2, .right = {i & 4, i & 8}};
        agree_count(&c, &a);
    }
    EXPECT(c.n == 16 && c.exact == 8 && c.checked == 8, "%d %d %d", c.n, c.exact, c.checked);
    EXPECT(c.both + c.neither + c.only[0] + c.only[1] == c.checked, "each in one place");
}

// Wilson's own interval for 81 of 263 is 0.2553 to 0.3662.
static void shares_have_intervals(void)
{
    struct figure f = wilson_of(81, 263), none = wilson_of(0, 10), all = wilson_of(10, 10);
    EXPECT(fabs(f.low - 0.2553) < 1e-4 && fabs(f.high - 0.3662) < 1e-4, "[%g, %g]", f.low, f.high);
    EXPECT(none.low == 0 && fabs(none.high - 0.2775) < 1e-4, "none: %g", none.high);
    EXPECT(all.high == 1 && fabs(all.low - 0.7225) < 1e-4, "all: %g", all.low);
}

static void text_of_an_answer_is_its_words_alone(void)
{
    static const struct {
        enum surface surface;
        const char *event, *text;
    } cases[] = {
        {SURFACE_CHAT, "{\"choices\":[{\"delta\":{\"content\":\"a\\n\\u00e9\"}}]}", "a\n\xc3\xa9"},
        {SURFACE_CHAT, "{\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}", ""},
        {SURFACE_CHAT, "{\"choices\":[]}", ""},
        {SURFACE_CHAT, "[DONE]", ""},
        {SURFACE_COMPLETIONS, "{\"choices\":[{\"text\":\"b\"}]}", "b"},
        {SURFACE_RESPONSES, "{\"type\":\"response.output_text.delta\",\"delta\":\"c\"}", "c"},
        {SURFACE_RESPONSES, "{\"type\":\"response.reasoning_text.delta\",\"delta\":\"c\"}", ""},
        {SURFACE_MESSAGES,
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"d\"}}",
         "d"},
        {SURFACE_MESSAGES, "{\"type\":\"content_block_delta\",\"delta\":{\"thinking\":\"d\"}}", ""},
    };
    struct buf out;
    buf_init(&out, 4096);
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        buf_clear(&out);
        question_text(&out, cases[i].surface, str_of(cases[i].event));
        EXPECT(str_eq(buf_str(&out), str_of(cases[i].text)), "%s: \"" STR_FMT "\"", cases[i].event,
               STR_ARG(buf_str(&out)));
    }
    buf_release(&out);
}

int main(void)
{
    TEST(forms_are_left_aside);
    TEST(normal_text_is_normal);
    TEST(checks_know_a_right_answer);
    TEST(what_is_no_question_is_named);
    TEST(too_small_an_arena_is_told);
    TEST(every_answer_is_counted_once);
    TEST(shares_have_intervals);
    TEST(text_of_an_answer_is_its_words_alone);
    return test_end();
}
