// The relay changes what it must and nothing else, at every cut of the supplier's bytes.

#include "base/rng.h"
#include "gateway/relay.h"
#include "lib/test.h"

#include <inttypes.h>
#include <string.h>

struct fixture {
    struct relay relay;
    struct buf out;
    bool whole;
};

static void play(struct fixture *f, enum surface surface, bool strip, const char *in, size_t cut)
{
    struct str all = str_of(in);
    relay_init(&f->relay, surface, STR("ours"), strip, 1 << 16);
    buf_init(&f->out, 1 << 20);
    struct str first = {all.p, cut < all.n ? cut : all.n};
    EXPECT(relay_stream(&f->relay, first, &f->out) == ERR_NONE, "first part");
    EXPECT(relay_stream(&f->relay, str_skip(all, first.n), &f->out) == ERR_NONE, "second part");
    f->whole = relay_stream_end(&f->relay, &f->out);
    if (f->whole)
        relay_write_end(&f->relay, &f->out);
}

static void done(struct fixture *f)
{
    relay_release(&f->relay);
    buf_release(&f->out);
}

// Plays `in` cut at every byte; what comes out must be `want` each time.
static void expect(enum surface surface, bool strip, const char *in, const char *want, bool whole)
{
    for (size_t cut = 0; cut <= strlen(in); cut++) {
        struct fixture f;
        play(&f, surface, strip, in, cut);
        EXPECT(str_eq(buf_str(&f.out), str_of(want)) && f.whole == whole,
               "cut %zu gave\n" STR_FMT "\nwanted\n%s", cut, STR_ARG(buf_str(&f.out)), want);
        done(&f);
    }
}

static void the_models_name_is_the_portfolios(void)
{
    expect(
        SURFACE_CHAT, false,
        "data: "
        "{\"id\":\"1\",\"model\":\"theirs\",\"choices\":[{\"index\":0,\"delta\":{\"content\":"
        "\"hi\"},"
        "\"finish_reason\":null}],\"big\":123456789012345678901234567890}\n\n"
        "data: "
        "{\"model\":\"theirs\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
        "\n\n"
        "data: [DONE]\n\n",
        "data: "
        "{\"id\":\"1\",\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},"
        "\"finish_reason\":null}],\"big\":123456789012345678901234567890}\n\n"
        "data: "
        "{\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
        "\n\n"
        "data: [DONE]\n\n",
        true);
}

static const char usage_stream[] = "data: "
                                   "{\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{"
                                   "\"content\":\"hi\"}}],\"usage\":null}\n\n"
                                   "data: "
                                   "{\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{},"
                                   "\"finish_reason\":\"stop\"}],\"usage\":null}\n\n"
                                   "data: "
                                   "{\"model\":\"ours\",\"choices\":[],\"usage\":{\"prompt_"
                                   "tokens\":3,\"completion_tokens\":1}}\n\n"
                                   "data: [DONE]\n\n";

static void usage_nobody_asked_for_is_taken_out(void)
{
    expect(
        SURFACE_CHAT, true, usage_stream,
        "data: {\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
        "data: "
        "{\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}"
        "\n\n"
        "data: [DONE]\n\n",
        true);
}

static void usage_that_was_asked_for_stays(void)
{
    struct fixture f;
    play(&f, SURFACE_CHAT, false, usage_stream, 40);
    EXPECT(str_eq(buf_str(&f.out), str_of(usage_stream)), STR_FMT, STR_ARG(buf_str(&f.out)));
    EXPECT(f.relay.said.usage.said && f.relay.said.usage.prompt_tok == 3 &&
               f.relay.said.usage.output_tok == 1,
           "%d %d", f.relay.said.usage.prompt_tok, f.relay.said.usage.output_tok);
    done(&f);
}

static void usage_on_the_last_chunk_becomes_a_chunk_of_its_own(void)
{
    struct fixture f;
    play(&f, SURFACE_CHAT, false,
         "data: {\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n"
         "data: "
         "{\"model\":\"ours\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
         "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n",
         7);
    size_t finish, empty, at;
    EXPECT(str_find(buf_str(&f.out), STR("\"finish_reason\":\"stop\"}]}"), &finish), STR_FMT,
           STR_ARG(buf_str(&f.out)));
    EXPECT(str_find(buf_str(&f.out), STR("\"choices\":[]"), &empty) && empty > finish, STR_FMT,
           STR_ARG(buf_str(&f.out)));
    EXPECT(str_find(str_skip(buf_str(&f.out), empty), STR("\"prompt_tokens\":3"), &at),
           "usage follows");
    done(&f);
}

