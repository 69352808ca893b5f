// Traces: what each form says, what is wrong with a line, and that our own form loses nothing.

#include "base/rng.h"
#include "lib/test.h"
#include "wire/trace.h"

#include <inttypes.h>
#include <zlib.h>
#include <zstd.h>

struct pieces {  // bytes, handed out `step` at a time
    struct str text;
    size_t step;
};

static enum err next_piece(void *ctx, struct str *bytes, struct diag *diag)
{
    (void)diag;
    struct pieces *p = ctx;
    size_t n = p->text.n < p->step ? p->text.n : p->step;
    *bytes = (struct str){p->text.p, n};
    p->text = str_skip(p->text, n);
    return ERR_NONE;
}

struct read {
    struct trace *t;
    struct pieces pieces;
    struct diag diag;
};

static enum err begin(struct read *r, struct str text, size_t step)
{
    *r = (struct read){.pieces = {text, step}};
    const struct trace_source source = {&r->pieces, next_piece};
    return trace_new(&r->t, STR("t.csv"), &source, &r->diag);
}

static struct str zipped(struct str text)
{
    static unsigned char out[1 << 20];
    z_stream z = {0};
    NEED(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (unsigned char *)(uintptr_t)text.p;
    z.avail_in = (uInt)text.n;
    z.next_out = out;
    z.avail_out = sizeof out;
    NEED(deflate(&z, Z_FINISH) == Z_STREAM_END);
    deflateEnd(&z);
    return (struct str){(char *)out, z.total_out};
}

static struct str packed_by_zstd(struct str text)
{
    static char out[1 << 20];
    ZSTD_CCtx *z = ZSTD_createCCtx();
    NEED(z && !ZSTD_isError(ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1)));
    size_t n = ZSTD_compress2(z, out, sizeof out, text.p, text.n);
    NEED(!ZSTD_isError(n));
    ZSTD_freeCCtx(z);
    return (struct str){out, n};
}

enum { PLAIN, GZIP, ZSTD, PACKINGS };

static struct str packed_as(int packing, struct str text)
{
    return packing == GZIP ? zipped(text) : packing == ZSTD ? packed_by_zstd(text) : text;
}

static const char azure[] = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
                            "2023-11-16 18:15:46.6805900,374,44\r\n"
                            "2023-11-16 18:15:50.9951690,396,109\r\n"
                            "\n"
                            "2023-11-16 18:15:51,879,55";
static const char mooncake[] =
    "{\"timestamp\": 27, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47, "
    "2353]}\n"
    "{\"timestamp\": 3000, \"input_length\": 1, \"output_length\": 0, \"hash_ids\": []}\n";
static const char plain[] = "t_us,prompt_tokens,output_tokens,block_hashes,model,tenant,class\n"
                            "0,10,2,7 8 9,m,app,chat\n"
                            "5,11,3,,m2,,\n"
                            "5,12,4,1,m,\"app\",chat\n";

static void every_form_is_read_whatever_the_pieces(void)
{
    for (size_t step = 1; step < 200; step += step < 20 ? 1 : 37) {
        for (int packing = PLAIN; packing < PACKINGS; packing++) {
            struct read r;
            struct trace_item x[4];
            bool more;
            struct str text = STR(azure);
            NEED(!begin(&r, packed_as(packing, text), step));
            for (int i = 0; i < 3; i++)
                NEED(!trace_next(r.t, &x[i], &more, &r.diag) && more);
            EXPECT(x[0].at_us == 0 && x[1].at_us == 4314579 && x[2].at_us == 4319410, "%" PRId64,
                   x[2].at_us);
            EXPECT(x[2].prompt_tok == 879 && x[2].output_tok == 55, "%d", x[2].output_tok);
            EXPECT(trace_wall_us(r.t) == INT64_C(1700158546680590), "%" PRId64, trace_wall_us(r.t));
            EXPECT(trace_line(r.t) == 5, "%" PRId64, trace_line(r.t));
            EXPECT(!trace_next(r.t, &x[3], &more, &r.diag) && !more, "step %zu", step);
            trace_free(r.t);

            text = STR(mooncake);
            NEED(!begin(&r, packed_as(packing, text), step));
            NEED(!trace_next(r.t, &x[0], &more, &r.diag) && more);
            EXPECT(x[0].at_us == 27000 && x[0].n_blocks == 3 && x[0].blocks[2] == 2353, "%d",
                   x[0].n_blocks);
            NEED(!trace_next(r.t, &x[0], &more, &r.diag) && more);
            EXPECT(x[0].at_us == 3000000 && x[0].n_blocks == 0 && x[0].output_tok == 0, "%d",
                   x[0].n_blocks);
            EXPECT(!trace_next(r.t, &x[0], &more, &r.diag) && !more, "step %zu", step);
            trace_free(r.t);

            text = STR(plain);
            NEED(!begin(&r, packed_as(packing, text), step));
            for (int i = 0; i < 3; i++)
                NEED(!trace_next(r.t, &x[i], &more, &r.diag) && more);
            EXPECT(x[1].name[TRACE_MODEL] == 1 && x[1].name[TRACE_TENANT] == -1, "%d",
                   x[1].name[TRACE_MODEL]);
            EXPECT(x[2].name[TRACE_MODEL] == 0 && x[2].name[TRACE_TENANT] == 0, "%d",
                   x[2].name[TRACE_TENANT]);
            EXPECT(str_eq(trace_name(r.t, TRACE_CLASS, 0), STR("chat")), "step %zu", step);
            trace_free(r.t);
        }
    }
}

