// cmd_import.h - `caudal import`: a portfolio out of another gateway's configuration.

#ifndef CAUDAL_CMD_IMPORT_H
#define CAUDAL_CMD_IMPORT_H

// argv[0] is "import". Returns the exit status: 0 done, 1 failed, 2 wrong usage.
int cmd_import(int argc, char **argv);

#endif
