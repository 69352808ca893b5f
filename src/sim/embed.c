// Vectors of /v1/embeddings: not meaning, but the same text gives the same vector everywhere.

#include "base/rng.h"
#include "sim/answer.h"
#include "wire/json.h"

#include <math.h>

static void make_vector(float *v, int32_t n, struct str item)
{
    struct rng rng;
    rng_seed(&rng, str_hash(item, 0));
    double sum = 0;
    for (int32_t i = 0; i < n; i++) {
        double x = 2 * rng_unit(&rng) - 1;
        v[i] = (float)x;
        sum += x * x;
    }
    double scale = sum > 0 ? 1 / sqrt(sum) : 0;
    for (int32_t i = 0; i < n; i++)
        v[i] = (float)(v[i] * scale);
}

static void write_base64(struct buf *out, const unsigned char *p, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t b = (uint32_t)p[i] << 16;
        b |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        b |= i + 2 < n ? p[i + 2] : 0;
        char four[4] = {digits[b >> 18], digits[b >> 12 & 63], digits[b >> 6 & 63], digits[b & 63]};
        if (i + 1 >= n)
            four[2] = '=';
        if (i + 2 >= n)
            four[3] = '=';
        buf_add(out, four, sizeof four);
    }
}

// Little-endian floats, whatever this machine is.
static void write_vector_base64(struct buf *out, const float *v, int32_t n)
{
    unsigned char bytes[3 * 64 * sizeof(float)];  // a multiple of 3: no padding inside
    buf_lit(out, "\"");
    for (int32_t i = 0; i < n;) {
        size_t filled = 0;
        for (; i < n && filled < sizeof bytes; i++) {
            uint32_t bits;
            memcpy(&bits, &v[i], sizeof bits);
            for (int k = 0; k < 4; k++)
                bytes[filled++] = (unsigned char)(bits >> (8 * k));
        }
        write_base64(out, bytes, filled);
    }
    buf_lit(out, "\"");
}

static void write_one(struct buf *out, struct str item, int32_t index, int32_t dimensions,
                      bool base64)
{
    float v[SIM_DIMENSIONS_MAX];
    make_vector(v, dimensions, item);
    buf_printf(out, "%s{\"object\":\"embedding\",\"index\":%d,\"embedding\":", index ? "," : "",
               index);
    if (base64) {
        write_vector_base64(out, v, dimensions);
    } else {
        for (int32_t i = 0; i < dimensions; i++)
            buf_printf(out, "%c%.9g", i ? ',' : '[', (double)v[i]);
        buf_lit(out, "]");
    }
    buf_lit(out, "}");
}

// A list of numbers is one item: tokens.
static bool is_list_of_items(struct str input)
{
    struct json_walk w;
    return input.p[0] == '[' && json_walk(&w, input) && json_step(&w) &&
           w.value.kind != JSON_NUMBER;
}

enum err sim_embeddings_write(struct buf *out, const struct sim_answer *a, struct str input,
                              int32_t dimensions, bool base64)
{
    CHECK(dimensions > 0 && dimensions <= SIM_DIMENSIONS_MAX);
    if (!input.n || (input.p[0] != '"' && input.p[0] != '['))
        return ERR_INVALID;
    buf_lit(out, "{\"object\":\"list\",\"model\":");
    buf_add_json(out, str_of(a->model));
    buf_lit(out, ",\"system_fingerprint\":\"simulated\",\"data\":[");
    int32_t n = 0;
    if (is_list_of_items(input)) {
        struct json_walk w;
        for (json_walk(&w, input); json_step(&w) && n <= SIM_EMBEDDINGS_MAX; n++)
            write_one(out, json_slice(input, w.value), n, dimensions, base64);
    } else if (!str_eq(input, STR("[]"))) {
        write_one(out, input, n++, dimensions, base64);
    }
    if (n < 1 || n > SIM_EMBEDDINGS_MAX)
        return ERR_INVALID;
    buf_lit(out, "]");
    if (!a->no_usage)
        buf_printf(out, ",\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d}", a->prompt_tok,
                   a->prompt_tok);
    buf_lit(out, "}");
    return out->overflow ? ERR_LIMIT : ERR_NONE;
}
