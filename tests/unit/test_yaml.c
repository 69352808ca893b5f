#include "wire/yaml.h"

#include "lib/test.h"

struct doc {
    struct arena a;
    struct yaml_node *root;
    struct place at;
    struct diag diag;
    enum err e;
};

static void doc_parse(struct doc *d, struct str text)
{
    *d = (struct doc){0};
    arena_init(&d->a, 64 << 20);
    d->e = yaml_parse(&d->root, &d->a, STR("f.yaml"), text, &d->at, &d->diag);
}

static const struct yaml_node *first(const struct doc *d)
{
    NEED(!d->e && d->root->n > 0);
    return d->root->first;
}

static void every_value_and_key_has_its_place(void)
{
    struct doc d;
    doc_parse(&d, STR("a: 1\nbb:\n  - x\n  - {k: 'v'}\n"));
    const struct yaml_node *a = yaml_get(first(&d), STR("a"));
    const struct yaml_node *bb = yaml_get(first(&d), STR("bb"));
    NEED(a && bb);
    EXPECT(a->place.line == 1 && a->place.column == 4, "%d:%d", a->place.line, a->place.column);
    EXPECT(bb->key_place.line == 2 && bb->key_place.column == 1, "%d", bb->key_place.line);
    EXPECT(bb->kind == YAML_LIST && bb->n == 2, "n %d", bb->n);
    const struct yaml_node *k = yaml_get(bb->last, STR("k"));
    NEED(k);
    EXPECT(!k->plain && str_eq(k->text, STR("v")), STR_FMT, STR_ARG(k->text));
    EXPECT(k->place.line == 4 && k->place.column == 9, "%d:%d", k->place.line, k->place.column);
    EXPECT(str_eq(k->place.file, STR("f.yaml")), "file");
    arena_release(&d.a);
}

static void several_documents_are_one_list(void)
{
    struct doc d;
    doc_parse(&d, STR("a: 1\n---\nb: 2\n--- \n"));
    EXPECT(!d.e && d.root->n == 3, "n %d", d.e ? -1 : d.root->n);
    EXPECT(yaml_is_null(d.root->last), "the last is empty");
    arena_release(&d.a);
    doc_parse(&d, STR(""));
    EXPECT(!d.e && d.root->n == 0, "empty text");
    arena_release(&d.a);
}

// As some editors save it.
static void a_byte_order_mark_moves_nothing(void)
{
    struct doc d;
    doc_parse(&d, STR("\357\273\277a: 1\nb: 2\n"));
    const struct yaml_node *a = yaml_get(first(&d), STR("a"));
    NEED(a);
    EXPECT(first(&d)->n == 2, "%d keys", first(&d)->n);
    EXPECT(a->key_place.line == 1 && a->key_place.column == 1, "column %d", a->key_place.column);
    arena_release(&d.a);
}

static void a_key_twice_is_marked_with_its_first_place(void)
{
    struct doc d;
    doc_parse(&d, STR("a: 1\nb: 2\na: 3\n"));
    const struct yaml_node *again = first(&d)->last;
    EXPECT(again->again && again->earlier.line == 1, "line %d", again->earlier.line);
    arena_release(&d.a);
}

static void aliases_are_copies(void)
{
    struct doc d;
    doc_parse(&d, STR("a: &x {k: [1, 2]}\nb: *x\n"));
    struct yaml_node *a = yaml_get(first(&d), STR("a")), *b = yaml_get(first(&d), STR("b"));
    NEED(a && b);
    EXPECT(yaml_equal(a, b) && a->first != b->first, "equal, not the same");
    EXPECT(str_eq(b->key, STR("b")), "its own key");
    arena_release(&d.a);
}

// Nine lists of nine aliases each, nine levels: 400 million nodes if it were let through.
static void a_billion_laughs_are_refused(void)
{
    char text[4096];
    int n = snprintf(text, sizeof text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int level = 1; level < 9; level++) {
        n += snprintf(text + n, sizeof text - (size_t)n, "a%d: &a%d [", level, level);
        for (int i = 0; i < 9; i++)
            n += snprintf(text + n, sizeof text - (size_t)n, "%s*a%d", i ? ", " : "", level - 1);
        n += snprintf(text + n, sizeof text - (size_t)n, "]\n");
    }
    struct doc d;
    doc_parse(&d, (struct str){text, (size_t)n});
    EXPECT(d.e == ERR_LIMIT, "%s", err_name(d.e));
    EXPECT(d.a.used < 64 << 20, "%zu bytes", d.a.used);
    arena_release(&d.a);
}

static void depth_is_bounded(void)
{
    static char text[20000];
    memset(text, '[', sizeof text);
    struct doc d;
    doc_parse(&d, (struct str){text, sizeof text});
    EXPECT(d.e == ERR_LIMIT, "%s", err_name(d.e));
    arena_release(&d.a);
}

static void what_is_not_yaml_has_a_place_and_no_content(void)
{
    static const char *const bad[] = {"a: [1, 2\nb: 3\n", "a: *nowhere\n",    "? {a: b}\n: c\n",
                                      "a: &x [*x]\n",     "a: \"\\0\"\n",     "\xff\xfe\x01",
                                      "a: 'sk-secret\n",  "key: @sk-secret\n"};
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct doc d;
        doc_parse(&d, str_of(bad[i]));
        EXPECT(d.e == ERR_INVALID && d.diag.text[0], "%zu: %s", i, err_name(d.e));
        EXPECT(d.at.line > 0 && d.at.column > 0, "%zu: %d:%d", i, d.at.line, d.at.column);
        EXPECT(!strstr(d.diag.text, "sk-secret"), "%s", d.diag.text);
        arena_release(&d.a);
    }
}

static void tags_are_kept_but_for_yamls_own(void)
{
    struct doc d;
    doc_parse(&d, STR("a: !file secret.txt\nb: !!str 5\n"));
    EXPECT(str_eq(yaml_get(first(&d), STR("a"))->tag, STR("!file")), "!file");
    EXPECT(yaml_get(first(&d), STR("b"))->tag.n == 0, "!!str");
    arena_release(&d.a);
}

static void every_lack_of_memory_is_an_error(void)
{
    struct str text = STR("a: &x {k: [1, !file f]}\nb: *x\nc: 'long enough to need room'\n");
    bool done = false;
    for (size_t limit = 0; !done && limit < 1 << 16; limit += 64) {
        struct arena a;
        struct yaml_node *root;
        struct place at;
        struct diag diag = {0};
        arena_init(&a, limit);
        enum err e = yaml_parse(&root, &a, STR("f"), text, &at, &diag);
        EXPECT(!e || e == ERR_LIMIT, "%zu: %s", limit, err_name(e));
        done = !e;
        arena_release(&a);
    }
    EXPECT(done, "never enough");
}

int main(void)
{
    TEST(every_value_and_key_has_its_place);
    TEST(several_documents_are_one_list);
    TEST(a_byte_order_mark_moves_nothing);
    TEST(a_key_twice_is_marked_with_its_first_place);
    TEST(aliases_are_copies);
    TEST(a_billion_laughs_are_refused);
    TEST(depth_is_bounded);
    TEST(what_is_not_yaml_has_a_place_and_no_content);
    TEST(tags_are_kept_but_for_yamls_own);
    TEST(every_lack_of_memory_is_an_error);
    return test_end();
}
