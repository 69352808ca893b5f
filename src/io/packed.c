#include "io/packed.h"

#include <string.h>

// mask (4 bytes, bit i: field i is written; FROM_ZEROS: the row before is all zeros)
// request (its length and its bytes, or OURS and 12 bytes: "req_" and 24 hexadecimal digits)
// then each field of the mask
enum { MASK_BYTES = 4, OURS = 255, OURS_BYTES = 12, OURS_TEXT = 28 };
static const uint32_t FROM_ZEROS = 1u << 31;
static const char ours[4] = {'r', 'e', 'q', '_'};

#define FIELD_N 'N'
#define FIELD_W 'W'
#define FIELD_R 'R'
#define FIELD(name, text, how) {text, FIELD_##how},
static const struct packed_field attempt_fields[] = {PACKED_ATTEMPT_FIELDS(FIELD)};
static const struct packed_field request_fields[] = {PACKED_REQUEST_FIELDS(FIELD)};

_Static_assert(COUNTOF(attempt_fields) == ATTEMPT_FIELDS &&
                   COUNTOF(attempt_fields) <= PACKED_FIELDS_MAX,
               "every field has its place");
_Static_assert(COUNTOF(request_fields) == REQUEST_FIELDS &&
                   COUNTOF(request_fields) <= PACKED_FIELDS_MAX,
               "every field has its place");

const struct packed_field *packed_fields(enum packed_kind kind, int *n)
{
    *n = kind == PACKED_ATTEMPTS ? ATTEMPT_FIELDS : REQUEST_FIELDS;
    return kind == PACKED_ATTEMPTS ? attempt_fields : request_fields;
}

int64_t packed_bits(double v)
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

double packed_real(int64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

// --- the request's id -------------------------------------------------------------------------

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// An id that caudal gave; a client's own may be anything.
static bool put_ours(unsigned char *out, const char *request)
{
    if (memcmp(request, ours, sizeof ours) != 0 || request[OURS_TEXT])
        return false;
    for (int i = 0; i < OURS_BYTES; i++) {
        int high = digit_of(request[4 + 2 * i]), low = digit_of(request[5 + 2 * i]);
        if (high < 0 || low < 0)
            return false;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return true;
}

static unsigned char *put_request(unsigned char *out, const char *request)
{
    if (put_ours(out + 1, request)) {
        *out = OURS;
        return out + 1 + OURS_BYTES;
    }
    size_t n = strnlen(request, RECORD_REQUEST_BYTES);
    *out = (unsigned char)n;
    memcpy(out + 1, request, n);
    return out + 1 + n;
}

static bool next_request(char request[RECORD_REQUEST_BYTES], struct str *bytes)
{
    static const char digits[] = "0123456789abcdef";
    if (!bytes->n)
        return false;
    unsigned char n = (unsigned char)bytes->p[0];
    const unsigned char *at = (const unsigned char *)bytes->p + 1;
    size_t takes = n == OURS ? OURS_BYTES : n;
    if (bytes->n - 1 < takes || (n != OURS && n > RECORD_REQUEST_BYTES))
        return false;
    memset(request, 0, RECORD_REQUEST_BYTES);
    if (n != OURS)
        memcpy(request, at, n);
    else
        memcpy(request, ours, sizeof ours);
    for (int i = 0; n == OURS && i < OURS_BYTES; i++) {
        request[4 + 2 * i] = digits[at[i] >> 4];
        request[5 + 2 * i] = digits[at[i] & 15];
    }
    *bytes = str_skip(*bytes, 1 + takes);
    return true;
}

// --- numbers ----------------------------------------------------------------------------------

// The difference to the row before, small ones of either sign in few bytes.
static unsigned char *put_near(unsigned char *out, int64_t v, int64_t before)
{
    uint64_t apart = (uint64_t)v - (uint64_t)before;
    uint64_t left = apart << 1 ^ (0 - (apart >> 63));
    for (; left >= 0x80; left >>= 7)
        *out++ = (unsigned char)(left | 0x80);
    *out++ = (unsigned char)left;
    return out;
}

static bool next_near(int64_t *v, struct str *bytes)
{
    uint64_t left = 0;
    for (size_t i = 0; i < 10 && i < bytes->n; i++) {
        uint64_t byte = (unsigned char)bytes->p[i];
        left |= (byte & 0x7f) << (7 * i);
        if (byte & 0x80)
            continue;
        *v = (int64_t)((uint64_t)*v + (left >> 1 ^ (0 - (left & 1))));
        *bytes = str_skip(*bytes, i + 1);
        return true;
    }
    return false;
}

static bool next_wide(int64_t *v, struct str *bytes)
{
    if (bytes->n < sizeof *v)
        return false;
    memcpy(v, bytes->p, sizeof *v);
    *bytes = str_skip(*bytes, sizeof *v);
    return true;
}

// --- rows -------------------------------------------------------------------------------------

size_t packed_put(unsigned char out[PACKED_ROW_BYTES_MAX], enum packed_kind kind,
                  const struct packed_row *row, const struct packed_row *before)
{
    static const struct packed_row zeros;
    int n;
    const struct packed_field *fields = packed_fields(kind, &n);
    uint32_t mask = before ? 0 : FROM_ZEROS;
    if (!before)
        before = &zeros;
    for (int i = 0; i < n; i++)
        mask |= (uint32_t)(row->v[i] != before->v[i]) << i;
    memcpy(out, &mask, MASK_BYTES);
    unsigned char *at = put_request(out + MASK_BYTES, row->request);
    for (uint32_t left = mask & ~FROM_ZEROS; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        if (fields[i].how == FIELD_N) {
            at = put_near(at, row->v[i], before->v[i]);
        } else {
            memcpy(at, &row->v[i], sizeof row->v[i]);
            at += sizeof row->v[i];
        }
    }
    return (size_t)(at - out);
}

bool packed_next(struct packed_row *row, enum packed_kind kind, struct str *bytes)
{
    int n;
    uint32_t mask;
    const struct packed_field *fields = packed_fields(kind, &n);
    if (bytes->n < MASK_BYTES)
        return false;
    memcpy(&mask, bytes->p, MASK_BYTES);
    *bytes = str_skip(*bytes, MASK_BYTES);
    if ((mask & ~FROM_ZEROS) >> n)
        return false;
    if (mask & FROM_ZEROS)
        memset(row->v, 0, sizeof row->v);
    if (!next_request(row->request, bytes))
        return false;
    for (uint32_t left = mask & ~FROM_ZEROS; left; left &= left - 1) {
        int i = __builtin_ctz(left);
        if (fields[i].how == FIELD_N ? !next_near(&row->v[i], bytes)
                                     : !next_wide(&row->v[i], bytes))
            return false;
    }
    return true;
}
