#include "base/heap.h"

#include <stdlib.h>

void heap_init(struct heap *h)
{
    *h = (struct heap){0};
}

void heap_release(struct heap *h)
{
    free(h->nodes);
    heap_init(h);
}

static bool before(const struct heap_node *a, const struct heap_node *b)
{
    return a->due_us < b->due_us || (a->due_us == b->due_us && a->order < b->order);
}

// nodes[slot - 1] is the node of that slot; the parent of slot i is i / 2.
static void place(struct heap *h, size_t slot, struct heap_node *node)
{
    h->nodes[slot - 1] = node;
    node->slot = slot;
}

static void sift_up(struct heap *h, size_t slot, struct heap_node *node)
{
    while (slot > 1 && before(node, h->nodes[slot / 2 - 1])) {
        place(h, slot, h->nodes[slot / 2 - 1]);
        slot /= 2;
    }
    place(h, slot, node);
}

static void sift_down(struct heap *h, size_t slot, struct heap_node *node)
{
    while (slot * 2 <= h->n) {
        size_t child = slot * 2;
        if (child < h->n && before(h->nodes[child], h->nodes[child - 1]))
            child++;
        if (!before(h->nodes[child - 1], node))
            break;
        place(h, slot, h->nodes[child - 1]);
        slot = child;
    }
    place(h, slot, node);
}

static void make_room(struct heap *h)
{
    if (h->n < h->size)
        return;
    size_t size = h->size ? h->size * 2 : 16;
    CHECK(size <= SIZE_MAX / sizeof *h->nodes);
    struct heap_node **nodes = realloc(h->nodes, size * sizeof *nodes);
    CHECK(nodes);
    h->nodes = nodes;
    h->size = size;
}

void heap_put(struct heap *h, struct heap_node *node)
{
    CHECK(node->slot == 0);
    make_room(h);
    node->order = h->puts++;
    h->n++;
    sift_up(h, h->n, node);
}

void heap_take(struct heap *h, struct heap_node *node)
{
    if (node->slot == 0)
        return;
    size_t slot = node->slot;
    CHECK(slot <= h->n && h->nodes[slot - 1] == node);
    struct heap_node *last = h->nodes[--h->n];
    node->slot = 0;
    if (last == node)
        return;
    if (slot > 1 && before(last, h->nodes[slot / 2 - 1]))
        sift_up(h, slot, last);
    else
        sift_down(h, slot, last);
}

struct heap_node *heap_first(const struct heap *h)
{
    return h->n ? h->nodes[0] : NULL;
}
