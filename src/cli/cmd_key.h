// cmd_key.h - `caudal key`: a new key of a client, and the hash that the portfolio knows it by.

#ifndef CAUDAL_CMD_KEY_H
#define CAUDAL_CMD_KEY_H

// argv[0] is "key". Returns the exit status: 0 done, 1 failed, 2 wrong usage.
int cmd_key(int argc, char **argv);

#endif