// The whole of one text: the first error's words, or "" and how many there were.
static int count(struct str text, size_t step, char *why)
{
    struct read r;
    struct trace_item x;
    bool more = true;
    int n = 0;
    why[0] = 0;
    enum err e = begin(&r, text, step);
    if (!e) {
        while (!(e = trace_next(r.t, &x, &more, &r.diag)) && more)
            n++;
        trace_free(r.t);
    }
    if (e)
        snprintf(why, DIAG_BYTES, "%s", r.diag.text);
    return n;
}

static void what_is_wrong_is_said_with_its_line(void)
{
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"", "t.csv: the trace is empty"},
        {"prompt_tokens,output_tokens\n1,2\n",
         "t.csv:1: no column has the times: expected t_us, t_ms, t_s or timestamp"},
        {"t_us,output_tokens\n1,2\n", "t.csv:1: no column has the length of prompts: expected "
                                      "prompt_tokens, ContextTokens or input_length"},
        {"t_us,prompt_tokens\n1,2\n", "t.csv:1: no column has the length of answers: expected "
                                      "output_tokens, GeneratedTokens or output_length"},
        {"t_us,t_ms,prompt_tokens,output_tokens\n",
         "t.csv:1: column \"t_ms\" says the time once more"},
        {"t_us,prompt_tokens,output_tokens\n0,1,2\n1,-5,2\n",
         "t.csv:3: the prompt's length is \"-5\", expected a whole number from 0 to 4194303"},
        {"t_us,prompt_tokens,output_tokens\n0,1,99999999\n",
         "t.csv:2: the answer's length is \"99999999\", expected a whole number from 0 to 4194303"},
        {"t_us,prompt_tokens,output_tokens\nx,1,2\n",
         "t.csv:2: the time is \"x\", expected a number that is not below 0"},
        {"t_us,prompt_tokens,output_tokens\n-1,1,2\n",
         "t.csv:2: the time is \"-1\", expected a number that is not below 0"},
        {"t_us,prompt_tokens,output_tokens\n1,2\n", "t.csv:2: the answer's length is missing"},
        {"t_us,prompt_tokens,output_tokens\n1,2,3,4\n",
         "t.csv:2: it has more cells than the header's 3"},
        {"timestamp,ContextTokens,GeneratedTokens\n2023-13-16 18:15:46,1,2\n",
         "t.csv:2: the time is \"2023-13-16 18:15:46\", expected seconds or a date such as "
         "2023-11-16 18:15:46.68"},
        {"{\"timestamp\": 1, \"input_length\": 2}\n", "t.csv:1: the answer's length is missing"},
        {"{\"timestamp\": 1, \"input_length\": 2.5, \"output_length\": 1}\n",
         "t.csv:1: the prompt's length is \"2.5\", expected a whole number from 0 to 4194303"},
        {"{\"timestamp\": 1, \"input_length\": 2, \"output_length\": 1, \"hash_ids\": 3}\n",
         "t.csv:1: its blocks are not a list of numbers"},
        {"\x28\xb5\x2f\xfd....",
         "t.csv: the compressed data is damaged: Unsupported frame parameter"},
    };
    char why[DIAG_BYTES];
    for (size_t i = 0; i < COUNTOF(cases); i++) {
        count(str_of(cases[i].text), 4096, why);
        EXPECT(strcmp(why, cases[i].expected) == 0, "\n    %s\n    %s", why, cases[i].expected);
    }
}

static void damage_to_what_is_packed_is_noticed(void)
{
    for (int packing = GZIP; packing < PACKINGS; packing++) {
        char why[DIAG_BYTES], copy[4096];
        struct str z = packed_as(packing, STR(azure));
        memcpy(copy, z.p, z.n);
        for (size_t n = 4; n < z.n; n++) {
            count((struct str){copy, n}, 64, why);
            EXPECT(strstr(why, "t.csv: the compressed data is") != NULL, "%d, %zu of %zu: %s",
                   packing, n, z.n, why);
        }
        size_t checksum = z.n - (packing == GZIP ? 6 : 2);
        copy[checksum] ^= 1;
        count((struct str){copy, z.n}, 64, why);
        EXPECT(strstr(why, "damaged") != NULL, "%d: %s", packing, why);
        copy[checksum] ^= 1;
        memcpy(copy + z.n, "rest", 4);
        count((struct str){copy, z.n + 4}, 64, why);
        EXPECT(strstr(why, "damaged") != NULL, "%d: %s", packing, why);
    }
}

