#include "cli/options.h"

#include "cli/receipt.h"

#include <stdio.h>
#include <string.h>

enum { HELP_BYTES_MAX = 64 << 10, HELP_COLUMN_MAX = 26 };

const char *nearest_name(const char *const *names, int32_t n, const char *word)
{
    const char *nearest = NULL;
    size_t least = strlen(word) / 3 < 2 ? strlen(word) / 3 : 2;
    for (int32_t i = 0; i < n; i++) {
        size_t d = str_distance(str_of(word), str_of(names[i]));
        if (d > least || (nearest && d == least))
            continue;
        nearest = names[i];
        least = d;
    }
    return nearest;
}

static const struct option_row *find(const struct command *c, struct str name)
{
    for (int32_t i = 0; i < c->n_options; i++)
        if (str_eq(str_of(c->options[i].name), name))
            return &c->options[i];
    return NULL;
}

static enum options_verdict unknown(const struct command *c, struct str name, struct diag *diag)
{
    char word[64];
    const char *names[64] = {"--help"};
    int32_t n = 1;
    snprintf(word, sizeof word, STR_FMT, STR_ARG(name));
    for (int32_t i = 0; i < c->n_options && n < (int32_t)COUNTOF(names); i++)
        names[n++] = c->options[i].name;
    const char *nearest = nearest_name(names, n, word);
    if (nearest)
        diag_set(diag, ERR_INVALID, "unknown option '%s'; did you mean %s?", word, nearest);
    else
        diag_set(diag, ERR_INVALID, "unknown option '%s'", word);
    return OPTIONS_WRONG;
}

static enum err read_count(const struct option_row *row, struct str value, struct diag *diag)
{
    int64_t n;
    if (!str_to_i64(value, &n) || n < row->least || n > row->most)
        return diag_set(diag, ERR_INVALID,
                        "a whole number from %d to %d is expected, got '" STR_FMT "'", row->least,
                        row->most, STR_ARG(value));
    *(int32_t *)row->to = (int32_t)n;
    return ERR_NONE;
}

static enum err store(const struct option_row *row, struct str value, struct diag *diag)
{
    switch (row->kind) {
    case OPTION_FLAG: *(bool *)row->to = true; return ERR_NONE;
    case OPTION_TEXT: *(struct str *)row->to = value; return ERR_NONE;
    case OPTION_COUNT: return read_count(row, value, diag);
    case OPTION_CUSTOM: return row->read(row->to, value, diag);
    }
    return ERR_INVALID;
}

// The option at argv[*i], which is moved to its last word.
static enum options_verdict read_option(const struct command *c, int argc, char **argv, int *i,
                                        struct diag *diag)
{
    struct str name, value = str_of(argv[*i]);
    bool has_value = strchr(argv[*i], '=') != NULL;
    str_cut(&value, '=', &name);
    if (str_eq(name, STR("-h")) || str_eq(name, STR("--help")))
        return OPTIONS_HELP;
    const struct option_row *row = find(c, name);
    if (!row)
        return unknown(c, name, diag);
    if (row->kind == OPTION_FLAG) {
        if (has_value) {
            diag_set(diag, ERR_INVALID, "%s takes no value", row->name);
            return OPTIONS_WRONG;
        }
    } else if (!has_value) {
        // A word that looks like an option is more likely a forgotten value than one.
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
            diag_set(diag, ERR_INVALID, "%s needs a value: %s=%s", row->name, row->name,
                     row->value);
            return OPTIONS_WRONG;
        }
        value = str_of(argv[++*i]);
    }
    struct diag why = {0};
    if (store(row, value, &why)) {
        diag_set(diag, ERR_INVALID, "%s: %s", row->name, why.text);
        return OPTIONS_WRONG;
    }
    return OPTIONS_READ;
}

enum options_verdict options_read(const struct command *c, int argc, char **argv, int *n_operands,
                                  struct diag *diag)
{
    int n = 0;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        if (only_operands || argv[i][0] != '-' || !argv[i][1]) {
            argv[1 + n++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_operands = true;
        } else {
            enum options_verdict v = read_option(c, argc, argv, &i, diag);
            if (v != OPTIONS_READ)
                return v;
        }
    }
    *n_operands = n;
    if (n < c->operands_min) {
        diag_set(diag, ERR_INVALID, "%s is needed", c->operand);
        return OPTIONS_WRONG;
    }
    if (n > c->operands_max) {
        diag_set(diag, ERR_INVALID, "'%s' is one word too many", argv[1 + c->operands_max]);
        return OPTIONS_WRONG;
    }
    return OPTIONS_READ;
}

static void help_row(struct buf *out, int width, const char *name, const char *value,
                     const char *help)
{
    struct str rest = str_of(help), line;
    int n = (int)strlen(name) + (value ? 1 + (int)strlen(value) : 0);
    buf_printf(out, "  %s%s%s", name, value ? " " : "", value ? value : "");
    if (n > width)
        buf_printf(out, "\n%*s", width + 2, "");
    else
        buf_printf(out, "%*s", width - n, "");
    for (bool first = true; str_cut(&rest, '\n', &line); first = false)
        buf_printf(out, "%*s" STR_FMT "\n", first ? 2 : width + 4, "", STR_ARG(line));
}

void options_help(const struct command *c, struct buf *out)
{
    int width = (int)strlen("--help");
    for (int32_t i = 0; i < c->n_options; i++) {
        const struct option_row *row = &c->options[i];
        int n = (int)strlen(row->name) + (row->value ? 1 + (int)strlen(row->value) : 0);
        if (n > width && n <= HELP_COLUMN_MAX)
            width = n;
    }
    buf_printf(out, "usage: caudal %s %s\n\n%s\n\n", c->name, c->usage, c->about);
    for (int32_t i = 0; i < c->n_options; i++)
        help_row(out, width, c->options[i].name, c->options[i].value, c->options[i].help);
    help_row(out, width, "--help", NULL, "this text");
    if (c->more)
        buf_printf(out, "\n%s\n", c->more);
}

int options_wrong(const char *command, const char *what)
{
    fprintf(stderr, "caudal %s: %s\ntry 'caudal %s --help'\n", command, what, command);
    return EXIT_USAGE;
}

int options_complain(const char *command, const char *what)
{
    struct buf out;
    buf_init(&out, DIAG_BYTES * 4);
    add_shown(&out, str_of(what));
    fprintf(stderr, "caudal %s: " STR_FMT "\n", command, STR_ARG(buf_str(&out)));
    buf_release(&out);
    return EXIT_FAILED;
}

int options_begin(const struct command *c, int argc, char **argv, int *n_operands)
{
    struct diag diag = {0};
    switch (options_read(c, argc, argv, n_operands, &diag)) {
    case OPTIONS_READ: return OPTIONS_GO;
    case OPTIONS_WRONG: return options_wrong(c->name, diag.text);
    case OPTIONS_HELP: break;
    }
    struct buf out;
    buf_init(&out, HELP_BYTES_MAX);
    options_help(c, &out);
    bool written = fwrite(out.p, 1, buf_len(&out), stdout) == buf_len(&out) && fflush(stdout) == 0;
    buf_release(&out);
    return written ? EXIT_DONE : EXIT_FAILED;
}