static void what_would_break_a_client_is_not_passed_on(void)
{
    expect(SURFACE_CHAT, false,
           "\xef\xbb\xbf: ping\n\nid: 7\nevent: x\ndata: "
           "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\r\n\r\n"
           "data:\n\nretry: 5\n\nevent: ping\n\ndata: not json\n\n"
           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
           "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
           "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
           "data: [DONE]\n\n",
           true);
}

static void a_cut_stream_is_not_whole(void)
{
    const char *in =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"del";
    expect(SURFACE_CHAT, false, in, "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
           false);
}

static void an_error_event_ends_it_and_is_kept(void)
{
    struct fixture f;
    play(&f, SURFACE_CHAT, false,
         "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
         "data: {\"error\":{\"message\":\"no\",\"code\":\"server_error\"}}\n\ndata: [DONE]\n\n",
         60);
    EXPECT(!f.whole && f.relay.said.error && !f.relay.said.content, "error %d", f.relay.said.error);
    size_t at;
    EXPECT(str_find(buf_str(&f.relay.error), STR("server_error"), &at), STR_FMT,
           STR_ARG(buf_str(&f.relay.error)));
    EXPECT(!str_find(buf_str(&f.out), STR("[DONE]"), &at), "no [DONE] after an error");
    done(&f);
}

static void named_events_keep_their_names_where_clients_need_them(void)
{
    const char *in =
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"theirs\","
        "\"usage\":{\"input_tokens\":5,\"output_tokens\":1}}}\n\n"
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
        "{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n"
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
        "\"end_turn\"},\"usage\":{\"output_tokens\":2}}\n\n"
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    struct fixture f;
    play(&f, SURFACE_MESSAGES, true, in, 100);
    size_t at;
    EXPECT(f.whole && str_starts(buf_str(&f.out), STR("event: message_start\ndata: ")), STR_FMT,
           STR_ARG(buf_str(&f.out)));
    EXPECT(str_find(buf_str(&f.out), STR("\"model\":\"ours\""), &at), "the model is renamed");
    EXPECT(!str_find(buf_str(&f.out), STR("[DONE]"), &at), "no [DONE] in this dialect");
    EXPECT(str_find(buf_str(&f.out), STR("\"usage\":{\"output_tokens\":2}"), &at),
           "usage stays, asked for or not");
    EXPECT(f.relay.said.usage.prompt_tok == 5 && f.relay.said.usage.output_tok == 2, "%d %d",
           f.relay.said.usage.prompt_tok, f.relay.said.usage.output_tok);
    done(&f);
}

static void a_stream_between_events_holds_no_memory(void)
{
    struct fixture f;
    play(&f, SURFACE_CHAT, true,
         "data: {\"model\":\"theirs\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n", 20);
    EXPECT(f.relay.work.size == 0, "work holds %zu bytes", f.relay.work.size);
    EXPECT(f.relay.sse.kept.size == 0, "the decoder holds %zu bytes", f.relay.sse.kept.size);
    done(&f);
}

