// How fast each pool answers by itself, how that is known, and how far it was measured.

#include "cli/check_view.h"

#include "base/units.h"
#include "cli/columns.h"
#include "portfolio/service.h"

enum { PROMPT = 1000 };

static const char *time_text(const struct check_view *v, double us)
{
    char text[UNIT_TEXT];
    return check_words(v, str_of(unit_text_us(text, (int64_t)(us + 0.5))));
}

static const char *most_text(const struct check_view *v, const struct service *s)
{
    if (!(s->seen_batch > 0) && !(s->seen_prompt_tok > 0))
        return "-";
    struct str out = STR("");
    if (s->seen_batch > 0)
        out = arena_printf(v->a, "%.0f at once", s->seen_batch);
    if (s->seen_prompt_tok > 0)
        out = arena_printf(v->a, STR_FMT "%sprompts of %.0f", STR_ARG(out), out.n ? ", " : "",
                           s->seen_prompt_tok);
    if (service_is_beyond(s, s->slots, 0))
        out = arena_printf(v->a, STR_FMT ": more is extrapolated", STR_ARG(out));
    return out.p ? out.p : "-";
}

void check_speeds(struct buf *out, const struct check_view *v)
{
    struct columns c;
    int32_t n = 0;
    columns_init(&c, v->a);
    columns_row(&c, "pool", "model", "1,000 tok read in", "a token, alone", "with all slots",
                "slots", "speed is", "measured up to", NULL);
    for (int32_t i = 0; i < v->p->n_pools; i++) {
        const struct pool *pool = &v->p->pools[i];
        for (int32_t k = 0; pool->chip >= 0 && k < pool->n_serves; k++, n++) {
            struct service s;
            service_of(&s, v->p, pool, pool->serves[k].model);
            columns_row(&c, check_words(v, pool->name),
                        check_words(v, v->p->models[pool->serves[k].model].name),
                        time_text(v, service_prefill_us(&s, PROMPT, 0)),
                        time_text(v, service_step_us(&s, 1, PROMPT)),
                        time_text(v, service_step_us(&s, s.slots, (double)s.slots * PROMPT)),
                        check_words(v, arena_printf(v->a, "%d", s.slots)),
                        s.basis == BASIS_NONE ? "a guess" : basis_name(s.basis), most_text(v, &s),
                        NULL);
        }
    }
    if (!n)
        return;
    check_heading(out, "how fast pools answer, each sequence with 1,000 tokens of context");
    columns_print(&c, out, 2, 0x3c);
}
