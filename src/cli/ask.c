// What the server sends: words of the answer go out as they come, the receipt is kept.

#include "cli/ask.h"

#include "cli/receipt.h"
#include "wire/json.h"

#include <stdio.h>

static const struct str receipt_mark = {": caudal-receipt ", 17};

enum err ask_head(void *ctx, const struct http1_head *head, struct diag *diag)
{
    (void)diag;
    struct ask *a = ctx;
    const struct str *type = http1_get(head, STR("content-type"));
    const struct str *receipt = http1_get(head, STR("x-caudal-receipt"));
    const struct str *id = http1_get(head, STR("x-request-id"));
    a->request_id = id ? arena_str(a->arena, *id) : (struct str){0};
    a->status = head->status;
    a->streams = type && str_starts(*type, STR("text/event-stream"));
    if (receipt)
        buf_add_str(&a->receipt, *receipt);
    return ERR_NONE;
}

enum err ask_collect(void *ctx, struct str bytes, struct diag *diag)
{
    struct ask *a = ctx;
    if (!buf_add_str(&a->body, bytes))
        return diag_set(diag, ERR_LIMIT, "the answer is longer than %d bytes",
                        ASK_ANSWER_BYTES_MAX);
    return ERR_NONE;
}

static enum err show(struct ask *a, struct str words, struct diag *diag)
{
    if (!words.n)
        return ERR_NONE;
    if (a->options->json) {
        if (!buf_add_str(&a->answer, words))
            return diag_set(diag, ERR_LIMIT, "the answer is longer than %d bytes",
                            ASK_ANSWER_BYTES_MAX);
        return ERR_NONE;
    }
    struct buf shown;
    buf_init(&shown, SIZE_MAX / 2);
    if (a->terminal)
        add_shown(&shown, words);
    else
        buf_add_str(&shown, words);
    size_t n = buf_len(&shown);
    bool written = fwrite(n ? shown.p : "", 1, n, stdout) == n && fflush(stdout) == 0;
    a->at_line_start = words.p[words.n - 1] == '\n';
    buf_release(&shown);
    return written ? ERR_NONE : diag_set(diag, ERR_SYSTEM, "the answer could not be written");
}

static bool inside(struct str *json, const char *name)
{
    struct json_span s;
    if (!json_get(*json, str_of(name), &s) || s.kind != JSON_OBJECT)
        return false;
    *json = json_slice(*json, s);
    return true;
}

bool ask_first_of(struct str *json, const char *name)
{
    struct json_span s;
    struct json_walk w;
    if (!json_get(*json, str_of(name), &s) || s.kind != JSON_ARRAY)
        return false;
    struct str list = json_slice(*json, s);
    if (!json_walk(&w, list) || !json_step(&w))
        return false;
    *json = json_slice(list, w.value);
    return true;
}

struct str ask_text_of(struct arena *a, struct str json, const char *name)
{
    struct json_span s;
    struct str text = {0};
    if (!json_get(json, str_of(name), &s) || s.kind != JSON_STRING)
        return text;
    size_t size = json_string_bytes(json, s) + 1;
    char *p = arena_take(a, size);
    if (p && json_string(json, s, p, size, &text.n))
        text.p = p;
    return text;
}

// What the server says went wrong: {"error":{"message":...}}; some send {"error":...} or a bare
// {"message":...}.
enum err ask_server_error(struct str json, struct diag *diag)
{
    struct arena a;
    struct buf shown;
    arena_init(&a, ASK_EVENT_BYTES_MAX);
    buf_init(&shown, DIAG_BYTES);
    struct str message = ask_text_of(&a, json, "error");
    if (!message.n) {
        inside(&json, "error");
        message = ask_text_of(&a, json, "message");
    }
    add_shown(&shown, message.n ? message : STR("an error that says nothing"));
    enum err e = diag_set(diag, ERR_PROTOCOL, STR_FMT, STR_ARG(buf_str(&shown)));
    buf_release(&shown);
    arena_release(&a);
    return e;
}

enum err ask_answer(struct ask *a, struct str json, const char *part, struct diag *diag)
{
    struct json_span s;
    struct arena words;
    if (json_validate(json, NULL))
        return diag_set(diag, ERR_PROTOCOL, "the server sent what is not JSON");
    if (json_get(json, STR("error"), &s) && s.kind != JSON_NULL)
        return ask_server_error(json, diag);
    if (!a->model.n)
        a->model = ask_text_of(a->arena, json, "model");
    if (!ask_first_of(&json, "choices"))
        return ERR_NONE;
    if (!a->finish.n)
        a->finish = ask_text_of(a->arena, json, "finish_reason");
    if (!inside(&json, part))
        return ERR_NONE;
    arena_init(&words, ASK_ANSWER_BYTES_MAX);
    enum err e = show(a, ask_text_of(&words, json, "content"), diag);
    arena_release(&words);
    return e;
}

// The receipt is a comment, which readers of events pass over: it is found by lines.
static void find_receipt(struct ask *a, struct str bytes)
{
    struct str part;
    while (bytes.n) {
        bool whole = memchr(bytes.p, '\n', bytes.n) != NULL;
        str_cut(&bytes, '\n', &part);
        buf_add_str(&a->line, part);  // a line too long for it is none
        if (!whole)
            return;
        struct str line = buf_str(&a->line);
        if (str_starts(line, receipt_mark)) {
            buf_clear(&a->receipt);
            buf_add_str(&a->receipt, str_skip(line, receipt_mark.n));
        }
        buf_clear(&a->line);
    }
}

static enum err on_stream(struct ask *a, struct str bytes, struct diag *diag)
{
    find_receipt(a, bytes);
    for (;;) {
        struct sse_event ev;
        bool got;
        enum err e = sse_next(&a->sse, &bytes, &ev, &got);
        if (e)
            return diag_set(diag, e, "an event of the answer is longer than %d bytes",
                            ASK_EVENT_BYTES_MAX);
        if (!got)
            return ERR_NONE;
        if (!ev.has_data)
            continue;
        if (str_eq(ev.data, STR("[DONE]")))
            a->ended = true;
        else if ((e = ask_answer(a, ev.data, "delta", diag)))
            return e;
    }
}

enum err ask_data(void *ctx, struct str bytes, struct diag *diag)
{
    struct ask *a = ctx;
    return a->streams && a->status == 200 ? on_stream(a, bytes, diag) : ask_collect(a, bytes, diag);
}
