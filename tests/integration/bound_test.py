"""caudal replay --bound as it is typed: figures that add up, and the same optimum by another solver (HiGHS)."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from harness import CAUDAL, ROOT, main

GOLDEN = os.path.join(ROOT, "tests", "golden", "replay")
DEMAND = os.path.join(ROOT, "..", "shared", "data", "demand")
POLICIES = "caudal,least-cost,priority-spill,round-robin,least-in-flight,two-choices,lmetric,static-split,list-cheapest"
UNIT = os.path.join(os.environ.get("CAUDAL_BUILD") or os.path.join(ROOT, "build"), "tests", "unit")
sys.path.insert(0, os.path.join(ROOT, ".cache", "highs", "python"))
try:
    import highspy
except ImportError:
    highspy = None

PREPAID = """
caudal: 1
serve: {default_class: chat, attempts: {deadline: 4 s}}
classes: {chat: {ttft: 2 s, unserved: 0.02 USD, time_value: {ttft: [[0 ms, 2 USD/h]], per_token: [[0 ms, 1 USD/h]]}}}
suppliers: {a: {api: vllm, url: "http://127.0.0.1:8000/v1"}}
chips: {gpu: {points: [{chips: 1, batch: 4, per_user: 45 tok/s, throughput: 160 tok/s, prefill: 4k tok/s, slots: 4}]}}
contracts:
  one: {supplier: a, status: signed, from: 2026-01-05, until: 2026-01-06, commitment: {amount: 3 USD, per: term}}
  two: {supplier: a, status: signed, from: 2026-01-05, until: 2026-01-06, commitment: {amount: 20 Mtok, per: term, beyond: 0.2 USD/Mtok}}
pools:
  a: {supplier: a, contract: one, chip: gpu, chips: 4, serves: {m: {price: {input: 0.30 USD/Mtok, output: 1.20 USD/Mtok}}}}
  b: {supplier: a, contract: two, chip: gpu, chips: 2, serves: {m: {price: {input: 0.20 USD/Mtok, output: 0.90 USD/Mtok}}}}
  c: {supplier: a, chip: gpu, chips: 2, serves: {m: {price: {input: 0.25 USD/Mtok, output: 1.00 USD/Mtok}}}, limits: {in_flight: 6, requests: 60/min}}
  d: {supplier: a, serves: {m: {price: {input: 1.5 USD/Mtok, output: 6 USD/Mtok}}}}
demand:
  day: {model: m, class: chat, rate: 2/s, prompt: 400 tok, output: 120 tok}
