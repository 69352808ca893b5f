// crc32c.h - Castagnoli's CRC, the one of iSCSI and ext4, for records that must not be believed
// when they are torn.

#ifndef CAUDAL_CRC32C_H
#define CAUDAL_CRC32C_H

#include "base/base.h"

// Of `n` bytes; crc32c("123456789", 9) is 0xe3069283. By the processor's own instruction where it
// has one (8 GB/s), else by tables (1 GB/s). Any thread.
uint32_t crc32c(const void *bytes, size_t n);
uint32_t crc32c_by_table(const void *bytes, size_t n);  // the same number, for tests

#endif
