// ctl_view.h - answers of the admin address as a person reads them.

#ifndef CAUDAL_CTL_VIEW_H
#define CAUDAL_CTL_VIEW_H

#include "base/buf.h"

// `json` is valid, and of the call that the name says.
void ctl_view_status(struct buf *out, struct str json);
void ctl_view_requests(struct buf *out, struct str json);
void ctl_view_levers(struct buf *out, struct str json);
void ctl_view_reload(struct buf *out, struct str json);

#endif
