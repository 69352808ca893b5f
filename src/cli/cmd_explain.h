// cmd_explain.h - `caudal explain`.

#ifndef CAUDAL_CMD_EXPLAIN_H
#define CAUDAL_CMD_EXPLAIN_H

int cmd_explain(int argc, char **argv);  // the exit status

#endif
