"""Keeping a ledger: sums in place of old rows, copies while it is written, places that cannot be written."""

import itertools
import os
import shutil
import subprocess
import tempfile
import threading
import unittest

from harness import Gateway, Sim, chat, main, portfolio, until
from ledger_case import Case, age, ledger, rows, sums

KEYS = ["day", "pool", "tenant", "key", "model", "contract", "supplier", "fault"]


class Retain(Case):
    def serve_a_bit(self):
        """Calls of every kind, under contracts, of which one is cancelled and some fail over."""
        contracts = "contracts:\n  deal: {status: live, commitment: {amount: 100 tok, per: term, beyond: 3 USD/Mtok}}\n"
        with Sim("--instant") as a, Sim("--instant") as b:
            text = portfolio(a, b, serve=f"state: {self.state}", extra=contracts + "tenants:\n  app: {markup: 1.5}\n")
            self.text = text.replace("key: secret-of-a,", "key: secret-of-a, contract: deal,")
            with Gateway(self.text) as gw:
                for fault in ("", "500,count=1", "no-usage,count=1", "429,count=1"):
                    for sim in (a, b):
                        sim.faults(*([fault] if fault else []))
                    for stream in (False, True):
                        gw.post("/v1/chat/completions", chat("hello " * 9, stream=stream))

    def answers(self):
        """Of every question that can be asked of sums."""
        said = {}
        for n in range(len(KEYS) + 1):
            for keys in itertools.combinations(KEYS, n) if n < 3 else [KEYS[:n]]:
                said[keys if n < 3 else tuple(keys)] = sums(self.state, *(["--by", ",".join(keys)] if keys else []))
        for only in (("--tenant", "app"), ("--pool", "a"), ("--pool", "b"), ("--supplier", "a"), ("--since", "200d"), ("--since", "1d")):
            said[only] = sums(self.state, *only)
        path = os.path.join(self.state, "p.yaml")
        with open(path, "w") as f:
            f.write(self.text)
        said["commitments"] = ledger("commitments", "--csv", path).stdout.rsplit(",", 5)[0]  # without what moves with time
        invoice = os.path.join(self.state, "invoice.csv")
        with open(invoice, "w") as f:
            f.write("date,model,amount\n2026-01-01,m,1\n")
        said["reconcile"] = ledger("reconcile", "--csv", invoice, self.state).stdout
        return said

    def test_every_question_has_the_same_answer_before_and_after(self):
        self.serve_a_bit()
        age(self.folder(), 100)
        before, held = self.answers(), len(rows(self.state)) + len(rows(self.state, "requests"))
        self.assertGreater(before[()]["total"]["marginal_usd"], 0)
        self.assertTrue(before[()]["total"]["failed"] and before[()]["total"]["estimated"])
        self.assertIn(f"{held} rows", ledger("retain", "90d", self.state).stdout)
        self.assertEqual((rows(self.state), rows(self.state, "requests")), ([], []))
        self.assertEqual(self.answers(), before)
        self.assertIn("0 rows", ledger("retain", "90d", self.state).stdout)
        # Days that come later are added to them, not put in their place.
        self.serve_a_bit()
        both = sums(self.state)["total"]
        self.assertGreater(both["calls"], before[()]["total"]["calls"])

    def test_what_is_not_old_enough_stays(self):
        self.serve_a_bit()
        age(self.folder(), 89)
        before = rows(self.state)
        self.assertIn("0 rows", ledger("retain", "90d", self.state).stdout)
        self.assertEqual(rows(self.state), before)

    def test_a_gateway_does_so_itself(self):
        self.serve_a_bit()
        age(self.folder(), 100)
        before = sums(self.state, "--by", "day,pool")
        with Gateway(self.text.replace(f"state: {self.state}", f"state: {self.state}, ledger: {{retain: 90 d}}")):
            until(lambda: not rows(self.state))
            self.assertEqual(sums(self.state, "--by", "day,pool"), before)
            said = ledger("retain", "90d", self.state, ok=False)
            self.assertEqual(said.returncode, 1)
            self.assertIn("a gateway has this ledger", said.stderr)


class Backup(Case):
    def test_copies_under_load_are_whole_and_restored_ones_go_on(self):
        copies = []
        with Sim("--instant") as a, self.gateway(a) as gw:
            stop = threading.Event()

            def load():
                while not stop.is_set():
                    gw.post("/v1/chat/completions", chat("hello"))

            threads = [threading.Thread(target=load) for _ in range(4)]
            for t in threads:
                t.start()
            try:
                for n in range(5):
                    until(lambda: sums(self.state)["total"]["calls"] > (copies[-1][1] if copies else 0))
                    folder = os.path.join(self.state, f"copy{n}")
                    os.mkdir(folder)
                    ledger("backup", os.path.join(folder, "ledger.db"), self.state)
                    ledger("check", folder)
                    copies.append((folder, sums(folder)["total"]["calls"]))
            finally:
                stop.set()
                for t in threads:
                    t.join()
        counts = [n for _, n in copies]
        self.assertEqual(counts, sorted(set(counts)))
        for folder, n in copies:
            ids = [(r["epoch"], r["loop"], r["sequence"]) for r in rows(folder)]
            self.assertEqual((len(ids), len(set(ids))), (n, n))
        # The last copy in the place of the store: a gateway goes on in an epoch of its own.
        served = len(rows(self.state))
        for name in os.listdir(self.folder()):
            if name.startswith("ledger.db"):
                os.remove(os.path.join(self.folder(), name))
        shutil.copy(os.path.join(copies[-1][0], "ledger.db"), self.folder())
        with Sim("--instant") as a, self.gateway(a) as gw:
            gw.post("/v1/chat/completions", chat("hello"))
        after = rows(self.state)
        self.assertEqual(len(after), counts[-1] + 1)
        self.assertLessEqual(counts[-1], served)
        self.assertGreater(after[-1]["epoch"], 1)


@unittest.skipUnless(os.geteuid() == 0, "mounts a tmpfs")
class ReadOnly(Case):
    def setUp(self):
        super().setUp()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "none", self.state], capture_output=True).returncode:
            self.skipTest("a tmpfs cannot be mounted here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.state])

    def freeze(self):
        subprocess.run(["mount", "-o", "remount,ro", self.state], check=True)

    def test_a_store_that_cannot_be_written_is_read_and_not_served_from(self):
        with Sim("--instant") as a:
            with self.gateway(a) as gw:
                for _ in range(3):
                    gw.post("/v1/chat/completions", chat("hello"))
            before = sums(self.state)
            self.freeze()
            said = ledger("--json", self.state)
            self.assertIn('"calls":3', said.stdout)
            self.assertIn("rows still in its journals are left out", said.stderr)
            self.assertEqual(sums(self.state), before)
            with self.assertRaises(AssertionError) as refused:
                self.gateway(a)
            self.assertRegex(str(refused.exception), "Read-only file system|may not be written")
            copy = tempfile.mkdtemp()
            self.addCleanup(shutil.rmtree, copy)
            ledger("backup", os.path.join(copy, "ledger.db"), self.state)
            self.assertEqual(sums(copy)["total"], before["total"])
            self.assertEqual(ledger("retain", "90d", self.state, ok=False).returncode, 1)


if __name__ == "__main__":
    main()
