// cmd_bench.h - caudal bench: a supplier, or two, measured from outside.

#ifndef CAUDAL_CMD_BENCH_H
#define CAUDAL_CMD_BENCH_H

int cmd_bench(int argc, char **argv);  // returns the exit status
int bench_fit(int argc, char **argv);  // `caudal bench fit`

#endif
