// agree.h - do two answers say the same? To the letter, when forms are left aside, and by what the
// question says of a right answer. Pure.
//
// Questions are JSON lines: {"prompt": "..."} or {"messages": [...]}, and where it can be told,
// {"check": {...}} with one of
//
//   {"equals": "Paris"}               the same when forms are left aside (agree_normal())
//   {"contains": "Paris"}             holds it, forms left aside
//   {"one_of": ["yes", "true"]}       equals one of them
//   {"regex": "[0-9]{3}"}             matches: POSIX, extended
//   {"number": 42, "tolerance": 0.5}  its last number is so near; 0 unless said

#ifndef CAUDAL_BENCH_AGREE_H
#define CAUDAL_BENCH_AGREE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <regex.h>

enum check_kind {
    CHECK_NONE,
    CHECK_EQUALS,
    CHECK_CONTAINS,
    CHECK_ONE_OF,
    CHECK_REGEX,
    CHECK_NUMBER
};

struct answer_check {
    enum check_kind kind;
    struct str *texts;  // [n_texts], normal: of equals, contains and one_of
    int32_t n_texts;
    regex_t *regex;
    double number, tolerance;
};

struct agree_question {
    int32_t line;                 // of the file, from 1
    struct str id;                // empty: none
    struct str prompt, messages;  // one of them; messages are JSON
    struct answer_check check;
};

struct agree_questions {
    struct agree_question *at;  // [n], texts in the arena
    int32_t n, n_checked;       // of which have a check
};

// Reads the questions in `text`, which outlives them and is `name` in errors; empty lines are
// passed over. All but the regular expressions is in `a`; agree_questions_release() frees those,
// also after an error.
//   Errors  ERR_INVALID  `diag` says line and what is wrong
//           ERR_LIMIT    `a` is full
MUST_USE enum err agree_questions_read(struct agree_questions *out, struct arena *a,
                                       const char *name, struct str text, struct diag *diag);
void agree_questions_release(struct agree_questions *q);

// Appends `text` with its forms left aside: letters of ASCII are small, punctuation and runs of
// white space are one blank, apostrophes are nothing, and a number is written in one way ("1,000.0"
// and "1e3" are "1000").
void agree_normal(struct buf *out, struct str text);
// The last number in `text`. False: there is none.
bool agree_last_number(double *out, struct str text);
bool agree_is_right(const struct answer_check *check, struct str answer);

#endif
