#include "json_judge.h"

#include <simdjson.h>

enum judgement simdjson_judge(const char *p, size_t n)
{
    static simdjson::dom::parser parser;
    simdjson::dom::element all;
    simdjson::error_code e = parser.parse(p, n).get(all);
    if (e == simdjson::NUMBER_ERROR)
        return JUDGE_NUMBER;
    return e == simdjson::SUCCESS ? JUDGE_RIGHT : JUDGE_WRONG;
}
