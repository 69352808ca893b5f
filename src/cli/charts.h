// charts.h - Chart.js and the pages of replay and bench, embedded when the program is built
// (tools/embed).

#ifndef CAUDAL_CHARTS_H
#define CAUDAL_CHARTS_H

#include <stddef.h>

extern const unsigned char chart_js[], replay_page[], bench_page[];
extern const size_t chart_js_size, replay_page_size, bench_page_size;

#endif
