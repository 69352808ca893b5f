// The one C++ file, and the only one that sees simdjson: what comes out is a bool.

#include "wire/json.h"

#include <simdjson.h>

bool json_utf8_valid(struct str text)
{
    return text.n == 0 || simdjson::validate_utf8(text.p, text.n);
}
