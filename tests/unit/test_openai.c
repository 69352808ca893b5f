#include "base/rng.h"
#include "lib/json_gen.h"
#include "lib/test.h"
#include "wire/openai.h"

#include <inttypes.h>

// --- requests ---------------------------------------------------------------------------------

static void a_plain_request_is_read(void)
{
    struct openai_request rq;
    struct diag d = {0};
    struct str body =
        STR("{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"system\",\"content\":\"ab\"},"
            "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"c\\n\\u00e9\"},"
            "{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:xxxxxxxxxxxxxxxxx\"}}]}],"
            "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"n\":3,\"max_tokens\":5,"
            "\"max_completion_tokens\":9,\"seed\":123456789012345678901234567890,"
            "\"service_tier\":\"flex\",\"tools\":[{\"a\":1}]}");
    EXPECT(openai_read(&rq, SURFACE_CHAT, body, &d) == ERR_NONE, "%s", d.text);
    EXPECT(strcmp(rq.model, "gpt-4o") == 0, "%s", rq.model);
    EXPECT(str_eq(json_slice(body, rq.model_at), STR("\"gpt-4o\"")), "the span of the model");
    EXPECT(rq.stream && rq.stream_said && rq.usage_wanted, "a stream with usage");
    EXPECT(rq.choices == 3 && rq.output_tok_max == 9, "%d %d", rq.choices, rq.output_tok_max);
    EXPECT(strcmp(rq.service_tier, "flex") == 0, "%s", rq.service_tier);
    EXPECT(rq.prompt_bytes == 2 + 4 + 7, "%" PRId64, rq.prompt_bytes);
    EXPECT(str_eq(json_slice(body, rq.stream_options_at), STR("{\"include_usage\":true}")),
           "options");
}

static void defaults_are_what_the_header_says(void)
{
    struct openai_request rq;
    struct str body = STR(" {\"model\":\"m\",\"messages\":[{}],\"stream\":null,\"n\":null,"
                          "\"max_tokens\":null,\"service_tier\":null} ");
    EXPECT(openai_read(&rq, SURFACE_CHAT, body, NULL) == ERR_NONE, "nulls");
    EXPECT(!rq.stream && rq.stream_said && rq.choices == 1 && rq.output_tok_max == 0, "defaults");
    EXPECT(rq.stream_options_at.n == 0 && rq.stream_options_at.kind == JSON_NULL, "absent");
    EXPECT(rq.service_tier[0] == 0 && rq.prompt_bytes == 0 && !rq.usage_wanted, "nothing");
    EXPECT(openai_read(&rq, SURFACE_CHAT, STR("{\"model\":\"m\",\"messages\":[{}]}"), NULL) ==
               ERR_NONE,
           "least");
    EXPECT(!rq.stream_said, "not said");
}

static uint64_t user_of(enum surface surface, const char *more)
{
    struct openai_request rq;
    struct diag d = {0};
    char body[512];
    snprintf(body, sizeof body, "{\"model\":\"m\",\"messages\":[{}],\"input\":\"\"%s}", more);
    EXPECT(openai_read(&rq, surface, str_of(body), &d) == ERR_NONE, "%s: %s", more, d.text);
    return rq.user;
}

static void who_asks_is_the_best_name_that_is_said(void)
{
    uint64_t ann = user_of(SURFACE_CHAT, ",\"user\":\"ann\"");
    EXPECT(ann && ann != user_of(SURFACE_CHAT, ",\"user\":\"bob\""), "two users");
    EXPECT(ann == user_of(SURFACE_CHAT, ",\"prompt_cache_key\":\"x\",\"user\":\"ann\""),
           "user first");
    EXPECT(ann == user_of(SURFACE_CHAT, ",\"user\":\"ann\",\"prompt_cache_key\":\"x\""),
           "any order");
    EXPECT(ann == user_of(SURFACE_RESPONSES, ",\"user\":\"bob\",\"safety_identifier\":\"ann\""),
           "the safety identifier before it");
    EXPECT(ann == user_of(SURFACE_MESSAGES, ",\"metadata\":{\"a\":{},\"user_id\":\"ann\"}"),
           "messages");
    EXPECT(ann == user_of(SURFACE_CHAT, ",\"prompt_cache_key\":\"ann\""), "better than nobody");
    EXPECT(!user_of(SURFACE_CHAT, ",\"metadata\":{\"user_id\":\"ann\"}"),
           "chat's metadata are not");
    EXPECT(!user_of(SURFACE_CHAT, ",\"user\":\"\"") && !user_of(SURFACE_CHAT, ",\"user\":7") &&
               !user_of(SURFACE_MESSAGES, ",\"metadata\":[1]"),
           "what is no name passes");
}

static void prompt_text_is_found_on_every_surface(void)
{
    static const struct {
        enum surface surface;
        const char *body;
        int64_t bytes;
    } cases[] = {
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"abc\"}", 3},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[\"abc\",\"d\"]}", 4},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[1,2,3]}", 12},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":[[1,2],[3]]}", 12},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\"}", 0},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"max_tokens\":0,\"prompt\":\"\"}", 0},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[\"ab\",\"\\ud83d\\ude00\"]}", 6},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":\"ab\",\"stream\":7,\"n\":\"x\"}", 2},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":\"ab\",\"instructions\":\"cd\"}", 4},
        {SURFACE_RESPONSES,
         "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
         "\"text\":\"abc\"},{\"type\":\"input_image\",\"image_url\":\"data:xxxx\"}]},"
         "{\"type\":\"function_call\",\"name\":\"f\",\"arguments\":\"{}\"},"
         "{\"type\":\"function_call_output\",\"output\":\"four\"}],\"prompt\":{\"id\":\"p\"}}",
         10},
        {SURFACE_MESSAGES,
         "{\"model\":\"m\",\"max_tokens\":1,\"system\":[{\"type\":\"text\",\"text\":\"sys\"}],"
         "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"assistant\",\"content\":"
         "["
         "{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{\"a\":1}}]},{\"role\":"
         "\"user\","
         "\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"t\",\"content\":[{\"type\":"
         "\"text\","
         "\"text\":\"ok\"}]}]}]}",
         3 + 2 + 1 + 7 + 2},
        {SURFACE_CHAT,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":["
         "1]},"
         "{\"role\":\"tool\",\"content\":\"x\"}]}",
         4},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct openai_request rq;
        struct diag d = {0};
        EXPECT(openai_read(&rq, cases[i].surface, str_of(cases[i].body), &d) == ERR_NONE, "%s: %s",
               cases[i].body, d.text);
        EXPECT(rq.prompt_bytes == cases[i].bytes, "%s: %" PRId64, cases[i].body, rq.prompt_bytes);
    }
}

