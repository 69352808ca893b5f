// Records of serve's event log: what is written is what is read; a piece of one is no record; a
// ring without room loses records and says so.

#include "gateway/core_log.h"
#include "io/spool.h"
#include "lib/fleet.h"
#include "wire/decisions.h"

#include <unistd.h>

static void fill(struct rng *r, void *what, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)what)[i] = (unsigned char)rng_u64(r);
}

static uint64_t blocks[DECISIONS_BLOCKS_MAX];

static struct route_ask random_ask(struct rng *r)
{
    struct route_ask a;
    fill(r, &a, sizeof a);
    fill(r, blocks, sizeof blocks);
    a.blocks = blocks;
    a.n_blocks = rng_below(r, 2) ? 0 : (int32_t)rng_below(r, DECISIONS_BLOCKS_MAX + 1);
    a.block_tok = 512;
    a.stand_in = rng_below(r, 2);
    a.same_model = rng_below(r, 2);
    a.n_tried = (int32_t)rng_below(r, ROUTE_TRIED_MAX + 1);
    return a;
}

static bool same_ask(const struct route_ask *x, const struct route_ask *y)
{
    bool same = x->model == y->model && x->class == y->class && x->tenant == y->tenant &&
                x->surface == y->surface && x->prompt_tok == y->prompt_tok &&
                x->output_tok == y->output_tok && x->output_tok_max == y->output_tok_max &&
                x->context_tok == y->context_tok && x->arrived_us == y->arrived_us &&
                x->deadline_us == y->deadline_us && x->wall_us == y->wall_us &&
                x->draw == y->draw && x->stand_in == y->stand_in &&
                x->same_model == y->same_model && x->n_tried == y->n_tried && x->user == y->user &&
                x->n_blocks == y->n_blocks && x->block_tok == y->block_tok;
    for (int32_t i = 0; same && i < x->n_blocks; i++)
        same = x->blocks[i] == y->blocks[i];
    for (int32_t i = 0; same && i < x->n_tried; i++)
        same = x->tried[i] == y->tried[i];
    return same;
}

static bool same_terms(const struct route_terms *x, const struct route_terms *y)
{
    return memcmp(&x->total, &y->total, sizeof x->total) == 0 &&
           memcmp(&x->list, &y->list, sizeof x->list) == 0 &&
           memcmp(&x->score, &y->score, sizeof x->score) == 0 && x->ttft_us == y->ttft_us &&
           x->per_token_us == y->per_token_us;
}

static void what_is_written_is_read(void)
{
    struct rng r;
    rng_seed(&r, 1);
    for (int i = 0; i < 20000; i++) {
        struct route_ask ask = random_ask(&r);
        struct route_decision d = {.verdict = ROUTE_SEND, .pool = (int32_t)rng_below(&r, 1000)};
        struct route_seen seen = {.outcome = ROUTE_BUSY, .ttft_us = (int64_t)rng_u64(&r)};
        fill(&r, &d.terms, offsetof(struct route_terms, model_ttft_us));
        bool pick = rng_below(&r, 2);
        struct decisions_record w = {.kind = pick ? DECISIONS_PICK : DECISIONS_DONE,
                                     .number = rng_u64(&r),
                                     .generation = (int64_t)rng_u64(&r),
                                     .now_us = (int64_t)rng_u64(&r),
                                     .ask = &ask,
                                     .decision = &d,
                                     .seen = &seen,
                                     .of = rng_u64(&r)};
        unsigned char bytes[DECISIONS_RECORD_BYTES_MAX];
        struct decisions_record g;
        struct decisions_reader room;
        size_t n = decisions_write(&w, bytes, sizeof bytes);
        struct str rest = {(const char *)bytes, n};
        NEED(n > 0 && !decisions_read(&g, &room, &rest));
        EXPECT(rest.n == 0, "%zu bytes are left", rest.n);
        EXPECT(g.kind == w.kind && g.number == w.number && g.generation == w.generation &&
                   g.now_us == w.now_us,
               "record %d", i);
        EXPECT(same_ask(&ask, g.ask), "record %d", i);
        EXPECT(!pick || (g.decision->pool == d.pool && same_terms(&g.decision->terms, &d.terms)),
               "record %d", i);
        EXPECT(pick || (g.of == w.of && g.seen->ttft_us == seen.ttft_us), "record %d", i);
        EXPECT(decisions_write(&w, bytes, n - 1) == 0, "one byte less is too little");
        size_t cut = (size_t)rng_below(&r, n);
        struct str piece = {(const char *)bytes, cut};
        EXPECT(decisions_read(&g, &room, &piece) != ERR_NONE, "%zu of %zu bytes", cut, n);
    }
}

