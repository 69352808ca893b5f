"""caudal replay as it is typed: reports to the byte, the same from every form of a trace, errors, Ctrl-C.

    tests/integration/replay_test.py --write    writes tests/golden/replay/*.txt and *.json anew: look at the diff
"""

import ctypes
import gzip
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import unittest

from harness import CAUDAL, ROOT, main

GOLDEN = os.path.join(ROOT, "tests", "golden", "replay")
TRACES = os.path.join(ROOT, "..", "shared", "data", "traces")

# What is compared: scores of these policies need no prices, so that a better price is no other report.
CASES = {
    "mixed": ["--trace", "mixed.csv", "--policy", "round-robin,priority-spill"],
    "failing": ["--trace", "mixed.csv", "--policy", "round-robin", "--events", "events.txt",
                "--prefix-cache", "200k tok", "--rate", "x2", "--repeat", "2"],
    "demand": ["--demand", "--to", "10 min", "--cv", "3", "--policy", "least-in-flight"],
}


def run(*args, program=CAUDAL, cwd=GOLDEN, **more):
    return subprocess.run([program, "replay", *args], cwd=cwd, capture_output=True, text=True, timeout=100, **more)


def by_zstd(text):
    """Python's own library has no zstd; the one that caudal is linked with has."""
    zstd = ctypes.CDLL("libzstd.so.1")
    zstd.ZSTD_compress.restype = zstd.ZSTD_compressBound.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(zstd.ZSTD_compressBound(ctypes.c_size_t(len(text))))
    n = zstd.ZSTD_compress(out, ctypes.c_size_t(len(out)), text, ctypes.c_size_t(len(text)), 3)
    return out.raw[:n]


def report(name, kind, program=CAUDAL):
    done = run("fleet.yaml", *CASES[name], *(["--json"] if kind == "json" else []), program=program)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