static void wrong_requests_name_their_key(void)
{
#define CHAT(rest) "{\"model\":\"m\",\"messages\":[{}]," rest "}"
    static const struct {
        enum surface surface;
        const char *body, *param, *text;
    } cases[] = {
        {SURFACE_CHAT, "[]", "", "object"},
        {SURFACE_CHAT, "\"x\"", "", "object"},
        {SURFACE_CHAT, "{\"model\":\"m\"", "", "byte"},
        {SURFACE_CHAT, "{\"messages\":[{}]}", "model", "Missing required parameter: 'model'."},
        {SURFACE_CHAT, "{}", "model", "Missing"},
        {SURFACE_CHAT, "{\"model\":\"\",\"messages\":[{}]}", "model", "empty string"},
        {SURFACE_CHAT, "{\"model\":7,\"messages\":[{}]}", "model",
         "Invalid type for 'model': expected a string, but got an integer instead."},
        {SURFACE_CHAT, "{\"model\":null,\"messages\":[{}]}", "model", "null"},
        {SURFACE_CHAT, "{\"model\":\"a\\u0000b\",\"messages\":[{}]}", "model", "control"},
        {SURFACE_CHAT, "{\"model\":\"m\"}", "messages", "Missing"},
        {SURFACE_CHAT, "{\"model\":\"m\",\"messages\":[]}", "messages", "empty array"},
        {SURFACE_CHAT, "{\"model\":\"m\",\"messages\":[ ]}", "messages", "empty array"},
        {SURFACE_CHAT, "{\"model\":\"m\",\"messages\":\"hi\"}", "messages", "array"},
        {SURFACE_CHAT, "{\"model\":\"m\",\"messages\":[{},\"hi\"]}", "messages[1]", "object"},
        {SURFACE_MESSAGES, "{\"model\":\"m\",\"messages\":[]}", "messages", "empty array"},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\"}", "input", "Missing"},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":[]}", "input", "empty"},
        {SURFACE_EMBEDDINGS, "{\"model\":\"m\",\"input\":null}", "input", "null"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":1}", "input", "integer"},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":{}}", "prompt", "object"},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"max_tokens\":-1}", "max_tokens", "below minimum"},
        {SURFACE_CHAT, CHAT("\"stream\":\"true\""), "stream",
         "Invalid type for 'stream': expected a boolean, but got a string instead."},
        {SURFACE_CHAT, CHAT("\"stream\":1"), "stream", "boolean"},
        {SURFACE_CHAT, CHAT("\"stream_options\":[]"), "stream_options", "object"},
        {SURFACE_CHAT, CHAT("\"stream_options\":{\"include_usage\":1}"),
         "stream_options.include_usage", "boolean"},
        {SURFACE_CHAT,
         CHAT("\"stream_options\":{\"include_usage\":true,\"include\\u005fusage\":false}"),
         "stream_options.include_usage", "more than once"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":0"), "max_tokens", "below minimum value"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":1.5"), "max_tokens", "a number"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":\"5\""), "max_tokens", "a string"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":99999999999"), "max_tokens", "above maximum"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":1e999"), "max_tokens", "above maximum"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":-1e999"), "max_tokens", "below minimum"},
        {SURFACE_CHAT, CHAT("\"max_completion_tokens\":0"), "max_completion_tokens", "below"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"max_output_tokens\":[]}", "max_output_tokens",
         "array"},
        {SURFACE_CHAT, CHAT("\"n\":0"), "n", "below"},
        {SURFACE_CHAT, CHAT("\"n\":129"), "n", "above"},
        {SURFACE_CHAT, CHAT("\"n\":true"), "n", "boolean"},
        {SURFACE_CHAT, CHAT("\"service_tier\":1"), "service_tier", "integer"},
        {SURFACE_CHAT, CHAT("\"service_tier\":\"0123456789abcdef0123456789abcdef\""),
         "service_tier", "too long"},
        {SURFACE_CHAT, CHAT("\"model\":\"m\""), "model", "more than once"},
        {SURFACE_CHAT, CHAT("\"mod\\u0065l\":\"x\""), "model", "more than once"},
        {SURFACE_CHAT, CHAT("\"messages\":[{}]"), "messages", "more than once"},
        {SURFACE_CHAT, CHAT("\"stream\":true,\"stream\":false"), "stream", "more than once"},
        {SURFACE_CHAT, CHAT("\"n\":1,\"n\":1"), "n", "more than once"},
        {SURFACE_CHAT, CHAT("\"max_tokens\":1,\"max_tokens\":2"), "max_tokens", "more than once"},
        {SURFACE_RESPONSES, "{\"model\":\"m\",\"input\":\"a\",\"input\":\"b\"}", "input", "once"},
        {SURFACE_COMPLETIONS, "{\"model\":\"m\",\"prompt\":\"a\",\"prompt\":\"b\"}", "prompt",
         "once"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct openai_request rq;
        struct diag d = {0};
        enum err e = openai_read(&rq, cases[i].surface, str_of(cases[i].body), &d);
        EXPECT(e == ERR_INVALID, "%s", cases[i].body);
        EXPECT(strcmp(rq.param, cases[i].param) == 0, "%s: param %s", cases[i].body, rq.param);
        EXPECT(strstr(d.text, cases[i].text), "%s: %s", cases[i].body, d.text);
    }
}

static void a_model_name_has_at_most_255_bytes(void)
{
    for (size_t n = 254; n <= 257; n++) {
        char body[512], name[300];
        struct openai_request rq;
        memset(name, 'm', n);
        name[n] = 0;
        snprintf(body, sizeof body, "{\"messages\":[{}],\"model\":\"%s\"}", name);
        enum err e = openai_read(&rq, SURFACE_CHAT, str_of(body), NULL);
        EXPECT((e == ERR_NONE) == (n <= 255), "%zu: %d", n, e);
        EXPECT(e || strcmp(rq.model, name) == 0, "%zu: %s", n, rq.model);
    }
}

