// Requests, answers and errors on anything at all: nothing crashes, and what is written is right
// JSON that says what was meant. The first byte chooses the surface and what is done.

#include "wire/openai.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const enum surface surfaces[] = {SURFACE_CHAT, SURFACE_COMPLETIONS, SURFACE_EMBEDDINGS,
                                        SURFACE_RESPONSES, SURFACE_MESSAGES};

static void request(enum surface surface, struct str body)
{
    struct openai_request rq, again;
    struct diag d = {0};
    struct str as = STR("new \"name\"");
    if (openai_read(&rq, surface, body, &d) != ERR_NONE) {
        CHECK(d.e == ERR_INVALID && d.text[0]);
        return;
    }
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    CHECK(openai_write(&out, &rq, surface, as) == ERR_NONE);
    CHECK(openai_read(&again, surface, buf_str(&out), &d) == ERR_NONE);
    CHECK(str_eq(str_of(again.model), as));
    CHECK(again.stream == rq.stream && again.choices == rq.choices);
    CHECK(again.output_tok_max == rq.output_tok_max && again.prompt_bytes == rq.prompt_bytes);
    bool chunks = surface == SURFACE_CHAT || surface == SURFACE_COMPLETIONS;
    CHECK(again.usage_wanted == (rq.usage_wanted || (rq.stream && chunks)));
    buf_release(&out);
}

static void event(enum surface surface, struct str data, bool whole, bool strip)
{
    struct openai_event ev, again;
    openai_event_read(&ev, surface, whole ? STR("") : STR("response.output_text.delta"), data,
                      whole);
    CHECK(ev.model_at.at + ev.model_at.n <= data.n && ev.usage_at.at + ev.usage_at.n <= data.n);
    CHECK(ev.error_at.at + ev.error_at.n <= data.n && ev.choices_at.at + ev.choices_at.n <= data.n);
    CHECK(ev.content == (ev.pieces > 0));
    if (!ev.json)
        return;
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    if (openai_event_write(&out, &ev, data, STR("new"), strip)) {
        openai_event_read(&again, surface, whole ? STR("") : STR("response.output_text.delta"),
                          buf_str(&out), whole);
        CHECK(again.json && again.content == ev.content && again.pieces == ev.pieces);
        CHECK(again.finish == ev.finish && again.error == ev.error);
        if (ev.model_at.n > 0)
            CHECK(str_eq(json_slice(buf_str(&out), again.model_at), STR("\"new\"")));
    }
    if (openai_event_splits(&ev)) {
        buf_clear(&out);
        CHECK(openai_event_write_usage(&out, &ev, data, STR("new")));
        CHECK(json_validate(buf_str(&out), NULL) == ERR_NONE);
    }
    buf_release(&out);
}

static void fault(struct str body, int32_t status)
{
    struct openai_fault f;
    openai_fault_read(&f, status, body);
    CHECK(f.fault > FAULT_NONE && f.fault < FAULT_COUNT);
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    CHECK(openai_error_write(&out, f.message, f.type, f.param, f.code));
    CHECK(json_validate(buf_str(&out), NULL) == ERR_NONE);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t statuses[] = {200, 400, 429, 500};
    if (size == 0)
        return 0;
    enum surface surface = surfaces[data[0] % COUNTOF(surfaces)];
    struct str text = {(const char *)data + 1, size - 1};
    request(surface, text);
    event(surface, text, false, data[0] & 0x80);
    event(surface, text, true, data[0] & 0x80);
    fault(text, statuses[data[0] / COUNTOF(surfaces) % COUNTOF(statuses)]);
    return 0;
}
