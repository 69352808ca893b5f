// json.h - JSON of requests and answers, without taking it apart more than needed.
//
// simdjson checks the UTF-8 (json_simdjson.cc, the one C++ file; no exception or C++ type crosses
// this header). The structure is scanned here (json_scan.c, json_walk.c): simdjson's DOM refuses
// integers beyond 64 bits and 1e999 and gives no places, while a client's literals must pass
// untouched. Fuzzing holds the two against each other. Nothing is converted unless asked for. Spans
// are offsets into the caller's text, so that a value can be replaced and every other byte stays as
// it came. No byte behind the text is ever read.

#ifndef CAUDAL_JSON_H
#define CAUDAL_JSON_H

#include "base/err.h"
#include "base/str.h"

#ifdef __cplusplus
extern "C" {
#endif

enum json_kind {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_span {  // a value in the text
    enum json_kind kind;
    size_t at, n;  // the bytes of the value, a string's quotes included
};

enum { JSON_DEPTH_MAX = 128 };

// Validates a whole text: one value, valid UTF-8, syntax, depth at most JSON_DEPTH_MAX, nothing
// behind it but white space. Numbers of any length are right; a byte order mark and an escape that
// is half a surrogate pair ("\ud800" alone) are not. `diag` says what and near which byte.
MUST_USE enum err json_validate(struct str text, struct diag *diag);
bool json_utf8_valid(struct str text);
// The string whose opening quote is at `p`, before `end`: where it ends, behind its closing quote,
// and how long it is without quotes and with escapes undone. NULL: no valid string.
const char *json_text_end(const char *p, const char *end, size_t *bytes);

// Walks the members of the object (or the items of the array, key empty) that starts at `text.p[0]`
// (white space may stand before it, anything behind it). The text must have been validated; walking
// one that was not gives nonsense, but stays inside it. Each step costs the bytes of its value
// once. `for (json_walk(&w, text); json_step(&w);) use w.key, w.value`.
struct json_walk {
    struct str text;
    size_t at;
    struct str key;          // raw bytes between the quotes, escapes as they are
    size_t key_at;           // offset of the key's opening quote
    struct json_span value;  // offsets into the text given to json_walk
    bool array, done;
    bool key_escaped;    // the key holds a backslash
    size_t value_saved;  // of a string: how many bytes its escapes take beyond what they stand for
    bool once, open;     // once: of json_walk_once; open: the value's end is not known yet
    bool begun, wrong;   // of json_walk_strict
    int16_t depth;       // 0: the text was validated before
    struct json_walk *outer;
};
bool json_walk(struct json_walk *w, struct str text);  // false: neither object nor array
bool json_step(struct json_walk *w);

// The same in one pass over all levels, for the hot path: json_walk_once() does not look for the
// end of objects and arrays (value.n is 0), json_walk_in() walks the one that `outer` stands at,
// offsets staying those of the whole text, and once it has been walked to its end `outer` goes on
// behind it and knows value.n. One that is not walked is skipped by the next step, or by
// json_value().
bool json_walk_once(struct json_walk *w, struct str text);
// The same through a text that was not validated: a step that meets what is wrong ends the walk and
// all around it. Walked to the end of the outermost value, json_walk_ok() says what json_validate()
// would say of the text, whatever of it was walked in. Only its place in the text is for
// json_validate() to say.
bool json_walk_strict(struct json_walk *w, struct str text);
bool json_walk_ok(const struct json_walk *w);
bool json_walk_in(struct json_walk *inner,
                  struct json_walk *outer);             // false: neither object nor array
struct json_span json_value_open(struct json_walk *w);  // for json_value() only
static inline struct json_span
json_value(struct json_walk *w)  // w->value, its end found if it was not
{
    return w->open ? json_value_open(w) : w->value;
}

bool json_key_is_escaped(const struct json_walk *w, struct str name);
static inline bool json_key_is(const struct json_walk *w,
                               struct str name)  // escapes are understood
{
    return w->key_escaped ? json_key_is_escaped(w, name) : str_eq(w->key, name);
}

// The value of a member of an object, by name; the first if there are several. False: not there.
bool json_get(struct str object, struct str name, struct json_span *out);
struct str json_slice(struct str text, struct json_span s);

// Text of a string value, unescaped into `out` (at most `size` bytes; false: longer, or not a
// string). A 0 that is not counted follows where there is room for it.
bool json_string(struct str text, struct json_span s, char *out, size_t size, size_t *n);
// As much of it as fits, cut between characters, always followed by a 0; empty if not a string.
size_t json_string_cut(struct str text, struct json_span s, char *out, size_t size);
// How many bytes of UTF-8 a string value stands for; 0 if not a string.
size_t json_string_bytes(struct str text, struct json_span s);
// A number that is a whole one and fits.
bool json_i64(struct str text, struct json_span s, int64_t *out);
bool json_double(struct str text, struct json_span s, double *out);

#ifdef __cplusplus
}
#endif

#endif