static void writing_changes_model_and_usage_only(void)
{
    static const struct {
        enum surface surface;
        const char *in, *out;
    } cases[] = {
        {SURFACE_CHAT,
         "{\"x\":1e999,\"model\" : \"a\",\"messages\":[{}],\"y\":12345678901234567890123}",
         "{\"x\":1e999,\"model\" : \"up/1\",\"messages\":[{}],\"y\":12345678901234567890123}"},
        {SURFACE_CHAT, "{\"model\":\"a\",\"messages\":[{}],\"stream\":true}",
         "{\"model\":\"up/1\",\"stream_options\":{\"include_usage\":true},\"messages\":[{}],"
         "\"stream\":true}"},
        {SURFACE_CHAT, "{\"stream\":true,\"messages\":[{}],\"model\":\"a\"}",
         "{\"stream\":true,\"messages\":[{}],\"model\":\"up/"
         "1\",\"stream_options\":{\"include_usage\":"
         "true}}"},
        {SURFACE_CHAT, "{\"stream_options\":{ },\"stream\":true,\"messages\":[{}],\"model\":\"a\"}",
         "{\"stream_options\":{\"include_usage\":true "
         "},\"stream\":true,\"messages\":[{}],\"model\":"
         "\"up/1\"}"},
        {SURFACE_CHAT,
         "{\"model\":\"a\",\"messages\":[{}],\"stream\":true,\"stream_options\":null}",
         "{\"model\":\"up/"
         "1\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_usage\":"
         "true}}"},
        {SURFACE_CHAT,
         "{\"model\":\"a\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_"
         "obfuscation\""
         ":false}}",
         "{\"model\":\"up/"
         "1\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_usage\":"
         "true,\"include_obfuscation\":false}}"},
        {SURFACE_COMPLETIONS,
         "{\"model\":\"a\",\"stream\":true,\"stream_options\":{\"x\":1, \"include_us\\u0061ge\": "
         "false}}",
         "{\"model\":\"up/1\",\"stream\":true,\"stream_options\":{\"x\":1, "
         "\"include_us\\u0061ge\": "
         "true}}"},
        {SURFACE_CHAT,
         "{\"model\":\"a\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_usage\":"
         "true}}",
         "{\"model\":\"up/"
         "1\",\"messages\":[{}],\"stream\":true,\"stream_options\":{\"include_usage\":"
         "true}}"},
        {SURFACE_CHAT, "{\"model\":\"a\",\"messages\":[{}],\"stream\":false}",
         "{\"model\":\"up/1\",\"messages\":[{}],\"stream\":false}"},
        {SURFACE_RESPONSES, "{\"model\":\"a\",\"stream\":true}",
         "{\"model\":\"up/1\",\"stream\":true}"},
        {SURFACE_MESSAGES, "{\"model\":\"a\",\"messages\":[{}],\"stream\":true}",
         "{\"model\":\"up/1\",\"messages\":[{}],\"stream\":true}"},
        {SURFACE_EMBEDDINGS, "{\"model\":\"a\",\"input\":\"x\"}",
         "{\"model\":\"up/1\",\"input\":\"x\"}"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct openai_request rq;
        struct diag d = {0};
        struct buf out;
        buf_init(&out, 4096);
        EXPECT(openai_read(&rq, cases[i].surface, str_of(cases[i].in), &d) == ERR_NONE, "%s",
               d.text);
        EXPECT(openai_write(&out, &rq, cases[i].surface, STR("up/1")) == ERR_NONE, "written");
        EXPECT(str_eq(buf_str(&out), str_of(cases[i].out)), STR_FMT, STR_ARG(buf_str(&out)));
        buf_release(&out);
        // A buffer that is too small is left as it was.
        buf_init(&out, strlen(cases[i].out));
        buf_lit(&out, "#");
        EXPECT(openai_write(&out, &rq, cases[i].surface, STR("up/1")) == ERR_LIMIT,
               "one byte short");
        EXPECT(str_eq(buf_str(&out), STR("#")), STR_FMT, STR_ARG(buf_str(&out)));
        buf_release(&out);
    }
}

// A request around random members; what is read and written must not depend on them.
static void gen_request(struct buf *b, struct rng *r, bool *streams)
{
    static const char *const options[] = {"null", "{}", "{\"include_usage\":false}",
                                          "{ \"z\":[1e999] }", "{\"z\":1,\"include_usage\":true}"};
    int order = (int)rng_below(r, 3);
    *streams = rng_below(r, 2);
    gen_blank(b, r);
    buf_lit(b, "{");
    for (int i = 0; i < 3; i++) {
        buf_printf(b, "%s\"x%d\" :", i ? "," : "", i);
        gen_value(b, r, 3);
        if (i != order)
            continue;
        buf_lit(b, ", \"model\":");
        gen_blank(b, r);
        buf_lit(b, "\"a model\",\"messages\":[{\"content\":\"hello\"}]");
        if (*streams)
            buf_lit(b, ",\"stream\":true");
    }
    if (rng_below(r, 2))
        buf_printf(b, ",\"stream_options\":%s", options[rng_below(r, COUNTOF(options))]);
    gen_blank(b, r);
    buf_lit(b, "}");
    gen_blank(b, r);
}

static void members_not_read_are_the_same_bytes_after_writing(void)
{
    struct buf in, out;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r;
        struct openai_request rq, again;
        struct diag d = {0};
        bool streams;
        rng_seed(&r, seed);
        buf_clear(&in);
        buf_clear(&out);
        gen_request(&in, &r, &streams);
        struct str body = buf_str(&in);
        EXPECT(openai_read(&rq, SURFACE_CHAT, body, &d) == ERR_NONE, "seed %" PRIu64 ": %s", seed,
               d.text);
        EXPECT(openai_write(&out, &rq, SURFACE_CHAT, STR("n\xc3\xa9w \"1\"")) == ERR_NONE,
               "written");
        struct str sent = buf_str(&out);
        EXPECT(openai_read(&again, SURFACE_CHAT, sent, &d) == ERR_NONE, "seed %" PRIu64 ": %s",
               seed, d.text);
        EXPECT(strcmp(again.model, "n\xc3\xa9w \"1\"") == 0, "seed %" PRIu64 ": %s", seed,
               again.model);
        EXPECT(again.usage_wanted == (streams || rq.usage_wanted), "seed %" PRIu64, seed);
        EXPECT(again.prompt_bytes == rq.prompt_bytes && again.stream == rq.stream, "seed %" PRIu64,
               seed);
        // Member by member: the model is new, stream options may be, the rest is what came.
        struct json_walk was, is;
        NEED(json_walk(&was, body) && json_walk(&is, sent));
        while (json_step(&was)) {
            NEED(json_step(&is));
            if (json_key_is(&is, STR("stream_options")) &&
                !json_key_is(&was, STR("stream_options")))
                NEED(json_step(&is));
            EXPECT(str_eq(was.key, is.key), "seed %" PRIu64 " " STR_FMT, seed, STR_ARG(is.key));
            if (!json_key_is(&was, STR("model")) && !json_key_is(&was, STR("stream_options")))
                EXPECT(str_eq(json_slice(body, was.value), json_slice(sent, is.value)),
                       "seed %" PRIu64 " " STR_FMT, seed, STR_ARG(is.key));
        }
        EXPECT(!json_step(&is) || json_key_is(&is, STR("stream_options")), "seed %" PRIu64, seed);
    }
    buf_release(&in);
    buf_release(&out);
}

// --- answers ----------------------------------------------------------------------------------

#define CHUNK "\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"sup\","

static struct openai_event event(enum surface surface, const char *name, const char *data)
{
    struct openai_event ev;
    openai_event_read(&ev, surface, str_of(name), str_of(data), false);
    return ev;
}

