// Requests out of ServeGen's tables: as many as they say, as long as they say, the same by seed.

#include "lib/test.h"
#include "replay/renewal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char rates_path[256], lengths_path[256];

static void write_file(char *path, const char *name, const char *text)
{
    const char *folder = getenv("TMPDIR");
    snprintf(path, 256, "%s/%s-%d.csv", folder ? folder : "/tmp", name, (int)getpid());
    FILE *f = fopen(path, "w");
    NEED(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char good_rates[] = "client,window_s,rate_rps,cv,dist,shape,scale\n"
                                 "0,0,2,1,Gamma,1,1\n"
                                 "0,600,4,3,Gamma,0.1,1\n"
                                 "3,1200,5,3,Weibull,0.5,1\n";
static const char good_lengths[] =
    "client,window_s,field,mean,p1,p5,p10,p25,p50,p75,p90,p95,p99,p100\n"
    "0,0,input_tokens,1,10,20,30,40,50,60,70,80,90,100\n"
    "0,0,output_tokens,1,1,2,3,4,5,6,7,8,9,10\n"
    "0,0,reason_ratio,1,0.1,0.2,0.3,0.3,0.3,0.3,0.3,0.3,0.3,1\n";

static enum err open_tables(struct renewal *r, const char *rates, const char *lengths, double rate,
                            struct diag *diag)
{
    write_file(rates_path, "rates", rates);
    write_file(lengths_path, "lengths", lengths);
    const struct renewal_config c = {rates_path, lengths_path, 7, rate, 0};
    return renewal_open(r, &c, diag);
}

static void as_many_come_as_the_rates_say(void)
{
    struct renewal r;
    struct diag diag = {0};
    NEED(!open_tables(&r, good_rates, good_lengths, 10, &diag));
    int64_t n[3] = {0}, last_us = 0;
    struct renewal_request q;
    while (renewal_next(&r, &q)) {
        EXPECT(q.at_us >= last_us && q.at_us < S(1800), "%" PRId64, q.at_us);
        EXPECT(q.client == (q.at_us < S(1200) ? 0 : 3), "client %d", (int)q.client);
        EXPECT(q.prompt_tok >= 10 && q.prompt_tok <= 100 && q.output_tok <= 10, "%d %d",
               (int)q.prompt_tok, (int)q.output_tok);
        last_us = q.at_us;
        n[q.at_us / S(600)]++;
    }
    // Ten times 1,200, 2,400 and 3,000; a gap's variance is 10 and 5.
    EXPECT(n[0] > 11600 && n[0] < 12400, "%" PRId64, n[0]);
    EXPECT(n[1] > 22000 && n[1] < 26000, "%" PRId64, n[1]);
    EXPECT(n[2] > 27500 && n[2] < 32500, "%" PRId64, n[2]);
    renewal_release(&r);
}

static void lengths_have_the_quantiles_of_the_table(void)
{
    struct renewal r;
    struct diag diag = {0};
    NEED(!open_tables(&r, good_rates, good_lengths, 10, &diag));
    struct renewal_request q;
    int32_t n = 0, below_50 = 0, below_90 = 0;
    while (renewal_next(&r, &q)) {
        n++;
        below_50 += q.prompt_tok <= 50;
        below_90 += q.prompt_tok <= 70;
    }
    EXPECT(below_50 > 0.48 * n && below_50 < 0.53 * n, "%d of %d", (int)below_50, (int)n);
    EXPECT(below_90 > 0.89 * n && below_90 < 0.92 * n, "%d of %d", (int)below_90, (int)n);
    renewal_release(&r);
}

static void the_same_seed_is_the_same_traffic(void)
{
    struct renewal a, b;
    struct diag diag = {0};
    NEED(!open_tables(&a, good_rates, good_lengths, 1, &diag));
    NEED(!open_tables(&b, good_rates, good_lengths, 1, &diag));
    struct renewal_request x, y;
    bool more;
    do {
        more = renewal_next(&a, &x);
        EXPECT(renewal_next(&b, &y) == more, "one ends before the other");
        EXPECT(!more || (x.at_us == y.at_us && x.client == y.client &&
                         x.prompt_tok == y.prompt_tok && x.output_tok == y.output_tok),
               "%" PRId64 " %" PRId64, x.at_us, y.at_us);
    } while (more);
    renewal_release(&a);
    renewal_release(&b);
}

static void what_is_wrong_is_said_with_its_line(void)
{
    static const struct {
        const char *rates, *lengths, *words;
    } bad[] = {
        {"", good_lengths, "it is empty"},
        {"client,window_s,rate_rps,dist,shape\n", good_lengths, "it has no windows"},
        {"client,window_s,dist,shape\n0,0,Gamma,1\n", good_lengths, "no column \"rate_rps\""},
        {"client,window_s,rate_rps,dist,shape\n0,0,-1,Gamma,1\n", good_lengths,
         ":2: the rate is \"-1\""},
        {"client,window_s,rate_rps,dist,shape\n0,0,1,Pareto,1\n", good_lengths, "Gamma or Weibull"},
        {"client,window_s,rate_rps,dist,shape\n0,0,1,Gamma,0\n", good_lengths,
         "the shape is \"0\""},
        {"client,window_s,rate_rps,dist,shape\n0,600,1,Gamma,1\n0,0,1,Gamma,1\n", good_lengths,
         ":3: the window, which goes back"},
        {good_rates, "client,window_s,field\n", "no column \"p1\""},
        {good_rates,
         "client,window_s,field,p1,p5,p10,p25,p50,p75,p90,p95,p99,p100\n"
         "0,0,input_tokens,9,2,3,4,5,6,7,8,9,10\n",
         ":2: p5 is \"2\""},
    };
    for (size_t i = 0; i < COUNTOF(bad); i++) {
        struct renewal r;
        struct diag diag = {0};
        EXPECT(open_tables(&r, bad[i].rates, bad[i].lengths, 1, &diag), "%zu was taken", i);
        EXPECT(strstr(diag.text, bad[i].words), "%s", diag.text);
        renewal_release(&r);
    }
}

int main(void)
{
    TEST(as_many_come_as_the_rates_say);
    TEST(lengths_have_the_quantiles_of_the_table);
    TEST(the_same_seed_is_the_same_traffic);
    TEST(what_is_wrong_is_said_with_its_line);
    unlink(rates_path);
    unlink(lengths_path);
    return test_end();
}
