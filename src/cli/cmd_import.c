// caudal import - a portfolio out of another gateway's configuration.

#include "cli/cmd_import.h"

#include "cli/import.h"
#include "cli/options.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { IMPORT_ARENA_MAX = 64 << 20, IMPORT_TEXT_MAX = 16 << 20 };

struct import_options {
    const char *path;
    struct str to;  // empty: standard output
    bool force;
};

static int read_options(struct import_options *o, int argc, char **argv)
{
    const struct option_row rows[] = {
        option_text("--output", "FILE", &o->to, "where the portfolio goes; standard output"),
        option_text("-o", "FILE", &o->to, "the same"),
        option_flag("--force", &o->force, "replace that file when it is there"),
    };
    const struct command command = {
        .name = "import",
        .usage = "[-o PORTFOLIO] litellm CONFIG",
        .about = "Writes a portfolio out of a configuration of LiteLLM's proxy: its models,\n"
                 "deployments, limits, weights, prices, fallbacks, aliases, and the hash of its\n"
                 "master key. Keys stay in the environment. What could not be carried over is\n"
                 "said on standard error with its line, and in comments of the portfolio.\n"
                 "CONFIG may be - for standard input.",
        .more = "  caudal import -o portfolio.yaml litellm config.yaml\n"
                "  caudal check portfolio.yaml\n\n"
                "Exit status: 0 written, with notes or without; 1 failed; 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_min = 2,
        .operands_max = 2,
        .operand = "`litellm` and its configuration",
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    if (strcmp(argv[1], "litellm") != 0)
        return options_wrong("import", "`litellm` is expected in front of the configuration");
    o->path = argv[2];
    return OPTIONS_GO;
}

// Said at once, not after a configuration was read and its notes were printed.
static enum err check_free(const struct import_options *o, struct diag *diag)
{
    if (!o->to.n || str_eq(o->to, STR("-")) || o->force || access(o->to.p, F_OK))
        return ERR_NONE;  // .p is a word of argv, which ends with a 0
    return diag_set(diag, ERR_EXISTS, STR_FMT " is there already; --force replaces it",
                    STR_ARG(o->to));
}

static enum err write_file(const struct import_options *o, struct str text, struct diag *diag)
{
    char path[4096];
    int fd = STDOUT_FILENO;
    enum err e = ERR_NONE;
    if (o->to.n && !str_eq(o->to, STR("-"))) {
        snprintf(path, sizeof path, STR_FMT, STR_ARG(o->to));
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (o->force ? O_TRUNC : O_EXCL), 0644);
        if (fd < 0 && errno == EEXIST)
            return diag_set(diag, ERR_EXISTS, "%s is there already; --force replaces it", path);
        if (fd < 0)
            return diag_set(diag, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    }
    while (text.n && !e) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            e = diag_set(diag, ERR_SYSTEM, "writing: %s", strerror(errno));
        else if (n > 0)
            text = str_skip(text, (size_t)n);
    }
    if (fd != STDOUT_FILENO && close(fd) < 0 && !e)
        e = diag_set(diag, ERR_SYSTEM, "writing: %s", strerror(errno));
    return e;
}

static enum err read_tree(struct yaml_node **top, struct import *im, const char *path,
                          struct diag *diag)
{
    struct str text;
    struct yaml_node *documents;
    struct place at;
    struct diag wrong = {0};
    enum err e = strcmp(path, "-") == 0 ? file_read_stdin(&text, im->a, YAML_BYTES_MAX, diag)
                                        : file_read(&text, im->a, im->file, YAML_BYTES_MAX, diag);
    if (e)
        return e;
    e = yaml_parse(&documents, im->a, im->file, text, &at, &wrong);
    if (e)
        return diag_set(diag, e, STR_FMT ":%d:%d: %s", STR_ARG(im->file), (int)at.line,
                        (int)at.column, wrong.text);
    if (documents->n != 1 || documents->first->kind != YAML_MAP)
        return diag_set(diag, ERR_INVALID, STR_FMT " is not one map of keys, as LiteLLM reads it",
                        STR_ARG(im->file));
    *top = documents->first;
    return ERR_NONE;
}

static void print_notes(const struct import *im)
{
    int32_t n = 0;
    for (const struct import_note *x = im->notes; x; x = x->next, n++)
        fprintf(stderr, STR_FMT ":%d: " STR_FMT ": " STR_FMT "\n", STR_ARG(im->file), (int)x->line,
                STR_ARG(x->what), STR_ARG(x->why));
    fprintf(stderr,
            "caudal import: %d deployment%s; %d thing%s not carried over, or not in the "
            "same way\n",
            (int)im->n, im->n == 1 ? "" : "s", (int)n, n == 1 ? "" : "s");
}

static enum err import(const struct import_options *o, struct import *im, struct buf *out,
                       struct diag *diag)
{
    struct yaml_node *top = NULL;
    enum err e = check_free(o, diag);
    if (!e)
        e = read_tree(&top, im, o->path, diag);
    if (e)
        return e;
    import_litellm(im, top);
    import_write(out, im);
    if (im->full)
        return diag_set(diag, ERR_LIMIT, STR_FMT " is too large", STR_ARG(im->file));
    print_notes(im);
    if (!im->n)
        return diag_set(diag, ERR_MISSING, STR_FMT " has no model that caudal can serve",
                        STR_ARG(im->file));
    return write_file(o, buf_str(out), diag);
}

int cmd_import(int argc, char **argv)
{
    struct import_options o = {0};
    int status = read_options(&o, argc, argv);
    if (status != OPTIONS_GO)
        return status;
    struct arena a;
    struct import im;
    struct buf out;
    struct diag diag = {0};
    arena_init(&a, IMPORT_ARENA_MAX);
    buf_init(&out, IMPORT_TEXT_MAX);
    import_init(&im, &a, strcmp(o.path, "-") == 0 ? STR("<stdin>") : str_of(o.path));
    enum err e = import(&o, &im, &out, &diag);
    if (e)
        fprintf(stderr, "caudal import: %s\n", diag.text[0] ? diag.text : err_text(e));
    buf_release(&out);
    arena_release(&a);
    return e ? EXIT_FAILED : EXIT_DONE;
}
