// key_text.h - a client's key as text, and the hash that caudal knows it by.

#ifndef CAUDAL_KEY_TEXT_H
#define CAUDAL_KEY_TEXT_H

#include "base/str.h"

enum { KEY_TEXT_DIGITS = 43 };

struct key_text {
    char key[3 + KEY_TEXT_DIGITS + 1];  // "ck-" and 256 random bits
    char hash[7 + 64 + 1];              // "sha256:" and 64 hexadecimal digits
};

void key_text_new(struct key_text *t);
void key_text_hash(struct key_text *t, struct str key);  // fills the hash alone

#endif
