// pace.h - how fast a commitment is used, and what one more unit of it is worth while it lasts.
//
// A commitment is paid whether used or not. Inside it one more unit is worth something between
// nothing, when the unit would be left over at the end, and the price beyond it, when every unit
// used now is one that must be bought later (design section 5.2). Without a plan the calendar says
// which. With x the share of the amount that is used and t the share of the period that is gone,
//
//   q     = (1 - x) / (1 - t)              what is left, over what an even pace would leave
//   share = clamp(1/2 + (1 - q) / (2 PACE_BAND), 0, 1)       and 1 once x >= 1
//   price = share * price beyond
//
// so that a commitment used evenly is at half its price, one that is behind by PACE_BAND of what is
// left is free, and one that is ahead by as much costs what it costs beyond. 1 - t in the
// denominator makes the rule stricter towards the end: what is over is then given away at once.
//
// Where it comes from: the worth of a unit is the dual of the commitment, and dividing what is left
// by the time that is left is how re-solving heuristics find it (Jasin and Kumar, 2012, Mathematics
// of Operations Research 37(2)); moving a price by how far use is from its target is pacing by dual
// descent (Balseiro, Lu and Mirrokni, 2023, Operations Research 71(1)). The straight line between
// the two ends, and its width, are ours: no bound on regret is claimed for it.
//
// With a plan (portfolio/prices.h) the calendar gives way to it: t is the share of the period's use
// that is planned to be past, and an even pace is priced at what the plan says a unit is worth, w:
//
//   share = clamp(w + (q < 1 ? (1 - w) : w) (1 - q) / PACE_BAND_PLANNED, 0, 1)
//
// A plan is believed more than a calendar: bursts of hours, which a tight band would follow and pay
// for, are no news of the dual. The band was chosen on days 1 to 3 of docs/benchmarks.md's week.
//
// Prices found anew from what is asked (resolve.h) come before both, while they hold.
//
// The share moves in steps of 1/PACE_STEPS, so that what is worked out from it changes seldom.

#ifndef CAUDAL_PACE_H
#define CAUDAL_PACE_H

#include "portfolio/portfolio.h"

#define PACE_BAND 0.25
#define PACE_BAND_PLANNED 2.0
enum { PACE_STEPS = 256 };

struct pace_terms {  // of one contract
    double amount;   // in its unit, for each whole period
    enum period per;
    int64_t from_us, until_us;            // of the contract; 0, NEVER: not said
    const struct planned_contract *plan;  // borrowed; NULL: the calendar
    int64_t plan_until_us;                // wall time at which the plan ends
};

struct pace {                   // state of one contract
    int64_t from_us, until_us;  // of the period that `used` counts; both 0: none yet
    double amount, used;        // of this period, in the commitment's unit
    int64_t seen_us;            // the latest time it was brought to
};

// Months, quarters and years are those of the calendar in UTC; the first and the last of a contract
// may be shorter, and their amount is smaller by as much. A term without dates has no pace: it is
// free until it is used up. What was not used when a period ends is lost (make-up rights are not
// counted).
//
// Outside the dates of its contract nothing is prepaid.
struct pace_terms pace_terms_of(const struct contract *c);

// Brings `c` to `wall_us`: begins a new period when that has come. A clock that is set back by no
// more than a day gives no period back.
void pace_see(struct pace *c, const struct pace_terms *t, int64_t wall_us);
void pace_use(struct pace *c, double units);  // so many more were used
// Of the price beyond, 0 to 1, at this time, were no more used until then.
double pace_share(const struct pace *c, const struct pace_terms *t, int64_t wall_us);
bool pace_is_spent(const struct pace *c);  // all of the amount is used

struct pace_outlook {  // of the period, were it to go on as it went so far
    double gone;       // share of its time that is past; -1: it has no end
    double used;       // share of its amount
    double at_end;     // units used by its end
    double left, stranded,
        beyond;  // units: unused now; unused, or more than the amount, at its end
};
struct pace_outlook pace_outlook(const struct pace *c, int64_t wall_us);

#endif
