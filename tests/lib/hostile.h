// hostile.h - raw requests that two servers could read differently, and legal ones that look odd.
//
// For the unit test of http1 and for the integration test, which sends them to the real binary with
// a recorder behind it. Sources: the corpus of the network-stack study (docs/architecture.md), the
// CVEs named, RFC 9112.

#ifndef CAUDAL_TESTS_HOSTILE_H
#define CAUDAL_TESTS_HOSTILE_H

#include "base/str.h"

struct hostile {
    const char *name;
    struct str raw;
    int32_t status;  // of the refusal; 0: legal
    int32_t heads;  // requests given out: before the refusal (chunk errors come after the head), or
                    // in all
    const char *body;  // legal: the bodies, joined
};

#define HOSTILE_X16(s) s s s s s s s s s s s s s s s s
#define HOSTILE_4K(s) HOSTILE_X16(HOSTILE_X16(HOSTILE_X16(s)))       // 4096 times
#define HOSTILE_LONG HOSTILE_4K("abcdefghijklmnopqrstuvwxyz012345")  // 128 KiB, over any limit

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST "POST /v1/x HTTP/1.1\r\nHost: a\r\n"
#define TE POST "Transfer-Encoding: chunked\r\n\r\n"
#define NEXT "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD(name, status, raw)                      \
    {                                               \
        name, {raw, sizeof(raw) - 1}, status, 0, "" \
    }
#define BAD_BODY(name, status, raw)                 \
    {                                               \
        name, {raw, sizeof(raw) - 1}, status, 1, "" \
    }
#define LEGAL(name, heads, body, raw)                \
    {                                                \
        name, {raw, sizeof(raw) - 1}, 0, heads, body \
    }

