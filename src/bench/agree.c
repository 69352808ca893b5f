#include "bench/agree.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { NUMBER_BYTES_MAX = 64, ANSWER_BYTES_MAX = 64 << 20 };

// --- numbers ----------------------------------------------------------------------------------

static bool digit_at(struct str s, size_t i)
{
    return i < s.n && s.p[i] >= '0' && s.p[i] <= '9';
}

// Three digits behind a comma, and no fourth.
static bool group_at(struct str s, size_t i)
{
    return i < s.n && s.p[i] == ',' && digit_at(s, i + 1) && digit_at(s, i + 2) &&
           digit_at(s, i + 3) && !digit_at(s, i + 4);
}

static size_t exponent_end(struct str s, size_t i)
{
    size_t at = i + 1;
    if (i >= s.n || (s.p[i] != 'e' && s.p[i] != 'E'))
        return i;
    at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
    if (!digit_at(s, at))
        return i;
    while (digit_at(s, at))
        at++;
    return at < s.n && isalnum((unsigned char)s.p[at]) ? i : at;
}

// The number whose first digit is at s.p[i]. Returns where it ends; its sign is the caller's.
static size_t number_at(double *out, struct str s, size_t i)
{
    char digits[NUMBER_BYTES_MAX + 1];
    size_t n = 0, at = i;
    bool grouped = false;
    for (; digit_at(s, at) || group_at(s, at); at++) {
        grouped = grouped || s.p[at] == ',';
        if (s.p[at] != ',' && n < NUMBER_BYTES_MAX / 2)
            digits[n++] = s.p[at];
    }
    if (at < s.n && s.p[at] == '.' && digit_at(s, at + 1)) {
        digits[n++] = s.p[at++];
        for (; digit_at(s, at); at++)
            if (n < NUMBER_BYTES_MAX - 8)
                digits[n++] = s.p[at];
    }
    bool in_word = i > 0 && isalpha((unsigned char)s.p[i - 1]);
    size_t end = grouped || in_word ? at : exponent_end(s, at);
    for (; at < end; at++)
        if (n < NUMBER_BYTES_MAX)
            digits[n++] = s.p[at];
    digits[n] = 0;
    *out = strtod(digits, NULL);
    return end;
}

// A minus belongs to the number when nothing stands right before it: "-5", but not "2026-11".
static bool is_negative(struct str s, size_t i)
{
    return i > 0 && s.p[i - 1] == '-' && (i == 1 || !isalnum((unsigned char)s.p[i - 2]));
}

bool agree_last_number(double *out, struct str text)
{
    bool found = false;
    for (size_t i = 0; i < text.n;) {
        if (!digit_at(text, i)) {
            i++;
            continue;
        }
        bool negative = is_negative(text, i);
        i = number_at(out, text, i);
        *out = negative ? -*out : *out;
        found = true;
    }
    return found;
}

// --- forms ------------------------------------------------------------------------------------

// Punctuation beyond ASCII, U+2000 to U+203F, and U+00A0. Returns its bytes; 0: it is none.
static size_t wide_mark_at(struct str s, size_t i, bool *apostrophe)
{
    const unsigned char *p = (const unsigned char *)s.p + i;
    *apostrophe = false;
    if (i + 1 < s.n && p[0] == 0xc2 && p[1] == 0xa0)
        return 2;
    if (i + 2 >= s.n || p[0] != 0xe2 || p[1] != 0x80)
        return 0;
    *apostrophe = p[2] == 0x98 || p[2] == 0x99;
    return 3;
}

static void add_blank(struct buf *out, size_t begin)
{
    if (buf_len(out) > begin && out->p[out->to - 1] != ' ')
        buf_lit(out, " ");
}

static bool ends_in_digit(const struct buf *out, size_t begin)
{
    return buf_len(out) > begin && isdigit((unsigned char)out->p[out->to - 1]);
}

static size_t add_number(struct buf *out, struct str text, size_t i)
{
    double v;
    bool negative = is_negative(text, i);
    size_t end = number_at(&v, text, i);
    if (isfinite(v))
        buf_printf(out, "%s%.15g", negative && v > 0 ? "-" : "", v);
    else
        buf_add(out, text.p + i, end - i);
    return end;
}

void agree_normal(struct buf *out, struct str text)
{
    size_t begin = buf_len(out), i = 0;
    while (i < text.n) {
        unsigned char c = (unsigned char)text.p[i];
        bool apostrophe;
        size_t wide = wide_mark_at(text, i, &apostrophe);
        if (digit_at(text, i)) {
            i = add_number(out, text, i);
            continue;
        }
        if (isalpha(c) || (c >= 0x80 && !wide)) {
            char small = (char)tolower(c);
            buf_add(out, &small, 1);
        } else if ((c != '\'' && !apostrophe) || ends_in_digit(out, begin) ||
                   digit_at(text, i + (wide ? wide : 1))) {
            add_blank(out, begin);
        }
        i += wide ? wide : 1;
    }
    if (buf_len(out) > begin && out->p[out->to - 1] == ' ')
        out->to--;
}

// --- checks -----------------------------------------------------------------------------------

static bool matches(const regex_t *regex, struct str answer)
{
    regmatch_t whole = {.rm_so = 0, .rm_eo = (regoff_t)answer.n};
    return regexec(regex, answer.n ? answer.p : "", 1, &whole, REG_STARTEND) == 0;
}

static bool text_is_right(const struct answer_check *check, struct str normal)
{
    size_t at;
    for (int32_t i = 0; i < check->n_texts; i++) {
        struct str wanted = check->texts[i];
        if (check->kind == CHECK_CONTAINS ? str_find(normal, wanted, &at)
                                          : str_cmp(normal, wanted) == 0)
            return true;
    }
    return false;
}

bool agree_is_right(const struct answer_check *check, struct str answer)
{
    double number;
    if (check->kind == CHECK_REGEX)
        return matches(check->regex, answer);
    if (check->kind == CHECK_NUMBER)
        return agree_last_number(&number, answer) &&
               fabs(number - check->number) <= check->tolerance;
    struct buf normal;
    buf_init(&normal, ANSWER_BYTES_MAX);
    agree_normal(&normal, answer);
    bool right = text_is_right(check, buf_str(&normal));
    buf_release(&normal);
    return right;
}
