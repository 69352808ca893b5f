#include "lib/test.h"
#include "wire/traceparent.h"

#define GOOD "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// What is written is what was read.
static void a_traceparent_goes_through(void)
{
    struct traceparent t;
    char text[TRACEPARENT_TEXT + 1];
    NEED(traceparent_read(&t, STR(GOOD)));
    EXPECT(t.span == 0x00f067aa0ba902b7 && t.sampled, "%llx", (unsigned long long)t.span);
    traceparent_write(text, &t);
    EXPECT(str_eq(str_of(text), STR(GOOD)), "%s", text);
    NEED(traceparent_read(&t, STR("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-02")));
    EXPECT(!t.sampled, "only the lowest flag says it");
}

static void a_later_version_is_read_as_far_as_it_is_known(void)
{
    struct traceparent t;
    EXPECT(traceparent_read(&t, STR("cc"
                                    "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
           "same");
    EXPECT(traceparent_read(&t, STR("cc"
                                    "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")),
           "longer");
    EXPECT(!traceparent_read(&t, STR("cc"
                                     "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x")),
           "glued");
}

// Any single byte that changes is another context or none, and a prefix is none.
static void what_is_not_one_is_refused(void)
{
    static const char *const wrong[] = {
        "",
        "00",
        "nonsense",
        GOOD "-x",
        GOOD " ",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
    };
    struct traceparent t;
    for (size_t i = 0; i < COUNTOF(wrong); i++)
        EXPECT(!traceparent_read(&t, str_of(wrong[i])), "%s", wrong[i]);
    for (size_t n = 0; n < TRACEPARENT_TEXT; n++)
        EXPECT(!traceparent_read(&t, (struct str){GOOD, n}), "%zu bytes", n);
}

int main(void)
{
    TEST(a_traceparent_goes_through);
    TEST(a_later_version_is_read_as_far_as_it_is_known);
    TEST(what_is_not_one_is_refused);
    return test_end();
}