static void chat_chunks_say_content_only_when_there_is_some(void)
{
    static const struct {
        const char *choice;
        bool content, finish;
        int bytes;
    } cases[] = {
        {"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}",
         false, false, 0},
        {"{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null}}", false, false, 0},
        {"{\"index\":0,\"delta\":{\"role\":\"assistant\"},\"finish_reason\":null}", false, false,
         0},
        {"{\"index\":0,\"delta\":{\"content\":\" hi\\n\"},\"finish_reason\":null}", true, false, 4},
        {"{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}", true, false, 2},
        {"{\"index\":0,\"delta\":{\"reasoning\":\"hm\",\"content\":null}}", true, false, 2},
        {"{\"index\":0,\"delta\":{\"refusal\":\"no\"}}", true, false, 2},
        {"{\"index\":0,\"delta\":{\"tool_calls\":[]}}", false, false, 0},
        {"{\"index\":0,\"delta\":{\"tool_calls\":null}}", false, false, 0},
        {"{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\"type\":"
         "\"function\","
         "\"function\":{\"name\":\"ab\",\"arguments\":\"\"}}]}}",
         true, false, 2},
        {"{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{"
         "\\\"a\"}}]}}",
         true, false, 3},
        {"{\"index\":0,\"delta\":{\"function_call\":{\"name\":\"f\",\"arguments\":\"x\"}}}", true,
         false, 2},
        {"{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}", false, true, 0},
        {"{\"index\":0,\"finish_reason\":null,\"content_filter_results\":{\"hate\":{\"filtered\":"
         "false}},"
         "\"content_filter_offsets\":{\"check_offset\":44}}",
         false, false, 0},
        {"{\"index\":0,\"finish_reason\":\"content_filter\"}", false, true, 0},
        {"{\"index\":0,\"delta\":{\"content\":\"last\"},\"finish_reason\":\"length\"}", true, true,
         4},
        {"{\"index\":0,\"d\\u0065lta\":{\"cont\\u0065nt\":\"x\"}}", true, false, 1},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char data[512];
        snprintf(data, sizeof data, "{" CHUNK "\"choices\":[%s],\"usage\":null}", cases[i].choice);
        struct openai_event ev = event(SURFACE_CHAT, "", data);
        EXPECT(ev.json && !ev.error && !ev.done && !ev.usage_only && !ev.usage.said, "%s", data);
        EXPECT(ev.content == cases[i].content && ev.finish == cases[i].finish, "%s: %d %d", data,
               ev.content, ev.finish);
        EXPECT(ev.pieces == cases[i].content && ev.content_bytes == cases[i].bytes, "%s: %d %d",
               data, ev.pieces, ev.content_bytes);
        EXPECT(str_eq(json_slice(str_of(data), ev.model_at), STR("\"sup\"")), "%s", data);
        EXPECT(str_eq(json_slice(str_of(data), ev.usage_at), STR("null")), "%s", data);
    }
}

static void several_choices_are_several_pieces(void)
{
    struct openai_event ev =
        event(SURFACE_CHAT, "",
              "{\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"bc\"}},"
              "{\"delta\":{}}]}");
    EXPECT(ev.pieces == 2 && ev.content_bytes == 3, "%d %d", ev.pieces, ev.content_bytes);
    ev = event(SURFACE_COMPLETIONS, "",
               "{\"object\":\"text_completion\",\"choices\":[{\"text\":\"ab\",\"index\":0,\"finish_"
               "reason\":null}]}");
    EXPECT(ev.content && ev.content_bytes == 2 && !ev.finish, "a completion's text");
    ev = event(SURFACE_COMPLETIONS, "",
               "{\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}");
    EXPECT(!ev.content && ev.finish, "a completion's end");
}

static void usage_is_read_in_every_dialect(void)
{
    static const struct {
        enum surface surface;
        const char *data;
        bool said, only;
        int prompt, cached, output, reasoning;
    } cases[] = {
        {SURFACE_CHAT,
         "{\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5,\"total_tokens\":"
         "15,"
         "\"prompt_tokens_details\":{\"cached_tokens\":4},\"completion_tokens_details\":{"
         "\"reasoning_tokens\":3}}}",
         true, true, 10, 4, 5, 3},
        {SURFACE_CHAT, "{\"choices\":[],\"usage\":null}", false, false, 0, 0, 0, 0},
        {SURFACE_CHAT, "{\"choices\":[],\"usage\":{}}", false, false, 0, 0, 0, 0},
        {SURFACE_CHAT, "{\"choices\":[],\"prompt_filter_results\":[]}", false, false, 0, 0, 0, 0},
        {SURFACE_CHAT,
         "{\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,"
         "\"completion_tokens\":2,\"prompt_tokens_details\":null},\"time_info\":{\"queue_time\":0."
         "1}}",
         true, false, 1, 0, 2, 0},
        {SURFACE_CHAT,
         "{\"choices\":[],\"usage\":{\"prompt_tokens\":1e30,\"completion_tokens\":9999999999}}",
         true, true, 0, 0, INT32_MAX, 0},
        {SURFACE_CHAT,
         "{\"choices\":[],\"usage\":{\"prompt_tokens\":-1,\"completion_tokens\":null}}", false,
         false, 0, 0, 0, 0},
        {SURFACE_RESPONSES,
         "{\"type\":\"response.completed\",\"response\":{\"model\":\"m\",\"usage\":{\"input_"
         "tokens\":7,"
         "\"input_tokens_details\":{\"cached_tokens\":2},\"output_tokens\":8,\"output_tokens_"
         "details\":{"
         "\"reasoning_tokens\":6},\"total_tokens\":15}}}",
         true, false, 7, 2, 8, 6},
        {SURFACE_MESSAGES,
         "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"content\":[],\"stop_reason\":"
         "null,"
         "\"usage\":{\"input_tokens\":3,\"cache_creation_input_tokens\":10,\"cache_read_input_"
         "tokens\":20,"
         "\"output_tokens\":1}}}",
         true, false, 33, 20, 1, 0},
        {SURFACE_MESSAGES,
         "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_"
         "tokens\":40,"
         "\"output_tokens_details\":{\"thinking_tokens\":30}}}",
         true, false, 0, 0, 40, 30},
        {SURFACE_EMBEDDINGS, "{\"data\":[{}],\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}",
         true, false, 8, 0, 0, 0},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct openai_event ev = event(cases[i].surface, "", cases[i].data);
        struct openai_usage *u = &ev.usage;
        EXPECT(u->said == cases[i].said && ev.usage_only == cases[i].only, "%s", cases[i].data);
        EXPECT(u->prompt_tok == cases[i].prompt && u->cached_tok == cases[i].cached &&
                   u->output_tok == cases[i].output && u->reasoning_tok == cases[i].reasoning,
               "%s: %d %d %d %d", cases[i].data, u->prompt_tok, u->cached_tok, u->output_tok,
               u->reasoning_tok);
    }
    struct openai_usage all = {0};
    struct openai_event start = event(SURFACE_MESSAGES, "", cases[8].data);
    struct openai_event end = event(SURFACE_MESSAGES, "", cases[9].data);
    openai_usage_join(&all, &start.usage);
    openai_usage_join(&all, &end.usage);
    EXPECT(all.said && all.prompt_tok == 33 && all.cached_tok == 20 && all.output_tok == 40,
           "joined");
}

