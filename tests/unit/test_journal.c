#include "base/crc32c.h"
#include "io/journal.h"
#include "lib/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/test_journal.XXXXXX";
static uint32_t epoch = 6;

static struct journal *open_journal(int64_t records)
{
    struct journal *j;
    struct diag diag = {0};
    struct journal_config c = {.folder = str_of(folder),
                               .epoch = ++epoch,
                               .loop = 3,
                               .segment_bytes = (records + 1) * RECORD_BYTES};
    if (journal_new(&j, &c, &diag)) {
        printf("%s\n", diag.text);
        NEED(false);
    }
    return j;
}

static uint64_t append(struct journal *j)
{
    struct record r = {.kind = RECORD_SETTLE, .at_us = 1795317170629962, .settle = {.attempt = 1}};
    return journal_append(j, &r);
}

static struct journal_file open_file(uint32_t segment)
{
    struct journal_file f;
    char name[64];
    snprintf(name, sizeof name, "%08x-0003-%08x.cj", epoch, segment);
    NEED(!journal_file_open(&f, str_of(folder), name, NULL));
    return f;
}

static int32_t read_all(uint32_t segment, enum journal_end *end, uint64_t *first)
{
    static struct record r[1000];
    struct journal_file f = open_file(segment);
    int32_t n;
    NEED(!journal_file_read(&f, JOURNAL_FIRST, f.bytes, r, 1000, &n, end, NULL));
    if (n && first)
        *first = r[0].sequence;
    journal_file_close(&f);
    return n;
}

static void change(uint32_t segment, int64_t at, const void *bytes, size_t n, int64_t cut)
{
    char path[JOURNAL_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%08x-0003-%08x.cj", folder, epoch, segment);
    int fd = open(path, O_RDWR);
    NEED(fd >= 0 && (!n || pwrite(fd, bytes, n, at) == (ssize_t)n));
    NEED(cut < 0 || ftruncate(fd, cut) == 0);
    close(fd);
}

static void the_crc_is_castagnolis(void)
{
    EXPECT(crc32c("123456789", 9) == 0xe3069283, "%08x", crc32c("123456789", 9));
    char zeros[32] = {0};
    EXPECT(crc32c(zeros, 32) == 0x8a9136aa, "%08x", crc32c(zeros, 32));
    EXPECT(crc32c("", 0) == 0, "empty");
    unsigned char bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + 11);
    for (size_t n = 0; n <= sizeof bytes; n++)
        EXPECT(crc32c(bytes, n) == crc32c_by_table(bytes, n), "%zu bytes", n);
}

static void names_have_their_numbers_for_ever(void)
{
    // Part of the format: a change here makes every name in every ledger a new one.
    EXPECT(record_id(RECORD_TENANT, STR("everyone")) == 1133753367182822279u, "tenant");
    EXPECT(record_id(RECORD_MODEL, STR("m")) == 1554430574378726103u, "model");
    EXPECT(record_id(RECORD_POOL, STR("a")) != record_id(RECORD_SUPPLIER, STR("a")), "kinds");
    EXPECT(record_id(RECORD_POOL, STR("")) == 0, "empty");
}

static void what_was_written_is_read(void)
{
    struct journal *j = open_journal(10);
    enum journal_end end;
    uint64_t first = 0;
    for (int i = 0; i < 5; i++)
        EXPECT(append(j) == (uint64_t)i + 1, "sequence %d", i);
    EXPECT(journal_pending(j) == 5, "%" PRId64, journal_pending(j));
    EXPECT(read_all(1, &end, NULL) == 0 && end == JOURNAL_END, "nothing before the write");
    EXPECT(!journal_write(j, NULL), "write");
    EXPECT(journal_pending(j) == 0, "%" PRId64, journal_pending(j));
    EXPECT(read_all(1, &end, &first) == 5 && end == JOURNAL_END && first == 1, "five");
    EXPECT(journal_place(j).offset == 6 * RECORD_BYTES, "place");
    journal_free(j);
    EXPECT(read_all(1, &end, NULL) == 5 && end == JOURNAL_END,
           "the rest of the file is given back");
}

