// cmd_replay.h - caudal replay: a trace through the routing code that serves, in virtual time.

#ifndef CAUDAL_CMD_REPLAY_H
#define CAUDAL_CMD_REPLAY_H

int cmd_replay(int argc, char **argv);      // returns the exit status
int replay_convert(int argc, char **argv);  // `caudal replay convert`

#endif
