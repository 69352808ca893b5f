#include "io/file.h"
#include "lib/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/caudal-file-XXXXXX";

static struct str in_folder(const char *name)
{
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return str_of(path);
}

static void write_file(const char *name, const char *text, size_t n)
{
    FILE *f = fopen(in_folder(name).p, "w");
    NEED(f && fwrite(text, 1, n, f) == n && fclose(f) == 0);
}

static void a_file_is_read_whole_with_a_0_behind(void)
{
    struct arena a;
    struct str text = {0};
    arena_init(&a, 1000000);
    static char big[300 * 1000];
    memset(big, 'x', sizeof big);
    big[777] = 0;
    write_file("big", big, sizeof big);
    write_file("empty", "", 0);
    EXPECT(file_read(&text, &a, in_folder("big"), sizeof big, NULL) == ERR_NONE, "big");
    EXPECT(text.n == sizeof big && memcmp(text.p, big, sizeof big) == 0 && text.p[text.n] == 0,
           "%zu", text.n);
    EXPECT(file_read(&text, &a, in_folder("empty"), 0, NULL) == ERR_NONE && text.n == 0, "empty");
    EXPECT(file_read(&text, &a, STR("/proc/self/status"), 100000, NULL) == ERR_NONE && text.n > 100,
           "a file without a size: %zu", text.n);
    arena_release(&a);
}

static void limits_hold(void)
{
    struct arena a;
    struct str text = STR("untouched");
    struct diag diag = {0};
    arena_init(&a, 100);
    write_file("ten", "0123456789", 10);
    EXPECT(file_read(&text, &a, in_folder("ten"), 9, &diag) == ERR_LIMIT, "%s", err_name(diag.e));
    EXPECT(strstr(diag.text, "/ten has more than 9 bytes"), "%s", diag.text);
    EXPECT(str_eq(text, STR("untouched")), "touched");
    EXPECT(file_read(&text, &a, in_folder("ten"), 10, NULL) == ERR_NONE && text.n == 10,
           "at the limit");
    EXPECT(file_read(&text, &a, STR("/dev/zero"), 100000, NULL) == ERR_LIMIT, "endless");
    arena_release(&a);
    for (size_t size = 0;; size += 16) {
        arena_init(&a, size);
        enum err e = file_read(&text, &a, in_folder("ten"), 10, NULL);
        arena_release(&a);
        if (e == ERR_NONE)
            break;
        EXPECT(e == ERR_LIMIT && size < 100, "%s with %zu", err_name(e), size);
    }
}

static void what_is_not_there_is_named(void)
{
    struct arena a;
    struct str text;
    struct diag diag = {0};
    arena_init(&a, 1000);
    EXPECT(file_read(&text, &a, STR("/nowhere/at all"), 10, &diag) == ERR_MISSING, "missing");
    EXPECT(strcmp(diag.text, "/nowhere/at all: No such file or directory") == 0, "%s", diag.text);
    diag = (struct diag){0};
    EXPECT(file_read(&text, &a, STR("/tmp"), 10, &diag) == ERR_MISSING, "%s", diag.text);
    EXPECT(file_read(&text, &a, STR(""), 10, NULL) == ERR_INVALID, "no name");
    EXPECT(file_read(&text, &a, STR("a\0b"), 10, NULL) == ERR_INVALID, "a 0 in the name");
    arena_release(&a);
}

static void stdin_is_read(void)
{
    struct arena a;
    struct str text = {0};
    int ends[2];
    NEED(pipe(ends) == 0 && write(ends[1], "from a pipe", 11) == 11);
    close(ends[1]);
    int before = dup(0);
    dup2(ends[0], 0);
    arena_init(&a, 1000);
    EXPECT(file_read_stdin(&text, &a, 100, NULL) == ERR_NONE, "failed");
    EXPECT(str_eq(text, STR("from a pipe")), STR_FMT, STR_ARG(text));
    arena_release(&a);
    dup2(before, 0);
    close(before);
    close(ends[0]);
}

static void folders_are_made_for_us_alone(void)
{
    struct stat st;
    struct diag diag = {0};
    EXPECT(file_make_dir(in_folder("a/b//c/"), &diag) == ERR_NONE, "%s", diag.text);
    EXPECT(stat(in_folder("a/b/c").p, &st) == 0 && S_ISDIR(st.st_mode) &&
               (st.st_mode & 0777) == 0700,
           "%o", (unsigned)st.st_mode);
    EXPECT(file_make_dir(in_folder("a/b"), &diag) == ERR_NONE, "again: %s", diag.text);
    write_file("plain", "", 0);
    EXPECT(file_make_dir(in_folder("plain"), &diag) == ERR_MISSING, "%s", diag.text);
    EXPECT(file_make_dir(in_folder("plain/x"), NULL) == ERR_MISSING, "below a file");
    rmdir(in_folder("a/b/c").p);
    rmdir(in_folder("a/b").p);
    rmdir(in_folder("a").p);
}

// What cannot be written leaves what was there, and nothing beside it.
static void a_file_is_replaced_whole_or_not_at_all(void)
{
    struct arena a;
    struct str text = {0};
    struct diag diag = {0};
    char path[64];
    arena_init(&a, 10000);
    snprintf(path, sizeof path, "%s/r/x", folder);
    EXPECT(file_replace(str_of(path), STR("1"), false, &diag) == ERR_MISSING, "no folder");
    EXPECT(strstr(diag.text, "r/x.new: No such file"), "%s", diag.text);
    EXPECT(!file_replace(in_folder("r"), STR("one"), true, NULL), "new");
    EXPECT(!file_replace(in_folder("r"), STR("two"), false, NULL), "again");
    EXPECT(!file_read(&text, &a, in_folder("r"), 100, NULL) && str_eq(text, STR("two")), "read");
    snprintf(path, sizeof path, "%s/d", folder);
    NEED(mkdir(path, 0700) == 0);
    EXPECT(file_replace(str_of(path), STR("x"), true, NULL) != ERR_NONE, "a folder is there");
    EXPECT(access(in_folder("d.new").p, F_OK) != 0, "nothing is left");
    NEED(rmdir(path) == 0 && unlink(in_folder("r").p) == 0);
    arena_release(&a);
}

int main(void)
{
    NEED(mkdtemp(folder));
    TEST(a_file_is_read_whole_with_a_0_behind);
    TEST(a_file_is_replaced_whole_or_not_at_all);
    TEST(limits_hold);
    TEST(what_is_not_there_is_named);
    TEST(stdin_is_read);
    TEST(folders_are_made_for_us_alone);
    const char *names[] = {"big", "empty", "ten", "plain"};
    for (size_t i = 0; i < COUNTOF(names); i++)
        unlink(in_folder(names[i]).p);
    rmdir(folder);
    return test_end();
}