static void room_is_what_can_be_written_for_sure(void)
{
    struct journal *j = open_journal(10);
    enum journal_end end;
    uint64_t first = 0;
    EXPECT(journal_room(j) == 10, "%" PRId64, journal_room(j));
    EXPECT(!journal_prepare(j, NULL) && journal_room(j) == 10, "not half full");
    for (int i = 0; i < 6; i++)
        append(j);
    EXPECT(journal_room(j) == 4, "%" PRId64, journal_room(j));
    EXPECT(!journal_write(j, NULL) && !journal_prepare(j, NULL), "prepare");
    EXPECT(journal_room(j) == 14, "%" PRId64, journal_room(j));
    for (int i = 0; i < 14; i++)
        append(j);
    EXPECT(!journal_write(j, NULL) && journal_room(j) == 0, "over the end of a file");
    EXPECT(read_all(1, &end, NULL) == 10 && end == JOURNAL_END, "first file");
    EXPECT(read_all(2, &end, &first) == 10 && first == 11, "second file");
    EXPECT(journal_place(j).segment == 2, "place");
    journal_free(j);
}

static void a_torn_tail_is_told(void)
{
    enum journal_end end;
    for (int64_t cut = 1; cut < RECORD_BYTES; cut += 19) {
        struct journal *j = open_journal(10);
        for (int i = 0; i < 4; i++)
            append(j);
        EXPECT(!journal_write(j, NULL), "write");
        journal_free(j);
        change(1, 0, NULL, 0, 4 * RECORD_BYTES + cut);
        EXPECT(read_all(1, &end, NULL) == 3 && end == JOURNAL_TORN, "cut after %" PRId64, cut);
    }
}

static void every_flipped_bit_is_seen(void)
{
    struct journal *j = open_journal(4);
    for (int i = 0; i < 3; i++)
        append(j);
    EXPECT(!journal_write(j, NULL), "write");
    journal_free(j);
    struct journal_file f = open_file(1);
    unsigned char byte;
    for (int64_t at = 2 * RECORD_BYTES; at < 3 * RECORD_BYTES; at++) {
        enum journal_end end;
        NEED(pread(f.fd, &byte, 1, at) == 1);
        unsigned char bad = (unsigned char)(byte ^ (1u << (at % 8)));
        change(1, at, &bad, 1, -1);
        EXPECT(read_all(1, &end, NULL) == 1 && end == JOURNAL_DAMAGED, "byte %" PRId64, at);
        change(1, at, &byte, 1, -1);
    }
    journal_file_close(&f);
}

static void a_newer_version_is_refused(void)
{
    struct journal *j = open_journal(4);
    append(j);
    EXPECT(!journal_write(j, NULL), "write");
    journal_free(j);
    struct journal_file f;
    struct diag diag = {0};
    char name[64];
    uint32_t version = RECORD_VERSION + 1;
    change(1, 8, &version, sizeof version, -1);
    snprintf(name, sizeof name, "%08x-0003-00000001.cj", epoch);
    EXPECT(journal_file_open(&f, str_of(folder), name, &diag) == ERR_INVALID, "next version");
    EXPECT(strstr(diag.text, "newer caudal"), "%s", diag.text);
    change(1, 0, "x", 1, -1);
    struct diag other = {0};
    EXPECT(journal_file_open(&f, str_of(folder), name, &other) == ERR_INVALID, "magic");
    EXPECT(strstr(other.text, "not a journal"), "%s", other.text);
}

