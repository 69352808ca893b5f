#include "io/record.h"

#include "base/crc32c.h"
#include "base/rng.h"
#include "route/failover.h"

// Numbers that are on disk: later ones are only added.
_Static_assert(FAULT_NONE == 0 && FAULT_CONNECT == 1 && FAULT_RESET == 2 && FAULT_TIMEOUT == 3 &&
                   FAULT_SERVER == 4 && FAULT_GARBAGE == 5 && FAULT_BUSY == 6 && FAULT_SPENT == 7 &&
                   FAULT_DENIED == 8 && FAULT_NO_MODEL == 9 && FAULT_CONTEXT == 10 &&
                   FAULT_CONTENT == 11 && FAULT_CLIENT == 12 && FAULT_GONE == 13,
               "faults keep their numbers");
_Static_assert(COMMIT_USD == 0 && COMMIT_TOKENS == 1 && COMMIT_ACCELERATOR_HOURS == 2 &&
                   COMMIT_MW_MONTHS == 3 && COMMIT_PTU == 4,
               "units keep their numbers");
_Static_assert(SURFACE_CHAT == 1 && SURFACE_COMPLETIONS == 2 && SURFACE_EMBEDDINGS == 4 &&
                   SURFACE_RESPONSES == 8 && SURFACE_MESSAGES == 16,
               "surfaces keep their numbers");

// Eight bytes a step, so that six names cost less than a tenth of a microsecond. This function is
// part of the format: a change makes every name a new one.
uint64_t record_id(enum record_name kind, struct str name)
{
    if (!name.n)
        return 0;
    uint64_t h = mix64(0x63617564616cu ^ (uint64_t)kind ^ (uint64_t)name.n << 8);
    for (size_t i = 0; i < name.n; i += 8) {
        uint64_t word = 0;
        memcpy(&word, name.p + i, name.n - i < 8 ? name.n - i : 8);
        h = mix64(h ^ word) + 0x9e3779b97f4a7c15u;
    }
    return h ? h : 1;
}

static uint32_t crc_of(const struct record *r)
{
    return crc32c((const char *)r + sizeof r->crc, sizeof *r - sizeof r->crc);
}

void record_seal(struct record *r)
{
    r->crc = crc_of(r);
}

bool record_ok(const struct record *r)
{
    return r->kind > RECORD_NONE && r->kind < RECORD_KINDS && r->crc == crc_of(r);
}

bool record_is_zero(const struct record *r)
{
    const unsigned char *bytes = (const unsigned char *)r;
    for (size_t i = 0; i < sizeof *r; i++)
        if (bytes[i])
            return false;
    return true;
}
