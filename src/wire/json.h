// json.h - JSON of requests and answers, without taking it apart more than needed.
//
// Behind it stands simdjson (json_simdjson.cc, the one C++ file); no exception or C++ type crosses
// this header. Whole texts are validated (UTF-8, syntax, depth); number literals of any size pass,
// since nothing is converted unless asked for. Spans are offsets into the caller's text, so that a
// value can be replaced and every other byte stays as it came.

#ifndef CAUDAL_JSON_H
#define CAUDAL_JSON_H

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

enum json_kind { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json_span {        // a value in the text
    enum json_kind kind;
    size_t at, n;         // the bytes of the value, a string's quotes included
};

enum { JSON_DEPTH_MAX = 128 };

// Validates a whole text: one value, valid UTF-8, syntax, depth at most JSON_DEPTH_MAX, nothing
// behind it but white space. Numbers of any length are right. `diag` says what and near which byte.
MUST_USE enum err json_validate(struct str text, struct diag *diag);

// Walks the members of the object (or the items of the array, key empty) that starts at `text.p[0]`.
// The text must have been validated. `for (json_walk(&w, text); json_step(&w);) use w.key, w.value`.
struct json_walk {
    struct str text;
    size_t at;
    struct str key;          // raw bytes between the quotes, escapes as they are
    size_t key_at;           // offset of the key's opening quote
    struct json_span value;  // offsets into the text given to json_walk
    bool array, done;
};
bool json_walk(struct json_walk *w, struct str text);  // false: neither object nor array
bool json_step(struct json_walk *w);
bool json_key_is(const struct json_walk *w, struct str name);  // unescapes the key if it has escapes

// The value of a member of an object, by name; the first if there are several. False: not there.
bool json_get(struct str object, struct str name, struct json_span *out);
struct str json_slice(struct str text, struct json_span s);

// Text of a string value, unescaped into `out` (at most `size` bytes; false: longer, or not a string).
bool json_string(struct str text, struct json_span s, char *out, size_t size, size_t *n);
// A number that is a whole one and fits.
bool json_i64(struct str text, struct json_span s, int64_t *out);
bool json_double(struct str text, struct json_span s, double *out);

#ifdef __cplusplus
}
#endif

#endif
