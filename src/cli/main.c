// caudal - one service out of a portfolio of language model suppliers. The commands and who does
// them.

#include "cli/cmd_ask.h"
#include "cli/cmd_bench.h"
#include "cli/cmd_check.h"
#include "cli/cmd_explain.h"
#include "cli/cmd_import.h"
#include "cli/cmd_ctl.h"
#include "cli/cmd_key.h"
#include "cli/cmd_replay.h"
#include "cli/cmd_ledger.h"
#include "cli/cmd_serve.h"
#include "cli/cmd_sim.h"
#include "cli/options.h"
#include "io/engine.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *about;
} commands[] = {
    {"serve", cmd_serve, "one OpenAI-compatible endpoint over a portfolio"},
    {"replay", cmd_replay, "a trace through the same routing, in virtual time"},
    {"bench", cmd_bench, "a supplier, or two, measured from outside"},
    {"check", cmd_check, "is a portfolio file right, and what does it say?"},
    {"explain", cmd_explain, "where a request would go, and why"},
    {"ledger", cmd_ledger, "what was called, what it cost, what is still open"},
    {"sim", cmd_sim, "a supplier that is not there, as fast as its chip"},
    {"ctl", cmd_ctl, "look at a running gateway, drain pools, reload"},
    {"ask", cmd_ask, "one question to a running gateway, then the receipt"},
    {"key", cmd_key, "a new key of a client, and its hash"},
    {"import", cmd_import, "a portfolio out of another gateway's configuration"},
};

static void print_help(FILE *to)
{
    fputs("usage: caudal COMMAND [OPTIONS] ...\n\n"
          "Makes one service out of a portfolio of language model suppliers.\n\n",
          to);
    for (size_t i = 0; i < COUNTOF(commands); i++)
        fprintf(to, "  %-7s %s\n", commands[i].name, commands[i].about);
    fputs("\n'caudal COMMAND --help' says more, and so does 'man caudal-COMMAND'.\n"
          "'caudal --version' prints the version.\n",
          to);
}

static int unknown(const char *word)
{
    const char *names[COUNTOF(commands)];
    for (size_t i = 0; i < COUNTOF(commands); i++)
        names[i] = commands[i].name;
    const char *nearest = nearest_name(names, COUNTOF(commands), word);
    fprintf(stderr, "caudal: unknown %s '%s'", word[0] == '-' ? "option" : "command", word);
    if (nearest)
        fprintf(stderr, "; did you mean '%s'?", nearest);
    fputs("\ntry 'caudal --help'\n", stderr);
    return EXIT_USAGE;
}

static bool is_any(const char *word, const char *a, const char *b, const char *c)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0 || strcmp(word, c) == 0;
}

// A socket must not get the number of a standard stream that is closed. What is written to this
// stand-in fails, as it should.
static void fill_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", O_RDONLY);
}

int main(int argc, char **argv)
{
    fill_standard_streams();
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "__engine") == 0)  // the gateway's own: see io/engine.h
        return engine_exec_main(argc, argv);
    for (size_t i = 0; i < COUNTOF(commands); i++)
        if (strcmp(word, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    if (is_any(word, "--help", "-h", "help"))
        print_help(stdout);
    else if (is_any(word, "--version", "-V", "version"))
        puts("caudal " CAUDAL_VERSION);
    else
        return unknown(word);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
