// cmd_ctl.h - `caudal ctl`.

#ifndef CAUDAL_CMD_CTL_H
#define CAUDAL_CMD_CTL_H

int cmd_ctl(int argc, char **argv);

#endif
