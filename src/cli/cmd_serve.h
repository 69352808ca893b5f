// cmd_serve.h - `caudal serve`: one endpoint over a portfolio.

#ifndef CAUDAL_CMD_SERVE_H
#define CAUDAL_CMD_SERVE_H

// argv[0] is "serve". Returns the exit status: 0 done, 1 failed, 2 wrong usage.
int cmd_serve(int argc, char **argv);

#endif
