"""Deferred work, a day of it in virtual time: paid capacity is filled, and those who cannot wait do not feel it."""

import json
import os
import subprocess
import tempfile
import unittest

from harness import CAUDAL, main

# Eight prepaid slots that are short by day and idle by night, and a market for the rest.
PORTFOLIO = """caudal: 1
serve: {policy: caudal, default_class: chat}
classes:
  chat: {ttft: 2 s, per_token: 60 ms, time_value: {ttft: 2 USD/h, per_token: 1 USD/h}}
  batch: {deadline: 12 h, deferred: "${DEFERRED}"}
suppliers: {a: {api: vllm, url: "http://127.0.0.1:8000/v1"}}
chips:
  gpu: {points: [{chips: 2, batch: 8, per_user: 45 tok/s, throughput: 340 tok/s, prefill: 14k tok/s, slots: 8, basis: assumed}]}
models: {m: {context: 131072}}
contracts:
  prepaid: {supplier: a, status: signed, from: 2026-01-05, until: 2026-01-06,
    commitment: {amount: 48 accelerator-hours, per: term}}
pools:
  paid: {contract: prepaid, chip: gpu, chips: 2, limits: {in_flight: 8}, serves: &m {m: {price: {input: 0.3 USD/Mtok, output: 1.2 USD/Mtok}}}}
  spot: {supplier: a, chip: gpu, chips: 64, serves: *m}
demand:
  day: {model: m, class: chat, rate: 0.8/s, prompt: 500 tok, output: 150 tok,
    hours: [1, 1, 1, 1, 1, 2, 4, 6, 9, 9, 9, 9, 9, 9, 9, 6, 4, 2, 1, 1, 1, 1, 1, 1]}
  nightly: {model: m, class: batch, rate: 0.2/s, prompt: 500 tok, output: 150 tok,
    hours: [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]}
"""


class Deferred(unittest.TestCase):
    def day(self, deferred):
        with tempfile.TemporaryDirectory() as d:
            path = os.path.join(d, "p.yaml")
            with open(path, "w") as f:
                f.write(PORTFOLIO)
            done = subprocess.run([CAUDAL, "replay", path, "--demand", "--to", "1 d", "--json"], capture_output=True,
                                  text=True, timeout=100, env=dict(os.environ, DEFERRED=deferred))
        self.assertEqual(done.returncode, 0, done.stderr)
        run, = json.loads(done.stdout)["runs"]
        return run, *({x["name"]: x for x in run[k]} for k in ("classes", "pools", "contracts"))

    def test_paid_capacity_is_filled_and_nobody_who_cannot_wait_feels_it(self):
        (now, now_class, now_pool, now_deal), (later, class_, pool, deal) = self.day("false"), self.day("true")
        for run in (now, later):
            self.assertEqual((run["refused"], run["expired"], run["failed"]), (0, 0, 0))
        self.assertEqual(now["requests"], later["requests"])
        self.assertEqual(class_["batch"]["good"], class_["batch"]["requests"], "all of it before its deadline")
        self.assertGreater(class_["batch"]["ttft_us"]["mean"], 600e6, "it waits")
        self.assertLess(pool["spot"]["list_nusd"], 0.8 * now_pool["spot"]["list_nusd"], "less is bought")
        self.assertLess(deal["prepaid"]["stranded"], 0.98 * now_deal["prepaid"]["stranded"], "less is lost")
        for q in ("p50", "p99"):
            self.assertLess(class_["chat"]["ttft_us"][q], 1.05 * now_class["chat"]["ttft_us"][q], "chat " + q)


if __name__ == "__main__":
    main()
