// net.h - what the mock supplier and the load share: loopback sockets, time, and what the system
// says of processes.

#ifndef BENCH_NET_H
#define BENCH_NET_H

#include "base/base.h"

#include <stdio.h>

// Ends the program with a line that says why: a benchmark that cannot go on has no figures.
#define DIE(...) (fprintf(stderr, __VA_ARGS__), fputc('\n', stderr), exit(1))

enum { READ_BYTES = 256 * 1024 };

int64_t net_now_us(void);       // monotonic; the same clock in every process of the machine
int net_listen(int32_t *port);  // on 127.0.0.1, at any free port, non-blocking
int net_connect(int32_t port);  // to 127.0.0.1; connected, then non-blocking; -1 when refused
void net_watch(int epoll, int fd, uint32_t events, void *what);
// Waits for events until `due_us`, to the microsecond. Returns how many there are.
struct epoll_event;
int net_wait(int epoll, struct epoll_event *events, int max, int64_t due_us);
void net_prepare(void);  // fine timers, no SIGPIPE, all the descriptors there are

int64_t cpu_us_of(int32_t pid);    // used so far by all threads of a process; -1: there is none
int64_t rss_kib_of(int32_t pid);   // resident; -1: there is none
int64_t idle_us_of_machine(void);  // summed over the cores
int32_t cores_of_machine(void);

#endif
