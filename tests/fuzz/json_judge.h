// json_judge.h - simdjson's own opinion of a text, to hold ours against.

#ifndef CAUDAL_TESTS_JSON_JUDGE_H
#define CAUDAL_TESTS_JSON_JUDGE_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum judgement { JUDGE_WRONG, JUDGE_RIGHT, JUDGE_NUMBER };  // NUMBER: it takes no number so large
enum judgement simdjson_judge(const char *p, size_t n);

#ifdef __cplusplus
}
#endif

#endif
