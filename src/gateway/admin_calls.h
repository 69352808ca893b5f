// admin_calls.h - the calls of the admin address, for the table in admin.c. Each ends its call with
// admin_answer() or admin_refuse(), once.

#ifndef CAUDAL_ADMIN_CALLS_H
#define CAUDAL_ADMIN_CALLS_H

#include "gateway/admin.h"

void admin_status(struct admin_call *call);       // admin_status.c
void admin_reload(struct admin_call *call);       // reload.c
void admin_keys_list(struct admin_call *call);    // admin_keys.c
void admin_keys_add(struct admin_call *call);     // {"tenant": T, ... as of a key in the portfolio}
void admin_keys_revoke(struct admin_call *call);  // of its id or name
// levers.c
void admin_levers(struct admin_call *call);
void admin_drain(struct admin_call *call);
void admin_disable(struct admin_call *call);
void admin_enable(struct admin_call *call);
void admin_weigh(struct admin_call *call);
void admin_derate(struct admin_call *call);
void admin_share(struct admin_call *call);
void admin_cap(struct admin_call *call);
void admin_maintenance(struct admin_call *call);
void admin_explain(struct admin_call *call);   // explain.c
void admin_requests(struct admin_call *call);  // exchange_list.c

#endif
