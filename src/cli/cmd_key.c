// caudal key - a new key of a client, and the hash that the portfolio knows it by.

#include "cli/cmd_key.h"

#include "base/arena.h"
#include "cli/options.h"
#include "io/file.h"
#include "io/tls.h"

#include <stdio.h>
#include <unistd.h>

enum { KEY_BYTES = 32, KEY_DIGITS = 43, KEY_INPUT_MAX = 4096 };

struct key_text {
    char key[3 + KEY_DIGITS + 1];
    char hash[7 + 64 + 1];
};

// Base64 with the alphabet that needs no quoting anywhere (RFC 4648 section 5), not padded.
static void base64url(char out[KEY_DIGITS + 1], const unsigned char in[KEY_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < KEY_DIGITS; i++) {
        size_t bit = i * 6, at = bit / 8;
        unsigned two = (unsigned)in[at] << 8 | (at + 1 < KEY_BYTES ? in[at + 1] : 0);
        out[i] = digits[two >> (10 - bit % 8) & 63];
    }
    out[KEY_DIGITS] = 0;
}

static void hash_of(struct key_text *t, struct str key)
{
    unsigned char digest[32];
    sha256(digest, key);
    memcpy(t->hash, "sha256:", 7);
    hex_of(t->hash + 7, digest, sizeof digest);
}

static void new_key(struct key_text *t)
{
    unsigned char bytes[KEY_BYTES];
    random_bytes(bytes, sizeof bytes);
    memcpy(t->key, "ck-", 3);
    base64url(t->key + 3, bytes);
    hash_of(t, str_of(t->key));
}

static enum err hash_stdin(struct key_text *t, struct diag *diag)
{
    struct arena a;
    struct str key;
    arena_init(&a, 4 * KEY_INPUT_MAX);
    enum err e = file_read_stdin(&key, &a, KEY_INPUT_MAX, diag);
    if (!e) {
        while (key.n && strchr(" \t\r\n", key.p[key.n - 1]))
            key.n--;
        hash_of(t, key);
        if (!key.n)
            e = diag_set(diag, ERR_MISSING, "there is no key on standard input");
    }
    arena_release(&a);
    return e;
}

static void print(const struct key_text *t, bool json)
{
    if (json && t->key[0])
        printf("{\"key\":\"%s\",\"hash\":\"%s\"}\n", t->key, t->hash);
    else if (json)
        printf("{\"hash\":\"%s\"}\n", t->hash);
    else if (t->key[0])
        printf("%s\n%s\n", t->key, t->hash);
    else
        printf("%s\n", t->hash);
    if (t->key[0] && !json && isatty(STDERR_FILENO))
        fputs("\nThe first line is for the client, who sends it as `Authorization: Bearer`; the "
              "second\n"
              "for `keys` of a tenant in the portfolio. caudal keeps neither.\n",
              stderr);
}

int cmd_key(int argc, char **argv)
{
    bool json = false;
    const struct option_row rows[] = {
        option_flag("--json", &json, "for programs, one JSON object"),
    };
    const struct command command = {
        .name = "key",
        .usage = "[--json] [hash]",
        .about = "Prints a new random key of a client, and below it its hash, which is what the "
                 "portfolio\n"
                 "holds under tenants.NAME.keys. With `hash`, reads a key from standard input "
                 "instead and\n"
                 "prints its hash alone.",
        .more = "Exit status: 0 done, 1 failed, 2 wrong usage.",
        .options = rows,
        .n_options = COUNTOF(rows),
        .operands_max = 1,
    };
    int n;
    int status = options_begin(&command, argc, argv, &n);
    if (status != OPTIONS_GO)
        return status;
    if (n && strcmp(argv[1], "hash") != 0)
        return options_wrong("key", "'hash' or nothing is expected");
    struct key_text t = {{0}, {0}};
    struct diag diag = {0};
    enum err e = ERR_NONE;
    if (n)
        e = hash_stdin(&t, &diag);
    else
        new_key(&t);
    if (e) {
        fprintf(stderr, "caudal key: %s\n", diag.text);
        return EXIT_FAILED;
    }
    print(&t, json);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}
