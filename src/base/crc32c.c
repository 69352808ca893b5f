#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

enum { SLICES = 8 };
static const uint32_t polynomial = 0x82f63b78u;  // reflected

// slice[k][b] is what byte b does to the CRC when k bytes follow it: eight bytes in one step.
static uint32_t slice[SLICES][256];

static void fill(void)
{
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? (crc >> 1) ^ polynomial : crc >> 1;
        slice[0][b] = crc;
    }
    for (int k = 1; k < SLICES; k++)
        for (uint32_t b = 0; b < 256; b++)
            slice[k][b] = (slice[k - 1][b] >> 8) ^ slice[0][slice[k - 1][b] & 0xff];
}

static uint32_t load32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c_by_table(const void *bytes, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
    const unsigned char *p = bytes;
    uint32_t crc = ~0u;
    for (; n >= SLICES; n -= SLICES, p += SLICES) {
        uint32_t a = crc ^ load32(p), b = load32(p + 4);
        crc = slice[7][a & 0xff] ^ slice[6][a >> 8 & 0xff] ^ slice[5][a >> 16 & 0xff] ^
              slice[4][a >> 24] ^ slice[3][b & 0xff] ^ slice[2][b >> 8 & 0xff] ^
              slice[1][b >> 16 & 0xff] ^ slice[0][b >> 24];
    }
    for (; n; n--, p++)
        crc = (crc >> 8) ^ slice[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_instruction(const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t crc = ~0u, word;
    for (; n >= sizeof word; n -= sizeof word, p += sizeof word) {
        memcpy(&word, p, sizeof word);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    for (; n; n--, p++)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}

uint32_t crc32c(const void *bytes, size_t n)
{
    return __builtin_cpu_supports("sse4.2") ? by_instruction(bytes, n) : crc32c_by_table(bytes, n);
}
#else
uint32_t crc32c(const void *bytes, size_t n)
{
    return crc32c_by_table(bytes, n);
}
#endif
