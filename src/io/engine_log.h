// engine_log.h - keeps the log of an engine within bounds while the engine writes it.

#ifndef CAUDAL_ENGINE_LOG_H
#define CAUDAL_ENGINE_LOG_H

#include <stdint.h>

enum { ENGINE_LOG_BYTES_MAX = 16 << 20 };

// When the file is longer than `max`, its last quarter replaces PATH.1 and the file begins anew.
// The engine appends (O_APPEND), so it goes on at the beginning; what it writes in between is lost,
// as with logrotate's copytruncate. Anything but a file, or one that cannot be kept, is left as it
// is.
void engine_log_bound(const char *path, int64_t max);

#endif
