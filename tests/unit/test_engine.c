// Engines: this program is the gateway, the child's half of the start, and the engine.

#include "io/engine.h"
#include "io/file.h"
#include "lib/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// --- the engine: test_engine --serve MODE PORT ------------------------------------------------

static int descriptors(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n - 3;  // ".", ".." and the folder itself
}

// True for the first engine that says so in this folder.
static bool is_first(void)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/first", getenv("ENGINE_FOLDER"));
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int serve(const char *mode, const char *port_text)
{
    int port = atoi(port_text + strlen("port="));
    if (strcmp(mode, "robbed") == 0 && is_first()) {
        if (fork())  // the engine, which never gets to listen
            for (;;)
                pause();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();  // the stranger
    }
    if (strcmp(mode, "exit") == 0)
        return 3;
    if (strcmp(mode, "deaf") == 0)
        for (;;)
            pause();
    if (strcmp(mode, "stubborn") == 0)
        signal(SIGTERM, SIG_IGN);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16))
        return 4;
    printf("%s, %d descriptors\n", port_text, descriptors());
    fflush(stdout);
    for (int asked = 0;; asked++) {
        char head[2000];
        int c = accept(fd, NULL, NULL);
        ssize_t n = recv(c, head, sizeof head - 1, 0);
        head[n < 0 ? 0 : n] = 0;
        bool good = strncmp(head, "GET /well HTTP/1.1\r\n", 20) == 0;
        if (strcmp(mode, "sickly") == 0 && asked > 0)
            good = false;
        if (strcmp(mode, "slow") == 0 && asked < 2)
            good = false;  // still loading
        dprintf(c, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", good ? "200 OK" : "503 Loading");
        close(c);
    }
}

// --- the gateway ------------------------------------------------------------------------------

static struct loop *loop;
static struct timer watchdog;
static char folder[] = "/tmp/caudal-engine-XXXXXX", self[4096];

static void on_bite(struct timer *t)
{
    (void)t;
    printf("  stopped by the watchdog\n");
    test_bad++;
    loop_stop(loop);
}

struct story {
    struct engine *e;
    int ready, failed, stopped;
    int32_t first_pid, last_pid, port;
    char why[400];
    void (*on_ready)(struct story *s);
    void (*on_failed)(struct story *s);
};

static void on_state(void *ctx, struct engine *e, enum engine_state state, struct str why)
{
    struct story *s = ctx;
    s->e = e;
    switch (state) {
    case ENGINE_READY:
        s->ready++;
        s->last_pid = engine_pid(e);
        s->port = engine_port(e);
        if (s->ready == 1)
            s->first_pid = s->last_pid;
        if (s->on_ready)
            s->on_ready(s);
        break;
    case ENGINE_FAILED:
        s->failed++;
        snprintf(s->why, sizeof s->why, STR_FMT, STR_ARG(why));
        if (s->on_failed)
            s->on_failed(s);
        break;
    default:
        EXPECT(state == ENGINE_STOPPED && engine_state(e) == ENGINE_STOPPED, "state %d", state);
        s->stopped++;
        engine_free(e);  // allowed from in here
        s->e = NULL;
        loop_stop(loop);
        break;
    }
}

static const struct engine_calls calls = {on_state};

static void stop_it(struct story *s)
{
    engine_stop(s->e, S(5));
}

// Tells the story of an engine in `mode` until it is stopped.
static void tell(struct story *s, const char *mode, int64_t start_us)
{
    struct str argv[] = {str_of(self), STR("--serve"), str_of(mode), STR("port=${PORT}")};
    struct supplier supplier = {.name = STR("little")};
    supplier.run = (struct engine_config){
        .argv = argv, .n_argv = 4, .health = STR("/well"), .start_us = start_us};
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    watchdog = (struct timer){.fire = on_bite};
    timer_set(loop, &watchdog, loop_now_us(loop) + S(30));
    enum err e = engine_new(&s->e, loop, &supplier, str_of(folder), &calls, s, &diag);
    EXPECT(e == ERR_NONE, "%s", diag.text);
    if (e == ERR_NONE) {
        engine_look_every(s->e, MS(20));
        loop_run(loop);
    }
    engine_free(s->e);
    loop_free(loop);
}

