// handover.h - a process gives its listening sockets to the one that follows it.
//
//     the one that serves                        the one that follows (caudal serve --take-over)
//     handover_offer()   <------ connects ------ handover_ask()
//     asked: handover_give() ...                 handover_next() ... until it says
//            handover_end()                      that this was all
//                                                (it makes itself ready)
//     taken: stops accepting  <----------------- handover_taken()
//     left: it failed, all goes on as before     or ends before that
//
// The meeting place is a Unix socket FOLDER/take-over.sock, for the same user alone. Sockets are
// shared from the moment they are given (SCM_RIGHTS): nothing that waits in them is lost, whoever
// of the two ends.

#ifndef CAUDAL_HANDOVER_H
#define CAUDAL_HANDOVER_H

#include "io/loop.h"

enum { HANDOVER_TEXT_BYTES = 1024, HANDOVER_FDS = 64 };  // of one message

// --- the one that serves ----------------------------------------------------------------------

struct handover;

struct handover_calls {
    void (*asked)(void *ctx);               // somebody wants all of it; give and end
    void (*taken)(void *ctx, int32_t pid);  // it has it, and serves; no further call comes
    void (*left)(void *ctx);                // it ended before that
};

// Another one that asks meanwhile is turned away.
//   Errors  ERR_DENIED, ERR_SYSTEM  the socket cannot be made; `diag` says why
MUST_USE enum err handover_offer(struct handover **out, struct loop *l, struct str folder,
                                 const struct handover_calls *calls, void *ctx, struct diag *diag);
// In answer to `asked`: a line of words and the descriptors it is about, which stay ours too. At
// most HANDOVER_FDS. One that does not listen is left(), later.
void handover_give(struct handover *h, struct str text, const int *fds, int32_t n);
void handover_end(struct handover *h);    // this was all
void handover_close(struct handover *h);  // and free it

// --- the one that follows; blocks, at most 10 s a call ----------------------------------------

struct heir;

// ERR_MISSING: nobody serves there; ERR_EXISTS: somebody else asks already; ERR_DENIED.
MUST_USE enum err handover_ask(struct heir **out, struct str folder, struct diag *diag);
struct handover_message {
    char text[HANDOVER_TEXT_BYTES];
    int fds[HANDOVER_FDS];  // [n]: the caller's now
    int32_t n;
    bool all;  // there are no more
};
MUST_USE enum err handover_next(struct heir *h, struct handover_message *m, struct diag *diag);
// ERR_RESET: the other one has ended meanwhile.
MUST_USE enum err handover_taken(struct heir *h, struct diag *diag);
void heir_free(struct heir *h);

#endif
