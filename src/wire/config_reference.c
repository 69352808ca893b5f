// The reference of the portfolio file, from the tables that read it.

#include "wire/config.h"
#include "wire/config_read.h"

#include <stdio.h>

static const struct {
    const char *name;
    const struct field *rows;
} references[] = {
    {"serve", serve_fields},   {"classes", class_fields}, {"suppliers", supplier_fields},
    {"sites", site_fields},    {"chips", chip_fields},    {"contracts", contract_fields},
    {"models", model_fields},  {"pools", pool_fields},    {"tenants", tenant_fields},
    {"demand", demand_fields},
};

static void words(struct buf *out, const char *(*word)(int i))
{
    for (int i = 0; word(i); i++)
        buf_printf(out, "%s`%s`", i ? ", " : "", word(i));
}

static void shape(struct buf *out, const struct field *f)
{
    static const char *const section_names[SECTION_COUNT] = {
        "serve",  "classes", "suppliers", "sites",   "chips", "contracts",
        "models", "groups",  "pools",     "tenants", "demand"};
    if (f->shape) {
        buf_printf(out, "%s", f->shape);
        return;
    }
    switch (f->kind) {
    case KIND_TEXT:
    case KIND_SECRET:
    case KIND_SOURCE: buf_lit(out, "text"); break;
    case KIND_URL: buf_lit(out, "URL"); break;
    case KIND_BOOL: buf_lit(out, "`true` or `false`"); break;
    case KIND_COUNT: buf_lit(out, "whole number"); break;
    case KIND_NUMBER: buf_lit(out, "number"); break;
    case KIND_UNIT:
    case KIND_UNIT_I64: buf_printf(out, "%s", unit_example((enum unit_kind)f->unit)); break;
    case KIND_TOKENS: buf_lit(out, "tokens, such as `8192` or `128k tok`"); break;
    case KIND_INSTANT: buf_lit(out, "date, such as `2026-12-31`"); break;
    case KIND_WORD:
    case KIND_CHOICE: words(out, f->word); break;
    case KIND_BITS:
        buf_lit(out, "list of ");
        words(out, f->word);
        break;
    case KIND_TEXTS: buf_lit(out, "list of texts"); break;
    case KIND_REF: buf_printf(out, "name from `%s`", section_names[f->unit]); break;
    case KIND_REFS: buf_printf(out, "list of names from `%s`", section_names[f->unit]); break;
    case KIND_SUB: buf_lit(out, "map"); break;
    case KIND_CUSTOM: break;
    }
}

static void rows(struct buf *out, const struct field *f, const char *above)
{
    char path[128];
    for (; f->key; f++) {
        snprintf(path, sizeof path, "%s%s%s", above, *above ? "." : "", f->key);
        buf_printf(out, "| `%s` | ", path);
        shape(out, f);
        buf_printf(out, " | %s | %s |\n", f->fallback ? f->fallback : "", f->meaning);
        if (f->sub)
            rows(out, f->sub, path);
    }
}

void config_reference_section(struct buf *out, const char *section)
{
    for (size_t i = 0; i < COUNTOF(references); i++) {
        if (strcmp(references[i].name, section) != 0)
            continue;
        buf_lit(out, "| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
        rows(out, references[i].rows, "");
    }
}

static void keys(const struct field *f, const char *above,
                 void (*each)(void *ctx, const char *section, const char *path),
                 const char *section, void *ctx)
{
    char path[128];
    for (; f->key; f++) {
        snprintf(path, sizeof path, "%s%s%s", above, *above ? "." : "", f->key);
        each(ctx, section, path);
        if (f->sub)
            keys(f->sub, path, each, section, ctx);
    }
}

void config_keys(void (*each)(void *ctx, const char *section, const char *path), void *ctx)
{
    for (size_t i = 0; i < COUNTOF(references); i++)
        keys(references[i].rows, "", each, references[i].name, ctx);
}