// Bytes of all kinds are read to an error or a record, and never past their end.
static void no_bytes_do_harm(void)
{
    struct rng r;
    rng_seed(&r, 2);
    int64_t records = 0;
    for (int i = 0; i < 200000; i++) {
        struct decisions_record g;
        struct decisions_reader room;
        size_t n = 2 + (size_t)rng_below(&r, 60);
        unsigned char *bytes = malloc(n);
        fill(&r, bytes, n);
        bytes[0] = (unsigned char)rng_below(&r, n);
        bytes[1] = 0;
        bytes[n > 2 ? 2 : 0] %= 17;
        struct str rest = {(const char *)bytes, n};
        if (!decisions_read(&g, &room, &rest)) {
            records++;
            EXPECT(g.ask->n_tried >= 0 && g.ask->n_tried <= ROUTE_TRIED_MAX, "%d", g.ask->n_tried);
            EXPECT(g.lever->n_windows >= 0 && g.lever->n_windows <= ROUTE_WINDOWS_MAX, "%d",
                   g.lever->n_windows);
        }
        free(bytes);
    }
    EXPECT(records > 0, "no bytes made a record");
}

// A ring of a page, and far more records than fit between two writes of its thread.
static void a_log_without_room_says_how_much_it_lacks(void)
{
    enum { PICKS = 100000 };
    char path[64];
    snprintf(path, sizeof path, "/tmp/caudal-test-decisions-%d", (int)getpid());
    struct core_log *l;
    struct diag diag = {0};
    struct portfolio p = {0};
    struct generation g = {.portfolio = &p, .adopted = 1};
    struct route_ask ask = {.draw = 7};
    struct route_decision d = {.pool = 3};
    NEED(!core_log_new(&l, str_of(path), 1 << 30, 4096, false, NULL, &diag));
    for (int i = 0; i < PICKS; i++)
        EXPECT(core_log_pick(l, &g, &ask, &d, i) == (uint64_t)i + 1, "number of pick %d", i);
    core_log_free(l);
    struct spool_reader *file;
    struct str records;
    uint64_t picks = 0, lost = 0, last = 0;
    bool ended = false;
    NEED(!spool_open_read(&file, str_of(path), DECISIONS_HEAD_BYTES, &diag));
    NEED(!decisions_head_read(spool_head(file), &diag));
    while (!spool_next(file, &records, &diag) && records.n) {
        struct decisions_record r;
        struct decisions_reader room;
        while (records.n && !decisions_read(&r, &room, &records)) {
            EXPECT(r.kind == DECISIONS_GAP || r.number > last, "numbers go up");
            last = r.kind == DECISIONS_GAP ? last : r.number;
            picks += r.kind == DECISIONS_PICK;
            lost += r.kind == DECISIONS_GAP ? r.lost : 0;
            ended = r.kind == DECISIONS_END;
        }
    }
    spool_close(file);
    unlink(path);
    EXPECT(diag.e == ERR_NONE, "%s", diag.text);
    EXPECT(picks > 0 && lost > 0, "%" PRIu64 " picks, %" PRIu64 " lost", picks, lost);
    EXPECT(ended && picks + lost == PICKS, "%" PRIu64 " picks, %" PRIu64 " lost", picks, lost);
}

int main(void)
{
    TEST(what_is_written_is_read);
    TEST(no_bytes_do_harm);
    TEST(a_log_without_room_says_how_much_it_lacks);
    return test_end();
}