// What one event is, in letters: content, finish, error, model, done, no json.
static void signs(char out[8], const struct openai_event *ev)
{
    snprintf(out, 8, "%s%s%s%s%s%s", ev->content ? "c" : "", ev->finish ? "f" : "",
             ev->error ? "e" : "", ev->model_at.n ? "m" : "", ev->done ? "d" : "",
             ev->json ? "" : "-");
}

static void events_of_responses_and_messages_are_told_apart(void)
{
    static const struct {
        enum surface surface;
        const char *name, *data, *signs;
    } cases[] = {
        {SURFACE_RESPONSES, "response.created",
         "{\"type\":\"response.created\",\"response\":{\"model\":\"m\",\"error\":null,\"status\":"
         "\"in_progress\",\"output\":[]}}",
         "m"},
        {SURFACE_RESPONSES, "response.output_item.added",
         "{\"type\":\"response.output_item.added\",\"item\":{\"type\":\"message\"}}", ""},
        {SURFACE_RESPONSES, "response.output_text.delta",
         "{\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"delta\":\"Hi\"}", "c"},
        {SURFACE_RESPONSES, "response.output_text.delta", "{\"delta\":\"Hi\"}", "c"},
        {SURFACE_RESPONSES, "", "{\"delta\":\"Hi\",\"type\":\"response.output_text.delta\"}", "c"},
        {SURFACE_RESPONSES, "response.output_text.delta",
         "{\"type\":\"response.output_text.delta\",\"delta\":\"\"}", ""},
        {SURFACE_RESPONSES, "response.function_call_arguments.delta",
         "{\"type\":\"response.function_call_arguments.delta\",\"delta\":\"{\"}", "c"},
        {SURFACE_RESPONSES, "",
         "{\"type\":\"response.reasoning_summary_text.delta\",\"delta\":\"x\"}", "c"},
        {SURFACE_RESPONSES, "", "{\"type\":\"response.refusal.delta\",\"delta\":\"x\"}", "c"},
        {SURFACE_RESPONSES, "", "{\"type\":\"response.output_text.done\",\"text\":\"Hi\"}", ""},
        {SURFACE_RESPONSES, "", "{\"type\":\"response.completed\",\"response\":{\"model\":\"m\"}}",
         "fm"},
        {SURFACE_RESPONSES, "", "{\"type\":\"response.incomplete\",\"response\":{}}", "f"},
        {SURFACE_RESPONSES, "",
         "{\"type\":\"response.failed\",\"response\":{\"error\":{\"code\":\"server_error\","
         "\"message\":\"x\"}}}",
         "fe"},
        {SURFACE_RESPONSES, "error",
         "{\"code\":\"rate_limit_exceeded\",\"message\":\"x\",\"param\":null}", "e"},
        {SURFACE_RESPONSES, "error", "{\"type\":\"error\",\"code\":\"x\",\"message\":\"x\"}", "e"},
        {SURFACE_RESPONSES, "", "[DONE]", "d-"},
        {SURFACE_MESSAGES, "message_start",
         "{\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"content\":[],\"stop_reason\":"
         "null}}",
         "m"},
        {SURFACE_MESSAGES, "ping", "{\"type\":\"ping\"}", ""},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\","
         "\"text\":\"\"}}",
         ""},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\","
         "\"name\":\"f\",\"input\":{}}}",
         "c"},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}",
         "c"},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_"
         "json\":\"\"}}",
         ""},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"input_json_delta\",\"partial_"
         "json\":\"{\"}}",
         "c"},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":"
         "\"x\"}}",
         "c"},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\",\"signature\":"
         "\"x\"}}",
         ""},
        {SURFACE_MESSAGES, "", "{\"type\":\"content_block_stop\",\"index\":0}", ""},
        {SURFACE_MESSAGES, "",
         "{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":"
         "null},\"usage\":{\"output_tokens\":1}}",
         "f"},
        {SURFACE_MESSAGES, "message_stop", "{\"type\":\"message_stop\"}", "f"},
        {SURFACE_MESSAGES, "error",
         "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}", "e"},
        {SURFACE_CHAT, "", "[DONE]", "d-"},
        {SURFACE_CHAT, "", "", "-"},
        {SURFACE_CHAT, "", "{\"choices\":[", "-"},
        {SURFACE_CHAT, "", "7", "-"},
        {SURFACE_CHAT, "", "[]", "-"},
        {SURFACE_CHAT, "", "{\"choices\":null}", ""},
        {SURFACE_CHAT, "", "{\"choices\":[null,1,[],{\"delta\":7}]}", ""},
        {SURFACE_CHAT, "",
         "{\"error\":{\"message\":\"x\",\"type\":\"y\",\"param\":null,\"code\":null}}", "e"},
        {SURFACE_CHAT, "", "{\"error\":{\"message\":\"x\"},\"status_code\":500}", "e"},
        {SURFACE_CHAT, "", "{\"error\":null,\"choices\":[]}", ""},
        {SURFACE_CHAT, "", "{\"object\":\"error\",\"message\":\"x\",\"code\":400}", "e"},
        {SURFACE_CHAT, "error", "{\"message\":\"x\"}", "e"},
        {SURFACE_CHAT, "",
         "{\"id\":\"\",\"object\":\"\",\"created\":0,\"model\":\"\",\"prompt_filter_results\":[{"
         "\"prompt_index\":0}],"
         "\"choices\":[]}",
         "m"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char got[8];
        struct openai_event ev = event(cases[i].surface, cases[i].name, cases[i].data);
        signs(got, &ev);
        EXPECT(strcmp(got, cases[i].signs) == 0, "%s: %s", cases[i].data, got);
        EXPECT(!ev.error || ev.error_at.n > 0, "%s", cases[i].data);
    }
}

