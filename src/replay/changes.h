// changes.h - the lines of events.h that make a new portfolio: WHO, the word, and what is behind
// it.

#ifndef CAUDAL_CHANGES_H
#define CAUDAL_CHANGES_H

#include "replay/events.h"

struct event_line {  // for messages
    const struct portfolio *p;
    const char *name;
    int line;
    struct diag *diag;
};

// Takes a word off the front. False: there is none.
bool event_word(struct str *rest, struct str *word);
// Writes FILE:LINE: and what is wrong; returns ERR_INVALID.
enum err event_wrong(const struct event_line *l, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum err event_no_pool(const struct event_line *l, struct str who);

bool change_is(struct str word);  // this word begins one
extern const char change_words[];
// Fills all but `at_us`.
MUST_USE enum err change_read(struct change *out, const struct event_line *l, struct str who,
                              struct str word, struct str rest);

#endif
