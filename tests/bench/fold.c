// fold.c - what the ledger's store costs: folding requests, and what a start reads of them.
//
//   bench_fold FOLDER REQUESTS [STREAMS]
//
// Each request is a reserve, a settle and a request, of 50 tenants with 4 keys each, spread over
// the 20 days before now. Of every hundred, STREAMS are still open when the next part is folded.

#include "io/fold.h"
#include "io/store_sums.h"
#include "stopwatch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { PART = 1024, TENANTS = 50, KEYS = 4, POOLS = 4 };

static struct {
    uint64_t tenant[TENANTS], key[TENANTS * KEYS], pool[POOLS], supplier[POOLS], contract, model;
    uint64_t sequence, open[PART];
    int32_t n_open;
    struct record batch[4 * PART];
    int32_t n;
} on;

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint64_t id_of(enum record_name kind, int32_t i)
{
    char name[32];
    snprintf(name, sizeof name, "name-%d", (int)i);
    return record_id(kind, str_of(name));
}

static void make_names(void)
{
    for (int32_t i = 0; i < TENANTS; i++)
        on.tenant[i] = id_of(RECORD_TENANT, i);
    for (int32_t i = 0; i < TENANTS * KEYS; i++)
        on.key[i] = id_of(RECORD_KEY, i);
    for (int32_t i = 0; i < POOLS; i++) {
        on.pool[i] = id_of(RECORD_POOL, i);
        on.supplier[i] = id_of(RECORD_SUPPLIER, i);
    }
    on.contract = id_of(RECORD_CONTRACT, 0);
    on.model = id_of(RECORD_MODEL, 0);
}

static struct record *next(enum record_kind kind, int64_t at_us)
{
    struct record *r = &on.batch[on.n++];
    *r = (struct record){
        .kind = (uint8_t)kind, .epoch = 1, .sequence = ++on.sequence, .at_us = at_us};
    return r;
}

static void add_settle(uint64_t attempt, uint32_t chance, int64_t at_us)
{
    next(RECORD_SETTLE, at_us)->settle =
        (struct record_settle){.attempt = attempt,
                               .list_nusd = 100000 + chance % 9999,
                               .marginal_nusd = 0,
                               .total_us = 20000 + chance % 60000,
                               .ttft_us = 9000 + chance % 6000,
                               .joules = 12.5 + chance % 100,
                               .prompt_tok = 500,
                               .output_tok = 120 + (int32_t)(chance % 300),
                               .status = 200,
                               .unit = 0,
                               .commitment = on.contract,
                               .drawn = 1e-4};
}

static void add_request(int64_t i, int32_t streams, int64_t at_us)
{
    uint32_t chance = (uint32_t)((uint64_t)i * 2654435761u >> 7);
    int32_t key = (int32_t)(chance % (TENANTS * KEYS)), pool = (int32_t)(chance / 7 % POOLS);
    char id[33];
    snprintf(id, sizeof id, "req_%08x%016" PRIx64, chance, (uint64_t)i * 0x9e3779b97f4a7c15u);
    struct record_reserve *v = &next(RECORD_RESERVE, at_us)->reserve;
    uint64_t attempt = on.sequence;
    *v = (struct record_reserve){.tenant = on.tenant[key / KEYS],
                                 .pool = on.pool[pool],
                                 .supplier = on.supplier[pool],
                                 .contract = on.contract,
                                 .model = on.model,
                                 .bound_nusd = 900000,
                                 .prompt_tok = 480,
                                 .surface = 1,
                                 .ordinal = 1,
                                 .key = on.key[key]};
    memcpy(v->request, id, 28);
    if (i % 100 < streams)
        on.open[on.n_open++] = attempt;
    else
        add_settle(attempt, chance, at_us);
    struct record_request *q = &next(RECORD_REQUEST, at_us)->request;
    *q = (struct record_request){.tenant = on.tenant[key / KEYS],
                                 .pool = on.pool[pool],
                                 .supplier = on.supplier[pool],
                                 .contract = on.contract,
                                 .model_asked = on.model,
                                 .model = on.model,
                                 .list_nusd = 100000 + chance % 9999,
                                 .charged_nusd = 120000 + chance % 9999,
                                 .total_us = 20000 + chance % 60000,
                                 .ttft_us = 9000 + chance % 6000,
                                 .prompt_tok = 500,
                                 .output_tok = 120 + (int32_t)(chance % 300),
                                 .status = 200,
                                 .attempts = 1,
                                 .surface = 1,
                                 .key = on.key[key]};
    memcpy(q->request, id, 28);
}

static bool count(void *ctx, const struct store_spent *spent)
{
    (void)spent;
    ++*(int64_t *)ctx;
    return true;
}

static void must(enum err e, const struct diag *diag)
{
    if (e)
        DIE("fold: %s", diag->text);
}

int main(int argc, char **argv)
{
    struct store *s;
    struct diag diag = {0};
    int64_t requests, streams = 0, rows = 0, parts = 0;
    if (argc < 3 || !str_to_i64(str_of(argv[2]), &requests) ||
        (argc > 3 && (!str_to_i64(str_of(argv[3]), &streams) || streams > 100)))
        DIE("usage: bench_fold FOLDER REQUESTS [STREAMS of a hundred]");
    int64_t now_us = S((int64_t)time(NULL)), day_us = S(86400);
    make_names();
    must(store_open(&s, str_of(argv[1]), STORE_WRITE, &diag), &diag);
    double fold_us = 0;
    for (int64_t i = 0; i < requests;) {
        on.n = 0;
        int64_t at_us = now_us - 20 * day_us + i * (20 * day_us / requests);
        for (int32_t k = 0; k < on.n_open; k++)
            add_settle(on.open[k], (uint32_t)i, at_us);
        on.n_open = 0;
        for (int32_t k = 0; k < PART && i < requests; k++, i++)
            add_request(i, (int32_t)streams, at_us + k);
        double began = cpu_us();
        must(store_fold(s, "segment", i, on.batch, on.n, &diag), &diag);
        if (++parts % FOLD_PARTS == 0 || i == requests)
            must(store_commit(s, &diag), &diag);
        fold_us += cpu_us() - began;
    }
    printf("fold   %.3f us of CPU a request\n", fold_us / (double)requests);
    struct store_spent_ask ask = {.day_us = now_us / day_us * day_us,
                                  .month_us = now_us - 21 * day_us,
                                  .minute_us = now_us - S(60)};
    double began = cpu_us();
    must(store_spent(s, &ask, count, &rows, &diag), &diag);
    printf("start  %.1f ms of CPU to sum %" PRId64 " requests (%" PRId64 " tenants and keys)\n",
           (cpu_us() - began) / 1e3, requests, rows);
    store_close(s);
    return 0;
}
