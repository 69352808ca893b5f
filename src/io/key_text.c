#include "io/key_text.h"

#include "io/tls.h"

enum { KEY_BYTES = 32 };

// Base64 with the alphabet that needs no quoting anywhere (RFC 4648 section 5), not padded.
static void base64url(char out[KEY_TEXT_DIGITS + 1], const unsigned char in[KEY_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (size_t i = 0; i < KEY_TEXT_DIGITS; i++) {
        size_t bit = i * 6, at = bit / 8;
        unsigned two = (unsigned)in[at] << 8 | (at + 1 < KEY_BYTES ? in[at + 1] : 0);
        out[i] = digits[two >> (10 - bit % 8) & 63];
    }
    out[KEY_TEXT_DIGITS] = 0;
}

void key_text_hash(struct key_text *t, struct str key)
{
    unsigned char digest[32];
    sha256(digest, key);
    memcpy(t->hash, "sha256:", 7);
    hex_of(t->hash + 7, digest, sizeof digest);
}

void key_text_new(struct key_text *t)
{
    unsigned char bytes[KEY_BYTES];
    random_bytes(bytes, sizeof bytes);
    memcpy(t->key, "ck-", 3);
    base64url(t->key + 3, bytes);
    key_text_hash(t, str_of(t->key));
}
