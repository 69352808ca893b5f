// caudal ask - one question to a running gateway, streamed, then the receipt.
//
//   web.c -> bytes of the stream -> sse.c  -> words of the answer -> stdout as they come
//                               \-> lines -> ": caudal-receipt {...}" -> receipt.c -> stderr

#include "cli/cmd_ask.h"

#include "cli/ask.h"
#include "cli/options.h"
#include "cli/receipt.h"
#include "gateway/generation.h"
#include "io/file.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { QUESTION_BYTES_MAX = 8 << 20, OUTPUT_TOKENS_MAX = 100 * 1000 * 1000 };

// --- what is sent ------------------------------------------------------------------------------

static enum err refused(const struct ask *a, struct diag *diag)
{
    struct diag why = {0};
    struct str body = buf_str(&a->body);
    if (!json_validate(body, NULL))
        (void)ask_server_error(body, &why);
    const char *reason = http1_reason(a->status);
    return diag_set(diag, ERR_PROTOCOL, "the server answered %d %s%s%s%s", a->status,
                    reason ? reason : "", why.text[0] ? ": " : "", why.text,
                    a->status == 401 ? " (--key, or CAUDAL_KEY)" : "");
}

static enum err first_model(struct ask *a, struct str *model, struct diag *diag)
{
    struct web_call call = {.url = a->options->url,
                            .trust = a->options->trust,
                            .path = STR("/models"),
                            .method = "GET",
                            .key = a->options->key,
                            .idle_us = S(30),
                            .head = ask_head,
                            .data = ask_collect,
                            .ctx = a};
    enum err e = web_run(&call, diag);
    if (e)
        return e;
    if (a->status != 200)
        return refused(a, diag);
    struct str list = buf_str(&a->body);
    if (json_validate(list, NULL) || !ask_first_of(&list, "data"))
        return diag_set(diag, ERR_MISSING, "the server offers no model; say one with --model");
    *model = ask_text_of(a->arena, list, "id");
    buf_clear(&a->body);
    return ERR_NONE;
}

static void write_message(struct buf *out, const char *role, struct str text)
{
    buf_printf(out, "{\"role\":\"%s\",\"content\":", role);
    buf_add_json(out, text);
    buf_lit(out, "}");
}

static void write_question(const struct ask *a, struct str model, struct buf *out)
{
    const struct ask_options *o = a->options;
    buf_lit(out, "{\"model\":");
    buf_add_json(out, model);
    buf_lit(out, ",\"stream\":true,");
    if (o->max_tokens)
        buf_printf(out, "\"max_tokens\":%d,", o->max_tokens);
    buf_lit(out, "\"messages\":[");
    if (o->system.n) {
        write_message(out, "system", o->system);
        buf_lit(out, ",");
    }
    write_message(out, "user", a->question);
    buf_lit(out, "]}");
}

static enum err send_question(struct ask *a, struct str model, struct diag *diag)
{
    struct buf body, headers;
    buf_init(&body, SIZE_MAX / 2);
    buf_init(&headers, SIZE_MAX / 2);
    write_question(a, model, &body);
    buf_lit(&headers, "Accept: text/event-stream\r\n");
    if (!a->options->no_receipt)
        buf_lit(&headers, "x-caudal-receipt: 1\r\n");
    if (a->options->class.n)
        buf_printf(&headers, "x-caudal-class: " STR_FMT "\r\n", STR_ARG(a->options->class));
    struct web_call call = {.url = a->options->url,
                            .trust = a->options->trust,
                            .path = STR("/chat/completions"),
                            .method = "POST",
                            .key = a->options->key,
                            .headers = buf_str(&headers),
                            .body = buf_str(&body),
                            .idle_us = S(600),
                            .head = ask_head,
                            .data = ask_data,
                            .ctx = a};
    enum err e = web_run(&call, diag);
    buf_release(&body);
    buf_release(&headers);
    return e;
}

static enum err ask(struct ask *a, struct diag *diag)
{
    struct str model = a->options->model;
    enum err e = model.n ? ERR_NONE : first_model(a, &model, diag);
    if (!e)
        e = send_question(a, model, diag);
    if (e)
        return e;
    if (a->status != 200)
        return refused(a, diag);
    if (!a->streams)
        return ask_answer(a, buf_str(&a->body), "message", diag);
    struct sse_event ev;
    bool late_end = sse_end(&a->sse, &ev) && str_eq(ev.data, STR("[DONE]"));
    if (!a->ended && !late_end)
        return diag_set(diag, ERR_RESET, "the answer was cut off");
    return ERR_NONE;
}

// --- what is shown -----------------------------------------------------------------------------

static bool print_json(const struct ask *a)
{
    struct buf out;
    struct str receipt = str_trim(buf_str(&a->receipt));
    buf_init(&out, SIZE_MAX / 2);
    buf_lit(&out, "{\"model\":");
    buf_add_json(&out, a->model);
    buf_lit(&out, ",\"answer\":");
    buf_add_json(&out, buf_str(&a->answer));
    buf_lit(&out, ",\"finish_reason\":");
    buf_add_json(&out, a->finish);
    buf_lit(&out, ",\"receipt\":");
    if (receipt.n && !json_validate(receipt, NULL))
        buf_add_str(&out, receipt);
    else
        buf_lit(&out, "null");
    buf_lit(&out, "}\n");
    bool written = fwrite(out.p, 1, buf_len(&out), stdout) == buf_len(&out) && fflush(stdout) == 0;
    buf_release(&out);
    return written;
}

