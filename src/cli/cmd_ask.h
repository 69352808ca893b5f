// cmd_ask.h - `caudal ask`: one question to a running gateway, and what its answer cost.

#ifndef CAUDAL_CMD_ASK_H
#define CAUDAL_CMD_ASK_H

// argv[0] is "ask". Returns the exit status: 0 done, 1 failed, 2 wrong usage.
int cmd_ask(int argc, char **argv);

#endif