// As `cat a.csv.zst b.csv.zst` makes them, and as pzstd begins its files.
static void packed_files_behind_one_another_are_one(void)
{
    static const char passed_over[] = "\x50\x2a\x4d\x18\x02\0\0\0ab";
    for (int packing = GZIP; packing < PACKINGS; packing++) {
        for (size_t step = 1; step < 400; step += 57) {
            char why[DIAG_BYTES], both[4096];
            size_t n = packing == ZSTD ? sizeof passed_over - 1 : 0;
            memcpy(both, passed_over, n);
            struct str z = packed_as(packing, STR("t_us,prompt_tokens,output_tokens\n1,2,3\n"));
            memcpy(both + n, z.p, z.n);
            n += z.n;
            z = packed_as(packing, STR("4,5,6\n"));
            memcpy(both + n, z.p, z.n);
            int seen = count((struct str){both, n + z.n}, step, why);
            EXPECT(seen == 2 && !why[0], "%d, step %zu: %d, %s", packing, step, seen, why);
        }
    }
}

static void a_faulty_line_may_be_passed_over(void)
{
    struct read r;
    struct trace_item x;
    bool more;
    NEED(!begin(&r, STR("t_us,prompt_tokens,output_tokens\n0,1,2\nwhat\n7,3,4\n"), 9));
    NEED(!trace_next(r.t, &x, &more, &r.diag) && more);
    EXPECT(trace_next(r.t, &x, &more, &r.diag) == ERR_INVALID, "%s", r.diag.text);
    EXPECT(!trace_is_broken(r.t), "%s", r.diag.text);
    NEED(!trace_next(r.t, &x, &more, NULL) && more);
    EXPECT(x.at_us == 7 && x.output_tok == 4, "%" PRId64, x.at_us);
    trace_free(r.t);
}

enum { ITEMS = 500 };

// A random CSV with everything that a request may have.
static void random_csv(struct buf *out, uint64_t seed)
{
    struct rng r;
    rng_seed(&r, seed);
    int64_t at = 0;
    buf_lit(out, "t_us,prompt_tokens,output_tokens,model,class,tenant,user,hash_ids\n");
    for (int i = 0; i < ITEMS; i++) {
        at += (int64_t)(rng_below(&r, 50) ? rng_below(&r, 100000) : rng_below(&r, 20000000000));
        buf_printf(out, "%" PRId64 ",%d,%d,", at, (int)rng_below(&r, TRACE_TOK_MAX + 1),
                   (int)rng_below(&r, rng_below(&r, 2) ? 500 : TRACE_TOK_MAX + 1));
        static const char *const kinds[] = {"model", "class", "a rather long name of a tenant"};
        for (int k = 0; k < TRACE_KINDS; k++) {
            if (rng_below(&r, 3))
                buf_printf(out, "%s %d", kinds[k], (int)rng_below(&r, 40));
            buf_lit(out, ",");
        }
        if (rng_below(&r, 2))
            buf_printf(out, "user %d", (int)rng_below(&r, 5000));
        buf_lit(out, ",");
        uint64_t block = rng_below(&r, 1000000);
        for (uint64_t n = rng_below(&r, 12); n > 0; n--) {
            buf_printf(out, "%" PRIu64 " ", block);
            block += rng_below(&r, 4) ? 1 : rng_below(&r, UINT64_C(1) << 40);
        }
        buf_lit(out, "\n");
    }
}

static struct str convert(struct buf *out, struct str text)
{
    struct read r;
    struct trace_item x;
    struct trace_writer w;
    bool more;
    NEED(!begin(&r, text, 4096));
    trace_write_begin(&w, out, -1);
    while (!trace_next(r.t, &x, &more, &r.diag) && more)
        NEED(trace_write(&w, out, r.t, &x));
    NEED(trace_write_end(&w, out));
    trace_free(r.t);
    return buf_str(out);
}

static bool same_name(const struct trace *a, const struct trace *b, const struct trace_item *x,
                      const struct trace_item *y, enum trace_kind k)
{
    if (x->name[k] < 0 || y->name[k] < 0)
        return x->name[k] == y->name[k];
    return str_eq(trace_name(a, k, x->name[k]), trace_name(b, k, y->name[k]));
}

