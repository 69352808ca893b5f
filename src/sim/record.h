// record.h - what a simulated supplier was asked and how it ended, for tests to compare.
//
// Counts for ever, the last 32 requests with their headers and bodies; calls under /sim/ are not
// counted. Everything is bounded: a path or model past the 64th counts as "other", a body is kept
// up to 64 KiB.

#ifndef CAUDAL_SIM_RECORD_H
#define CAUDAL_SIM_RECORD_H

#include "base/buf.h"
#include "wire/http1.h"

enum { SIM_LAST = 32, SIM_LAST_BYTES = 64 << 10, SIM_COUNTS = 64 };

struct sim_call {     // one of the last requests
    int64_t at_us;    // since 1970
    struct buf head;  // "METHOD target\n" and "name: value\n" lines
    struct buf body;
    int64_t body_bytes;  // of the whole body
    char model[256];
    int32_t status;  // 0: not answered yet, or never
};

struct sim_count {
    char name[256];
    int64_t calls;
};

struct sim_counts {  // by name, in order of first use
    struct sim_count at[SIM_COUNTS];
    int32_t n;
    int64_t other;  // names that found no place
};

struct sim_record {
    int64_t total;
    struct sim_counts paths, models;
    // outcomes of answers: every one that started ends in one of the others
    int64_t started, finished, cancelled, faulted;
    int64_t rejected;  // errors that the request itself deserved, and those of a full queue
    int64_t prompt_tok, cached_tok, output_tok;
    int64_t now, most;  // answers in the making
    int64_t streams, streams_most;
    int64_t connections, connections_most, connections_total;
    struct sim_call last[SIM_LAST];  // a ring: the newest is last[(calls - 1) % SIM_LAST]
    uint64_t calls;
};

void sim_record_release(struct sim_record *r);
// Forgets counts and requests; what is going on now stays counted.
void sim_record_reset(struct sim_record *r);

// A request's head came. Returns the number under which its body and end are told.
uint64_t sim_record_head(struct sim_record *r, const struct http1_head *head, int64_t wall_us);
void sim_record_body(struct sim_record *r, uint64_t call, struct str piece);
void sim_record_model(struct sim_record *r, uint64_t call, struct str model);
void sim_record_status(struct sim_record *r, uint64_t call, int32_t status);

void sim_record_started(struct sim_record *r, bool stream);
void sim_record_ended(struct sim_record *r, bool stream);

// {"requests":[...]}, oldest first: the last requests in full.
void sim_record_write_last(const struct sim_record *r, struct buf *out);
// {"name":calls,...}
void sim_record_write_counts(const struct sim_counts *c, struct buf *out);
// "last":[...]: the same without bodies and header values.
void sim_record_write_names(const struct sim_record *r, struct buf *out);

#endif
