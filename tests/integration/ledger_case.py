"""What the tests of the ledger share: a state folder, a gateway over it, and what `caudal ledger` says."""

import csv
import io
import json
import os
import shutil
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, portfolio

RECORD = 192  # bytes of a record, and of a segment's head


def ledger(*args, ok=True):
    r = subprocess.run([CAUDAL, "ledger", *args], capture_output=True, text=True)
    if ok and r.returncode:
        raise AssertionError(f"caudal ledger {args}: {r.returncode}\n{r.stdout}\n{r.stderr}")
    return r


def table(text):
    """CSV as dicts, whole numbers as numbers."""
    return [{k: int(v) if v.lstrip("-").isdigit() else v for k, v in row.items()}
            for row in csv.DictReader(io.StringIO(text))]


def rows(state, which="attempts"):
    return table(ledger("export", "--rows", which, state).stdout)


def sums(state, *args):
    return json.loads(ledger("--json", *args, state).stdout)


class Case(unittest.TestCase):
    def setUp(self):
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)

    def gateway(self, *sims, serve="", env=None, threads=2, **more):
        text = portfolio(*sims, serve=f"state: {self.state}" + (f", {serve}" if serve else ""), **more)
        return Gateway(text, "--threads", str(threads), env=env)

    def folder(self):
        return os.path.join(self.state, "ledger")

    def journals(self):
        return sorted(n for n in os.listdir(self.folder()) if n.endswith(".cj"))