static bool is_gone(int32_t pid)  // or a zombie, where nobody collects orphans
{
    char path[64], text[400] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *state = strrchr(text, ')');
    return !state || state[2] == 'Z' || state[2] == 'X';
}

static void kill_first(struct story *s)
{
    if (s->ready == 1)
        kill(s->last_pid, SIGKILL);
    else
        stop_it(s);
}

static void a_killed_engine_comes_back(void)
{
    struct story s = {.on_ready = kill_first};
    tell(&s, "good", S(20));
    EXPECT(s.ready == 2 && s.failed == 1 && s.stopped == 1, "%d %d %d", s.ready, s.failed,
           s.stopped);
    EXPECT(s.first_pid != s.last_pid, "same process");
    EXPECT(strstr(s.why, "it was ended by signal 9 (Killed); again in 0."), "%s", s.why);
    EXPECT(is_gone(s.first_pid) && is_gone(s.last_pid), "left behind");
}

static void its_output_goes_to_the_log(void)
{
    char path[200], want[100];
    snprintf(path, sizeof path, "%s/little.log", folder);
    unlink(path);
    struct story s = {.on_ready = stop_it};
    tell(&s, "slow", S(20));
    EXPECT(s.ready == 1 && s.failed == 0, "%d %d: %s", s.ready, s.failed, s.why);
    struct arena a;
    struct str text = {0};
    struct diag diag = {0};
    arena_init(&a, 100000);
    EXPECT(file_read(&text, &a, str_of(path), 10000, &diag) == ERR_NONE, "%s", diag.text);
    snprintf(want, sizeof want, "port=%d, 4 descriptors\n", s.port);  // 0, 1, 2 and its socket
    EXPECT(str_eq(text, str_of(want)), "log: " STR_FMT, STR_ARG(text));
    arena_release(&a);
}

static void an_engine_that_exits_is_reported(void)
{
    struct story s = {.on_failed = stop_it};
    tell(&s, "exit", S(20));
    EXPECT(s.failed == 1 && s.stopped == 1 && s.ready == 0, "%d %d", s.failed, s.stopped);
    EXPECT(strstr(s.why, "it exited with status 3, see /tmp/caudal-engine-"), "%s", s.why);
}

static void an_engine_that_is_never_ready_is_ended(void)
{
    struct story s = {.on_failed = stop_it};
    tell(&s, "deaf", MS(600));
    EXPECT(s.failed == 1 && s.stopped == 1, "%d %d", s.failed, s.stopped);
    EXPECT(strstr(s.why, "not ready within 0.6 s (connect to 127.0.0.1:"), "%s", s.why);
}

static void an_engine_that_falls_ill_is_restarted(void)
{
    struct story s = {.on_failed = stop_it};
    tell(&s, "sickly", S(20));
    EXPECT(s.ready == 1 && s.failed == 1, "%d %d", s.ready, s.failed);
    EXPECT(strstr(s.why, "its health path failed 3 times (HTTP/1.1 503)"), "%s", s.why);
    EXPECT(is_gone(s.first_pid), "still there");
}

static void stop_after_failing(struct story *s)
{
    if (s->failed)
        stop_it(s);
}

// A stranger takes the port first, and even answers well.
static void a_port_that_another_program_took_is_left_to_it(void)
{
    struct story s = {.on_ready = stop_after_failing};
    setenv("ENGINE_FOLDER", folder, 1);
    tell(&s, "robbed", S(20));
    EXPECT(s.failed == 1 && s.ready == 1 && s.stopped == 1, "%d %d %d", s.failed, s.ready,
           s.stopped);
    EXPECT(strstr(s.why, " answers, but it is not this engine that listens there; again in"), "%s",
           s.why);
    char path[200];
    snprintf(path, sizeof path, "%s/first", folder);
    unlink(path);
}

