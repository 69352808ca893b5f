// breaker.h - stop sending where answers fail, and find out when they no longer do.
//
// One per (pool, model). Closed: requests pass and outcomes are counted. Open: none pass until
// `open_until_us`. Then half-open: one probe at a time; its first content closes the breaker, its
// failure opens it again for twice as long. A client's own mistake is never reported here.

#ifndef CAUDAL_BREAKER_H
#define CAUDAL_BREAKER_H

#include "base/base.h"

enum {
    BREAKER_WINDOW_US = 10 * 1000 * 1000
};  // of the error rate; the window before it counts too

struct breaker_rules {
    int32_t failures;  // in a row, or in the window when they are over half of all
    int64_t open_us, open_us_max;
};

struct breaker {
    bool open;              // open or half-open
    bool probing;           // half-open, and a probe is on its way
    bool held;              // opened by breaker_hold(): no panic passes through
    int32_t in_row;         // failures since the last success
    int32_t openings;       // in a row, for doubling
    uint32_t probes;        // sent so far; the newest one's number
    int64_t open_until_us;  // NEVER is not used
    int64_t length_us, closed_us;
    int64_t window_us;         // start of the newer window
    int32_t ok[2], failed[2];  // newer, older
};

enum breaker_says { BREAKER_PASS, BREAKER_PROBE, BREAKER_STOP };

enum breaker_says breaker_look(const struct breaker *b, int64_t now_us);
// What a probe sent now is to be called by breaker_ok() and breaker_failed(); 0 is no probe.
uint32_t breaker_probe_number(const struct breaker *b);
void breaker_probe_sent(struct breaker *b);
// `probe`: its number, 0 if it was none. Only the newest probe, or a request of a panic, can close
// an open breaker: what was sent before it opened is old news.
// Its first content came: closes an open breaker, true if it did. It is counted when it ends.
bool breaker_first(struct breaker *b, uint32_t probe, bool panic, int64_t now_us);
void breaker_ok(struct breaker *b, uint32_t probe, bool panic, int64_t now_us);
// `counts`: as how many failures in a row; 1, but where one failure says more than that.
void breaker_failed(struct breaker *b, const struct breaker_rules *rules, uint32_t probe,
                    int32_t counts, uint64_t draw, int64_t now_us);
// The probe ended and says nothing about health: the next request may be the probe.
void breaker_no_say(struct breaker *b, uint32_t probe);
// Opens at once for `us`, whatever was counted: a wrong key, a wrong name.
void breaker_hold(struct breaker *b, int64_t us, int64_t now_us);

#endif
