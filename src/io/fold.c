#include "io/fold.h"
#include "io/claim.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NAME_BYTES = 64 };

void fold_release(struct fold *f)
{
    free(f->batch);
    f->batch = NULL;
}

// One transaction: up to `parts` batches from `*offset`, which moves when they are durable.
static enum err fold_parts(struct fold *f, const struct journal_file *file, const char *name,
                           int64_t *offset, int64_t until, enum journal_end *end, int32_t parts,
                           struct diag *diag)
{
    int64_t next = *offset;
    enum err e = ERR_NONE;
    *end = JOURNAL_MORE;
    for (int32_t i = 0; i < parts && *end == JOURNAL_MORE && !e; i++) {
        int32_t n;
        e = journal_file_read(file, next, until, f->batch, FOLD_BATCH, &n, end, diag);
        if (e || !n)
            continue;
        int64_t to = next + (int64_t)n * RECORD_BYTES;
        e = store_fold(f->store, name, to, f->batch, n, diag);
        next = e ? *offset : to;  // a failure leaves nothing of the transaction
    }
    enum err committed = store_commit(f->store, e ? NULL : diag);
    if (committed)
        return e ? e : committed;
    f->records += (next - *offset) / RECORD_BYTES;
    *offset = next;
    return e;
}

// From `*offset` up to byte `until` of the file.
static enum err fold_file(struct fold *f, const struct journal_file *file, const char *name,
                          int64_t *offset, int64_t until, enum journal_end *end, struct diag *diag)
{
    enum err e = ERR_NONE;
    if (!f->batch)
        f->batch = take_n(sizeof *f->batch, FOLD_BATCH);
    do
        e = fold_parts(f, file, name, offset, until, end, FOLD_PARTS, diag);
    while (!e && *end == JOURNAL_MORE);
    return e;
}

static enum err drop_file(struct fold *f, const char *path, const char *name, bool keep,
                          struct diag *diag)
{
    char kept[JOURNAL_PATH_BYTES + 16];
    snprintf(kept, sizeof kept, "%s.damaged", path);
    if (keep ? rename(path, kept) : unlink(path))
        return diag_set(diag, ERR_SYSTEM, "%s: %s", path, strerror(errno));
    return store_forget(f->store, name, diag);
}

static void say(const struct fold *f, const char *path, const char *what)
{
    if (f->say)
        f->say(f->ctx, path, what);
}