class Reports(unittest.TestCase):
    def test_reports_are_the_golden_ones(self):
        for name in CASES:
            for kind in ("txt", "json"):
                with open(os.path.join(GOLDEN, "%s.%s" % (name, kind))) as f:
                    self.assertEqual(report(name, kind), f.read(), "%s.%s: see --write above" % (name, kind))

    def test_another_compiler_gives_the_same_bytes(self):
        other = os.environ.get("CAUDAL_OTHER", os.path.join(ROOT, "build-clang/src/cli/caudal"))
        if not os.path.exists(other):
            self.skipTest("no program built by another compiler: make test builds one, else set CAUDAL_OTHER")
        for name in CASES:
            self.assertEqual(report(name, "json"), report(name, "json", other), name)
        args = ["fleet.yaml", "--trace", "mixed.csv", "--policy", "caudal,least-cost,lmetric", "--prefix-cache", "200k tok",
                "--bound", "--json"]
        ours = run(*args)
        self.assertEqual(ours.returncode, 0, ours.stderr)
        self.assertEqual(ours.stdout, run(*args, program=other).stdout)

    def test_jobs_change_nothing(self):
        args = ["fleet.yaml", "--trace", "mixed.csv", "--policy", "least-cost,round-robin,priority-spill,least-in-flight"]
        alone = run(*args)
        self.assertEqual(alone.returncode, 0, alone.stderr)
        self.assertEqual(alone.stdout, run(*args, "--jobs", "4").stdout)
        self.assertEqual(alone.stdout, run(*args).stdout)

    def test_another_seed_is_another_run(self):
        args = ["fleet.yaml", "--demand", "--to", "10 min"]
        self.assertNotEqual(run(*args, "--seed", "1").stdout, run(*args, "--seed", "2").stdout)

    def test_every_form_of_a_trace_is_the_same_trace(self):
        with tempfile.TemporaryDirectory() as d, open(os.path.join(GOLDEN, "mixed.csv")) as f:
            text = f.read()
            rows = [dict(zip(text.split("\n")[0].split(","), line.split(","))) for line in text.split("\n")[1:] if line]
            with open(d + "/t.jsonl", "w") as out:
                for r in rows:
                    o = {"timestamp": int(r["t_ms"]), "input_length": int(r["prompt_tokens"]),
                         "output_length": int(r["output_tokens"]), "hash_ids": [int(b) for b in r["block_hashes"].split()]}
                    o.update({k: r[k] for k in ("model", "class", "tenant") if r[k]})
                    out.write(json.dumps(o) + "\n")
            with gzip.open(d + "/t.csv.gz", "wt") as out:
                out.write(text)
            with open(d + "/t.csv.zst", "wb") as out:
                out.write(by_zstd(text.encode()))
            self.assertEqual(run("convert", "mixed.csv", d + "/t.trace").returncode, 0)
            with open(d + "/t.csv.gz") as packed:
                self.assertEqual(run("convert", "-", d + "/t2.trace", stdin=packed).returncode, 0)
            seen = set()
            for path in ("mixed.csv", d + "/t.jsonl", d + "/t.csv.gz", d + "/t.csv.zst", d + "/t.trace", d + "/t2.trace"):
                done = run("fleet.yaml", "--trace", path, "--prefix-cache", "100k tok", "--json")
                self.assertEqual(done.returncode, 0, done.stderr)
                seen.add(re.sub(r'"trace":"[^"]*"', "", done.stdout))
            self.assertEqual(len(seen), 1)

    def test_the_page_needs_nothing_else_and_no_name_ends_its_script(self):
        with tempfile.TemporaryDirectory() as d:
            trace = os.path.join(d, "<x></script>.csv")
            with open(os.path.join(GOLDEN, "mixed.csv")) as f, open(trace.replace("/script", "-script"), "w") as out:
                out.write(f.read())
            done = run("fleet.yaml", "--trace", trace.replace("/script", "-script"), "--policy", "round-robin,caudal", "--bound", "--html")
        self.assertEqual(done.returncode, 0, done.stderr)
        page = done.stdout
        self.assertTrue(page.startswith("<!DOCTYPE html>") and page.rstrip().endswith("</html>"), page[:50])
        self.assertNotRegex(page, r"<(script|link|img)[^>]*(src|href)=")
        self.assertNotIn("<x>", page)
        self.assertEqual(page.count("<script>"), page.count("</script>"))
        report = json.loads(re.search(r"const R=(\{.*?\})\n?;const X=", page, re.S).group(1))
        self.assertEqual([r["policy"] for r in report["runs"]], ["round-robin", "caudal"])
        self.assertIn("hindsight bound", page)

    def test_an_undated_trace_begins_when_the_first_pool_does(self):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "p.yaml")
            with open(path, "w") as f:
                f.write("caudal: 1\nsuppliers: {s: {api: openai, url: 'https://x.example/v1', key: k}}\n"
                        "contracts: {c: {supplier: s, status: signed, phases: [{from: 2026-12-31, adds: 1 MW}]},\n"
                        "  later: {supplier: s, status: signed, phases: [{from: 2027-12-31, adds: 1 MW}]}}\n"
                        "pools: {a: {contract: c, supplier: s, serves: {large: {}, small: {}}},\n"
                        "  b: {contract: later, supplier: s, serves: {large: {}, small: {}}}}\n")
            args = (path, "--trace", "mixed.csv", "--map", "unheard-of=small", "--json")
            one = json.loads(run(*args).stdout)
            self.assertEqual(one["begins_us"], 1798675200000000)
            self.assertGreater(one["runs"][0]["answered"], 0)
            self.assertIn("1 of 2 pools are not there at its beginning: --at", run(*args[:-1]).stdout)
            self.assertEqual(json.loads(run(*args, "--at", "2026-06-01").stdout)["runs"][0]["answered"], 0)

    def test_a_class_with_a_deadline_has_that_much_patience(self):
        # One at a time, 2 s each: the last of ten waits longer than serve's own patience.
        with tempfile.TemporaryDirectory() as d:
            with open(d + "/p.yaml", "w") as f:
                f.write("caudal: 1\nserve: {attempts: {deadline: 5 s}}\nclasses: {chat: {ttft: 1 s}, batch: {deadline: 1 h}}\n"
                        "pools: {a: {api: openai, url: 'https://x.example/v1', key: k, serves: [m], limits: {in_flight: 1}}}\n")
            with open(d + "/t.csv", "w") as f:
                f.write("t_us,prompt_tokens,output_tokens,model,class\n" + 10 * "0,1,100,m,batch\n")
            patient = json.loads(run(d + "/p.yaml", "--trace", d + "/t.csv", "--json").stdout)["runs"][0]
            with open(d + "/t.csv") as f:
                text = f.read().replace("batch", "chat")
            with open(d + "/t.csv", "w") as f:
                f.write(text)
            hasty = json.loads(run(d + "/p.yaml", "--trace", d + "/t.csv", "--json").stdout)["runs"][0]
        self.assertEqual((patient["answered"], patient["expired"]), (10, 0))
        self.assertLess(hasty["answered"], 10)

    def test_seeds_are_run_side_by_side_and_their_spread_is_said(self):
        args = ("fleet.yaml", "--demand", "--to", "3min", "--policy", "caudal,two-choices", "--bound", "--json")
        last = str(2**63 - 1)
        self.assertEqual(json.loads(run(*args, "--seeds", f"{last}..{last}").stdout)["seeds"], [int(last)])
        many = run(*args, "--seeds", "3..5,9", "--jobs", "1").stdout
        self.assertEqual(many, run(*args, "--seeds", "3..5,9", "--jobs", "3").stdout)
        many = json.loads(many)
        self.assertEqual((many["seed"], many["seeds"]), (3, [3, 4, 5, 9]))
        alone = [json.loads(run(*args, "--seed", str(seed)).stdout) for seed in many["seeds"]]
        self.assertEqual(many["runs"], alone[0]["runs"])
        self.assertEqual(many["bound"], alone[0]["bound"])
        for i, policy in enumerate(("caudal", "two-choices")):
            over = many["over_seeds"][i]
            self.assertEqual((over["policy"], over["whole"]), (policy, 4))
            for key, of in (("ttft_p99_us", lambda one: one["runs"][i]["ttft_us"]["p99"]),
                            ("list_nusd", lambda one: one["runs"][i]["list_nusd"]),
                            ("cost_nusd", lambda one: one["runs"][i]["cost"]["all_nusd"]),
                            ("bound_nusd", lambda one: one["bound"]["nusd"]),
                            ("of_bound", lambda one: one["runs"][i]["regret"]["of_bound"])):
                each = [of(one) for one in alone]
                self.assertEqual(over[key]["each"], each, key)
                self.assertEqual((over[key]["min"], over[key]["max"]), (min(each), max(each)))
                self.assertAlmostEqual(over[key]["mean"] / statistics.mean(each), 1, 9)
                self.assertAlmostEqual(over[key]["deviation"], statistics.stdev(each), delta=1e-6 * max(each))
        text = run(*args[:-1], "--seeds", "3,4").stdout
        self.assertRegex(text, r"over the seeds +policy +mean +least +most +deviation\n +answered +caudal +100.00%")
        self.assertIn("What follows is of seed 3.", text)
        self.assertIn('"over_seeds":[{"policy":"caudal","whole":2', run(*args[:-1], "--seeds", "3,4", "--html").stdout)

    def test_what_was_not_measured_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "p.yaml"), "w") as f:
                f.write("caudal: 1\nchips: {c: {points: [{step: 10 ms, prefill: 10k/s, batch: 1, prompt: 100, slots: 4,"
                        " basis: measured}]}}\npools: {a: {api: openai, url: 'http://x/v1', key: k, chip: c, serves: [m]}}\n")
            with open(os.path.join(folder, "t.csv"), "w") as f:
                f.write("t_us,prompt_tokens,output_tokens\n0,100,50\n1,101,50\n2,500,50\n")
            text = run("p.yaml", "--trace", "t.csv", cwd=folder).stdout
            self.assertIn("beyond what was measured: a was sent 2 prompts longer than 100 tokens", text)
            self.assertIn("beyond what was measured: a had up to 3 at once, and points for 1;", text)
            pool = json.loads(run("p.yaml", "--trace", "t.csv", "--json", cwd=folder).stdout)["runs"][0]["pools"][0]
            self.assertEqual((pool["prompts_beyond_measured"], pool["measured_prompt"], pool["measured_batch"]), (2, 100, 1))

    def test_no_secret_is_printed(self):
        for flags in ([], ["--json"], ["--html"]):
            done = run("fleet.yaml", "--trace", "mixed.csv", *flags)
            self.assertNotIn("sk-golden-secret", done.stdout + done.stderr)

    def test_json_adds_up(self):
        whole = json.loads(report("failing", "json"))
        run_, cells = whole["runs"][0], ("answered", "refused", "expired", "failed")
        self.assertEqual(run_["requests"], 2400)
        self.assertEqual(sum(run_[k] for k in cells), 2400)
        for part in ("classes", "tenants"):
            for k in ("requests", "prompt_tok", "list_nusd") + cells:
                self.assertEqual(sum(c[k] for c in run_[part]), run_[k], (part, k))
        self.assertEqual(sum(p["answered"] for p in run_["pools"]), run_["answered"])
        self.assertEqual(whole["unknown_models"], [{"name": "unheard-of", "requests": 18}])
        self.assertGreater(run_["cached_tok"], 0)
        self.assertLessEqual(run_["ttft_us"]["p50"], run_["ttft_us"]["p99"])


