"""caudal bench: a simulated supplier of known speed is measured, and found to be what it is."""

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from harness import CAUDAL, ROOT, Gateway, Recorder, Sim, certificate, json_answer, main, portfolio, stream_answer, until

STEP_MS, PER_SEQUENCE_MS, PREFILL_MS, TOK_S = 30, 10, 100, 10000
SPEED = ("--ttft", f"{PREFILL_MS}ms", "--prefill", f"{TOK_S}tok/s", "--per-token", f"{STEP_MS}ms",
         "--step-per-sequence", f"{PER_SEQUENCE_MS}ms", "--slots", "8")


def bench(*args, key=None):
    """The exit status, standard output and standard error."""
    env = {k: v for k, v in os.environ.items() if k != "CAUDAL_KEY"}
    if key:
        env["CAUDAL_KEY"] = key
    done = subprocess.run([CAUDAL, "bench", *args], capture_output=True, text=True, timeout=300, env=env)
    return done.returncode, done.stdout, done.stderr


def measured(*args, **more):
    status, out, err = bench(*args, "--json", **more)
    assert status == 0, err
    return json.loads(out)["suppliers"][0]


class Bench(unittest.TestCase):
    def recovered(self, users, prompts):
        """What bench makes of the supplier over what it is, the best of five tries, and all that it says of it."""
        # A busy machine only ever makes it slower: one quiet try is enough.
        for _ in range(5):
            with Sim(*SPEED) as sim:
                got = measured(sim.url, "--model", "m", "--users", users, "--prompt", prompts, "--output", "8",
                               "--requests", "4")["service"]
            off = {"step": got["step_us"] / (STEP_MS * 1e3), "sequence": got["step_us_per_seq"] / (PER_SEQUENCE_MS * 1e3),
                   "prefill": got["prefill_us"] / (PREFILL_MS * 1e3), "token": got["prefill_us_per_tok"] * TOK_S / 1e6}
            if all(abs(x - 1) <= 0.03 for x in off.values()):
                return got
        self.fail(off)

    def test_it_recovers_the_parameters_of_a_supplier_within_3_percent(self):
        self.assertFalse(self.recovered("1,2,4", "40,800")["prefill_split_assumed"])

    def test_prompts_of_one_length_are_said_to_be_split_by_an_assumption(self):
        # Half of the prefill is each token's part: of this supplier that is so at 1,000 tokens.
        got = self.recovered("1,4", str(PREFILL_MS * TOK_S // 1000))
        self.assertTrue(got["prefill_split_assumed"])
        self.assertIn("one length of prompt, half of it", got["why"])
        with Sim("--ttft", "5ms", "--per-token", "2ms") as sim:
            _, out, _ = bench(sim.url, "--model", "m", "--users", "1", "--prompt", "40", "--output", "4", "--requests", "2")
            _, points, _ = bench(sim.url, "--model", "m", "--users", "1", "--prompt", "40", "--output", "4", "--requests",
                                 "2", "--points", "-")
        self.assertIn("--prompt of two lengths would tell", out)
        self.assertIn("points:  # one length of prompt", points)

    def test_a_supplier_with_one_place_is_saturated_by_two_users(self):
        with Sim("--ttft", "5ms", "--per-token", "5ms", "--slots", "1") as sim:
            rows = measured(sim.url, "--model", "m", "--users", "1,4,16", "--prompt", "40", "--output", "16")["rows"]
        self.assertEqual([r["users"] for r in rows], [1, 4])
        self.assertTrue(rows[1]["saturated"])

    def test_what_was_measured_is_shown_whatever_becomes_of_its_files(self):
        with Sim("--ttft", "5ms", "--per-token", "2ms") as sim, tempfile.TemporaryDirectory() as folder:
            few = (sim.url, "--model", "m", "--prompt", "40", "--requests", "2", "--users", "1")
            # One token tells no speed, so that no level makes a point.
            table = os.path.join(folder, "table.csv")
            status, out, err = bench(*few, "--output", "1", "--points", os.path.join(folder, "p.yaml"), "--table", table)
            self.assertEqual(status, 1, out)
            self.assertIn("no level makes an operating point", err)
            self.assertIn("ttft", out)
            self.assertTrue(os.path.exists(table))
            # What cannot be written is said before anything is asked, with its name and why: nobody listens there.
            for flag in ("--points", "--table", "--html"):
                file = os.path.join(folder, "none", "x")
                status, out, err = bench("http://127.0.0.1:1/v1", "--model", "m", flag, file)
                self.assertEqual((status, out, err), (1, "", f"caudal bench: {file}: No such file or directory\n"))

    def test_options_that_would_do_nothing_are_refused(self):
        for args, why in ((("--against-model", "x"), "--against-model is of a second supplier"),
                          (("--against-price", "1 USD/Mtok,1 USD/Mtok"), "--against-price is of a second supplier"),
                          (("--json", "--points", "-"), "standard output holds one of")):
            status, _, err = bench("http://127.0.0.1:9/v1", "--model", "m", *args)
            self.assertEqual(status, 2, err)
            self.assertIn(why, err)

    def test_what_is_no_url_is_named(self):
        status, _, err = bench("foo", "--model", "m")
        self.assertEqual(status, 2, err)
        self.assertIn('"foo": a URL begins with http:// or https://', err)

    def test_points_make_a_portfolio(self):
        with Sim("--ttft", "5ms", "--per-token", "2ms") as sim, tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "points.yaml")
            status, out, err = bench(sim.url, "--model", "m", "--users", "1,2", "--prompt", "40", "--output", "8",
                                     "--price", "1 USD/Mtok,2 USD/Mtok", "--points", file)
            self.assertEqual(status, 0, err)
            self.assertIn("decode step", out)
            check = subprocess.run([CAUDAL, "check", "--json", file], capture_output=True, text=True)
            self.assertEqual(check.returncode, 0, check.stderr)
            with open(file) as f:
                self.assertIn("basis: measured", f.read())

    def test_no_more_is_spent_than_may_be(self):
        with Sim("--instant") as sim:
            some = measured(sim.url, "--model", "m", "--users", "1,2,4,8", "--prompt", "200", "--output", "20",
                            "--tokens", "5k tok", "--whole")
            self.assertTrue(some["stopped_by_bound"])
            self.assertLessEqual(some["spent_tok"], 5000)
            money = measured(sim.url, "--model", "m", "--users", "1,2,4,8", "--prompt", "200", "--output", "20",
                             "--price", "1 USD/Mtok,10 USD/Mtok", "--budget", "0.01 USD", "--whole")
            self.assertTrue(money["stopped_by_bound"])
            self.assertLessEqual(money["spent_nusd"], 0.01e9)
            status, _, err = bench(sim.url, "--model", "m", "--tokens", "10 tok")
            self.assertEqual(status, 1)
            self.assertIn("too little", err)

    def test_an_open_loop_counts_from_when_it_meant_to_ask(self):
        # Prefills of 100 ms one after the other, asked for 40 times a second: the line grows, and with it
        # the times, though no more than one request is answered at once.
        with Sim("--ttft", "100ms", "--per-token", "1ms") as sim:
            row = measured(sim.url, "--model", "m", "--users", "0", "--rates", "40/s", "--prompt", "40", "--output", "2",
                           "--requests", "20")["rows"][0]
        self.assertTrue(row["saturated"])
        self.assertGreater(row["ttft_p99_us"], 1e6)

    def test_a_warm_prefix_is_in_the_suppliers_cache(self):
        with Sim("--instant") as sim:
            rows = measured(sim.url, "--model", "m", "--users", "1", "--prompt", "2000", "--output", "4", "--prefix",
                            "both")["rows"]
        self.assertEqual([r["prefix"] for r in rows], ["cold", "warm"])
        self.assertEqual(rows[0]["cached_tok"], 0)
        self.assertGreater(rows[1]["cached_tok"], 1000)

    def test_prompts_have_the_length_that_was_asked_for(self):
        with Sim("--instant") as sim:
            rows = measured(sim.url, "--model", "m", "--users", "1", "--prompt", "100,3000", "--output", "7")["rows"]
        for row, asked in zip(rows, (100, 3000)):
            self.assertAlmostEqual(row["prompt_tok"], asked, delta=2)
            self.assertEqual(row["output_tok"], 7)

    def test_answers_may_vary_around_their_length(self):
        chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
        with Recorder(lambda r: stream_answer(chunk, chunk, b"[DONE]")) as there:
            args = (there.url, "--model", "m", "--users", "1", "--prompt", "40", "--output", "9", "--requests", "60", "--vary")
            lengths = []
            for _ in range(2):
                self.assertEqual(bench(*args)[0], 0)
                lengths.append([json.loads(r["body"])["max_tokens"] for r in there.requests][2:])  # behind those for the scale
                there.requests.clear()
        self.assertEqual(*lengths, "and are the same for a seed")
        self.assertEqual((min(lengths[0]), max(lengths[0])), (5, 13))
        self.assertAlmostEqual(sum(lengths[0]) / len(lengths[0]), 9, delta=1)

    def test_two_suppliers_are_compared(self):
        with Sim("--ttft", "60ms", "--per-token", "20ms") as slow, Sim("--ttft", "5ms", "--per-token", "2ms") as fast:
            status, out, err = bench(slow.url, fast.url, "--model", "m", "--users", "1", "--prompt", "40", "--output",
                                     "16", "--requests", "4", "--json")
        self.assertEqual(status, 0, err)
        ratio = json.loads(out)["second_is_faster"][0]
        self.assertGreater(ratio["speed"]["value"], 2)
        self.assertLessEqual(ratio["speed"]["low"], ratio["speed"]["value"])

    def test_prices_are_compared_at_equal_speed(self):
        speed = ("--ttft", "2ms", "--per-token", "2ms", "--step-per-sequence", "2ms", "--slots", "8")
        with Sim(*speed) as one, Sim(*speed) as two, tempfile.TemporaryDirectory() as folder:
            page = os.path.join(folder, "page.html")
            args = (one.url, two.url, "--model", "m</script>", "--users", "1,2", "--prompt", "40", "--output", "8",
                    "--cost", "10 USD/h", "--against-cost", "20 USD/h", "--whole", "--requests", "4")
            status, out, err = bench(*args, "--html", page, "--json")
            self.assertEqual(status, 0, err)
            with open(page) as f:
                html = f.read()
            status, text, err = bench(*args)
        self.assertEqual(status, 0, err)
        said = json.loads(out)
        for x in said["second_is_faster"]:
            self.assertAlmostEqual(x["price_over_speed"], x["price"] / x["speed"]["value"])
        rows = [s["rows"][0] for s in said["suppliers"]]
        for row, cost in zip(rows, (10, 20)):  # by the hour, over what is answered in it
            per_hour = row["throughput_tok_s"]["value"] * 3600 * (row["prompt_tok"] + row["output_tok"]) / row["output_tok"]
            self.assertAlmostEqual(row["usd_per_mtok"], cost / per_hour * 1e6)
        equal, = said["equal_speed"]
        low, high = (f(m[i] for m in equal["measured_tok_s"]) for f, i in ((max, 0), (min, 1)))
        for at in equal["speeds"]:
            self.assertTrue(low * 0.999 <= at["tok_s"] <= high * 1.001, equal)
        self.assertIn("price of a million tokens, prompt and answer together, at equal speed", text)
        data, = re.findall(r"<script>const R=(.*)\n;</script>", html)
        self.assertEqual(json.loads(data), said)
        self.assertNotIn("m</script>", html)
        self.assertNotRegex(html.replace("https://www.chartjs.org", ""), r'(src|href)="?http', "it needs no other file")

    def test_two_suppliers_take_turns_with_the_same_prompts(self):
        chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
        with Recorder(lambda r: stream_answer(chunk, chunk, usage, b"[DONE]")) as there:
            url = f"http://127.0.0.1:{there.port}"
            status, _, err = bench(url + "/a", url + "/b", "--model", "m", "--users", "1", "--prompt", "40", "--output",
                                   "2", "--requests", "4", "--warm-up", "0", "--json")
        self.assertEqual(status, 0, err)
        asked = [(r["target"][1], json.loads(r["body"])["messages"]) for r in there.requests][4:]
        self.assertRegex("".join(side for side, _ in asked), "^a+b+a+$")
        first, second = ([m for side, m in asked if side == x] for x in "ab")
        self.assertEqual(first, second)
        self.assertEqual(len(first), len({str(m) for m in first}), "and each is another")

    def test_a_supplier_may_close_behind_an_answer_without_a_word(self):
        # As llama.cpp does: the next question of a kept connection is never read, and is asked on another.
        chunk = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
        usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}

        def once(request):
            yield stream_answer(chunk, chunk, usage, b"[DONE]")
            raise EOFError

        with Recorder(once) as there:
            row, = measured(there.url, "--model", "m", "--users", "2", "--prompt", "40", "--output", "2", "--requests",
                            "20")["rows"]
            asked = [json.loads(r["body"])["messages"][0]["content"] for r in there.requests]
        self.assertEqual((row["requests"], row["errors"], row["saturated"]), (20, 0, False), row)
        self.assertEqual(len(asked), len(set(asked)), "and none was answered twice")

    def test_a_new_connection_that_ends_without_a_byte_is_an_error(self):
        def never(request):
            raise EOFError

        with Recorder(never) as there:
            status, _, err = bench(there.url, "--model", "m")
        self.assertEqual(status, 1)
        self.assertIn("the supplier does not answer", err)
        self.assertEqual(len(there.requests), 20, "and each question is asked once")

    def test_every_dialect_that_serve_speaks_is_measured(self):
        with Sim("--instant") as sim:
            for surface in ("chat", "completions", "responses", "messages"):
                row = measured(sim.url, "--model", "m", "--surface", surface, "--users", "1", "--prompt", "100", "--output",
                               "7", "--requests", "2")["rows"][0]
                self.assertEqual((row["requests"], row["errors"], row["counted"], row["output_tok"]), (2, 0, True, 7), surface)
                self.assertAlmostEqual(row["prompt_tok"], 100, delta=2)

    def test_a_gateway_is_measured_over_tls_with_the_key_of_a_tenant(self):
        digest = hashlib.sha256(b"of-the-tenant").hexdigest()
        with tempfile.TemporaryDirectory() as folder, Sim("--instant") as sim:
            cert, key = certificate(folder)
            text = portfolio(sim, serve=f"tls: {{certificate: {cert}, key: {key}}}",
                             extra=f"tenants:\n  app: {{keys: ['sha256:{digest}']}}\n")
            with Gateway(text) as gw:
                url = f"https://localhost:{gw.port}/v1"
                for surface in ("chat", "completions"):
                    row = measured(url, "--model", "m", "--ca", cert, "--key", "of-the-tenant", "--surface", surface, "--users",
                                   "2", "--prompt", "100", "--output", "7", "--requests", "4")["rows"][0]
                    self.assertEqual((row["requests"], row["errors"], row["output_tok"]), (4, 0, 7), surface)
                status, _, err = bench(url, "--model", "m", "--ca", cert, "--key", "of-nobody")
                self.assertEqual(status, 1)
                self.assertIn("status 401", err)
                status, _, err = bench(url, "--model", "m", "--key", "of-the-tenant")
                self.assertEqual(status, 1, "its authority is unknown")

    def test_ctrl_c_shows_what_was_measured_so_far(self):
        with Sim("--ttft", "1ms", "--per-token", "1ms") as sim:
            p = subprocess.Popen([CAUDAL, "bench", sim.url, "--model", "m", "--users", "1,2", "--prompt", "40", "--output",
                                  "4", "--requests", "1000000", "--json"], stdout=subprocess.PIPE, text=True)
            until(lambda: sim.calls()["finished"] > 20, "answers")
            p.send_signal(signal.SIGINT)
            out, _ = p.communicate(timeout=60)
        said = json.loads(out)
        self.assertEqual(p.returncode, 130)
        self.assertTrue(said["stopped"])
        row, = said["suppliers"][0]["rows"]
        self.assertTrue(row["partial"])
        self.assertGreater(row["requests"], 0)
        self.assertEqual(row["errors"], 0)

    def test_power_is_shared_by_the_tokens_of_a_level(self):
        with tempfile.TemporaryDirectory() as folder, Sim("--ttft", "5ms", "--per-token", "2ms") as sim, \
                Recorder(lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 35\r\n\r\nwatts{gpu=\"0\"} 60\nwatts{gpu=\"1\"} 9\n") as there:
            points = os.path.join(folder, "points.yaml")
            for source in ("echo 60", f"http://127.0.0.1:{there.port}/metrics#watts{{gpu=\"0\"}}"):
                got = measured(sim.url, "--model", "m", "--users", "2", "--prompt", "40", "--output", "8", "--requests", "8",
                               "--power", source, "--power-every", "50ms", "--power-idle", "100ms", "--accelerators", "2",
                               "--points", points)
                self.assertEqual((got["power"]["failed"], got["power"]["source"]), (0, source))
                self.assertAlmostEqual(got["power"]["idle_w"], 60)
                energy, = (r["energy"] for r in got["rows"])
                self.assertAlmostEqual(energy["watts"], 60)
                self.assertAlmostEqual(energy["joules"], 60 * energy["s"])
                self.assertAlmostEqual(energy["j_per_output_tok"], energy["joules"] / energy["output_tok"])
                self.assertEqual(energy["j_per_tok_above_idle"], 0)
                # 8 answers count; up to one more a user was under way when they began or ended.
                self.assertTrue(8 * 7 <= energy["output_tok"] <= 8 * 10 and 8 * 39 <= energy["prompt_tok"] <= 41 * 10, energy)
            with open(points) as f:
                text = f.read()
            self.assertIn("idle: 30 W", text)
            self.assertIn("power: 60 W", text)
            self.assertEqual(subprocess.run([CAUDAL, "check", points], capture_output=True).returncode, 0)
            status, out, err = bench(sim.url, "--model", "m", "--users", "1", "--output", "8", "--power", "echo 60",
                                     "--power-idle", "1ms")
            self.assertEqual(status, 0, err)
            self.assertIn("power of      what the command says", out)
            status, _, err = bench(sim.url, "--model", "m", "--power", "echo none")
            self.assertEqual(status, 1)
            self.assertIn("--power: no number of watts in \"none", err)

    def test_errors_are_counted_and_told(self):
        with Sim("--instant", "--fault", "503,p=0.3") as sim:
            row = measured(sim.url, "--model", "m", "--users", "4", "--prompt", "40", "--output", "4", "--requests",
                           "40")["rows"][0]
        self.assertGreater(row["errors"], 0)
        self.assertTrue(row["saturated"])
        self.assertIn("503", row["first_error"])

    def test_a_supplier_that_answers_nothing_is_an_error(self):
        refused = json_answer({"error": {"message": "the words of the supplier"}}, 401)
        with Recorder(lambda r: refused) as there:
            status, _, err = bench(f"http://127.0.0.1:{there.port}/v1", "--model", "m", key="secret")
            self.assertEqual(status, 1)
            self.assertIn("the words of the supplier", err)
            self.assertEqual(there.requests[0]["headers"]["authorization"], "Bearer secret")

    def test_wrong_usage(self):
        for args, words in ((["http://x/v1"], "--model is missing"), (["--model", "m"], "URL"),
                            (["http://x/v1", "--model", "m", "--users", "4,2"], "rising"),
                            (["http://x/v1", "--model", "m", "--budget", "2 USD"], "--price"),
                            (["http://x/v1", "--model", "m", "--users", "0"], "--rates"),
                            (["x", "--model", "m"], "http://")):
            status, _, err = bench(*args)
            self.assertEqual(status, 2, (args, err))
            self.assertIn(words, err)


def answer(text):
    """A stream of these words."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": c}}]} for c in text]
    return stream_answer(*chunks, {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": len(text)}}, b"[DONE]")


class Agree(unittest.TestCase):
    QUESTIONS = [{"prompt": "capital of France?", "check": {"equals": "paris"}}, {"prompt": "6 x 7?", "check": {"number": 42}},
                 {"messages": [{"role": "user", "content": "a thousand?"}], "id": "k"}, {"prompt": "broken"}]
    ANSWERS = {"a": ["Paris", "42", "1,000", "x"], "b": ["paris.", "It is 41", "1000.0", None]}

    def supplier(self, request):
        body = json.loads(request["body"])
        asked = [q.get("prompt") or q["messages"][0]["content"] for q in self.QUESTIONS]
        text = self.ANSWERS[request["target"][1]][asked.index(body["messages"][0]["content"])]
        self.assertEqual((body["temperature"], body["max_tokens"], "ignore_eos" in body), (0, 9, False))
        self.assertIn("seed", body)
        return answer(text) if text else json_answer({"error": {"message": "no answer to that"}}, 500)

    def run_it(self, folder, *args, questions=None):
        file = os.path.join(folder, "questions")
        with open(file, "w") as f:
            f.write("\n\n".join(json.dumps(q) for q in questions or self.QUESTIONS))
        with Recorder(self.supplier) as there:
            url = f"http://127.0.0.1:{there.port}"
            return bench(url + "/a", url + "/b", "--model", "m-one", "--against-model", "m-two", "--agree", file,
                         "--output", "9", *args)

    def test_it_says_how_often_two_suppliers_agree_and_where_they_do_not(self):
        with tempfile.TemporaryDirectory() as folder:
            diff = os.path.join(folder, "diff")
            status, out, err = self.run_it(folder, "--json", "--diff", diff)
            self.assertEqual(status, 0, err)
            said = json.loads(out)
            self.assertEqual((said["questions"], said["answered_by_both"]), (4, 3))
            for key, answers, of in (("exact", 0, 3), ("normal", 2, 3), ("by_check", 1, 2), ("only_first_right", 1, 2)):
                self.assertEqual((said[key]["answers"], said[key]["of"]), (answers, of), key)
            self.assertEqual([s["failed"] for s in said["suppliers"]], [0, 1])
            with open(diff) as f:
                differ = [json.loads(line) for line in f]
            self.assertEqual([(d["line"], d["first"], d["second"], d["right"]) for d in differ],
                             [(3, "42", "It is 41", [True, False])])

    def test_it_writes_a_comment_for_groups(self):
        with tempfile.TemporaryDirectory() as folder:
            status, out, err = self.run_it(folder, "--users", "3")
        self.assertEqual(status, 0, err)
        self.assertIn("no answer to that", out)
        self.assertRegex(out, r"# groups:\n#   # .*3 questions: agree 66.7 %.*50.0 % \[9.5 to 90.5\] by 2 checks\n"
                              r"#   NAME: \[m-one, m-two\]\n$")

    def test_no_more_is_spent_on_questions_than_may_be(self):
        with tempfile.TemporaryDirectory() as folder:
            status, out, _ = self.run_it(folder, "--json", "--tokens", "30 tok", questions=self.QUESTIONS[:2] * 20)
        said = json.loads(out)
        self.assertTrue(all(s["stopped_by_bound"] and s["spent_tok"] <= 30 for s in said["suppliers"]), said)

    def test_wrong_questions_and_wrong_usage(self):
        with tempfile.TemporaryDirectory() as folder:
            status, _, err = self.run_it(folder, questions=[{"prompt": "a"}, {"prompt": 3}])
            self.assertEqual(status, 1)
            self.assertIn("questions:3: prompt is not a text", err)
            self.assertEqual(bench("http://x", "http://y", "--model", "m", "--agree", folder + "/none")[0], 1)
        for args, words in ((["http://x/v1", "--agree", "f"], "two suppliers"), (["http://x/v1", "--diff", "f"], "--agree")):
            status, _, err = bench(*args, "--model", "m")
            self.assertEqual(status, 2)
            self.assertIn(words, err)


class Fit(unittest.TestCase):
    COLUMNS = "id,model_path,system,tp_size,isl,osl,batch_size,silicon_ttft_ms,silicon_tpot_ms\n"

    def test_parameters_of_a_table_come_back_in_a_portfolio(self):
        rows = [f"{tp}-{n}-{isl},m/x,h100,{tp},{isl},128,{n},{50 + 0.1 * isl + 0.001 * n * isl + (8 + 0.5 * n + 1e-4 * n * isl) / tp},{(8 + 0.5 * n + 1e-4 * n * (isl + 64)) / tp}"
                for tp in (1, 2) for n in (1, 2, 4, 8, 16, 32) for isl in (128, 1024, 4096)]
        with tempfile.TemporaryDirectory() as folder:
            table, chips = os.path.join(folder, "t.csv.gz"), os.path.join(folder, "chips.yaml")
            with gzip.open(table, "wt") as f:
                f.write(self.COLUMNS + "\n".join(rows) + "\nlast,m/x,h100,1,1024,128,99,9000,5\n")
            status, out, err = bench("fit", "--json", "--out", chips, table)
            self.assertEqual(status, 0, err)
            said = json.loads(out)
            self.assertEqual((said["rows"], said["configurations"], said["saturated"]), (36, 2, 1))
            for e in said["errors"]:
                if e["seen"] and e["fit"] != "curve":
                    self.assertLess(e["median"], 1e-6, e)
            with open(chips) as f:
                text = f.read()
            self.assertIn("step: 8000 us, step_per_sequence: 500 us, step_per_context: 0.1 us", text)
            self.assertIn("median error on rows not seen: per token 0.0 %", text)
            self.assertEqual(subprocess.run([CAUDAL, "check", chips], capture_output=True).returncode, 0)

    def test_it_reads_what_bench_wrote_in_either_form_and_counts_every_level(self):
        with Sim("--ttft", "5ms", "--per-token", "4ms", "--slots", "2") as sim, tempfile.TemporaryDirectory() as folder:
            table, said, page, chips = (os.path.join(folder, x) for x in ("t.csv", "t.json", "t.html", "chips.yaml"))
            status, out, err = bench(sim.url, "--model", "m", "--users", "1,2,8", "--prompt", "40,400", "--output", "8",
                                     "--requests", "4", "--prefix", "both", "--whole", "--table", table, "--json", "--html",
                                     page)
            self.assertEqual(status, 0, err)
            with open(said, "w") as f:
                f.write(out)
            levels = json.loads(out)["suppliers"][0]["rows"]
            packed = table + ".gz"
            with open(table, "rb") as f, gzip.open(packed, "wb") as g:
                g.write(f.read())
            fitted = []
            for file in (table, packed, said):
                status, out, err = bench("fit", "--json", "--out", chips, file)
                self.assertEqual(status, 0, err)
                fitted.append(json.loads(out))
                self.assertEqual(subprocess.run([CAUDAL, "check", chips], capture_output=True).returncode, 0)
            counts = {k: v for k, v in fitted[0].items() if k != "errors"}
            for f in fitted[1:]:
                self.assertEqual({k: v for k, v in f.items() if k != "errors"}, counts, "one and the same")
            self.assertEqual(sum(counts.values()) - counts["configurations"], len(levels), "each level has its place")
            self.assertEqual(counts["warm_prefix"] + counts["saturated"] + counts["rows"], len(levels))
            self.assertTrue(counts["saturated"] and counts["warm_prefix"] and counts["rows"] >= 2, counts)
            status, _, err = bench("fit", page)
            self.assertEqual(status, 1)
            self.assertIn("neither CSV", err)

    def test_levels_that_were_all_left_out_are_told_apart(self):
        with Sim("--ttft", "5ms", "--per-token", "1ms") as sim, tempfile.TemporaryDirectory() as folder:
            table = os.path.join(folder, "t.csv")
            args = ("--model", "m", "--users", "1", "--prompt", "400", "--output", "4", "--requests", "2", "--prefix", "warm")
            self.assertEqual(bench(sim.url, *args, "--table", table)[0], 0)
            status, _, err = bench("fit", table)
            self.assertEqual(status, 1)
            self.assertIn("no row is left to fit; left out: 1 warm prefix", err)

    def test_a_wrong_table_is_named_with_its_line(self):
        with tempfile.TemporaryDirectory() as folder:
            table = os.path.join(folder, "t.csv")
            with open(table, "w") as f:
                f.write(self.COLUMNS + "1,m,h100,1,1024,128,-4,9,5\n")
            status, _, err = bench("fit", table)
            self.assertEqual(status, 1)
            self.assertIn("t.csv:2: batch_size is \"-4\"", err)
            self.assertEqual(bench("fit", table + "x")[0], 1)
            self.assertEqual(bench("fit")[0], 2)


class Chips(unittest.TestCase):
    def test_the_example_is_read_alone_and_beside_a_portfolio(self):
        file = os.path.join(ROOT, "examples", "chips.yaml")
        with open(file) as f:
            text = f.read()
        chips = re.findall(r"^  ([a-z0-9-]+):$", text.split("\nchips:\n")[1], re.M)
        points = text.count("- {model:")
        self.assertGreaterEqual(len(chips), 15)
        self.assertEqual(points, text.count("basis: "), "each point says how it is known")
        self.assertEqual(points + len(chips), text.count("source: "), "and where from")
        with tempfile.TemporaryDirectory() as folder:
            mine = os.path.join(folder, "mine.yaml")
            with open(mine, "w") as f:
                f.write("caudal: 1\npools:\n")
                for chip in chips:
                    f.write(f"  {chip}: {{api: vllm, url: 'http://127.0.0.1:9/v1', chip: {chip}, serves: [gpt-oss-120b]}}\n")
            for files in ([file], [mine, file]):
                done = subprocess.run([CAUDAL, "check", *files], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    main()
