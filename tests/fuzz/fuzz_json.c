// Our validator against simdjson's DOM: they agree on every text, but for numbers no 64-bit type
// holds and for depth. The walks see the same values, and stay inside texts nobody validated.

#include "base/buf.h"
#include "json_judge.h"
#include "wire/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The text with 0 for every number.
static void without_numbers(struct buf *out, struct str text)
{
    bool in_string = false, in_number = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (in_string) {
            if (c == '\\')
                buf_add(out, text.p + i++, 1);
            in_string = c != '"';
        } else {
            bool number = (c >= '0' && c <= '9') || c == '-' ||
                          (in_number && (c == '.' || c == 'e' || c == 'E' || c == '+'));
            if (number && in_number)
                continue;
            in_number = number;
            in_string = c == '"';
            if (number) {
                buf_lit(out, "0");
                continue;
            }
        }
        buf_add(out, text.p + i, 1);
    }
}

static void compare(struct str text)
{
    struct diag d = {0};
    bool right = json_validate(text, &d) == ERR_NONE;
    enum judgement judged = simdjson_judge(text.p, text.n);
    size_t at;
    if (right && judged == JUDGE_NUMBER) {
        struct buf plain;
        buf_init(&plain, SIZE_MAX / 2);
        without_numbers(&plain, text);
        CHECK(simdjson_judge(buf_str(&plain).p, buf_len(&plain)) == JUDGE_RIGHT);
        buf_release(&plain);
        return;
    }
    if (!right && str_find(str_of(d.text), STR("too deeply"), &at))
        return;
    CHECK(right == (judged == JUDGE_RIGHT));
}

// A strict walk finds what the validator finds, whichever values it goes into.
static void walk_some(struct json_walk *at, unsigned *chance)
{
    struct json_walk w;
    *chance = *chance * 1103515245u + 12345u;
    if ((*chance >> 16) % 3 == 0 || !json_walk_in(&w, at))
        return;
    while (json_step(&w))
        walk_some(&w, chance);
}

static void walk_strictly(struct str text)
{
    struct json_walk w;
    bool right = json_validate(text, NULL) == ERR_NONE;
    for (unsigned chance = 0; chance < 4; chance++) {
        unsigned c = chance;
        if (!json_walk_strict(&w, text)) {
            struct json_walk any;
            CHECK(!right || !json_walk(&any, text));
            continue;
        }
        while (json_step(&w))
            walk_some(&w, &c);
        CHECK(json_walk_ok(&w) == right);
    }
}

// How many values there are below, and that each lies inside what it is in.
static size_t count(struct str text, struct json_span v)
{
    struct json_walk w;
    char out[32];
    size_t n = 1, prior = 0;
    (void)json_string_cut(text, v, out, sizeof out);
    CHECK(json_string_bytes(text, v) <= v.n);
    struct str value = json_slice(text, v);
    json_walk(&w, value);
    while (json_step(&w)) {
        CHECK(w.value.at >= prior && w.value.n > 0 && w.value.at + w.value.n <= value.n);
        prior = w.value.at + w.value.n;
        n += count(value, w.value);
    }
    return n;
}

static size_t count_once(struct json_walk *at)
{
    struct json_walk w;
    size_t n = 1;
    if (json_walk_in(&w, at))
        while (json_step(&w))
            n += count_once(&w);
    CHECK(json_value(at).at + json_value(at).n <= at->text.n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    compare(text);
    walk_strictly(text);
    if (json_validate(text, NULL) == ERR_NONE) {
        struct json_walk w;
        size_t n = 1;
        for (json_walk_once(&w, text); json_step(&w);)
            n += count_once(&w);
        CHECK(n == count(text, (struct json_span){.kind = JSON_ARRAY, .n = size}));
    } else if (size <= 200) {
        struct json_walk w;
        for (json_walk_once(&w, text); json_step(&w);)
            (void)count_once(&w);
        for (json_walk(&w, text); json_step(&w);)
            CHECK(w.value.at + w.value.n <= size);
    }
    return 0;
}