static void whole_answers_are_read(void)
{
    static const struct {
        enum surface surface;
        const char *data, *signs;
        int pieces, bytes;
    } cases[] = {
        {SURFACE_CHAT,
         "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,"
         "\"message\":{\"role\":"
         "\"assistant\",\"content\":\"Hello\",\"refusal\":null},\"finish_reason\":\"stop\"}],"
         "\"usage\":{"
         "\"prompt_tokens\":1,\"completion_tokens\":2}}",
         "cfm", 1, 5},
        {SURFACE_CHAT,
         "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"x\",\"type\":"
         "\"function\",\"function\":{"
         "\"name\":\"f\",\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}",
         "cf", 1, 3},
        {SURFACE_COMPLETIONS,
         "{\"model\":\"m\",\"choices\":[{\"text\":\"ab\",\"finish_reason\":\"length\"}]}", "cfm", 1,
         2},
        {SURFACE_EMBEDDINGS,
         "{\"object\":\"list\",\"model\":\"m\",\"data\":[{\"embedding\":[0.1]}]}", "cfm", 1, 0},
        {SURFACE_RESPONSES,
         "{\"id\":\"r\",\"object\":\"response\",\"status\":\"completed\",\"error\":null,\"model\":"
         "\"m\",\"output\":[{\"type\":"
         "\"message\",\"content\":[{\"type\":\"output_text\",\"text\":\"Hi\",\"annotations\":[]}]},"
         "{\"type\":\"function_call\","
         "\"name\":\"f\",\"arguments\":\"{}\"}],\"usage\":{\"input_tokens\":1,\"output_tokens\":1}"
         "}",
         "cfm", 1, 5},
        {SURFACE_RESPONSES,
         "{\"status\":\"failed\",\"error\":{\"code\":\"server_error\"},\"output\":[],\"model\":"
         "\"m\"}",
         "fem", 0, 0},
        {SURFACE_RESPONSES, "{\"status\":\"queued\",\"output\":[],\"model\":\"m\"}", "m", 0, 0},
        {SURFACE_MESSAGES,
         "{\"type\":\"message\",\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],"
         "\"stop_reason\":\"end_turn\"}",
         "cfm", 1, 2},
        {SURFACE_MESSAGES,
         "{\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"x\"}}", "e", 0, 0},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        char got[8];
        struct openai_event ev;
        openai_event_read(&ev, cases[i].surface, STR(""), str_of(cases[i].data), true);
        signs(got, &ev);
        EXPECT(strcmp(got, cases[i].signs) == 0, "%s: %s", cases[i].data, got);
        EXPECT(ev.pieces == cases[i].pieces && ev.content_bytes == cases[i].bytes, "%s: %d %d",
               cases[i].data, ev.pieces, ev.content_bytes);
    }
}