static void only_journals_have_their_names(void)
{
    struct journal_file f;
    EXPECT(journal_name_read(&f, "0000000a-0003-00000001.cj") && f.epoch == 10 && f.loop == 3 &&
               f.segment == 1,
           "right");
    static const char *const wrong[] = {"",
                                        "a-3-1.cj",
                                        "0000000a-0003-00000001.cj.new",
                                        "0000000A-0003-00000001.cj",
                                        "ledger.db",
                                        "0000000a-0003-00000001.cj.damaged"};
    for (size_t i = 0; i < COUNTOF(wrong); i++)
        EXPECT(!journal_name_read(&f, wrong[i]), "%s", wrong[i]);
}

// Files that earlier versions wrote, kept for ever: later ones must read them.
static bool read_golden(const char *name, struct record r[4])
{
    struct journal_file f;
    struct diag diag = {0};
    int32_t n = 0;
    enum journal_end end = JOURNAL_MORE;
    enum err e = journal_file_open(&f, STR(SOURCE_ROOT "/tests/golden"), name, &diag);
    EXPECT(!e, "%s", diag.text);
    if (e)
        return false;
    struct record got[16];
    EXPECT(!journal_file_read(&f, JOURNAL_FIRST, f.bytes, got, 16, &n, &end, NULL), "read");
    EXPECT(n == 4 && end == JOURNAL_END, "%d records", n);
    EXPECT(got[0].epoch == f.epoch && got[0].loop == 2 && got[0].sequence == 1 &&
               got[0].at_us == 1795317170629962 && got[0].flags == RECORD_STREAM,
           "head");
    memcpy(r, got, 4 * sizeof *r);
    journal_file_close(&f);
    return n == 4;
}

static void check_golden(const struct record *r)
{
    EXPECT(r[0].kind == RECORD_RESERVE &&
               strcmp(r[0].reserve.request, "req_0123456789abcdef01234567") == 0 &&
               r[0].reserve.tenant == record_id(RECORD_TENANT, STR("app")) &&
               r[0].reserve.pool == record_id(RECORD_POOL, STR("p")) &&
               r[0].reserve.supplier == record_id(RECORD_SUPPLIER, STR("s")) &&
               r[0].reserve.contract == record_id(RECORD_CONTRACT, STR("c")) &&
               r[0].reserve.model == record_id(RECORD_MODEL, STR("m")) &&
               r[0].reserve.bound_nusd == 5000 && r[0].reserve.prompt_tok == 7 &&
               r[0].reserve.surface == 1 && r[0].reserve.ordinal == 1,
           "reserve");
    const struct record_settle *s = &r[1].settle;
    EXPECT(r[1].kind == RECORD_SETTLE && s->attempt == 1 && s->list_nusd == 11 &&
               s->marginal_nusd == 12 && s->total_us == 13 && s->ttft_us == 14 &&
               s->bytes_up == 15 && s->bytes_down == 16 && s->joules == 0.5 &&
               s->prompt_tok == 17 && s->cached_tok == 18 && s->output_tok == 19 &&
               s->reasoning_tok == 20 && s->fault == 2 && s->status == 200,
           "settle");
    const struct record_request *q = &r[2].request;
    EXPECT(r[2].kind == RECORD_REQUEST && q->model_asked == record_id(RECORD_MODEL, STR("g")) &&
               q->class == record_id(RECORD_CLASS, STR("chat")) && q->list_nusd == 21 &&
               q->charged_nusd == 22 && q->total_us == 23 && q->ttft_us == 24 &&
               q->prompt_tok == 25 && q->cached_tok == 26 && q->output_tok == 27 &&
               q->reasoning_tok == 28 && q->status == 200 && q->attempts == 2 && q->surface == 1 &&
               q->fault == 0,
           "request");
    EXPECT(r[3].kind == RECORD_GAP && r[3].gap.attempts == 3 && r[3].gap.list_nusd == 29, "gap");
}

static void the_golden_journal_of_version_1_is_read(void)
{
    struct record r[4];
    if (!read_golden("00000001-0002-00000001.cj", r))
        return;
    check_golden(r);
    EXPECT(r[0].reserve.key == 0 && r[2].request.key == 0 && r[1].settle.commitment == 0,
           "what version 1 did not say is 0");
}

