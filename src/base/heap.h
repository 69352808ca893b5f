// heap.h - what is due first: a binary heap of nodes that live inside their owners.
//
// Equal times come out in the order they were put in, so that a run is a function of its input and
// of nothing else. No allocation but for the array of pointers, which grows to its limit.

#ifndef CAUDAL_HEAP_H
#define CAUDAL_HEAP_H

#include "base/base.h"

struct heap_node {
    int64_t due_us;
    uint64_t order;  // set by heap_put
    size_t slot;     // 1-based place in the heap; 0: not in it
};

struct heap {
    struct heap_node **nodes;
    size_t n, size;
    uint64_t puts;
};

void heap_init(struct heap *h);
void heap_release(struct heap *h);                      // the nodes stay their owners'
void heap_put(struct heap *h, struct heap_node *node);  // by node->due_us; it must not be in a heap
void heap_take(struct heap *h, struct heap_node *node);  // out of the heap; nothing if it is not in
struct heap_node *heap_first(const struct heap *h);      // NULL when empty

#endif