static void writing_an_event_changes_its_model_and_usage(void)
{
    static const struct {
        const char *in;
        bool strip;
        const char *out;  // NULL: nothing
    } cases[] = {
        {"{\"model\":\"sup\",\"choices\":[{}],\"usage\":null}", true,
         "{\"model\":\"m\\\"1\",\"choices\":[{}]}"},
        {"{\"model\":\"sup\",\"choices\":[{}],\"usage\":null}", false,
         "{\"model\":\"m\\\"1\",\"choices\":[{}],\"usage\":null}"},
        {"{\"usage\":null,\"model\":\"sup\",\"choices\":[{}]}", true,
         "{\"model\":\"m\\\"1\",\"choices\":[{}]}"},
        {"{\"model\":\"sup\",\"usage\" : {\"prompt_tokens\":1} , \"choices\":[{}]}", true,
         "{\"model\":\"m\\\"1\", \"choices\":[{}]}"},
        {"{\"choices\":[{}],\"model\":\"sup\" , \"usage\":{\"prompt_tokens\":1} }", true,
         "{\"choices\":[{}],\"model\":\"m\\\"1\" }"},
        {"{\"usage\":{\"prompt_tokens\":1}}", true, "{}"},
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", true, NULL},
        {"{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}", false,
         "{\"choices\":[],\"usage\":{\"prompt_tokens\":1}}"},
        {"{\"choices\":[{\"model\":\"sup\",\"usage\":1}]}", true,
         "{\"choices\":[{\"model\":\"sup\",\"usage\":1}]}"},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct buf out;
        buf_init(&out, 4096);
        struct openai_event ev = event(SURFACE_CHAT, "", cases[i].in);
        bool written =
            openai_event_write(&out, &ev, str_of(cases[i].in), STR("m\"1"), cases[i].strip);
        EXPECT(written == (cases[i].out != NULL), "%s", cases[i].in);
        EXPECT(str_eq(buf_str(&out), str_of(cases[i].out)), "%s: " STR_FMT, cases[i].in,
               STR_ARG(buf_str(&out)));
        buf_release(&out);
    }
    struct buf out;
    buf_init(&out, 4096);
    const char *same = "{\"model\":\"m\",\"choices\":[{}]}";
    struct openai_event ev = event(SURFACE_CHAT, "", same);
    EXPECT(openai_event_write(&out, &ev, str_of(same), STR("m"), true), "written");
    EXPECT(str_eq(buf_str(&out), str_of(same)), "as it came");
    buf_clear(&out);
    const char *responses =
        "{\"type\":\"response.created\",\"response\":{\"model\":\"sup\",\"id\":1}}";
    ev = event(SURFACE_RESPONSES, "response.created", responses);
    EXPECT(openai_event_write(&out, &ev, str_of(responses), STR("m"), false), "written");
    EXPECT(str_eq(buf_str(&out),
                  STR("{\"type\":\"response.created\",\"response\":{\"model\":\"m\",\"id\":1}}")),
           STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static void cerebras_last_chunk_is_split_in_two(void)
{
    struct str data = STR("{\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\","
                          "\"index\":0}],\"model\":\"sup\","
                          "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4},\"time_info\":{"
                          "\"queue_time\":0.1}}");
    struct openai_event ev = event(SURFACE_CHAT, "", data.p);
    struct buf out;
    buf_init(&out, 4096);
    EXPECT(openai_event_splits(&ev), "finish and usage");
    EXPECT(openai_event_write(&out, &ev, data, STR("m"), true), "first");
    EXPECT(
        str_eq(
            buf_str(&out),
            STR("{\"id\":\"c\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\",\"index\":0}],"
                "\"model\":\"m\",\"time_info\":{\"queue_time\":0.1}}")),
        STR_FMT, STR_ARG(buf_str(&out)));
    buf_clear(&out);
    EXPECT(openai_event_write_usage(&out, &ev, data, STR("m")), "second");
    EXPECT(str_eq(buf_str(&out),
                  STR("{\"id\":\"c\",\"choices\":[],\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,"
                      "\"completion_tokens\":4},\"time_info\":{\"queue_time\":0.1}}")),
           STR_FMT, STR_ARG(buf_str(&out)));
    struct openai_event second;
    openai_event_read(&second, SURFACE_CHAT, STR(""), buf_str(&out), false);
    EXPECT(second.usage_only && second.usage.output_tok == 4 && !openai_event_splits(&second),
           "usage only");
    buf_release(&out);
}

// Wherever usage stands among the members, the rest is right JSON with the same members.
static void stripping_usage_leaves_right_json(void)
{
    struct buf in, out;
    buf_init(&in, 1 << 20);
    buf_init(&out, 1 << 20);
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r;
        rng_seed(&r, seed);
        buf_clear(&in);
        buf_clear(&out);
        uint64_t members = 1 + rng_below(&r, 4), where = rng_below(&r, members);
        gen_blank(&in, &r);
        buf_lit(&in, "{");
        for (uint64_t i = 0; i < members; i++) {
            gen_blank(&in, &r);
            buf_printf(&in, i == where ? "\"usage\":" : "\"k%d\":", (int)i);
            gen_blank(&in, &r);
            if (i == where)
                buf_add_str(&in, rng_below(&r, 2) ? STR("null") : STR("{\"prompt_tokens\":1 }"));
            else
                gen_value(&in, &r, 3);
            gen_blank(&in, &r);
            buf_add_str(&in, i + 1 < members ? STR(",") : STR("}"));
        }
        struct openai_event ev;
        struct diag d = {0};
        openai_event_read(&ev, SURFACE_CHAT, STR(""), buf_str(&in), false);
        EXPECT(ev.json && openai_event_write(&out, &ev, buf_str(&in), STR("m"), true),
               "seed %" PRIu64, seed);
        EXPECT(json_validate(buf_str(&out), &d) == ERR_NONE, "seed %" PRIu64 ": %s in " STR_FMT,
               seed, d.text, STR_ARG(buf_str(&out)));
        struct json_walk was, is;
        NEED(json_walk(&was, buf_str(&in)) && json_walk(&is, buf_str(&out)));
        while (json_step(&was))
            if (!json_key_is(&was, STR("usage")))
                EXPECT(json_step(&is) &&
                           str_eq(json_slice(was.text, was.value), json_slice(is.text, is.value)),
                       "seed %" PRIu64, seed);
        EXPECT(!json_step(&is), "seed %" PRIu64, seed);
    }
    buf_release(&in);
    buf_release(&out);
}

// --- errors -----------------------------------------------------------------------------------

static void faults_are_told_by_code_before_status(void)
{
    static const struct {
        int32_t status;
        const char *body;
        enum fault fault;
    } cases[] = {
        {400,
         "{\"error\":{\"message\":\"This model's maximum context length is 8192 tokens.\",\"type\":"
         "\"invalid_request_error\",\"param\":\"messages\",\"code\":\"context_length_exceeded\"}}",
         FAULT_CONTEXT},
        {400,
         "{\"object\":\"error\",\"message\":\"This model's maximum context length is 4096 "
         "tokens\",\"type\":"
         "\"BadRequestError\",\"param\":null,\"code\":400}",
         FAULT_CONTEXT},
        {400,
         "{\"error\":{\"code\":400,\"message\":\"the request exceeds the available context "
         "size\",\"type\":"
         "\"exceed_context_size_error\",\"n_prompt_tokens\":9,\"n_ctx\":8}}",
         FAULT_CONTEXT},
        {500,
         "{\"error\":{\"code\":500,\"message\":\"context size has been "
         "exceeded\",\"type\":\"server_error\"}}",
         FAULT_CONTEXT},
        {400,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt "
         "is too long: 210000 "
         "tokens > 200000 maximum\"}}",
         FAULT_CONTEXT},
        {429, "{\"error\":{\"message\":\"rate limit for long context window requests\"}}",
         FAULT_BUSY},
        {400,
         "{\"error\":{\"message\":\"x\",\"type\":null,\"param\":\"prompt\",\"code\":\"content_"
         "filter\",\"status\":400,"
         "\"innererror\":{\"code\":\"ResponsibleAIPolicyViolation\"}}}",
         FAULT_CONTENT},
        {400,
         "{\"error\":{\"message\":\"x\",\"code\":\"other\",\"innererror\":{\"code\":"
         "\"ResponsibleAIPolicyViolation\"}}}",
         FAULT_CONTENT},
        {400, "{\"error\":{\"code\":\"content_policy_violation\"}}", FAULT_CONTENT},
        {429,
         "{\"error\":{\"message\":\"x\",\"type\":\"insufficient_quota\",\"param\":null,\"code\":"
         "\"insufficient_quota\"}}",
         FAULT_SPENT},
        {429, "{\"error\":{\"code\":\"credit_balance_exhausted\"}}", FAULT_SPENT},
        {400, "{\"error\":{\"code\":\"billing_hard_limit_reached\"}}", FAULT_SPENT},
        {402, "{\"message\":\"Payment required\",\"type\":\"x\",\"param\":null,\"code\":null}",
         FAULT_SPENT},
        {402, "nonsense", FAULT_SPENT},
        {400,
         "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"Your "
         "credit balance is too low\"}}",
         FAULT_SPENT},
        {429,
         "[{\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\","
         "\"details\":[{\"quotaId\":"
         "\"GenerateRequestsPerDayPerProject\"}]}}]",
         FAULT_SPENT},
        {429, "{\"error\":{\"code\":429,\"message\":\"x\",\"status\":\"RESOURCE_EXHAUSTED\"}}",
         FAULT_BUSY},
        {401, "{\"error\":{\"code\":\"invalid_api_key\"}}", FAULT_DENIED},
        {403, "", FAULT_DENIED},
        {403, "{\"error\":{\"code\":\"model_not_found\"}}", FAULT_NO_MODEL},
        {404, "{\"error\":{\"message\":\"no such model\"}}", FAULT_NO_MODEL},
        {404, "{\"error\":{\"code\":\"DeploymentNotFound\"}}", FAULT_NO_MODEL},
        {429, "{\"error\":{\"code\":\"rate_limit_exceeded\"}}", FAULT_BUSY},
        {429, "<html>", FAULT_BUSY},
        {429, "{\"error\":{\"code\":\"slow_down\"}}", FAULT_BUSY},
        {503, "{\"error\":{\"code\":\"slow_down\"}}", FAULT_BUSY},
        {503,
         "{\"error\":{\"type\":\"service_unavailable_error\",\"code\":\"server_is_overloaded\"}}",
         FAULT_BUSY},
        {529, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}",
         FAULT_BUSY},
        {529, "", FAULT_SERVER},
        {500, "{\"error\":{\"type\":\"server_error\",\"message\":\"x\"}}", FAULT_SERVER},
        {503, "<html>bad</html>", FAULT_SERVER},
        {408, "{}", FAULT_SERVER},
        {409, "{}", FAULT_SERVER},
        {425, "{}", FAULT_SERVER},
        {400,
         "{\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"param\":\"n\","
         "\"code\":null}}",
         FAULT_CLIENT},
        {413, "", FAULT_CLIENT},
        {422, "{\"detail\":\"x\"}", FAULT_CLIENT},
        {400,
         "{\"message\":\"x\",\"type\":\"invalid_request_error\",\"param\":\"n\",\"code\":\"wrong_"
         "api_format\"}",
         FAULT_CLIENT},
        {200, "hello", FAULT_GARBAGE},
        {200, "", FAULT_GARBAGE},
        {200, "{}", FAULT_GARBAGE},
        {200, "{\"error\":{\"message\":\"x\",\"type\":null,\"param\":null,\"code\":null}}",
         FAULT_GARBAGE},
        {200, "{\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}", FAULT_SERVER},
        {200, "{\"error\":{\"code\":503,\"message\":\"x\",\"type\":\"unavailable_error\"}}",
         FAULT_SERVER},
        {200, "{\"error\":{\"message\":\"x\"},\"status_code\":429}", FAULT_BUSY},
        {200,
         "{\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":"
         "\"rate_limit_exceeded\",\"message\":\"x\"}}}",
         FAULT_BUSY},
        {200,
         "{\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"x\",\"param\":null}",
         FAULT_BUSY},
        {200, "{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}", FAULT_BUSY},
        {200, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\"}}", FAULT_CLIENT},
        {200, "{\"code\":400,\"message\":\"x\",\"type\":\"invalid_request_error\"}", FAULT_CLIENT},
    };
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        struct openai_fault f;
        openai_fault_read(&f, cases[i].status, str_of(cases[i].body));
        EXPECT(f.fault == cases[i].fault, "%d %s: %d, not %d", cases[i].status, cases[i].body,
               f.fault, cases[i].fault);
    }
}