static void stop_soon(struct story *s)
{
    engine_stop(s->e, MS(100));
}

static void a_stubborn_engine_is_killed_after_its_grace(void)
{
    struct story s = {.on_ready = stop_soon};
    tell(&s, "stubborn", S(20));
    EXPECT(s.stopped == 1 && is_gone(s.last_pid), "%d", s.stopped);
}

static void a_program_that_is_not_there_is_refused(void)
{
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    struct engine *e = NULL;
    struct str argv[] = {STR("no-such-engine")};
    struct supplier supplier = {.name = STR("little"), .run = {.argv = argv, .n_argv = 1}};
    EXPECT(engine_new(&e, loop, &supplier, str_of(folder), &calls, NULL, &diag) == ERR_MISSING,
           "%s", diag.text);
    EXPECT(strstr(diag.text, "supplier little: the program \"no-such-engine\" is not found"), "%s",
           diag.text);
    argv[0] = STR("/etc/passwd");
    EXPECT(engine_new(&e, loop, &supplier, str_of(folder), &calls, NULL, NULL) == ERR_MISSING,
           "not executable");
    argv[0] = STR("sh");
    EXPECT(engine_new(&e, loop, &supplier, str_of(folder), &calls, NULL, NULL) == ERR_NONE,
           "on the PATH");
    engine_free(e);
    loop_free(loop);
}

static int report_to;

static void report_pid(struct story *s)
{
    if (write(report_to, &s->last_pid, sizeof s->last_pid) < 0)
        _exit(9);
}

// kill -9 of the gateway: nobody is left to end the engine but the kernel.
static void an_engine_dies_with_its_gateway(void)
{
    int ends[2];
    NEED(pipe(ends) == 0);
    pid_t gateway = fork();
    if (gateway == 0) {
        report_to = ends[1];
        struct story s = {.on_ready = report_pid};
        tell(&s, "good", S(20));
        _exit(0);
    }
    close(ends[1]);
    int32_t pid = 0;
    NEED(read(ends[0], &pid, sizeof pid) == sizeof pid);
    close(ends[0]);
    EXPECT(pid > 0 && !is_gone(pid), "not running");
    kill(gateway, SIGKILL);
    waitpid(gateway, NULL, 0);
    bool gone = false;
    for (int i = 0; i < 1000 && !(gone = is_gone(pid)); i++)
        usleep(5000);  // the kernel tells nobody of this death but the new parent
    EXPECT(gone, "process %d was orphaned", pid);
}

static void a_stranger_is_not_started(void)
{
    char *argv[] = {self,          (char[]){"__engine"},  (char[]){"/dev/null"},
                    (char[]){"1"}, (char[]){"/bin/true"}, NULL};
    pid_t child = fork();
    if (child == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        dup2(quiet, 2);
        if (getppid() == 1)
            _exit(127);
        _exit(engine_exec_main(5, argv));
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 127, "%x", (unsigned)status);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "__engine") == 0)
        return engine_exec_main(argc, argv);
    if (argc == 4 && strcmp(argv[1], "--serve") == 0)
        return serve(argv[2], argv[3]);
    NEED(mkdtemp(folder));
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    NEED(n > 0);

    TEST(a_killed_engine_comes_back);
    TEST(its_output_goes_to_the_log);
    TEST(an_engine_that_exits_is_reported);
    TEST(an_engine_that_is_never_ready_is_ended);
    TEST(an_engine_that_falls_ill_is_restarted);
    TEST(a_port_that_another_program_took_is_left_to_it);
    TEST(a_stubborn_engine_is_killed_after_its_grace);
    TEST(a_program_that_is_not_there_is_refused);
    TEST(an_engine_dies_with_its_gateway);
    TEST(a_stranger_is_not_started);

    char path[200];
    snprintf(path, sizeof path, "%s/little.log", folder);
    unlink(path);
    rmdir(folder);
    return test_end();
}
