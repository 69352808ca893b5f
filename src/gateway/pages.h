// pages.h - what the gateway answers by itself: models, health, metrics.

#ifndef CAUDAL_PAGES_H
#define CAUDAL_PAGES_H

#include "gateway/dispatch.h"

enum page { PAGE_NONE, PAGE_HEALTHZ, PAGE_READYZ, PAGE_METRICS, PAGE_MODELS, PAGE_MODEL };
enum page page_of(struct str path);
// `%XX` as the byte it stands for: ids of models hold '/' and ':', which clients send as %2F and
// %3A. Empty when `a` is full.
struct str percent_decoded(struct arena *a, struct str s);
bool page_is_open(enum page page);  // answered without a key
void page_send(struct worker *w, struct client *c, enum page page, const struct asked *q);

#endif