class Errors(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.folder.name, "t.csv")

    def tearDown(self):
        self.folder.cleanup()

    def fails(self, words, *args, trace=None, status=1):
        if trace is not None:
            with open(self.path, "w") as f:
                f.write("t_us,prompt_tokens,output_tokens,model,class\n" + trace)
            args += ("--trace", self.path)
        done = run(*args)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, words)
        self.assertEqual(done.stderr.count("\n"), 1 if status == 1 else 2, done.stderr)

    def test_bad_input_is_one_clear_line(self):
        p = "fleet.yaml"
        self.fails(r"t\.csv:3: time goes back.*--sort", p, trace="5,1,1,large,chat\n4,1,1,large,chat\n")
        self.fails(r"t\.csv:2: the prompt's length is \"-1\"", p, trace="5,-1,1,large,chat\n")
        self.fails(r"t\.csv:2: the answer's length is \"1e9\"", p, trace="5,1,1e9,large,chat\n")
        self.fails(r"the trace is empty", p, trace="")
        self.fails(r"t\.csv:3: .*one more than --skip-bad allows", p, "--skip-bad", "1", trace="x\ny\n")
        self.fails(r"names no models, and the portfolio serves several: say --model", p, trace="1,1,1,,chat\n")
        self.fails(r"none of its 1 requests is between", p, "--from", "1 h", trace="1,1,1,large,chat\n")
        self.fails(r"no model \"larg\"; did you mean \"large\"", p, "--map", "x=larg", trace="1,1,1,x,\n")
        self.fails(r"no class \"caht\"; did you mean \"chat\"", p, "--class", "caht", trace="1,1,1,large,\n")
        self.fails(r"no policy \"best\": expected", p, "--policy", "best", trace="1,1,1,large,\n")
        self.fails(r"No such file", p, "--trace", "/nowhere")
        self.fails(r"No such file", p, "--trace", self.path, "--events", "/nowhere")
        self.fails(r"events.txt:2: there is no pool", "small.yaml", "--trace", "mixed.csv", "--events", "events.txt")
        self.fails(r"has no demand: section", "small.yaml", "--demand", "--to", "1 h")
        self.fails(r"t\.csv:2: class vague states no target", "small.yaml", trace="1,1,1,m,vague\n")
        self.fails(r"t\.csv:3: nobody serves the model forgotten", "small.yaml", trace="1,1,1,m,\n2,1,1,forgotten,\n")
        self.fails(r"t\.csv:2: nobody serves the model forgotten", "small.yaml", "--sort", trace="1,1,1,forgotten,\n0,1,1,m,\n")
        none = os.path.join(self.folder.name, "none.yaml")
        with open(none, "w") as f:
            f.write("caudal: 1\npools: {}\n")
        self.fails(r"no pool of the portfolio serves a model", none, trace="1,1,1,m,\n")

    def test_wrong_usage(self):
        self.fails(r"either --trace FILE or --demand", "fleet.yaml", status=2)
        self.fails(r"--demand needs an end", "fleet.yaml", "--demand", status=2)
        self.fails(r"--rate.*expected a factor", "fleet.yaml", "--trace", "x", "--rate", "x0", status=2)
        for seeds in ("", "1..", "3..1", "1,,2", "1,", "x", "-1"):
            self.fails(r"--seeds: is .*expected seeds such as 1..8 or 1,2,5", "fleet.yaml", "--trace", "x", "--seeds", seeds, status=2)
        self.fails(r"--seeds: names 2 twice", "fleet.yaml", "--trace", "x", "--seeds", "1..3,2", status=2)
        self.fails(r"--seeds: names more than 64", "fleet.yaml", "--trace", "x", "--seeds", "0..64", status=2)
        self.fails(r"--seed: is given beside --seeds", "fleet.yaml", "--trace", "x", "--seeds", "1", "--seed", "2", status=2)
        self.fails(r"several seeds cannot read standard input", "fleet.yaml", "--trace", "-", "--seeds", "1,2")
        self.fails(r"--to is not behind --from", "fleet.yaml", "--trace", "x", "--from", "2 h", "--to", "1 h", status=2)

    def test_what_was_left_out_is_said(self):
        with open(self.path, "w") as f:
            f.write("t_us,prompt_tokens,output_tokens,model\n1,1,1,other\nbroken\n2,1,1,m\n")
        done = run("small.yaml", "--trace", self.path, "--skip-bad", "5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('1 requests for "other", which the portfolio does not have', done.stdout)
        self.assertIn("1 faulty lines passed over, the first: %s:3: " % self.path, done.stdout)
        done = run("small.yaml", "--trace", self.path, "--skip-bad", "5", "--map", "other=m", "--json")
        self.assertEqual(json.loads(done.stdout)["runs"][0]["answered"], 2)

    def test_events_after_the_end_are_counted(self):
        with open(os.path.join(GOLDEN, "fleet.yaml")) as f:
            pool = re.search(r"(?m)^pools:\n  ([\w-]+):", f.read()).group(1)
        with open(self.path, "w") as f:
            f.write(f"0 s {pool} heals\n400 d {pool} dies\n")
        out = run("fleet.yaml", *CASES["mixed"], "--events", self.path).stdout
        self.assertRegex(out, r"(?m)^events after the last answer, at .*, which change nothing: 1 of 2$")
        self.assertNotIn("events after", run("fleet.yaml", *CASES["failing"]).stdout)
        page = run("fleet.yaml", *CASES["mixed"], "--events", self.path, "--html").stdout
        self.assertRegex(page, r'remarks:".*events after the last answer, at ')

    def test_a_damaged_file_leaves_no_output(self):
        out = self.path + ".out"
        for pack in (gzip.compress, by_zstd):
            with open(self.path, "wb") as f:
                f.write(pack(b"t_us,prompt_tokens,output_tokens\n1,2,3\n" + b"2,2,3\n" * 50)[:-4])
            done = run("convert", self.path, out)
            self.assertEqual(done.returncode, 1)
            self.assertIn(self.path + ": the compressed data is cut off", done.stderr)
            self.assertFalse(os.path.exists(out) or os.path.exists(out + ".part"), os.listdir(self.folder.name))


class Running(unittest.TestCase):
    def test_ctrl_c_prints_what_was_done_and_says_that_it_is_partial(self):
        with subprocess.Popen([CAUDAL, "replay", "fleet.yaml", "--trace", "mixed.csv", "--repeat", "1000000"], cwd=GOLDEN,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            time.sleep(1)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=60)
        self.assertEqual(p.returncode, 130, err)
        self.assertTrue(out.startswith("PARTIAL: stopped before the end"), out[:200])
        self.assertEqual(err, "")
        self.assertRegex(out, r"mixed.csv: \d+ requests in ")

    def test_ctrl_c_stops_all_runs_of_all_seeds(self):
        args = ("--repeat", "1000000", "--policy", "caudal,two-choices", "--seeds", "1..3", "--jobs", "2", "--json")
        with subprocess.Popen([CAUDAL, "replay", "fleet.yaml", "--trace", "mixed.csv", *args], cwd=GOLDEN,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            time.sleep(0.5)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=60)
        self.assertEqual((p.returncode, err), (130, ""))
        whole = json.loads(out)
        self.assertTrue(whole["partial"])
        self.assertEqual([r["partial"] for r in whole["runs"]], [True, True])
        self.assertGreater(whole["runs"][0]["requests"], 0)
        self.assertEqual([o["whole"] for o in whole["over_seeds"]], [0, 0])

    def test_memory_does_not_grow_with_the_trace(self):
        # A sanitizer holds back what was freed.
        env = dict(os.environ, ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1")

        def most_kib(repeat):
            text = "import resource,subprocess,sys; subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);" \
                   "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            return int(subprocess.run([sys.executable, "-c", text, CAUDAL, "replay", "fleet.yaml", "--trace", "mixed.csv",
                                       "--repeat", str(repeat)], cwd=GOLDEN, env=env, capture_output=True, text=True).stdout)
        self.assertLess(most_kib(100), most_kib(5) * 1.1 + 1024)

    @unittest.skipUnless(os.path.isdir(TRACES), "the shared traces are not here")
    def test_real_traces_are_replayed_whole(self):
        for name, n in (("azure2023_code", 8819), ("azure2023_conv", 19366), ("mooncake_conversation_first_half", 5606)):
            done = run("fleet.yaml", "--trace", "%s/%s.csv.gz" % (TRACES, name), "--model", "large", "--json")
            self.assertEqual(done.returncode, 0, done.stderr)
            one = json.loads(done.stdout)["runs"][0]
            self.assertEqual(one["requests"], n)
            self.assertEqual(one["answered"] + one["refused"] + one["expired"] + one["failed"], n)


def write():
    for name in CASES:
        for kind in ("txt", "json"):
            text = report(name, kind)
            with open(os.path.join(GOLDEN, "%s.%s" % (name, kind)), "w") as f:
                f.write(text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    else:
        main()