// clang-format off
static const struct hostile hostile_requests[] = {
    // Framing said twice.
    BAD("CL.TE", 400, POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    BAD("TE.CL", 400, POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" NEXT "0\r\n\r\n"),
    BAD("CL twice, differing", 400, POST "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"),
    BAD("CL twice, the same", 400, POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    BAD("CL twice, other case", 400, POST "Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc"),
    BAD("CL list, the same", 400, POST "Content-Length: 5, 5\r\n\r\nabcde"),
    BAD("CL list, differing", 400, POST "Content-Length: 5,6\r\n\r\nabcde"),
    BAD("CL with plus", 400, POST "Content-Length: +5\r\n\r\nabcde"),
    BAD("CL negative", 400, POST "Content-Length: -5\r\n\r\nabcde"),
    BAD("CL negative zero", 400, POST "Content-Length: -0\r\n\r\n"),
    BAD("CL hexadecimal", 400, POST "Content-Length: 0x5\r\n\r\nabcde"),
    BAD("CL with a blank inside", 400, POST "Content-Length: 1 0\r\n\r\nabcdefghij"),
    BAD("CL with a tab inside", 400, POST "Content-Length: 1\t0\r\n\r\nabcdefghij"),
    BAD("CL empty", 400, POST "Content-Length:\r\n\r\n"),
    BAD("CL a word", 400, POST "Content-Length: five\r\n\r\nabcde"),
    BAD("CL with a tail", 400, POST "Content-Length: 5zz\r\n\r\nabcde"),
    BAD("CL with a fraction", 400, POST "Content-Length: 5.0\r\n\r\nabcde"),
    BAD("CL over 64 bits", 400, POST "Content-Length: 18446744073709551621\r\n\r\nabcde"),
    BAD("CL over 63 bits", 400, POST "Content-Length: 9223372036854775808\r\n\r\nabcde"),
    BAD("CL far over any limit", 413, POST "Content-Length: 9223372036854775807\r\n\r\nabcde"),
    BAD("TE gzip, chunked", 501, POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE chunked, identity", 400, POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    BAD("TE chunked twice", 400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE chunked, then cow", 400, POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"),
    BAD("TE cow, then chunked", 501, POST "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE list chunked, chunked", 400, POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE xchunked", 501, POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    BAD("TE identity", 501, POST "Transfer-Encoding: identity\r\n\r\n"),
    BAD("TE quoted", 501, POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    BAD("TE with a parameter", 501, POST "Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    BAD("TE with a comma behind", 400, POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n"),
    BAD("TE empty", 501, POST "Transfer-Encoding:\r\n\r\n0\r\n\r\n"),
    BAD("TE behind a vertical tab", 400, POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE behind a form feed", 400, POST "Transfer-Encoding: \x0c" "chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE with NUL", 400, POST "Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"),
    BAD("TE with a no-break space", 501, POST "Transfer-Encoding: \xa0" "chunked\r\n\r\n0\r\n\r\n"),
    BAD("blank before the colon of TE", 400, POST "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n\r\nabc"),
    BAD("tab before the colon of TE", 400, POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    BAD("blank before the colon of CL", 400, POST "Content-Length : 3\r\n\r\nabc"),
    BAD("TE on a folded line", 400, POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    BAD("TE in HTTP/1.0", 400, "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("bare CR hides TE (CVE-2023-30589)", 400, POST "X-A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    BAD("folding hides CL (shape of CVE-2024-27982)", 400, POST " Content-Length: 40\r\n\r\n" NEXT),
    BAD("folding behind a value", 400, POST "X-A: b\r\n  c\r\n\r\n"),
    BAD("folding with a tab", 400, POST "X-A: b\r\n\tc\r\n\r\n"),
    BAD("a folded line of ': b'", 400, POST "X-A: b\r\n : b\r\n\r\n"),
    // Names and values.
    BAD("blank in a name", 400, GET "X A: b\r\n\r\n"),
    BAD("control in a name", 400, GET "X\x01" "A: b\r\n\r\n"),
    BAD("NUL in a name", 400, GET "X\0A: b\r\n\r\n"),
    BAD("DEL in a name", 400, GET "X\x7f: b\r\n\r\n"),
    BAD("8 bits in a name", 400, GET "X\xc3\xa9: b\r\n\r\n"),
    BAD("parenthesis in a name", 400, GET "X(A): b\r\n\r\n"),
    BAD("empty name", 400, GET ": b\r\n\r\n"),
    BAD("line without a colon", 400, GET "Transfer-Encoding\r\n\r\n"),
    BAD("NUL in a value", 400, GET "X-A: b\0c\r\n\r\n"),
    BAD("control in a value", 400, GET "X-A: b\x01" "c\r\n\r\n"),
    BAD("escape in a value", 400, GET "X-A: \x1b[31m\r\n\r\n"),
    BAD("DEL in a value", 400, GET "X-A: b\x7f\r\n\r\n"),
    BAD("bare CR in a value", 400, GET "X-A: b\rc\r\n\r\n"),
    BAD("CR before CRLF", 400, GET "X-A: b\r\r\n\r\n"),
    BAD("bare LF ends a header", 400, GET "X-A: b\n\r\n"),
    BAD("bare LF hides a header", 400, GET "X-A: b\nContent-Length: 3\r\n\r\nabc"),
    BAD("bare LF ends the head", 400, GET "X-A: b\r\n\n"),
    BAD("lone LF lines", 400, "GET / HTTP/1.1\nHost: a\n\n"),
    BAD("HTTP/1.1 and LF", 400, "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    BAD("CR alone ends lines", 400, "GET / HTTP/1.1\rHost: a\r\r\n\r\n"),
    BAD("LF CR", 400, "GET / HTTP/1.1\n\rHost: a\n\r\n\r"),
    BAD("first header begins with a blank", 400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    BAD("first header begins with a tab", 400, "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n"),
    // Host.
    BAD("Host twice", 400, GET "Host: b\r\n\r\n"),
    BAD("Host twice, the same", 400, GET "Host: a\r\n\r\n"),
    BAD("no Host", 400, "GET / HTTP/1.1\r\nX-A: b\r\n\r\n"),
    BAD("no Host in HTTP/1.0", 400, "GET / HTTP/1.0\r\n\r\n"),
    BAD("Host empty", 400, "GET / HTTP/1.1\r\nHost:\r\n\r\n"),
    BAD("Host with a slash", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    BAD("Host with a user", 400, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    BAD("Host with a blank", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    BAD("Host a list", 400, "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    BAD("Host with a query", 400, "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n"),
    BAD("Host with 8 bits", 400, "GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n"),
    BAD("Host with a port of letters", 400, "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n"),
    BAD("Host with a port too large", 400, "GET / HTTP/1.1\r\nHost: a:70000\r\n\r\n"),
    BAD("Host with a negative port", 400, "GET / HTTP/1.1\r\nHost: a:-1\r\n\r\n"),
    BAD("Host with two ports", 400, "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n"),
    BAD("Host with an open bracket", 400, "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"),
    BAD("absolute form, another host", 400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("absolute form, another port", 400, "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("absolute form with a user", 400, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("absolute form, other scheme", 400, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("absolute form, no host", 400, "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"),
    // The request line.
    BAD("HTTP/0.9", 400, "GET /\r\n\r\n"),
    BAD("HTTP/9.9", 505, "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    BAD("HTTP/1.2", 505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    BAD("HTTP/2.0 in text", 505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    BAD("HTTP/2 preface", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    BAD("HTTP/1.10", 400, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    BAD("HTTP/1", 400, "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    BAD("http/1.1", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"),
    BAD("XTTP/1.1", 400, "GET / XTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("ICE/1.0", 400, "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n"),
    BAD("two spaces before the target", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("two spaces before the version", 400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("space behind the version", 400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    BAD("space before the method", 400, " GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("tabs in the request line", 400, "GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("tab in the target", 400, "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("space in the target", 400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("bare CR in the target", 400, "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("NUL in the target", 400, "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("8 bits in the target", 400, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("fragment in the target", 400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("backslash in the target", 400, "GET \\a HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("half an escape in the target", 400, "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("escape without hex in the target", 400, "GET /a%zz HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("target without a slash", 400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("star with GET", 400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("no target", 400, "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("CONNECT", 501, "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    BAD("method of lower case", 501, "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("method nobody knows", 501, "SMUGGLE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("method that is not a token", 400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("method with a colon", 400, "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("Expect something else", 417, POST "Expect: 200-maybe\r\nContent-Length: 0\r\n\r\n"),
    BAD("three empty lines first", 400, "\r\n\r\n\r\n" NEXT),
    BAD("a bare LF first", 400, "\n" NEXT),
    BAD("a lone CR first", 400, "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("a TLS handshake", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    // Sizes.
    BAD("target too long", 414, "GET /" HOSTILE_LONG " HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD("head too long", 431, GET "X-A: " HOSTILE_LONG "\r\n\r\n"),
    BAD("too many headers", 431, GET HOSTILE_X16(HOSTILE_X16("a: b\r\n")) "\r\n"),
    // Chunks.
    BAD_BODY("chunk size 0x5", 400, TE "0x5\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size 5zz", 400, TE "5zz\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size +5", 400, TE "+5\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size -5", 400, TE "-5\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size empty", 400, TE "\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size only an extension", 400, TE ";a=b\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("blank before the chunk size", 400, TE " 5\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("blank behind the chunk size", 400, TE "5 \r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("tab behind the chunk size", 400, TE "5\t;a\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("vertical tab behind the chunk size", 400, TE "5\x0b\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size with NUL", 400, TE "5\0\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size overflows to 5", 400, TE "10000000000000005\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size of 64 bits", 413, TE "ffffffffffffffff\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size of 63 bits", 413, TE "7fffffffffffffff\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size of many zeros", 400, TE "000000000000000000005\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size line of LF", 400, TE "5\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size line of CR", 400, TE "5\rabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk size line of CR CR LF", 400, TE "5\r\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk data ends with LF", 400, TE "5\r\nabcde\n0\r\n\r\n"),
    BAD_BODY("chunk data ends with CR", 400, TE "5\r\nabcde\r0\r\n\r\n"),
    BAD_BODY("chunk data ends with XX", 400, TE "5\r\nabcdeXX0\r\n\r\n"),
    BAD_BODY("chunk data too long", 400, TE "5\r\nabcdef\r\n0\r\n\r\n"),
    BAD_BODY("chunk data without an end", 400, TE "5\r\nabcde0\r\n\r\n"),
    BAD_BODY("chunk extension with bare LF", 400, TE "5;a\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk extension with bare CR", 400, TE "5;a\rb\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk extension hides a chunk behind LF", 400, TE "1;a\nb\r\n0\r\n\r\n" NEXT),
    BAD_BODY("chunk extension with NUL", 400, TE "5;a\0b\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk extension with a control", 400, TE "5;a=\x01\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("chunk extension too long", 431, TE "5;a=" HOSTILE_LONG "\r\nabcde\r\n0\r\n\r\n"),
    BAD_BODY("last chunk ends with LF", 400, TE "0\n\r\n"),
    BAD_BODY("trailers end with LF", 400, TE "0\r\n\n"),
    BAD_BODY("trailer line of LF", 400, TE "0\r\nX-A: b\n\r\n"),
    BAD_BODY("trailer with bare CR", 400, TE "0\r\nX-A: b\rc\r\n\r\n"),
    BAD_BODY("trailer without a colon", 400, TE "0\r\nX-A\r\n\r\n"),
    BAD_BODY("trailer with a blank before the colon", 400, TE "0\r\nX-A : b\r\n\r\n"),
    BAD_BODY("trailer folded", 400, TE "0\r\nX-A: b\r\n c\r\n\r\n"),
    BAD_BODY("trailer with NUL", 400, TE "0\r\nX-A: \0\r\n\r\n"),
    BAD_BODY("trailer with an empty name", 400, TE "0\r\n: b\r\n\r\n"),
    BAD_BODY("request where trailers are", 400, TE "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
    BAD_BODY("trailers too many", 431, TE "0\r\n" HOSTILE_X16(HOSTILE_X16("a: b\r\n")) "\r\n"),
    BAD_BODY("trailers too long", 431, TE "0\r\na: " HOSTILE_LONG "\r\n\r\n"),
};

static const struct hostile legal_requests[] = {
    LEGAL("plain GET", 1, "", GET "\r\n"),
    LEGAL("two in one read", 2, "", GET "\r\n" NEXT),
    LEGAL("body by length", 1, "hello", POST "Content-Length: 5\r\n\r\nhello"),
    LEGAL("body by length, the next behind it", 2, "hello", POST "Content-Length: 5\r\n\r\nhello" NEXT),
    LEGAL("length with zeros in front", 1, "hello", POST "Content-Length: 0005\r\n\r\nhello"),
    LEGAL("length zero", 2, "", POST "Content-Length: 0\r\n\r\n" NEXT),
    LEGAL("POST without a length", 2, "", POST "\r\n" NEXT),
    LEGAL("chunks", 2, "hello world", TE "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n" NEXT),
    LEGAL("chunk sizes of both cases and zeros", 1, "0123456789abcdefghijk", TE "A\r\n0123456789\r\n0b\r\nabcdefghijk\r\n000\r\n\r\n"),
    LEGAL("chunk extensions", 1, "hello", TE "5;name=value;x;y=\"q;r\"\r\nhello\r\n0;last\r\n\r\n"),
    LEGAL("chunked, mixed case", 1, "hello", POST "transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    LEGAL("trailers are dropped", 2, "hello", TE "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n" NEXT),
    LEGAL("Content-Length in the trailers is dropped", 2, "hello", TE "5\r\nhello\r\n0\r\nContent-Length: 38\r\nHost: b\r\n\r\n" NEXT),
    LEGAL("empty trailer value", 2, "", TE "0\r\nX-A:\r\n\r\n" NEXT),
    LEGAL("blanks and tabs round a value", 1, "hello", POST "Content-Length:   5  \r\nX-A: \t b \t\r\n\r\nhello"),
    LEGAL("no blank before a value", 1, "", "GET / HTTP/1.1\r\nHost:a\r\n\r\n"),
    LEGAL("empty value", 1, "", GET "X-A:\r\nX-B: \r\n\r\n"),
    LEGAL("8 bits in a value", 1, "", GET "X-A: caf\xc3\xa9\r\n\r\n"),
    LEGAL("tab in a value", 1, "", GET "X-A: b\tc\r\n\r\n"),
    LEGAL("every token character in a name", 1, "", GET "!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n"),
    LEGAL("a long value", 1, "", GET "Authorization: Bearer " HOSTILE_4K("t") "\r\n\r\n"),
    LEGAL("a hundred headers", 1, "", GET HOSTILE_X16("a: b\r\na: b\r\na: b\r\na: b\r\na: b\r\na: b\r\n") "\r\n"),
    LEGAL("Expect", 1, "hello", POST "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"),
    LEGAL("Expect, other case", 1, "hello", POST "expect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello"),
    LEGAL("absolute form", 1, "", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n"),
    LEGAL("absolute form with a port", 1, "", "GET https://a:8443 HTTP/1.1\r\nHost: A:8443\r\n\r\n"),
    LEGAL("OPTIONS *", 1, "", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    LEGAL("HTTP/1.0", 1, "", "GET / HTTP/1.0\r\nHost: a\r\n\r\n"),
    LEGAL("Host with a port", 1, "", "GET / HTTP/1.1\r\nHost: api.example.com:8080\r\n\r\n"),
    LEGAL("Host an address", 1, "", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"),
    LEGAL("an empty line first", 1, "", "\r\n" GET "\r\n"),
    LEGAL("empty lines between", 2, "hello", POST "Content-Length: 5\r\n\r\nhello\r\n\r\n" NEXT),
    LEGAL("brackets and escapes in the query", 1, "", "GET /x?include[]=a%20b&c=d:e;f@g HTTP/1.1\r\nHost: a\r\n\r\n"),
    LEGAL("DELETE", 1, "", "DELETE /v1/files/f-1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    LEGAL("Upgrade is not granted", 2, "", GET "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" NEXT),
    LEGAL("close", 1, "", GET "Connection: close\r\n\r\n"),
};
// clang-format on

#undef GET
#undef POST
#undef TE
#undef NEXT
#undef BAD
#undef BAD_BODY
#undef LEGAL

#endif
