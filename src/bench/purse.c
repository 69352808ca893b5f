#include "bench/purse.h"

static double cost_nusd(const struct purse *a, double prompt_tok, double output_tok)
{
    return prompt_tok * a->input_nusd_per_tok + output_tok * a->output_nusd_per_tok;
}

bool purse_affords(struct purse *a, int32_t n, double prompt_tok, double output_tok)
{
    double tok = n * (prompt_tok + output_tok), nusd = n * cost_nusd(a, prompt_tok, output_tok);
    if (a->spent_tok + tok <= a->tok_left && a->spent_nusd + nusd <= a->nusd_left)
        return true;
    a->stopped = true;
    return false;
}

void purse_pay(struct purse *a, double prompt_tok, double output_tok)
{
    a->spent_tok += prompt_tok + output_tok;
    a->spent_nusd += cost_nusd(a, prompt_tok, output_tok);
}
