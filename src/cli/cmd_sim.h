// cmd_sim.h - `caudal sim`: a supplier that is not there.

#ifndef CAUDAL_CMD_SIM_H
#define CAUDAL_CMD_SIM_H

// argv[0] is "sim". Returns the exit status: 0 after SIGINT, SIGTERM or --help, 1 when it cannot
// run, 2 wrong usage.
int cmd_sim(int argc, char **argv);

#endif
