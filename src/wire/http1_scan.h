// http1_scan.h - the strict reading of a raw head, before and after llhttp; for the http1 files
// only.
//
// What two servers could read differently is refused here, not repaired: request smuggling lives
// from one side's kindness. llhttp 8.1 lets line folding through, so nothing reaches it unscanned.

#ifndef CAUDAL_HTTP1_SCAN_H
#define CAUDAL_HTTP1_SCAN_H

#include "wire/http1.h"

// Why a message is refused, and the status that says so. Static text.
struct http1_fault {
    int32_t status;
    const char *why;
};

enum http1_class {
    HTTP1_TOKEN = 1,   // RFC 9110 tchar: of names and methods
    HTTP1_VALUE = 2,   // of a header value: visible, blank, tab, 0x80 and above
    HTTP1_TARGET = 4,  // of a request target: RFC 3986, and no '#'
    HTTP1_HOST = 8,    // of a host name
};

// What a name means to the reader itself.
enum http1_meaning {
    HTTP1_PLAIN,  // nothing
    HTTP1_HOST_NAME,
    HTTP1_EXPECT,
    // from here on: where a message ends, and whether another follows
    HTTP1_UPGRADE,
    HTTP1_CONNECTION,
    HTTP1_PROXY_CONNECTION,
    HTTP1_LENGTH,
    HTTP1_CODING,
};

extern const uint8_t http1_classes[256];

static inline bool http1_is(char c, enum http1_class class)
{
    return http1_classes[(unsigned char)c] & class;
}

// Checks every byte of a head that ends with its empty line: the form of the first line and of each
// header line, and that each line ends with CRLF and nothing else looks like a line end. Fills
// method, target, status and version of `*h`, and its headers, at most `headers_max`, in
// `h->headers`: all of it borrowed from `raw`.
bool http1_scan(struct str raw, enum http1_side side, int32_t headers_max, struct http1_head *h,
                struct http1_fault *f);

// Fills what a head means from its method, target, status, version and headers: Host, framing,
// Connection, Expect. The last step before a head is given out.
bool http1_judge(struct http1_head *h, enum http1_side side, struct http1_fault *f);

#endif
