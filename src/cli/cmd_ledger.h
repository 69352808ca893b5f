// cmd_ledger.h - caudal ledger: what was called, what it cost, what is still open.

#ifndef CAUDAL_CMD_LEDGER_H
#define CAUDAL_CMD_LEDGER_H

int cmd_ledger(int argc, char **argv);

#endif