static enum err fold_dead(struct fold *f, const char *name, struct diag *diag)
{
    struct journal_file file;
    enum journal_end end = JOURNAL_END;
    int64_t offset;
    enum err e = journal_file_open(&file, f->folder, name, diag);
    if (e)
        return e;
    e = store_offset(f->store, name, &offset, diag);
    offset = max_i64(offset, JOURNAL_FIRST);
    if (!e)
        e = fold_file(f, &file, name, &offset, file.bytes, &end, diag);
    journal_file_close(&file);
    if (e)
        return e;
    if (end == JOURNAL_TORN)
        say(f, file.path, "ends in the middle of a record, which is left out");
    else if (end == JOURNAL_DAMAGED)
        say(f, file.path,
            "is damaged in its middle; what comes behind is left out, and the file is "
            "kept as .damaged");
    return drop_file(f, file.path, name, end == JOURNAL_DAMAGED, diag);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

// A segment that was being made.
static bool is_unfinished(const char *name)
{
    size_t n = strlen(name);
    return n > 7 && strcmp(name + n - 7, ".cj.new") == 0;
}

// Of which epoch a file of the folder is; 0: it is none of a journal.
static uint32_t epoch_of(const char *name)
{
    struct journal_file f;
    char whole[NAME_BYTES];
    snprintf(whole, sizeof whole, "%.59s", name);
    if (is_unfinished(whole))
        whole[strlen(whole) - strlen(".new")] = 0;
    return journal_name_read(&f, whole) ? f.epoch : 0;
}

static enum err list(struct str folder, char (**out)[NAME_BYTES], size_t *n, struct diag *diag)
{
    char path[JOURNAL_PATH_BYTES];
    snprintf(path, sizeof path, STR_FMT, STR_ARG(folder));
    DIR *d = file_open_folder(path);
    if (!d)
        return diag_set(diag, errno == ENOENT ? ERR_MISSING : ERR_DENIED, "%s: %s", path,
                        strerror(errno));
    size_t size = 0;
    *n = 0;
    *out = NULL;
    for (const struct dirent *entry; (entry = readdir(d));) {
        if (!epoch_of(entry->d_name))
            continue;
        if (*n == size) {
            size = size ? size * 2 : 16;
            *out = realloc(*out, size * sizeof **out);
            CHECK(*out);
        }
        snprintf((*out)[(*n)++], NAME_BYTES, "%.63s", entry->d_name);
    }
    closedir(d);
    if (*n)
        qsort(*out, *n, sizeof **out, by_name);
    return ERR_NONE;
}

static enum err fold_dead_or_unfinished(struct fold *f, const char *name, struct diag *diag)
{
    char path[JOURNAL_PATH_BYTES];
    if (!is_unfinished(name))
        return fold_dead(f, name, diag);
    snprintf(path, sizeof path, STR_FMT "/%s", STR_ARG(f->folder), name);
    unlink(path);
    return ERR_NONE;
}

// The `n` files of one epoch, unless somebody lives who writes them.
static enum err fold_epoch(struct fold *f, uint32_t epoch, const char (*names)[NAME_BYTES],
                           size_t n, struct diag *diag)
{
    struct claim *claim;
    enum err e = claim_take(&claim, f->folder, epoch, NULL);
    if (e == ERR_EXISTS) {
        f->alive++;
        return ERR_NONE;
    }
    if (e)  // a folder that is full can still be folded: who writes there holds the folder's lock
        claim = NULL;
    e = ERR_NONE;
    for (size_t i = 0; !e && i < n; i++)
        e = fold_dead_or_unfinished(f, names[i], diag);
    claim_drop(claim, !e);
    return e;
}

enum err fold_folder(struct fold *f, uint32_t *epoch_max, struct diag *diag)
{
    char(*names)[NAME_BYTES] = NULL;
    size_t n = 0;
    *epoch_max = 0;
    f->alive = 0;
    enum err e = list(f->folder, &names, &n, diag);
    for (size_t i = 0, next; !e && i < n; i = next) {
        uint32_t epoch = epoch_of(names[i]);
        for (next = i + 1; next < n && epoch_of(names[next]) == epoch;)
            next++;
        *epoch_max = epoch > *epoch_max ? epoch : *epoch_max;
        e = fold_epoch(f, epoch, (const char(*)[NAME_BYTES])names + i, next - i, diag);
    }
    free(names);
    return e;
}

enum err fold_live(struct fold *f, const struct journal *j, uint32_t epoch, uint16_t loop,
                   struct journal_place *at, struct diag *diag)
{
    for (;;) {
        struct journal_place place = journal_place(j);
        bool complete = place.segment > at->segment;
        if (!complete && place.offset <= at->offset)
            return ERR_NONE;
        char name[NAME_BYTES];
        struct journal_file file;
        enum journal_end end;
        snprintf(name, sizeof name, "%08x-%04x-%08x.cj", epoch, loop, at->segment);
        enum err e = journal_file_open(&file, f->folder, name, diag);
        if (e)
            return e;
        e = fold_file(f, &file, name, &at->offset, complete ? file.bytes : place.offset, &end,
                      diag);
        journal_file_close(&file);
        if (!e && !complete && at->offset < place.offset)
            e = diag_set(diag, ERR_SYSTEM, "%s: what was written cannot be read back", file.path);
        if (e || !complete)
            return e;
        if (end == JOURNAL_DAMAGED)
            say(f, file.path, "is damaged in its middle; the file is kept as .damaged");
        e = drop_file(f, file.path, name, end == JOURNAL_DAMAGED, diag);
        if (e)
            return e;
        *at = (struct journal_place){at->segment + 1, JOURNAL_FIRST};
    }
}
