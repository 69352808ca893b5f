// A process hands its sockets to the next, and each knows which journals are its own.

#include "io/claim.h"
#include "io/handover.h"
#include "lib/test.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/caudal-test-XXXXXX";
static struct loop *loop;
static struct handover *offer;
static int pair[2];
static int asked, taken, left;
static int32_t taken_by;

static void on_asked(void *ctx)
{
    (void)ctx;
    asked++;
    handover_give(offer, STR("clients 127.0.0.1 80"), pair, 1);
    handover_give(offer, STR("engine here"), NULL, 0);
    handover_end(offer);
}

static void on_taken(void *ctx, int32_t pid)
{
    (void)ctx;
    taken++;
    taken_by = pid;
    loop_stop(loop);
}

static void on_left(void *ctx)
{
    (void)ctx;
    left++;
    loop_stop(loop);
}

static const struct handover_calls calls = {.asked = on_asked, .taken = on_taken, .left = on_left};

static void run_beside(void *(*fn)(void *))
{
    pthread_t t;
    NEED(pthread_create(&t, NULL, fn, NULL) == 0);
    loop_run(loop);
    pthread_join(t, NULL);
}

// --- facts ------------------------------------------------------------------------------------

static void *follow(void *arg)
{
    (void)arg;
    struct heir *h, *second;
    struct handover_message m;
    struct diag diag = {0};
    EXPECT(handover_ask(&h, str_of(folder), &diag) == ERR_NONE, "%s", diag.text);
    EXPECT(!handover_next(h, &m, &diag) && m.n == 1 && !m.all, "%s", m.text);
    EXPECT(strcmp(m.text, "clients 127.0.0.1 80") == 0, "%s", m.text);
    // It is the very socket: what is written at one end comes out at the other.
    char byte = 0;
    EXPECT(write(m.fds[0], "x", 1) == 1 && read(pair[1], &byte, 1) == 1 && byte == 'x', "no");
    close(m.fds[0]);
    EXPECT(!handover_next(h, &m, &diag) && m.n == 0 && strcmp(m.text, "engine here") == 0, "%s",
           m.text);
    EXPECT(!handover_next(h, &m, &diag) && m.all, "%s", m.text);
    EXPECT(!handover_ask(&second, str_of(folder), &diag) &&
               handover_next(second, &m, &diag) == ERR_EXISTS,
           "two take over at once");
    heir_free(second);
    EXPECT(!handover_taken(h, &diag), "%s", diag.text);
    heir_free(h);
    return NULL;
}

static void *follow_and_fail(void *arg)
{
    (void)arg;
    struct heir *h;
    struct handover_message m;
    struct diag diag = {0};
    EXPECT(!handover_ask(&h, str_of(folder), &diag) && !handover_next(h, &m, &diag), "%s",
           diag.text);
    close(m.fds[0]);
    heir_free(h);  // and on_left() stops the loop
    return NULL;
}

static void sockets_and_words_come_over_once(void)
{
    struct diag diag = {0};
    NEED(loop_new(&loop, &diag) == ERR_NONE);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    NEED(handover_offer(&offer, loop, str_of(folder), &calls, NULL, &diag) == ERR_NONE);
    run_beside(follow_and_fail);
    EXPECT(asked == 1 && left == 1 && !taken, "%d asked, %d left, %d taken", asked, left, taken);
    run_beside(follow);
    EXPECT(asked == 2 && taken == 1 && taken_by == getpid(), "%d asked, %d taken", asked, taken);
    handover_close(offer);
    loop_free(loop);
    close(pair[0]);
    close(pair[1]);
}

static void nobody_to_follow_is_said(void)
{
    struct heir *h;
    struct diag diag = {0};
    EXPECT(handover_ask(&h, str_of(folder), &diag) == ERR_MISSING, "%s", diag.text);
    diag = (struct diag){0};
    EXPECT(handover_ask(&h, STR("/nowhere"), &diag) == ERR_MISSING, "%s", diag.text);
}

static void an_epoch_is_one_processs(void)
{
    struct claim *mine, *other;
    struct diag diag = {0};
    EXPECT(claim_take(&mine, str_of(folder), 7, &diag) == ERR_NONE, "%s", diag.text);
    EXPECT(claim_take(&other, str_of(folder), 7, &diag) == ERR_EXISTS, "%s", diag.text);
    EXPECT(claim_take(&other, str_of(folder), 8, NULL) == ERR_NONE, "another epoch");
    claim_drop(other, true);
    claim_drop(mine, false);
    EXPECT(claim_take(&mine, str_of(folder), 7, NULL) == ERR_NONE, "free again");
    claim_drop(mine, true);
}

int main(void)
{
    NEED(mkdtemp(folder));
    TEST(sockets_and_words_come_over_once);
    TEST(nobody_to_follow_is_said);
    TEST(an_epoch_is_one_processs);
    char path[200];
    snprintf(path, sizeof path, "%s/take-over.sock", folder);
    unlink(path);
    NEED(rmdir(folder) == 0);
    return test_end();
}
