// The child's half of an engine's start: between our own exec and the engine's.

#include "io/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static int refuse(const char *what, const char *why)
{
    dprintf(STDERR_FILENO, "caudal: engine: %s: %s\n", what, why);
    return 127;
}

int engine_exec_main(int argc, char **argv)
{
    if (argc < 5)
        return refuse("usage", "caudal __engine LOGFILE PARENT_PID PROGRAM [ARGUMENT...]");
    const char *log = argv[2];
    // Asked first and checked after: a parent that died in between is seen. It covers this process
    // alone: what the engine starts itself is ended by its group, or not at all after a kill -9.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)strtol(argv[3], NULL, 10))
        return refuse("start", "the gateway is gone");
    setpgid(0, 0);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (in < 0 || out < 0)
        return refuse(log, strerror(errno));
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    close_range(3, ~0U, 0);
    execvp(argv[4], argv + 4);
    return refuse(argv[4], strerror(errno));
}
