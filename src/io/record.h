// record.h - what one line of the ledger's journal says. On disk as in memory: 192 bytes, little
// endian, every field at its own size's multiple; docs/formats.md has the table.
//
// An attempt has a RESERVE before its bytes leave and a SETTLE at its end; a request has one
// REQUEST when it is over. Names are told by stable ids (record_id), never by index. No text of a
// prompt or an answer is in any of them.
//
// Version 2 says more in places that version 1 left 0: the key that asked, and what an attempt drew
// of a commitment. So both are read alike.

#ifndef CAUDAL_RECORD_H
#define CAUDAL_RECORD_H

#include "base/str.h"

enum { RECORD_VERSION = 2, RECORD_BYTES = 192, RECORD_REQUEST_BYTES = 32 };

enum record_kind {
    RECORD_NONE,     // nothing was written here: the end of a preallocated file
    RECORD_RESERVE,  // an attempt is about to be sent
    RECORD_SETTLE,   // an attempt is over
    RECORD_REQUEST,  // a request is over
    RECORD_GAP,      // attempts that were sent while the journal had no room
    RECORD_KINDS,
};

enum record_flag {
    RECORD_ESTIMATED = 1,    // tokens were counted from bytes, the supplier did not say them
    RECORD_CANCELLED = 2,    // the client went away
    RECORD_FAILED_OVER = 4,  // another attempt came before this one, or after it for a request
    RECORD_CUT = 8,          // the answer ended before its end
    RECORD_STALE = 16,       // a kept connection had died; the supplier may not have seen it
    RECORD_UNSENT = 32,      // no byte left: there was no connection
    RECORD_UNHEARD = 64,     // bytes left, not one came back: nobody knows whether it was seen
    RECORD_UNBOUNDED = 128,  // nothing limits what it may cost
    RECORD_STREAM = 256,
    RECORD_PASSTHROUGH = 512,
    RECORD_SHADOW = 1024,  // a copy for a pool that shadows another: no request of anybody's
};

enum record_name {  // kinds of names; part of the id, so a pool and a tenant called alike differ
    RECORD_TENANT = 1,
    RECORD_POOL,
    RECORD_SUPPLIER,
    RECORD_CONTRACT,
    RECORD_MODEL,
    RECORD_CLASS,
    RECORD_KEY,
};
// The same number for the same name for ever; 0 only for the empty name.
uint64_t record_id(enum record_name kind, struct str name);

struct record_reserve {
    char request[RECORD_REQUEST_BYTES];  // as the client was told it, padded with 0
    uint64_t tenant, pool, supplier, contract, model;
    int64_t bound_nusd;         // it costs at most so much
    int32_t prompt_tok;         // estimated
    uint16_t surface, ordinal;  // ordinal: 1 for the first attempt of its request; 0: RECORD_SHADOW
    uint64_t key;               // of the client; 0: not told by name
};

struct record_settle {
    uint64_t attempt;  // sequence of its RESERVE, in this epoch and loop
    int64_t list_nusd, marginal_nusd;
    int64_t total_us, ttft_us;  // since the RESERVE; ttft -1: no content
    int64_t bytes_up, bytes_down;
    double joules;
    int32_t prompt_tok, cached_tok, output_tok, reasoning_tok;
    uint16_t fault, status;  // enum fault; HTTP status, 0: none came
    uint16_t unit, spare;    // enum commitment_unit of `drawn`
    uint64_t commitment;     // contract whose commitment it drew from; 0: none
    double drawn;            // so much, in its unit
};

struct record_request {
    char request[RECORD_REQUEST_BYTES];
    uint64_t tenant, pool, supplier, contract, model_asked, model, class;  // pool: that answered
    int64_t list_nusd, charged_nusd;
    int64_t total_us, ttft_us;  // since it came
    int32_t prompt_tok, cached_tok, output_tok, reasoning_tok;
    uint16_t status, attempts, surface, fault;
    uint64_t key;
};

struct record_gap {
    uint64_t attempts;
    int64_t list_nusd;
};

struct record {
    uint32_t crc;  // CRC32C of the bytes behind it
    uint8_t kind, spare;
    uint16_t loop;
    uint32_t epoch, flags;
    uint64_t sequence;
    int64_t at_us;  // since 1970, by the machine's clock: for people, never for order
    union {
        struct record_reserve reserve;
        struct record_settle settle;
        struct record_request request;
        struct record_gap gap;
        unsigned char bytes[RECORD_BYTES - 32];
    };
};

_Static_assert(sizeof(struct record) == RECORD_BYTES, "a record is as long as the format says");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the format is little endian");

void record_seal(struct record *r);           // fills the CRC
bool record_ok(const struct record *r);       // the CRC holds and the kind is one
bool record_is_zero(const struct record *r);  // never written

#endif