static void words_of_an_error_are_kept(void)
{
    struct openai_fault f;
    openai_fault_read(&f, 400,
                      STR("{\"error\":{\"message\":\"a "
                          "\\\"b\\\"\",\"type\":\"t\",\"param\":\"p\",\"code\":\"c\"}}"));
    EXPECT(!strcmp(f.message, "a \"b\"") && !strcmp(f.type, "t") && !strcmp(f.param, "p") &&
               !strcmp(f.code, "c"),
           "%s %s %s %s", f.message, f.type, f.param, f.code);
    openai_fault_read(
        &f, 400, STR("{\"error\":{\"message\":\"m\",\"type\":null,\"param\":null,\"code\":400}}"));
    EXPECT(!strcmp(f.code, "400") && !f.type[0] && !f.param[0], "%s %s %s", f.code, f.type,
           f.param);
    openai_fault_read(&f, 502, STR("upstream connect error\nmore"));
    EXPECT(!strcmp(f.message, "upstream connect error"), "%s", f.message);
    openai_fault_read(&f, 500, STR("{\"error\":\"just words\"}"));
    EXPECT(!strcmp(f.message, "just words"), "%s", f.message);
    char body[2000] = "{\"error\":{\"message\":\"";
    for (size_t n = strlen(body), i = 0; i < 600; i++, n += 2)
        memcpy(body + n, "\xc3\xa9\"}}", 6);
    openai_fault_read(&f, 500, str_of(body));
    EXPECT(strlen(f.message) == 510 && json_utf8_valid(str_of(f.message)), "%zu",
           strlen(f.message));
}

static void an_error_has_all_four_keys(void)
{
    struct buf out;
    buf_init(&out, 4096);
    EXPECT(openai_error_write(&out, "a \"b\"", "invalid_request_error", NULL, "c"), "written");
    EXPECT(str_eq(buf_str(&out),
                  STR("{\"error\":{\"message\":\"a \\\"b\\\"\",\"type\":\"invalid_request_error\","
                      "\"param\":null,\"code\":\"c\"}}")),
           STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static struct openai_request read_of(enum surface surface, const char *body)
{
    struct openai_request rq;
    struct diag diag = {0};
    enum err e = openai_read(&rq, surface, str_of(body), &diag);
    EXPECT(!e, "%s: %s", body, diag.text);
    return rq;
}

static bool part_is(const struct openai_request *rq, int part, const char *expected)
{
    return str_eq(rq->parts[part], str_of(expected));
}

// What a model reads, without its end: a longer conversation begins with the same bytes.
static void the_parts_of_a_prompt_are_found(void)
{
    struct openai_request rq =
        read_of(SURFACE_CHAT,
                "{\"messages\": [{\"content\": \"a\"} ], \"tools\": [1 , 2], \"model\": \"m\"}");
    EXPECT(part_is(&rq, OPENAI_PROMPT, "[{\"content\": \"a\"}"), STR_FMT,
           STR_ARG(rq.parts[OPENAI_PROMPT]));
    EXPECT(part_is(&rq, OPENAI_TOOLS, "[1 , 2") && part_is(&rq, OPENAI_PREAMBLE, ""), "tools");
    EXPECT(rq.cache_key == 0, "no key");
    rq = read_of(SURFACE_MESSAGES,
                 "{\"model\": \"m\", \"system\": \"be good\", \"messages\": [{}]}");
    EXPECT(part_is(&rq, OPENAI_PREAMBLE, "\"be good") && part_is(&rq, OPENAI_PROMPT, "[{}"),
           "system");
    rq = read_of(SURFACE_RESPONSES,
                 "{\"model\": \"m\", \"input\": \"a b\", \"prompt_cache_key\": \"k\"}");
    EXPECT(part_is(&rq, OPENAI_PROMPT, "\"a b") && rq.cache_key != 0, "input");
    struct openai_request other = read_of(
        SURFACE_RESPONSES, "{\"model\": \"m\", \"input\": [\"a\"], \"prompt_cache_key\": \"l\"}");
    EXPECT(part_is(&other, OPENAI_PROMPT, "[\"a\"") && other.cache_key != rq.cache_key,
           "another key");
    rq = read_of(SURFACE_COMPLETIONS, "{\"model\": \"m\", \"prompt\": \"\"}");
    EXPECT(part_is(&rq, OPENAI_PROMPT, "\""), "an empty one");
}

int main(void)
{
    TEST(a_plain_request_is_read);
    TEST(defaults_are_what_the_header_says);
    TEST(who_asks_is_the_best_name_that_is_said);
    TEST(prompt_text_is_found_on_every_surface);
    TEST(wrong_requests_name_their_key);
    TEST(a_model_name_has_at_most_255_bytes);
    TEST(writing_changes_model_and_usage_only);
    TEST(members_not_read_are_the_same_bytes_after_writing);
    TEST(chat_chunks_say_content_only_when_there_is_some);
    TEST(several_choices_are_several_pieces);
    TEST(usage_is_read_in_every_dialect);
    TEST(events_of_responses_and_messages_are_told_apart);
    TEST(whole_answers_are_read);
    TEST(writing_an_event_changes_its_model_and_usage);
    TEST(cerebras_last_chunk_is_split_in_two);
    TEST(stripping_usage_leaves_right_json);
    TEST(faults_are_told_by_code_before_status);
    TEST(words_of_an_error_are_kept);
    TEST(an_error_has_all_four_keys);
    TEST(the_parts_of_a_prompt_are_found);
    return test_end();
}
