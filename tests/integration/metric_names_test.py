"""What alerts, dashboard and documents name is what /metrics has, and commands that are documented are there."""

import glob
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, ROOT, Sim, Stream, chat, main

ALERTS = os.path.join(ROOT, "dist", "alerts.yaml")
DASHBOARD = os.path.join(ROOT, "dist", "grafana", "caudal.json")
OPERATIONS = os.path.join(ROOT, "docs", "operations.md")
# A name with a colon behind it is the key of a file.
NAME = re.compile(r"\b(?:caudal_[a-z_]+|gen_ai_(?:server|client)_[a-z_]+)(?![\w.]|: )")


def read(path):
    with open(path) as f:
        return f.read()


def page():
    """A page with every family on it: all that adds one is in use."""
    with tempfile.TemporaryDirectory() as folder, Sim("--output", "=3") as sim:
        text = f"""\
caudal: 1
serve: {{metrics: open, state: {folder}, admin: {{listen: 127.0.0.1:0}},
        traces: {{to: "http://127.0.0.1:1/v1/traces", sample: 0 %}}}}
contracts:
  k: {{status: signed, supplier: s, from: 2020-01-01, commitment: {{amount: 100 USD, per: month}}}}
suppliers:
  s: {{api: openai, url: "{sim.url}", key: k}}
pools:
  a: {{supplier: s, contract: k, serves: {{m: {{price: {{input: 1 USD/Mtok, output: 2 USD/Mtok}}}}}}}}
tenants:
  app: {{limits: {{requests: 1000/min, tokens: 1M/min, in_flight: 10}}, budget: 50 USD/day}}
"""
        with Gateway(text) as gw:
            gw.post("/v1/chat/completions", chat("x"))
            gw.post("/v1/chat/completions", chat("x", model="none"))
            with Stream(gw, chat("x", stream=True)) as s:
                s.events()
            return gw.get("/metrics").body.decode()


class Names(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.page = page()
        cls.types = re.findall(r"^# TYPE (\S+) (\S+)$", cls.page, re.M)
        cls.samples = {n + suffix for n, kind in cls.types
                       for suffix in (("_bucket", "_sum", "_count") if kind == "histogram" else ("",))}
        cls.samples |= {n for n, _ in cls.types}

    def test_each_family_stands_once(self):
        names = [n for n, _ in self.types]
        self.assertEqual(sorted(names), sorted(set(names)))
        self.assertGreater(len(names), 30)

    def test_what_is_named_exists(self):
        files = [ALERTS, DASHBOARD, *glob.glob(os.path.join(ROOT, "docs", "*.md")),
                 *glob.glob(os.path.join(ROOT, "docs", "man", "*.1"))]
        for file in files:
            # a family that only appears with many names in the portfolio is documented too
            named = {n for n in NAME.findall(read(file)) if not n.startswith(("caudal_tenant_", "caudal_model_"))}
            named |= {n for n in NAME.findall(read(file)) if n in ("caudal_tenant_limit", "caudal_tenant_used")}
            self.assertEqual(named - self.samples, set(), os.path.relpath(file, ROOT))

    def test_the_labels_that_are_used_exist(self):
        labels = set(re.findall(r'[{,](\w+)="', self.page)) | {"instance", "job", "le"}
        expressions = read(ALERTS) + " ".join(t["expr"] for p in json.loads(read(DASHBOARD))["panels"]
                                              for t in p.get("targets", []))
        used = set(re.findall(r'[{,]\s*(\w+)=~?"', expressions))
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expressions):
            used |= {w.strip() for w in group.split(",")}
        self.assertEqual(used - labels, set())


class Documents(unittest.TestCase):
    def test_each_alert_is_explained_and_each_explanation_has_an_alert(self):
        alerts = re.findall(r"^      - alert: (\w+)$", read(ALERTS), re.M)
        headings = re.findall(r"^### (Caudal\w+)$", read(OPERATIONS), re.M)
        self.assertEqual(alerts, headings)
        self.assertGreater(len(alerts), 20)

    @unittest.skipUnless(shutil.which("promtool"), "needs promtool")
    def test_prometheus_reads_the_rules(self):
        run = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)

    def test_commands_and_options_exist(self):
        lines = [line.split("#")[0] for block in re.findall(r"```sh\n(.*?)```", read(OPERATIONS), re.S)
                 for line in block.splitlines()]
        seen = set()
        for line in lines:
            for command, rest in re.findall(r"\bcaudal ([a-z]+)([^|&>]*)", line):
                run = subprocess.run([CAUDAL, command, "--help"], capture_output=True, text=True, timeout=60)
                self.assertEqual(run.returncode, 0, line)
                for option in re.findall(r"--[a-z-]+", rest):
                    self.assertIn(option, run.stdout, line)
                if command in ("ledger", "ctl", "key") and re.match(r" [a-z]+\b", rest):
                    self.assertIn(rest.split()[0], run.stdout, line)
                seen.add(command)
        self.assertLessEqual({"serve", "check", "key", "ledger"}, seen)


if __name__ == "__main__":
    main()
