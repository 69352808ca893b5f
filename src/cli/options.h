// options.h - the words behind a command's name: long options, -h, and the operands that are left.
//
// A command describes itself with a table; reading, refusing and the text of --help follow from it.
// A value stands behind '=' or is the next word. Options and operands mix; behind "--" all are
// operands, and "-" is one. The last of an option given twice counts, unless its `read` collects.
//
//   bool json = false;
//   const struct option_row rows[] = {option_flag("--json", &json, "for programs")};
//   const struct command c = {.name = "check", .usage = "[--json] FILE...", .options = rows, ...};
//   int status = options_begin(&c, argc, argv, &n_operands);
//   if (status != OPTIONS_GO)
//       return status;

#ifndef CAUDAL_OPTIONS_H
#define CAUDAL_OPTIONS_H

#include "base/buf.h"
#include "base/err.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_kind { OPTION_FLAG, OPTION_TEXT, OPTION_COUNT, OPTION_CUSTOM };

// Reads a value into `to`. `diag` says what is wrong with it; the option's name is put in front.
typedef enum err (*option_reader)(void *to, struct str value, struct diag *diag);

struct option_row {  // made by the functions below
    enum option_kind kind;
    const char *name;   // "--listen"
    const char *value;  // "HOST:PORT", as the help shows it; NULL: none
    const char *help;   // LF goes to the next line
    void *to;           // written only where the option is given
    int32_t least, most;
    option_reader read;
};

static inline struct option_row option_flag(const char *name, bool *to, const char *help)
{
    return (struct option_row){.kind = OPTION_FLAG, .name = name, .to = to, .help = help};
}

// Borrowed from argv.
static inline struct option_row option_text(const char *name, const char *value, struct str *to,
                                            const char *help)
{
    return (struct option_row){
        .kind = OPTION_TEXT, .name = name, .value = value, .to = to, .help = help};
}

static inline struct option_row option_count(const char *name, const char *value, int32_t *to,
                                             int32_t least, int32_t most, const char *help)
{
    return (struct option_row){.kind = OPTION_COUNT,
                               .name = name,
                               .value = value,
                               .to = to,
                               .help = help,
                               .least = least,
                               .most = most};
}

// Every other kind of value, and options that collect.
static inline struct option_row option_custom(const char *name, const char *value, void *to,
                                              option_reader read, const char *help)
{
    return (struct option_row){
        .kind = OPTION_CUSTOM, .name = name, .value = value, .to = to, .help = help, .read = read};
}

struct command {
    const char *name;                  // "serve"
    const char *usage;                 // behind "usage: caudal serve "
    const char *about;                 // a paragraph
    const char *more;                  // below the options: examples, exit status; NULL: nothing
    const struct option_row *options;  // [n_options]
    int32_t n_options;
    int32_t operands_min, operands_max;
    const char *operand;  // what is missing when there are too few: "a portfolio file"
};

enum options_verdict { OPTIONS_READ, OPTIONS_HELP, OPTIONS_WRONG };

// Reads argv[1..argc); argv[0] is the command's name. The operands are moved to the front of argv +
// 1,
// `*n_operands` says how many they are. OPTIONS_WRONG: `diag` says why. Pure.
enum options_verdict options_read(const struct command *c, int argc, char **argv, int *n_operands,
                                  struct diag *diag);
void options_help(const struct command *c, struct buf *out);

// The same for a command: prints the help, or what is wrong and where to read on. Returns the exit
// status, or OPTIONS_GO when the command should do its work.
enum { OPTIONS_GO = -1 };
int options_begin(const struct command *c, int argc, char **argv, int *n_operands);
// Says on stderr what is wrong with the way the command was called. Returns EXIT_USAGE.
int options_wrong(const char *command, const char *what);
// Says on stderr what is wrong with what it was called for: pieces of strange files are made fit
// for a terminal. Returns EXIT_FAILED.
int options_complain(const char *command, const char *what);

// The name nearest to `word` within two edits, a third of its length at most; NULL: none.
const char *nearest_name(const char *const *names, int32_t n, const char *word);

#endif