static void our_own_form_loses_nothing(void)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct buf csv, own;
        buf_init(&csv, 1 << 24);
        buf_init(&own, 1 << 24);
        random_csv(&csv, seed);
        struct str bytes = convert(&own, buf_str(&csv));
        struct read a, b;
        struct trace_item x, y;
        bool more, more_own;
        NEED(!begin(&a, buf_str(&csv), 777));
        NEED(!begin(&b, bytes, 1 + seed * 5));
        for (int i = 0;; i++) {
            NEED(!trace_next(a.t, &x, &more, &a.diag));
            NEED(!trace_next(b.t, &y, &more_own, &b.diag));
            NEED(more == more_own);
            if (!more)
                break;
            EXPECT(x.at_us == y.at_us && x.prompt_tok == y.prompt_tok &&
                       x.output_tok == y.output_tok && x.user == y.user,
                   "seed %" PRIu64 ", %d", seed, i);
            for (int k = 0; k < TRACE_KINDS; k++)
                EXPECT(same_name(a.t, b.t, &x, &y, (enum trace_kind)k), "seed %" PRIu64, seed);
            EXPECT(x.n_blocks == y.n_blocks &&
                       memcmp(x.blocks, y.blocks, (size_t)x.n_blocks * sizeof *x.blocks) == 0,
                   "seed %" PRIu64 ", %d: blocks", seed, i);
        }
        trace_free(a.t);
        trace_free(b.t);
        buf_release(&csv);
        buf_release(&own);
    }
}

static void users_are_told_apart(void)
{
    struct read r;
    struct trace_item x[4];
    bool more;
    NEED(!begin(&r,
                STR("t_s,prompt_tokens,output_tokens,user\n0,1,1,ann\n1,1,1,bob\n2,1,1,\n"
                    "3,1,1,ann\n"),
                4096));
    for (int i = 0; i < 4; i++)
        NEED(!trace_next(r.t, &x[i], &more, &r.diag) && more);
    EXPECT(x[0].user && x[0].user == x[3].user, "ann is ann");
    EXPECT(x[1].user && x[1].user != x[0].user && !x[2].user, "bob is not, and nobody is nobody");
    trace_free(r.t);
}

// Version 1 said nothing of users; one that is to come may say anything.
static void other_versions_of_ours(void)
{
    struct buf csv, own;
    buf_init(&csv, 1 << 24);
    buf_init(&own, 1 << 24);
    buf_lit(&csv, "t_s,prompt_tokens,output_tokens\n0,5,7\n1,6,8\n");
    struct str bytes = convert(&own, buf_str(&csv));
    char *copy = malloc(bytes.n), why[DIAG_BYTES];
    NEED(copy);
    memcpy(copy, bytes.p, bytes.n);
    copy[15] = 1;
    EXPECT(count((struct str){copy, bytes.n}, 512, why) == 2 && !why[0], "%s", why);
    copy[15] = 3;
    count((struct str){copy, bytes.n}, 512, why);
    EXPECT(strstr(why, "its version is 3, expected one up to 2"), "%s", why);
    free(copy);
    buf_release(&csv);
    buf_release(&own);
}

// Whatever is done to its bytes, reading it ends, and a file that has lost its end says so.
static void a_damaged_file_of_ours_is_survived(void)
{
    struct buf csv, own;
    buf_init(&csv, 1 << 24);
    buf_init(&own, 1 << 24);
    random_csv(&csv, 3);
    struct str bytes = convert(&own, buf_str(&csv));
    char why[DIAG_BYTES];
    for (size_t n = 1; n < bytes.n; n += 1 + n / 7) {
        count((struct str){bytes.p, n}, 512, why);
        EXPECT(why[0], "%zu of %zu bytes were taken for a whole trace", n, bytes.n);
    }
    char *copy = malloc(bytes.n);
    struct rng r;
    rng_seed(&r, 9);
    for (int i = 0; i < 3000; i++) {
        memcpy(copy, bytes.p, bytes.n);
        for (int k = 0; k < 4; k++)
            copy[16 + rng_below(&r, bytes.n - 16)] = (char)rng_below(&r, 256);
        count((struct str){copy, bytes.n}, 4096, why);
    }
    free(copy);
    buf_release(&csv);
    buf_release(&own);
}

int main(void)
{
    TEST(every_form_is_read_whatever_the_pieces);
    TEST(what_is_wrong_is_said_with_its_line);
    TEST(damage_to_what_is_packed_is_noticed);
    TEST(packed_files_behind_one_another_are_one);
    TEST(a_faulty_line_may_be_passed_over);
    TEST(our_own_form_loses_nothing);
    TEST(users_are_told_apart);
    TEST(other_versions_of_ours);
    TEST(a_damaged_file_of_ours_is_survived);
    return test_end();
}
