#include "gateway/ask_head.h"

static const struct {
    enum surface surface;
    const char *path;
} supplier_paths[] = {
    {SURFACE_CHAT, "/chat/completions"}, {SURFACE_COMPLETIONS, "/completions"},
    {SURFACE_EMBEDDINGS, "/embeddings"}, {SURFACE_RESPONSES, "/responses"},
    {SURFACE_MESSAGES, "/messages"},
};

static const char *supplier_path(enum surface s)
{
    for (size_t i = 0; i < COUNTOF(supplier_paths); i++)
        if (supplier_paths[i].surface == s)
            return supplier_paths[i].path;
    CHECK(!"a surface has a path");
}

void ask_head_write(const struct generation *g, const struct endpoint *ep, const struct ask_head *a,
                    struct buf *out)
{
    generation_write_head(g, ep, STR("POST"), str_of(supplier_path(a->surface)), out);
    buf_lit(out, "Content-Type: application/json\r\nContent-Length: ");
    buf_int(out, (int64_t)a->body_bytes);
    buf_join(out, STR("\r\nAccept: "),
             a->stream ? STR("text/event-stream") : STR("application/json"),
             STR("\r\nAccept-Encoding: identity\r\nUser-Agent: caudal/" CAUDAL_VERSION
                 "\r\nx-client-request-id: "),
             str_of(a->id), STR("\r\n"));
}
