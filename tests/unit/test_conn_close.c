// conn_close() gives a reader time for as long as it reads: its looks, which are seconds apart, are
// brought forward here.

#include "io/loop_uv.h"

#include "lib/side.h"

#include <fcntl.h>

enum { LOTS = 8 * 1000 * 1000, SMALL = 16 * 1024 };
static char lots[LOTS];

static int reader;  // the other side; it reads when the story says so
static size_t got;
static struct timer step;
static size_t least;  // leaves the connection between two looks
static int looks;

// Small buffers, so that what the reader takes is what leaves the connection, and soon.
static void on_accept_closing(void *ctx, struct conn *c)
{
    int fd = -1, small = SMALL;
    on_accept_one(ctx, c);
    uv_fileno((uv_handle_t *)&c->tcp, &fd);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    conn_send(c, (struct str){lots, sizeof lots});
    conn_close(c);
    EXPECT(conn_closing(c) && c->unsent > LOTS / 2, "%zu pending", c->unsent);
}

static void on_server_closed(struct side *s)
{
    timer_stop(loop, &step);
    stop_at_close(s);
}

static void read_some(size_t most)
{
    static char bytes[64 * 1024];
    ssize_t n = recv(reader, bytes, most < sizeof bytes ? most : sizeof bytes, MSG_DONTWAIT);
    got += n > 0 ? (size_t)n : 0;
    if (n == 0)
        shutdown(reader, SHUT_WR);  // all is there
}

// Reads until `least` has left the connection since its last look, then has it look now.
static void on_step(struct timer *t)
{
    struct conn *c = server.c;
    size_t before = c->unsent;
    timer_set(loop, t, loop_now_us(loop) + 100);
    if (c->phase != CONN_CLOSING || conn_pending(c) + least > before) {
        read_some(SMALL);
        return;
    }
    looks++;
    timer_set(loop, &c->timer, loop_now_us(loop));
}

static void on_first_step(struct timer *t)
{
    if (server.c)
        t->fire = on_step;
    timer_set(loop, t, loop_now_us(loop) + 100);
}

static void tell(size_t takes)
{
    begin();
    server = (struct side){0};
    got = 0;
    least = takes;
    looks = 0;
    server_like = (struct side){.on_closed = on_server_closed};
    listen_with(on_accept_closing);
    reader = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int small = SMALL;
    setsockopt(reader, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)listener_port(listener)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    fcntl(reader, F_SETFL, O_NONBLOCK);
    (void)!connect(reader, (struct sockaddr *)&a, sizeof a);
    step = (struct timer){.fire = on_first_step};
    timer_set(loop, &step, loop_now_us(loop));
    run();
    close(reader);
    end();
}

static void a_reader_that_goes_on_gets_all_of_it(void)
{
    tell(CLOSE_BYTES);
    EXPECT(server.why == ERR_NONE && got == LOTS, "%s after %zu bytes", err_name(server.why), got);
    EXPECT(looks > LOTS / CLOSE_BYTES / 3, "%d looks", looks);
}

static void a_reader_that_takes_too_little_is_cut(void)
{
    tell(1);
    EXPECT(server.why == ERR_TIMEOUT && looks == 1, "%s after %d looks", err_name(server.why),
           looks);
    EXPECT(got > 0 && got < LOTS, "%zu bytes", got);
}

static void a_reader_that_is_stuck_is_cut(void)
{
    tell(0);
    EXPECT(server.why == ERR_TIMEOUT && looks == 1, "%s after %d looks", err_name(server.why),
           looks);
}

int main(void)
{
    TEST(a_reader_that_goes_on_gets_all_of_it);
    TEST(a_reader_that_takes_too_little_is_cut);
    TEST(a_reader_that_is_stuck_is_cut);
    return test_end();
}