// One event of a random stream: few kinds, many texts, now and then a byte that is wrong.
static void add_random_event(struct buf *b, struct rng *r)
{
    static const char *const texts[] = {
        "",     " word", "caf\xc3\xa9", "a\\nb", "\\\"q\\\"",      "\\ud83d\\ude00", "\\ud800",
        "\xff", "\x01",  "a\"b",        "\\x",   "long long long", "\xe2\x82"};
    static const char *const kinds[] = {
        "data: "
        "{\"model\":\"theirs\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}],"
        "\"usage\":null}\n\n",
        "data: "
        "{\"usage\":null,\"model\":\"ours\",\"choices\":[{\"delta\":{\"content\":\"%s\"}}]}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"}}],\"model\":\"theirs\"}\r\n\r\n",
        ": still here\n\ndata: "
        "{\"model\":\"the\\u0069rs\",\"choices\":[{\"text\":\"%s\"}],\"usage\":null}\n\n",
        "event: content_block_delta\ndata: "
        "{\"type\":\"content_block_delta\",\"delta\":{\"text\":\"%s\"}}\n\n",
        "data: "
        "{\"model\":\"theirs\",\"choices\":[{\"delta\":{\"content\":\"%s\",\"reasoning\":\"b\"}}]}"
        "\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"%s\"},\"finish_reason\":\"stop\"}]}\n\n",
        "data:{\"choices\":[{\"delta\":\ndata: {\"content\":\"%s\"}}]}\n\n",
    };
    static size_t kind;
    if (rng_below(r, 4) == 0)
        kind = rng_below(r, COUNTOF(kinds));
    size_t from = buf_len(b);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    NEED(buf_printf(b, kinds[kind], texts[rng_below(r, rng_below(r, 3) ? 4 : COUNTOF(texts))]));
#pragma GCC diagnostic pop
    if (rng_below(r, 12) == 0)
        b->p[b->from + from + rng_below(r, buf_len(b) - from)] = "x\"\\{\n"[rng_below(r, 5)];
}

// Fed byte by byte each event is read; fed whole most are taken for being like the one before.
static void an_event_like_the_one_before_goes_as_if_it_had_been_read(void)
{
    static const enum surface surfaces[] = {SURFACE_CHAT, SURFACE_COMPLETIONS, SURFACE_MESSAGES};
    int64_t taken = 0;
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r;
        struct buf in, out[2];
        struct relay relay[2];
        rng_seed(&r, seed);
        buf_init(&in, 1 << 20);
        for (uint64_t n = 1 + rng_below(&r, 20); n > 0; n--)
            add_random_event(&in, &r);
        enum surface surface = surfaces[rng_below(&r, COUNTOF(surfaces))];
        bool strip = rng_below(&r, 2), whole[2];
        struct str model = rng_below(&r, 8) ? STR("ours") : STR("o\"u");
        for (int i = 0; i < 2; i++) {
            relay_init(&relay[i], surface, model, strip, 1 << 16);
            buf_init(&out[i], 1 << 20);
            size_t step = i ? 1 + rng_below(&r, 2000) : 1;
            for (struct str rest = buf_str(&in); rest.n; rest = str_skip(rest, step))
                EXPECT(relay_stream(&relay[i], (struct str){rest.p, step < rest.n ? step : rest.n},
                                    &out[i]) == ERR_NONE,
                       "seed %" PRIu64, seed);
            whole[i] = relay_stream_end(&relay[i], &out[i]);
        }
        taken += relay[1].alike.bytes && relay[1].alike.learnt_in_vain == 0;
        EXPECT(str_eq(buf_str(&out[0]), buf_str(&out[1])),
               "seed %" PRIu64 ": " STR_FMT "\nread gave\n" STR_FMT "\ntaken gave\n" STR_FMT, seed,
               STR_ARG(buf_str(&in)), STR_ARG(buf_str(&out[0])), STR_ARG(buf_str(&out[1])));
        EXPECT(memcmp(&relay[0].said, &relay[1].said, sizeof relay[0].said) == 0 &&
                   whole[0] == whole[1],
               "seed %" PRIu64 ": what was said differs", seed);
        for (int i = 0; i < 2; i++) {
            relay_release(&relay[i]);
            buf_release(&out[i]);
        }
        buf_release(&in);
    }
    EXPECT(taken > 500, "%" PRId64 " streams had such events", taken);
}

int main(void)
{
    TEST(the_models_name_is_the_portfolios);
    TEST(usage_nobody_asked_for_is_taken_out);
    TEST(usage_that_was_asked_for_stays);
    TEST(usage_on_the_last_chunk_becomes_a_chunk_of_its_own);
    TEST(what_would_break_a_client_is_not_passed_on);
    TEST(a_cut_stream_is_not_whole);
    TEST(an_error_event_ends_it_and_is_kept);
    TEST(named_events_keep_their_names_where_clients_need_them);
    TEST(a_stream_between_events_holds_no_memory);
    TEST(an_event_like_the_one_before_goes_as_if_it_had_been_read);
    return test_end();
}
