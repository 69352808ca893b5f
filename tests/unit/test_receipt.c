#include "cli/receipt.h"
#include "lib/test.h"

static void expect_text(const char *json, const char *expected)
{
    struct buf out;
    buf_init(&out, 4096);
    EXPECT(receipt_text(&out, str_of(json)), "%s", json);
    EXPECT(str_eq(buf_str(&out), str_of(expected)), "\n" STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static void a_receipt_is_shown_line_by_line(void)
{
    expect_text(
        "{\"request\":\"req_1\",\"pool\":\"wafer\",\"supplier\":\"w\",\"model\":\"m\",\"why\":"
        "\"least cost\","
        "\"attempts\":[{\"pool\":\"gpu\",\"outcome\":\"busy\",\"ms\":3.14},"
        "{\"pool\":\"wafer\",\"outcome\":\"answered\",\"ms\":1234.5}],"
        "\"ttft_ms\":56.6,\"total_ms\":1240.0,\"tokens_per_s\":201.8,\"prompt_tokens\":10,"
        "\"cached_tokens\":4,\"completion_tokens\":250,\"reasoning_tokens\":0,\"tokens\":"
        "\"reported\","
        "\"list_usd\":0.000063000,\"energy_j\":12.5,\"energy_basis\":\"estimated, PUE included\"}",
        "  pool      wafer of w, model m\n"
        "  why       least cost\n"
        "  attempts  gpu busy in 3.1 ms, then wafer answered in 1.2 s\n"
        "  time      first token after 57 ms, then 201.8 tokens/s, 1.2 s in all\n"
        "  tokens    10 in (4 cached), 250 out, reported\n"
        "  money     0.000063 USD at list price\n"
        "  energy    12.5 J, estimated, PUE included\n"
        "  request   req_1\n");
}

static void charged_money_is_shown_where_it_is_not_the_list_price(void)
{
    expect_text("{\"pool\":\"p\",\"attempts\":[],\"list_usd\":0.000110000,\"charged_usd\":"
                "0.000280000}",
                "  pool      p\n"
                "  money     0.00011 USD at list price, 0.00028 USD charged\n"
                "  energy    not known\n");
    expect_text("{\"pool\":\"p\",\"attempts\":[],\"list_usd\":0.11,\"charged_usd\":0.11}",
                "  pool      p\n"
                "  money     0.11 USD at list price\n"
                "  energy    not known\n");
}

static void what_is_not_known_is_said_so(void)
{
    expect_text(
        "{\"pool\":\"p\",\"supplier\":\"s\",\"model\":\"m\",\"why\":\"w\",\"attempts\":[],\"ttft_"
        "ms\":1,"
        "\"total_ms\":2,\"prompt_tokens\":1,\"completion_tokens\":2,\"tokens\":\"estimated\","
        "\"list_usd\":null,\"energy_j\":null,\"energy_basis\":\"nothing is known of the chip\"}",
        "  pool      p of s, model m\n"
        "  why       w\n"
        "  time      first token after 1.0 ms, 2.0 ms in all\n"
        "  tokens    1 in, 2 out, estimated\n"
        "  money     no price is stated\n"
        "  energy    not known: nothing is known of the chip\n");
}

// Another version of the gateway may say less.
static void what_is_not_said_is_left_out(void)
{
    expect_text("{\"pool\":\"p\",\"attempts\":[]}", "  pool      p\n"
                                                    "  money     no price is stated\n"
                                                    "  energy    not known\n");
}

static void what_is_no_receipt_is_none(void)
{
    static const char *const cases[] = {"", "{", "[]", "null", "{\"a\":1}x", "\"{}\""};
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct buf out;
        buf_init(&out, 4096);
        EXPECT(!receipt_text(&out, str_of(cases[i])) && !buf_len(&out), "%s", cases[i]);
        buf_release(&out);
    }
}

// A model, or a supplier's name, cannot move the cursor of whoever reads it, nor colour its window.
static void a_terminal_sees_no_control_characters(void)
{
    struct buf out;
    buf_init(&out, 100);
    add_shown(&out, STR("a\x1b[31mb\r\b\x7f\xc2\x9b"
                        "2Jc\n\td \xc2\xa0\xc3\xa9"));
    EXPECT(str_eq(buf_str(&out), STR("a[31mb2Jc\n\td \xc2\xa0\xc3\xa9")), STR_FMT,
           STR_ARG(buf_str(&out)));
    buf_release(&out);
}

int main(void)
{
    TEST(a_receipt_is_shown_line_by_line);
    TEST(charged_money_is_shown_where_it_is_not_the_list_price);
    TEST(what_is_not_known_is_said_so);
    TEST(what_is_not_said_is_left_out);
    TEST(what_is_no_receipt_is_none);
    TEST(a_terminal_sees_no_control_characters);
    return test_end();
}