"""


def run(*args):
    return subprocess.run([CAUDAL, "replay", *args], cwd=GOLDEN, capture_output=True, text=True, timeout=300)


def bound(*args):
    done = run(*args, "--bound", "--json")
    if done.returncode:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)


class Bound(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.prepaid = os.path.join(self.folder.name, "prepaid.yaml")
        with open(self.prepaid, "w") as f:
            f.write(PREPAID)

    def tearDown(self):
        self.folder.cleanup()

    def cases(self):
        yield ("fleet.yaml", "--trace", "mixed.csv")
        yield ("fleet.yaml", "--trace", "mixed.csv", "--rate", "x30", "--events", "events.txt", "--prefix-cache", "200k tok")
        for rate, hours in (("x1", "20 min"), ("x6", "3 min"), ("x20", "1 min")):
            yield (self.prepaid, "--demand", "--to", hours, "--rate", rate)

    def test_what_a_commitment_was_used_for_before_the_trace_is_said(self):
        args = (self.prepaid, "--demand", "--to", "1 h", "--policy", "list-cheapest")
        half = args + ("--at", "2026-01-05T12:00:00Z")
        self.assertIn("one: 50.0% of its commitment is used when the trace begins, 50.0% into its period of 2026-01-05 to "
                      "2026-01-06: an even pace; --used says otherwise", run(*half).stdout)
        self.assertNotIn("is used when", run(*args).stdout)
        text = run(*half, "--used", "10%", "--used", "two=1").stdout
        self.assertIn("one: 10.0% of its commitment is used when the trace begins, 50.0% into its period of 2026-01-05 to "
                      "2026-01-06, as said", text)
        self.assertIn("two: 100.0% of its commitment", text)
        even, said = (json.loads(run(*half, "--json", *more).stdout)["runs"][0]["contracts"] for more in
                      ((), ("--used", "10%", "--used", "two=1")))
        self.assertEqual([(c["used_before"], c["used_before_is"]) for c in even], 2 * [(0.5, "even pace")])
        self.assertEqual([(c["used_before"], c["used_before_is"]) for c in said], [(0.1, "said"), (1, "said")])
        # Of 3 USD in a day an hour has a 24th; of the nine tenths left at noon, a twelfth.
        self.assertAlmostEqual(even[0]["prepaid"], 3 / 24, 3)
        self.assertAlmostEqual(said[0]["prepaid"], 0.9 * 3 / 12, 3)
        self.assertEqual(said[1]["prepaid"], 0)
        for value, words in (("x=40%", 'no commitment "x"'), ("140%", "expected a share such as 40%"), ("", "a share")):
            done = run(*args, "--used", value)
            self.assertIn(done.returncode, (1, 2))
            self.assertIn(words, done.stderr)

    def test_the_bound_knows_what_changes(self):
        with open(os.path.join(self.folder.name, "events"), "w") as f:
            f.write("# when  who  what\n10 min d price m x0.1\n20 min two beyond x3\n30 min c maintenance 10 min\n"
                    "40 min a price * input 2 USD/Mtok output 9 USD/Mtok\n50 min a dies\n")
        args = (self.prepaid, "--demand", "--to", "1 h", "--policy", POLICIES)
        plain, changed = bound(*args), bound(*args, "--events", os.path.join(self.folder.name, "events"))
        self.assertNotAlmostEqual(plain["bound"]["nusd"], changed["bound"]["nusd"], -3)
        for r in changed["runs"]:
            self.assertGreaterEqual(r["cost"]["all_nusd"], changed["bound"]["nusd"], r["policy"])

    def test_nobody_is_below_and_the_parts_add_up(self):
        for case in self.cases():
            whole = bound(*case, "--policy", POLICIES)
            self.assertEqual(whole["bound"]["status"], "optimal")
            self.assertLess(whole["bound"]["nusd"], whole["bound"]["program_nusd"] * 1.01 + 1)
            for r in whole["runs"]:
                parts = sum(v for k, v in r["cost"].items() if k not in ("all_nusd", "imputed_nusd"))
                self.assertAlmostEqual(parts / r["cost"]["all_nusd"], 1, 9)
                self.assertGreaterEqual(r["cost"]["all_nusd"], whole["bound"]["nusd"] * (1 - 1e-9), (case, r["policy"]))
                g = r["regret"]
                self.assertAlmostEqual(g["nusd"], g["forecast_nusd"] + g["online_nusd"] + g["queueing_nusd"], delta=1e-6 * g["nusd"] + 1)
            naive = [r for r in whole["runs"] if r["policy"] == "list-cheapest"][0]
            if "of_naive" in naive["regret"]:
                self.assertAlmostEqual(naive["regret"]["of_naive"], 1, 9)

    def test_commitments_are_used_stranded_or_exceeded(self):
        r = bound(self.prepaid, "--demand", "--to", "6 h", "--policy", "caudal")["runs"][0]
        for c in r["contracts"]:
            self.assertAlmostEqual(c["used"] + c["stranded"], c["prepaid"], delta=1e-6 * c["prepaid"])
            self.assertTrue(c["stranded"] == 0 or c["beyond"] == 0, c)
        self.assertEqual([c["name"] for c in r["contracts"]], ["one", "two"])
        # The headline has what all contracts have, beside what is left of each at its own price.
        one, two = r["contracts"]
        self.assertAlmostEqual(one["stranded_nusd"], one["stranded"] * 1e9, delta=1)
        self.assertAlmostEqual(two["stranded_nusd"], two["stranded"] * 200, delta=1)
        for what in ("stranded_nusd", "beyond_nusd"):
            self.assertAlmostEqual(r[what], one[what] + two[what], delta=1)
        self.assertGreater(r["stranded_nusd"] + r["beyond_nusd"], 0)

    def test_it_is_the_same_every_time(self):
        args = ("fleet.yaml", "--trace", "mixed.csv", "--policy", "caudal,round-robin", "--bound")
        one = run(*args)
        self.assertEqual(one.returncode, 0, one.stderr)
        self.assertIn("hindsight bound: no routing costs less than $", one.stdout)
        self.assertIn("forecast: saved by knowing each answer's length", one.stdout)
        self.assertEqual(one.stdout, run(*args, "--jobs", "4").stdout)

    def solved_by_highs(self, path):
        h = highspy.Highs()
        h.setOptionValue("output_flag", False)
        self.assertEqual(h.readModel(path), highspy.HighsStatus.kOk, path)
        h.run()
        self.assertEqual(h.getModelStatus(), highspy.HighsModelStatus.kOptimal, path)
        return h

    @unittest.skipUnless(highspy, "HiGHS is not there: tools/fetch-highs")
    def test_another_solver_finds_the_same_optimum(self):
        for i, case in enumerate(self.cases()):
            path = os.path.join(self.folder.name, "%d.mps" % i)
            ours = bound(*case, "--policy", "caudal", "--bound-write", path)["bound"]
            h = self.solved_by_highs(path)
            self.assertEqual((h.getNumRow(), h.getNumCol()), (ours["rows"], ours["columns"]))
            # Money is scaled in the program, so that groups cost about 1 each: the file knows how.
            value = h.getInfo().objective_function_value
            self.assertGreater(ours["program_scaled"], 0)
            self.assertAlmostEqual(value / ours["program_scaled"], 1, 6, case)

    @unittest.skipUnless(highspy, "HiGHS is not there: tools/fetch-highs")
    @unittest.skipUnless(os.path.exists(UNIT + "/test_bound"), "the unit tests are not built")
    def test_another_solver_agrees_on_each_program_of_the_unit_tests(self):
        for program, least in (("test_bound", 100), ("test_bound_cases", 60)):
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run([os.path.join(UNIT, program)], env=dict(os.environ, BOUND_LPS=folder), capture_output=True, text=True, timeout=300)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                values = [os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".value")]
                self.assertGreaterEqual(len(values), least)
                for path in values:
                    with open(path) as f:
                        ours = float(f.read())
                    theirs = self.solved_by_highs(path.replace(".value", ".mps")).getInfo().objective_function_value
                    self.assertAlmostEqual(theirs, ours, delta=1e-6 * abs(ours) + 1e-9, msg=path)

    def test_prices_are_written_and_routed_by(self):
        path = os.path.join(self.folder.name, "prices.yaml")
        args = (self.prepaid, "--demand", "--to", "6 h", "--policy", "caudal")
        without = bound(*args, "--write-prices", path)
        with open(path) as f:
            text = f.read()
        self.assertIn('"one":\n    worth: ', text)
        self.assertIn("until: 2026-01-12T", text)
        told = bound(*args, "--prices", path)
        self.assertEqual(told["bound"], without["bound"])
        self.assertNotEqual(told["runs"][0]["cost"], without["runs"][0]["cost"])
        self.assertGreaterEqual(told["runs"][0]["cost"]["all_nusd"], told["bound"]["nusd"])
        # The portfolio may name the file itself; a plan that has ended counts for nothing, and is said.
        named = os.path.join(self.folder.name, "named.yaml")
        with open(named, "w") as f:
            f.write("caudal: 1\nserve: {prices: '${HERE}/prices.yaml'}\n")
        again = bound(args[0], named, *args[1:])
        self.assertEqual(again["runs"][0]["cost"], told["runs"][0]["cost"])
        with open(path, "w") as f:
            f.write(text.replace("until: 2026-01-12T", "until: 2026-01-05T"))
        done = run(*args, "--prices", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("ended at 2026-01-05T", done.stderr)
        with open(path, "w") as f:
            f.write(text.replace('"one"', '"two-thousand"'))
        done = run(*args, "--prices", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("contracts.two-thousand: is no contract of this portfolio", done.stderr)

    def test_wrong_usage_and_what_cannot_be(self):
        done = run("fleet.yaml", "--trace", "mixed.csv", "--write-prices", "x")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--write-prices needs --bound", done.stderr)
        done = run("fleet.yaml", "--trace", "mixed.csv", "--bound-write", "/tmp/x")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--bound-write needs --bound", done.stderr)
        done = run("fleet.yaml", "--trace", "-", "--bound")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot read standard input twice", done.stderr)
        done = run("fleet.yaml", "--trace", "mixed.csv", "--bound", "--bound-write", "/nowhere/x.mps")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/x.mps", done.stderr)

    @unittest.skipUnless(os.path.isdir(DEMAND), "the shared demand is not here")
    def test_servegen_tables_are_replayed(self):
        tables = ["--trace", DEMAND + "/servegen_m-large_rates_first_half.csv.gz",
                  "--lengths", DEMAND + "/servegen_m-large_tokens_first_half.csv.gz"]
        week = os.path.join(ROOT, "tests", "bench", "week.yaml")
        whole = bound(week, *tables, "--from", "3 d", "--to", "4 d", "--rate", "x0.002", "--policy", "caudal,list-cheapest")
        # Day 3 has 15.1 million requests in the table; gaps come in bursts.
        self.assertGreater(whole["runs"][0]["requests"], 15.1e6 * 0.002 * 0.8)
        self.assertLess(whole["runs"][0]["requests"], 15.1e6 * 0.002 * 1.2)
        self.assertEqual(whole["begins_us"], 1767830400000000)


if __name__ == "__main__":
    main()
