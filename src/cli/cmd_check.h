// cmd_check.h - `caudal check`: is this portfolio file right, and what does it say?

#ifndef CAUDAL_CMD_CHECK_H
#define CAUDAL_CMD_CHECK_H

// argv[0] is "check". Returns the exit status: 0 right, 1 not right, 2 wrong usage. Moves the file
// names to the front of argv.
int cmd_check(int argc, char **argv);

#endif
