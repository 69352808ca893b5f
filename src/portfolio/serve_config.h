// serve_config.h - what `serve:` of a portfolio says: addresses, limits, attempts, records.
//
// Plain data, as all of portfolio.h, which has it as `serve`.

#ifndef CAUDAL_SERVE_CONFIG_H
#define CAUDAL_SERVE_CONFIG_H

#include "portfolio/place.h"

struct listen_identity {
    struct str certificate, key;  // PEM files
};

struct listen_tls {      // of an address that we listen at
    struct place place;  // of `tls:`
    bool on;
    struct listen_identity first;        // as said; also the first of ...
    struct listen_identity *identities;  // [n_identities]
    int32_t n_identities;
    struct str client_ca;  // PEM of authorities; set: clients need a certificate
    struct str minimum;    // "1.3"; else 1.2
};

struct admin_key {
    struct str name;  // of its owner, for the audit; empty: not said
    unsigned char sha256[32];
};

struct admin_config {    // where operators come in
    struct place place;  // of `listen:`
    bool on;             // an address was said
    struct str host;
    int32_t port;
    struct admin_key *keys;  // [n_keys]; none: loopback only, or certificates
    int32_t n_keys;
    struct listen_tls tls;
};

enum metrics_access {     // who may read /metrics
    METRICS_CLIENTS_KEY,  // whoever may ask a model
    METRICS_OPEN,         // whoever reaches the address
    METRICS_OWN_KEY,      // the holder of a key of its own
};
struct metrics_config {
    enum metrics_access access;
    struct admin_key *keys;  // [n_keys] of METRICS_OWN_KEY
    int32_t n_keys;
};

// Spans of sampled requests, over OTLP.
struct traces_config {
    struct str to;  // URL; empty: none are made
    double sample;  // of requests without a trace of their own
    struct trace_header {
        struct str name, value;  // the value is a secret
    } * headers;                 // [n_headers]
    int32_t n_headers;
};

struct serve_config {
    struct place place;  // of `listen:`
    struct str host;     // default 127.0.0.1
    int32_t port;        // default 8080
    struct listen_tls tls;
    struct admin_config admin;
    struct metrics_config metrics;
    struct str policy;          // default "caudal"
    struct place policy_place;  // of `policy:`; no line: not said
    int32_t threads;            // 0: one per core
    struct str region;          // where users are unless their tenant says otherwise
    int32_t default_class;      // -1: none
    struct str *cors_origins;
    int32_t n_cors_origins;
    struct str state;              // folder for engine logs and, later, the ledger
    struct str ledger_durability;  // "process": rows survive kill -9; "disk": a power cut too
    struct str ledger_on_full;     // "serve" or "refuse" while the journal has no room
    int64_t ledger_retain_us;      // rows older than this become daily sums; 0: kept
    struct str log_format;         // "text" or "json"
    struct str log_file;           // empty: standard error
    struct str log_level;          // "error", "warn", "info", "debug"
    struct traces_config traces;
    struct str events;     // file for the core's event log; empty: none is kept
    int64_t events_bytes;  // it holds no more
    // limits on everything a client can make grow
    int64_t head_bytes, body_bytes, answer_bytes;
    int64_t head_us, body_us, idle_us,
        write_us;  // time to send a head, a body; idle; a stuck reader
    int32_t connections, headers, pipelined;
    int32_t shadows;              // copies for shadow pools at once, of the whole process
    int64_t stream_buffer_bytes;  // what may wait in front of a slow reader
    // attempts
    int32_t attempts;           // at most, for one request
    double retry_budget;        // retries over requests, of the process
    int64_t stand_in_after_us;  // before a stand-in of the group is tried
    int64_t silence_us;         // before the head goes out with keepalive comments
    int64_t patience_us;        // at least, with an attempt that another pool could take over
    int64_t deadline_us;        // of a request that states none
    int64_t drain_us;           // how long SIGTERM waits
    // breaker
    int32_t breaker_failures;
    int64_t breaker_open_us, breaker_open_us_max;
    double carbon_nusd_per_g;  // price of carbon; 0: none
    double band;               // within this share of the least cost, shares decide
    struct str prices;         // file of a plan's prices; empty: none
};

void serve_config_defaults(struct serve_config *c);

#endif
