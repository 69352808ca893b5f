// Timers, calls between threads, listening. Each story ends by itself or by a watchdog.

#include "io/loop.h"
#include "base/arena.h"
#include "lib/side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

// --- timers, turns, threads -------------------------------------------------------------------

static int fired[8], n_fired;
static int64_t fired_us[8];
static struct timer timers[5];

static void on_fire(struct timer *t)
{
    fired_us[n_fired] = loop_now_us(loop);
    fired[n_fired++] = (int)(t - timers);
    if (n_fired == 4)
        loop_stop(loop);
}

static void timers_fire_in_order_and_never_early(void)
{
    begin();
    int64_t start = loop_now_us(loop);
    const int64_t due[5] = {MS(20), MS(5), MS(5), MS(30), MS(10)};
    n_fired = 0;
    for (int i = 0; i < 5; i++) {
        timers[i] = (struct timer){.fire = on_fire};
        timer_set(loop, &timers[i], start + due[i]);
    }
    timer_set(loop, &timers[3], start + MS(1));  // moved
    timer_stop(loop, &timers[4]);
    timer_stop(loop, &timers[4]);
    run();
    const int order[4] = {3, 1, 2, 0};
    for (int i = 0; i < 4; i++) {
        EXPECT(fired[i] == order[i], "place %d: timer %d", i, fired[i]);
        int64_t due_us = start + (order[i] == 3 ? MS(1) : due[order[i]]);
        EXPECT(fired_us[i] >= due_us, "timer %d is %ld us early", order[i],
               (long)(due_us - fired_us[i]));
        EXPECT(fired_us[i] < due_us + MS(500), "timer %d late", order[i]);
    }
    end();
}

static int turns, again_in_turn;
static struct timer always;

static void on_always(struct timer *t)
{
    if (++turns < 1000)
        timer_set(loop, t, loop_now_us(loop));
}

static void second_call(void *arg)
{
    (void)arg;
    again_in_turn = turns;
    loop_stop(loop);
}

static void first_call(void *arg)
{
    loop_after_turn(loop, second_call, arg);
}

// A timer that is always due leaves room for others, and what loop_after_turn() adds does not
// sleep.
static void nothing_starves_and_after_turn_follows(void)
{
    begin();
    turns = again_in_turn = 0;
    always = (struct timer){.fire = on_always};
    timer_set(loop, &always, loop_now_us(loop));
    loop_after_turn(loop, first_call, NULL);
    run();
    EXPECT(again_in_turn == 2, "the second call came after %d fires", again_in_turn);
    end();
}

enum { POSTERS = 4, POSTS = 5000 };
static int posts_seen[POSTERS], posts_out_of_order;

struct post {
    int from, number;
};

static void on_post(void *arg)
{
    struct post *p = arg;
    if (posts_seen[p->from] != p->number)
        posts_out_of_order++;
    posts_seen[p->from]++;
    free(p);
    int all = 0;
    for (int i = 0; i < POSTERS; i++)
        all += posts_seen[i];
    if (all == POSTERS * POSTS)
        loop_stop(loop);
}

static void *poster(void *arg)
{
    for (int i = 0; i < POSTS; i++) {
        struct post *p = take(sizeof *p);
        *p = (struct post){.from = (int)(intptr_t)arg, .number = i};
        loop_post(loop, on_post, p);
    }
    return NULL;
}

static void calls_of_other_threads_all_come_in_order(void)
{
    begin();
    pthread_t threads[POSTERS];
    posts_out_of_order = 0;
    for (int i = 0; i < POSTERS; i++) {
        posts_seen[i] = 0;
        NEED(pthread_create(&threads[i], NULL, poster, (void *)(intptr_t)i) == 0);
    }
    run();
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < POSTERS; i++)
        EXPECT(posts_seen[i] == POSTS, "thread %d: %d", i, posts_seen[i]);
    EXPECT(posts_out_of_order == 0, "%d out of order", posts_out_of_order);
    end();
}

static void on_user_signal(void *arg)
{
    ++*(int *)arg;
    loop_stop(loop);
}

static void signals_come_as_calls(void)
{
    begin();
    int seen = 0;
    loop_on_signal(loop, SIGUSR1, on_user_signal, &seen);
    kill(getpid(), SIGUSR1);
    run();
    EXPECT(seen == 1, "%d", seen);
    end();
}

// --- listening --------------------------------------------------------------------------------

