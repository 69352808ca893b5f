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
    static const char accept[] =
        "\r\nAccept-Encoding: identity\r\nUser-Agent: caudal/" CAUDAL_VERSION
        "\r\nx-client-request-id: ";
    char *at;
    if (!buf_reserve(out, sizeof accept + strlen(a->id) + 128, &at))
        return;
    at = put_lit(at, "Content-Type: application/json\r\nContent-Length: ");
    at = put_int(at, (int64_t)a->body_bytes);
    at = a->stream ? put_lit(at, "\r\nAccept: text/event-stream")
                   : put_lit(at, "\r\nAccept: application/json");
    at = put_str(at, STR(accept));
    at = put_str(at, str_of(a->id));
    buf_put(out, put_lit(at, "\r\n"));
}
