// test.h - a test is a function whose name states a fact.
//
//   static void empty_text_is_not_a_number(void) { EXPECT(!str_to_i64(STR(""), &v), "v %ld", v); }
//   int main(void) { TEST(empty_text_is_not_a_number); return test_end(); }
//
// EXPECT counts and prints, and lets the test go on; NEED ends the program, for what all the rest
// stands on. The last line is what CI adds up: "N passed, N failed".

#ifndef CAUDAL_TEST_H
#define CAUDAL_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int test_passed, test_failed, test_bad;

#define EXPECT(cond, ...)                                                \
    do {                                                                 \
        if (!(cond) && test_bad++ < 10) {                                \
            printf("  %s:%d: expected %s: ", __FILE__, __LINE__, #cond); \
            printf(__VA_ARGS__);                                         \
            printf("\n");                                                \
        }                                                                \
    } while (0)

#define NEED(cond)                                                                          \
    do {                                                                                    \
        if (!(cond)) {                                                                      \
            printf("  %s:%d: needed %s\n%d passed, %d failed\n", __FILE__, __LINE__, #cond, \
                   test_passed, test_failed + 1);                                           \
            exit(1);                                                                        \
        }                                                                                   \
    } while (0)

#define TEST(fact)                                            \
    do {                                                      \
        test_bad = 0;                                         \
        fact();                                               \
        printf("%s %s\n", test_bad ? "FAIL" : "ok  ", #fact); \
        fflush(stdout);                                       \
        if (test_bad)                                         \
            test_failed++;                                    \
        else                                                  \
            test_passed++;                                    \
    } while (0)

static inline int test_end(void)
{
    printf("%d passed, %d failed\n", test_passed, test_failed);
    return test_failed ? 1 : 0;
}

#endif
