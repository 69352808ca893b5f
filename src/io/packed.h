// packed.h - many rows of the ledger's store in a few bytes each: what differs from the row before.
//
// A row of SQLite costs about 2 us to write, whatever it holds; these cost 0.05 us. A row is a list
// of whole numbers and the request's id. On disk, so docs/formats.md has the encoding; fields are
// only added, at the end, and so are kinds.
//
// Reading trusts nothing: any bytes give rows or false, never more than there is.

#ifndef CAUDAL_PACKED_H
#define CAUDAL_PACKED_H

#include "io/record.h"

enum packed_kind { PACKED_ATTEMPTS = 1, PACKED_REQUESTS = 2 };

// name, how it is kept: N a number near the one before, W eight bytes (ids), R a double
#define PACKED_ATTEMPT_FIELDS(X)     \
    X(EPOCH, "epoch", N)             \
    X(LOOP, "loop", N)               \
    X(SEQUENCE, "sequence", N)       \
    X(ORDINAL, "ordinal", N)         \
    X(SURFACE, "surface", N)         \
    X(TENANT, "tenant", W)           \
    X(KEY, "key", W)                 \
    X(POOL, "pool", W)               \
    X(SUPPLIER, "supplier", W)       \
    X(CONTRACT, "contract", W)       \
    X(MODEL, "model", W)             \
    X(BEGAN, "began_us", N)          \
    X(BOUND, "bound_nusd", N)        \
    X(FLAGS, "flags", N)             \
    X(FAULT, "fault", N)             \
    X(STATUS, "status", N)           \
    X(TOTAL, "total_us", N)          \
    X(TTFT, "ttft_us", N)            \
    X(PROMPT, "prompt_tok", N)       \
    X(CACHED, "cached_tok", N)       \
    X(OUTPUT, "output_tok", N)       \
    X(REASONING, "reasoning_tok", N) \
    X(LIST, "list_nusd", N)          \
    X(MARGINAL, "marginal_nusd", N)  \
    X(JOULES, "joules", R)           \
    X(UP, "bytes_up", N)             \
    X(DOWN, "bytes_down", N)         \
    X(UNIT, "unit", N)               \
    X(COMMITMENT, "commitment", W)   \
    X(DRAWN, "drawn", R)
#define PACKED_REQUEST_FIELDS(X)     \
    X(EPOCH, "epoch", N)             \
    X(LOOP, "loop", N)               \
    X(SEQUENCE, "sequence", N)       \
    X(SURFACE, "surface", N)         \
    X(TENANT, "tenant", W)           \
    X(KEY, "key", W)                 \
    X(POOL, "pool", W)               \
    X(SUPPLIER, "supplier", W)       \
    X(CONTRACT, "contract", W)       \
    X(MODEL_ASKED, "model_asked", W) \
    X(MODEL, "model", W)             \
    X(CLASS, "class", W)             \
    X(BEGAN, "began_us", N)          \
    X(FLAGS, "flags", N)             \
    X(STATUS, "status", N)           \
    X(FAULT, "fault", N)             \
    X(ATTEMPTS, "attempts", N)       \
    X(TOTAL, "total_us", N)          \
    X(TTFT, "ttft_us", N)            \
    X(PROMPT, "prompt_tok", N)       \
    X(CACHED, "cached_tok", N)       \
    X(OUTPUT, "output_tok", N)       \
    X(REASONING, "reasoning_tok", N) \
    X(LIST, "list_nusd", N)          \
    X(CHARGED, "charged_nusd", N)

#define PACKED_ATTEMPT(name, text, how) ATTEMPT_##name,
#define PACKED_REQUEST(name, text, how) REQUEST_##name,
enum packed_attempt { PACKED_ATTEMPT_FIELDS(PACKED_ATTEMPT) ATTEMPT_FIELDS };
enum packed_request { PACKED_REQUEST_FIELDS(PACKED_REQUEST) REQUEST_FIELDS };
#undef PACKED_ATTEMPT
#undef PACKED_REQUEST

enum { PACKED_FIELDS_MAX = 30, PACKED_ROW_BYTES_MAX = 4 + 1 + RECORD_REQUEST_BYTES + 10 * 30 };

struct packed_row {
    int64_t v[PACKED_FIELDS_MAX];  // by packed_attempt or packed_request; doubles as their bits
    char request[RECORD_REQUEST_BYTES];  // padded with 0
};

struct packed_field {
    const char *name;  // as a column
    char how;          // 'N', 'W', 'R'
};
// [*n], in the order of the enum.
const struct packed_field *packed_fields(enum packed_kind kind, int *n);
int64_t packed_bits(double v);
double packed_real(int64_t bits);

// Writes `row` as it differs from `before` (NULL: by itself, which any row may follow). Returns how
// many bytes it took.
size_t packed_put(unsigned char out[PACKED_ROW_BYTES_MAX], enum packed_kind kind,
                  const struct packed_row *row, const struct packed_row *before);
// The next row of `*bytes`, which is cut off it; `row` holds the row before, whatever for the
// first. False: no row stands there.
MUST_USE bool packed_next(struct packed_row *row, enum packed_kind kind, struct str *bytes);

#endif