// To stderr, so that `caudal ask ... > file` keeps the answer alone.
static void print_receipt(const struct ask *a)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    buf_lit(&out, "\n");
    if (!receipt_text(&out, buf_str(&a->receipt))) {
        buf_clear(&out);
        buf_lit(&out, "\n  the server sent no receipt\n");
    }
    if (str_eq(a->finish, STR("length")))
        buf_lit(&out, "  note      the answer ends at the limit of its tokens\n");
    fprintf(stderr, STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

// With the request's id, by which its operator finds it in the log and in the ledger.
static void print_failure(const struct ask *a, const char *why)
{
    struct buf out;
    buf_init(&out, SIZE_MAX / 2);
    buf_printf(&out, "caudal ask: %s\n", why);
    if (a->request_id.n) {
        buf_lit(&out, "  request   ");
        add_shown(&out, a->request_id);
        buf_lit(&out, "\n");
    }
    fprintf(stderr, STR_FMT, STR_ARG(buf_str(&out)));
    buf_release(&out);
}

static int report(struct ask *a, enum err e, const struct diag *diag)
{
    if (!a->at_line_start) {
        fputs("\n", stdout);
        fflush(stdout);
    }
    if (e) {
        print_failure(a, diag->text[0] ? diag->text : err_text(e));
        return EXIT_FAILED;
    }
    if (a->options->json)
        return print_json(a) ? EXIT_DONE : EXIT_FAILED;
    if (!a->options->no_receipt)
        print_receipt(a);
    return EXIT_DONE;
}

// --- the command -------------------------------------------------------------------------------

static enum err read_header_value(void *to, struct str value, struct diag *diag)
{
    if (!http1_value_ok(value))
        return diag_set(diag, ERR_INVALID, "a character in it cannot be sent in a header");
    *(struct str *)to = value;
    return ERR_NONE;
}

static enum err read_url(void *to, struct str value, struct diag *diag)
{
    struct url url;
    enum err e = url_parse(&url, value, diag);
    if (!e)
        *(struct str *)to = value;
    return e;
}

// OPTIONS_GO, or the exit status.
static int read_options(struct ask_options *o, int argc, char **argv, const char **question)
{
    const char *url = getenv("CAUDAL_URL");
    *o = (struct ask_options){.url = url && *url ? str_of(url) : STR("http://127.0.0.1:8080/v1"),
                              .key = str_of(getenv("CAUDAL_KEY"))};
    const struct option_row rows[] = {
        option_text("--model", "NAME", &o->model, "who is asked; the first that the server offers"),
        option_text("--system", "TEXT", &o->system, "what the model is told before the question"),
        option_count("--max-tokens", "N", &o->max_tokens, 1, OUTPUT_TOKENS_MAX,
                     "how long the answer may be"),
        option_custom("--class", "NAME", &o->class, read_header_value,
                      "the class of the request, such as batch"),
        option_custom("--url", "URL", &o->url, read_url,
                      "the server; http://127.0.0.1:8080/v1, or CAUDAL_URL"),
        option_custom("--key", "KEY", &o->key, read_header_value,
                      "of a client; better in the environment, as CAUDAL_KEY"),
        WEB_TRUST_OPTIONS(&o->trust),
        option_flag("--json", &o->json, "answer and receipt as one JSON object, when all is there"),
        option_flag("--no-receipt", &o->no_receipt, "the answer alone"),
    };
    const struct command command = {
        .name = "ask",
        .usage = "[OPTIONS] [QUESTION]",
        .about =
            "Asks a running gateway one question, shows the answer as it comes, and below it the\n"
            "receipt: which pool answered and why, how fast, for how much money and energy.\n"
            "Without a question, or with -, it is read from standard input.",
        .more = "The answer goes to standard output, the receipt to standard error.\n"
                "Exit status: 0 answered, 1 not answered, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_max = 1,
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    *question = status == OPTIONS_GO && n ? argv[1] : "-";
    return status;
}

static enum err read_question(struct ask *a, const char *operand, struct diag *diag)
{
    a->question = str_of(operand);
    if (strcmp(operand, "-") == 0) {
        enum err e = file_read_stdin(&a->question, a->arena, QUESTION_BYTES_MAX, diag);
        if (e)
            return e;
        while (a->question.n && strchr("\r\n", a->question.p[a->question.n - 1]))
            a->question.n--;
    }
    if (!json_utf8_valid(a->question))
        return diag_set(diag, ERR_INVALID, "the question is not UTF-8");
    return a->question.n ? ERR_NONE : diag_set(diag, ERR_INVALID, "the question is empty");
}

static int answer(const struct ask_options *o, const char *operand)
{
    struct arena arena;
    struct diag diag = {0};
    arena_init(&arena, QUESTION_BYTES_MAX + (1 << 20));
    struct ask a = {
        .options = o, .arena = &arena, .at_line_start = true, .terminal = isatty(STDOUT_FILENO)};
    sse_init(&a.sse, ASK_EVENT_BYTES_MAX);
    buf_init(&a.line, ASK_EVENT_BYTES_MAX);
    buf_init(&a.body, ASK_ANSWER_BYTES_MAX);
    buf_init(&a.answer, ASK_ANSWER_BYTES_MAX);
    buf_init(&a.receipt, 64 << 10);
    enum err e = read_question(&a, operand, &diag);
    int status = e == ERR_INVALID ? options_wrong("ask", diag.text) : EXIT_DONE;
    if (status == EXIT_DONE) {
        e = e ? e : ask(&a, &diag);
        status = report(&a, e, &diag);
    }
    sse_release(&a.sse);
    buf_release(&a.line);
    buf_release(&a.body);
    buf_release(&a.answer);
    buf_release(&a.receipt);
    arena_release(&arena);
    return status;
}

int cmd_ask(int argc, char **argv)
{
    struct ask_options o;
    const char *question;
    int status = read_options(&o, argc, argv, &question);
    return status == OPTIONS_GO ? answer(&o, question) : status;
}
