#include "wire/http1_scan.h"

// Writing heads and chunks: what may stand in them, and the words of a status.

bool http1_value_ok(struct str value)
{
    for (size_t i = 0; i < value.n; i++)
        if (!http1_is(value.p[i], HTTP1_VALUE))
            return false;
    return true;
}

bool http1_token_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!http1_is(name.p[i], HTTP1_TOKEN))
            return false;
    return name.n > 0;
}

bool http1_write_chunk_head(struct buf *out, size_t n)
{
    char text[2 * sizeof n + 2];
    char *end = text + sizeof text, *p = end;
    *--p = '\n';
    *--p = '\r';
    do
        *--p = "0123456789abcdef"[n & 15];
    while (n >>= 4);
    return buf_add(out, p, (size_t)(end - p));
}

const char *http1_reason(int32_t status)
{
    switch (status) {
    case 100: return "Continue";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 424: return "Failed Dependency";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 498: return "Invalid Token";
    case 499: return "Client Closed Request";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 529: return "Overloaded";
    default: return "Unknown";
    }
}

static bool connection_names(struct str value, struct str name)
{
    struct str part;
    while (str_cut(&value, ',', &part))
        if (str_eq_nocase(str_trim(part), name))
            return true;
    return false;
}

bool http1_is_hop(const struct http1_head *h, struct str name)
{
    static const struct str hops[] = {
        {"Connection", 10},
        {"Keep-Alive", 10},
        {"Proxy-Connection", 16},
        {"Transfer-Encoding", 17},
        {"TE", 2},
        {"Trailer", 7},
        {"Upgrade", 7},
        {"Proxy-Authenticate", 18},
        {"Proxy-Authorization", 19},
        {"HTTP2-Settings", 14},
    };
    for (size_t i = 0; i < COUNTOF(hops); i++)
        if (str_eq_nocase(hops[i], name))
            return true;
    for (int32_t i = 0; i < h->n_headers; i++)
        if (str_eq_nocase(h->headers[i].name, STR("Connection")) &&
            connection_names(h->headers[i].value, name))
            return true;
    return false;
}
