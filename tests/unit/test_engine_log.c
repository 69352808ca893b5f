// The log of an engine stays within bounds while it is written.

#include "io/engine_log.h"
#include "lib/test.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/caudal-test-XXXXXX";
static char path[200], kept[210];

static int64_t size_of(const char *file)
{
    struct stat st;
    return stat(file, &st) ? -1 : (int64_t)st.st_size;
}

static void add_lines(int fd, int from, int to)
{
    for (int i = from; i < to; i++) {
        char line[16];
        int n = snprintf(line, sizeof line, "line %06d\n", i);
        NEED(write(fd, line, (size_t)n) == n);
    }
}

static void a_writer_goes_on_at_the_beginning(void)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0640);
    NEED(fd >= 0);
    add_lines(fd, 0, 1000);  // 12 bytes each
    engine_log_bound(path, 12000);
    EXPECT(size_of(path) == 12000 && size_of(kept) == -1, "one that fits is left alone");
    add_lines(fd, 1000, 1001);
    engine_log_bound(path, 12000);
    EXPECT(size_of(path) == 0 && size_of(kept) == 3000, "%ld and %ld", (long)size_of(path),
           (long)size_of(kept));
    add_lines(fd, 1001, 1003);
    EXPECT(size_of(path) == 24, "%ld", (long)size_of(path));
    char last[13] = "";
    int k = open(kept, O_RDONLY);
    EXPECT(pread(k, last, 12, 3000 - 12) == 12 && strcmp(last, "line 001000\n") == 0, "%s", last);
    close(k);
    add_lines(fd, 1003, 3003);
    engine_log_bound(path, 12000);
    EXPECT(size_of(path) == 0 && size_of(kept) == 3000, "the one before is replaced");
    close(fd);
}

static void what_is_no_file_is_left_alone(void)
{
    engine_log_bound("/dev/null", 0);
    engine_log_bound("/nowhere/at/all", 0);
    EXPECT(size_of("/dev/null.1") == -1, "made");
}

int main(void)
{
    NEED(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/engine.log", folder);
    snprintf(kept, sizeof kept, "%s.1", path);
    TEST(a_writer_goes_on_at_the_beginning);
    TEST(what_is_no_file_is_left_alone);
    unlink(path);
    unlink(kept);
    rmdir(folder);
    return test_end();
}