static void the_golden_journal_of_version_2_is_read(void)
{
    struct record r[4];
    if (!read_golden("00000002-0002-00000001.cj", r))
        return;
    check_golden(r);
    EXPECT(r[0].reserve.key == record_id(RECORD_KEY, STR("k")) &&
               r[2].request.key == record_id(RECORD_KEY, STR("k")),
           "key");
    EXPECT(r[1].settle.commitment == record_id(RECORD_CONTRACT, STR("c")) &&
               r[1].settle.unit == 2 && r[1].settle.drawn == 2.5,
           "drawn");
}

// test_journal --golden FOLDER writes that file; only ever for a new version.
static int write_golden(const char *to)
{
    struct journal *j;
    struct journal_config c = {
        .folder = str_of(to), .epoch = RECORD_VERSION, .loop = 2, .segment_bytes = 4096};
    NEED(!journal_new(&j, &c, NULL));
    struct record r[4] = {
        {.kind = RECORD_RESERVE,
         .flags = RECORD_STREAM,
         .reserve = {.request = "req_0123456789abcdef01234567",
                     .tenant = record_id(RECORD_TENANT, STR("app")),
                     .pool = record_id(RECORD_POOL, STR("p")),
                     .supplier = record_id(RECORD_SUPPLIER, STR("s")),
                     .contract = record_id(RECORD_CONTRACT, STR("c")),
                     .model = record_id(RECORD_MODEL, STR("m")),
                     .bound_nusd = 5000,
                     .prompt_tok = 7,
                     .surface = 1,
                     .ordinal = 1,
                     .key = record_id(RECORD_KEY, STR("k"))}},
        {.kind = RECORD_SETTLE,
         .settle = {1, 11, 12, 13, 14, 15, 16, 0.5, 17, 18, 19, 20, 2, 200, .unit = 2,
                    .commitment = record_id(RECORD_CONTRACT, STR("c")), .drawn = 2.5}},
        {.kind = RECORD_REQUEST,
         .request = {.request = "req_0123456789abcdef01234567",
                     .tenant = record_id(RECORD_TENANT, STR("app")),
                     .pool = record_id(RECORD_POOL, STR("p")),
                     .supplier = record_id(RECORD_SUPPLIER, STR("s")),
                     .contract = record_id(RECORD_CONTRACT, STR("c")),
                     .model_asked = record_id(RECORD_MODEL, STR("g")),
                     .model = record_id(RECORD_MODEL, STR("m")),
                     .class = record_id(RECORD_CLASS, STR("chat")),
                     .list_nusd = 21,
                     .charged_nusd = 22,
                     .total_us = 23,
                     .ttft_us = 24,
                     .prompt_tok = 25,
                     .cached_tok = 26,
                     .output_tok = 27,
                     .reasoning_tok = 28,
                     .status = 200,
                     .attempts = 2,
                     .surface = 1,
                     .key = record_id(RECORD_KEY, STR("k"))}},
        {.kind = RECORD_GAP, .gap = {3, 29}},
    };
    for (size_t i = 0; i < COUNTOF(r); i++) {
        r[i].at_us = 1795317170629962;
        journal_append(j, &r[i]);
    }
    NEED(!journal_write(j, NULL));
    journal_free(j);
    return 0;
}

static void remove_folder(void)
{
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));)
        unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
    rmdir(folder);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--golden") == 0)
        return write_golden(argv[2]);
    NEED(mkdtemp(folder));
    TEST(the_crc_is_castagnolis);
    TEST(names_have_their_numbers_for_ever);
    TEST(what_was_written_is_read);
    TEST(room_is_what_can_be_written_for_sure);
    TEST(a_torn_tail_is_told);
    TEST(every_flipped_bit_is_seen);
    TEST(a_newer_version_is_refused);
    TEST(only_journals_have_their_names);
    TEST(the_golden_journal_of_version_1_is_read);
    TEST(the_golden_journal_of_version_2_is_read);
    remove_folder();
    return test_end();
}