static void a_port_in_use_is_refused(void)
{
    begin();
    struct diag diag = {0};
    struct listener *other = NULL;
    listen_with(on_accept_one);
    int32_t port = listener_port(listener);
    enum err e =
        listener_new(&other, loop, STR("127.0.0.1"), port, true, on_accept_one, NULL, &diag);
    char want[100];
    snprintf(want, sizeof want, "port %d on 127.0.0.1 is in use by another program", port);
    EXPECT(e == ERR_EXISTS && strcmp(diag.text, want) == 0, "%s", diag.text);

    pid_t child = fork();
    if (child == 0) {
        struct loop *l;
        struct diag d = {0};
        if (loop_new(&l, &d))
            _exit(2);
        _exit(listener_new(&other, l, STR("127.0.0.1"), port, true, on_accept_one, NULL, &d) ==
                      ERR_EXISTS
                  ? 7
                  : 3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 7, "status %x", (unsigned)status);

    // Another loop of this process shares it.
    diag = (struct diag){0};
    e = listener_new(&other, loop, STR("127.0.0.1"), port, false, on_accept_one, NULL, &diag);
    EXPECT(e == ERR_NONE, "%s", diag.text);
    listener_close(other);
    listener_close(listener);
    diag = (struct diag){0};
    e = listener_new(&other, loop, STR("127.0.0.1"), port, true, on_accept_one, NULL, &diag);
    EXPECT(e == ERR_NONE, "once it is free: %s", diag.text);
    end();
}

// One that knows nothing of our lock, but was careless enough to allow sharing.
static void a_foreign_listener_that_would_share_is_seen(void)
{
    begin();
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    NEED(bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, 1) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&a, &n) == 0);
    struct diag diag = {0};
    enum err e = listener_new(&listener, loop, STR("localhost"), ntohs(a.sin_port), true,
                              on_accept_one, NULL, &diag);
    if (e == ERR_NONE)  // localhost is ::1 here
        EXPECT(listener_port(listener) == ntohs(a.sin_port), "port");
    e = listener_new(&listener, loop, STR("127.0.0.1"), ntohs(a.sin_port), true, on_accept_one,
                     NULL, &diag);
    EXPECT(e == ERR_EXISTS, "%s", err_name(e));
    close(fd);
    end();
}

static void bad_addresses_are_refused(void)
{
    begin();
    struct diag diag = {0};
    EXPECT(listener_new(&listener, loop, STR(""), 0, true, on_accept_one, NULL, &diag) ==
               ERR_INVALID,
           "%s", diag.text);
    EXPECT(listener_new(&listener, loop, STR("::1"), 70000, true, on_accept_one, NULL, NULL) ==
               ERR_INVALID,
           "port");
    diag = (struct diag){0};
    EXPECT(listener_new(&listener, loop, STR("192.0.2.1"), 0, true, on_accept_one, NULL, &diag) ==
               ERR_SYSTEM,
           "%s", diag.text);
    end();
}

static struct timer later;
static struct rlimit limit_before;
static int turns_seen;
static int held[400], n_held;

static void on_later(struct timer *t)
{
    (void)t;
    setrlimit(RLIMIT_NOFILE, &limit_before);
}

static void count_turn(void *arg)
{
    (void)arg;
    turns_seen++;
}

static void accepted_when_there_is_room(void *ctx, struct conn *c)
{
    on_accept_one(ctx, c);
    loop_after_turn(loop, count_turn, NULL);
    loop_stop(loop);
}

// Out of descriptors: the connection waits in the backlog, the loop sleeps, and all ends well.
static void without_descriptors_it_waits(void)
{
    begin();
    server_like = (struct side){0};
    listen_with(accepted_when_there_is_room);
    int fd = raw_connect(listener_port(listener));
    getrlimit(RLIMIT_NOFILE, &limit_before);
    struct rlimit low = limit_before;
    low.rlim_cur = (rlim_t)fd + 1;
    setrlimit(RLIMIT_NOFILE, &low);
    n_held = 0;
    int more;
    while (n_held < 400 && (more = dup(0)) >= 0)
        held[n_held++] = more;
    later = (struct timer){.fire = on_later};
    timer_set(loop, &later, clock_now_us() + MS(250));
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    run();
    getrusage(RUSAGE_SELF, &after);
    setrlimit(RLIMIT_NOFILE, &limit_before);
    int64_t cpu_us = (after.ru_utime.tv_sec - before.ru_utime.tv_sec + after.ru_stime.tv_sec -
                      before.ru_stime.tv_sec) *
                         1000000 +
                     after.ru_utime.tv_usec - before.ru_utime.tv_usec + after.ru_stime.tv_usec -
                     before.ru_stime.tv_usec;
    EXPECT(cpu_us < 100 * 1000, "%ld us of CPU while waiting", (long)cpu_us);
    EXPECT(server.c && strstr(conn_peer(server.c).p, "127.0.0.1:"), "not accepted");
    for (int i = 0; i < n_held; i++)
        close(held[i]);
    close(fd);
    end();
}

int main(void)
{
    TEST(timers_fire_in_order_and_never_early);
    TEST(nothing_starves_and_after_turn_follows);
    TEST(calls_of_other_threads_all_come_in_order);
    TEST(signals_come_as_calls);
    TEST(a_port_in_use_is_refused);
    TEST(a_foreign_listener_that_would_share_is_seen);
    TEST(bad_addresses_are_refused);
    TEST(without_descriptors_it_waits);
    return test_end();
}
