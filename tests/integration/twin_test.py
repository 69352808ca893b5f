"""The twin, in short: the same trace through serve and through replay is answered alike. Its times are make bench-twin's."""

import csv
import importlib.machinery
import importlib.util
import os
import tempfile
import unittest

from harness import CAUDAL, ROOT, main

loader = importlib.machinery.SourceFileLoader("twin", os.path.join(ROOT, "tests", "bench", "twin"))
twin = importlib.util.module_from_spec(importlib.util.spec_from_loader("twin", loader))
loader.exec_module(twin)


class Twin(unittest.TestCase):
    def test_both_answer_every_request_of_the_trace_in_full(self):
        with tempfile.TemporaryDirectory() as folder:
            there = twin.Twin(CAUDAL, folder, requests=20, rate=20)
            replayed, served = there.replayed(), there.served()
            with open(there.trace) as f:
                trace = list(csv.DictReader(f))
        self.assertEqual((replayed["requests"], replayed["answered"]), (20, 20))
        self.assertEqual([r["why"] for r in served], [""] * 20)
        self.assertEqual([(r["prompt_tok"], r["output_tok"]) for r in served],
                         [(r["prompt_tokens"], r["output_tokens"]) for r in trace])
        self.assertEqual((replayed["prompt_tok"], replayed["output_tok"]),
                         tuple(sum(int(r[k]) for r in trace) for k in ("prompt_tokens", "output_tokens")))
        self.assertEqual(int(served[-1]["due_us"]), int(trace[-1]["t_us"]), "sent at the trace's own times")
        for row in served:  # from when it was due, nothing is faster than the steps of the faster pool
            self.assertGreaterEqual(float(row["total_us"]), 40e3 * (int(row["output_tok"]) - 1))


if __name__ == "__main__":
    main()
