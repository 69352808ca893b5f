"""The ledger: each call of a supplier has exactly one row, whatever happens to the process.

LEDGER_KILLS says how often the gateway is killed in the middle of load (10; make soak: 100).
"""

import collections
import csv
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import tempfile
import threading
import time
import unittest

from harness import CAUDAL, ROOT, Gateway, Recorder, Sim, chat, json_answer, main, portfolio, until
from ledger_case import RECORD, Case, age, ledger, rows, sums

KILLS = int(os.environ.get("LEDGER_KILLS", "10"))
SEED = int(os.environ.get("SEED", "1812"))


class Rows(Case):
    def test_every_end_of_a_call_has_its_row(self):
        tenants = "tenants:\n  app: {markup: 1.5}\n"
        with Sim("--instant") as a, Sim("--instant") as b:
            with self.gateway(a, b, extra=tenants) as gw:
                for stream in (False, True):
                    self.assertEqual(gw.post("/v1/chat/completions", chat("hello", stream=stream)).status, 200)
                a.faults("500")
                b.faults("500,count=1")
                gw.post("/v1/chat/completions", chat("fails over"))
                a.faults("no-usage")
                b.faults("no-usage")
                gw.post("/v1/chat/completions", chat("usage unsaid", stream=True))
                self.assertEqual(gw.post("/v1/chat/completions", chat("x", model="unknown")).status, 404)
            calls = a.calls()["total"] + b.calls()["total"]
        attempts, requests = rows(self.state), rows(self.state, "requests")
        self.assertEqual(len(attempts), calls)
        self.assertEqual(len(requests), 4)  # what names no model is nobody's
        self.assertTrue(all(r["state"] == "settled" for r in attempts))
        self.assertEqual({r["tenant"] for r in attempts + requests}, {"app"})
        failed = [r for r in attempts if r["fault"]]
        self.assertTrue(failed and all(r["status"] == 500 and r["list_nusd"] == 0 for r in failed))
        self.assertTrue(any(r["failed_over"] for r in attempts))
        self.assertEqual(sum(r["estimated"] for r in attempts), 1)
        for r in requests:
            mine = [t for t in attempts if t["request"] == r["request"]]
            self.assertEqual(r["attempts"], len(mine))
            self.assertEqual(r["list_nusd"], sum(t["list_nusd"] for t in mine))
            self.assertEqual(r["charged_nusd"], (r["list_nusd"] * 3 + 1) // 2)
        total = sums(self.state)["total"]
        self.assertEqual(total["calls"], calls)
        self.assertEqual(total["failed"], len(failed))

    def test_a_client_that_goes_away_is_a_cancelled_row(self):
        with Sim("--pace", "10ms", "--output", "=2000") as a, self.gateway(a) as gw:
            c = gw.socket()
            body = json.dumps(chat("hello", stream=True, max_tokens=2000))
            c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            c.recv(1)
            c.recv(4096)
            c.close()
            until(lambda: gw.metric("caudal_ledger_open_calls") == 0)
        row, = rows(self.state)
        self.assertEqual((row["state"], row["cancelled"], row["cut"], row["estimated"]), ("settled", 1, 1, 1))
        self.assertGreater(row["output_tok"], 0)
        self.assertGreater(row["list_nusd"], 0)

    def test_names_stay_when_pools_change_their_order(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            a.faults("500")
            with self.gateway(a, b) as gw:
                gw.post("/v1/chat/completions", chat("hello"))
            before = rows(self.state)
            text = portfolio(a, b, serve=f"state: {self.state}").replace("  a: {", "  zz: {").replace("  b: {", "  a: {")
            with Gateway(text.replace("  zz: {", "  b: {")) as gw:
                gw.post("/v1/chat/completions", chat("hello"))
            after = rows(self.state)
        self.assertEqual(after[:len(before)], before)

    def test_no_text_of_a_prompt_or_answer_is_written(self):
        word = "Xylophonquux"
        recorder = Recorder(lambda r: json_answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": word + "answer"}, "finish_reason": "stop"}]}))
        with self.gateway(recorder) as gw:
            self.assertIn(word, gw.post("/v1/chat/completions", chat(word)).text())
            gw.process.kill()
            gw.process.wait()
        for name in os.listdir(self.folder()):
            with open(os.path.join(self.folder(), name), "rb") as f:
                self.assertNotIn(word.encode(), f.read(), name)
        recorder.close()

    def test_passthrough_has_rows_without_a_model(self):
        with Sim("--instant") as a:
            with self.gateway(a, extra="tenants:\n  app: {passthrough: a}\n") as gw:
                gw.get("/v1/files")
            row, = rows(self.state)
        self.assertEqual((row["supplier"], row["model"], row["state"]), ("a", "", "settled"))

    def test_metrics_show_the_ledger(self):
        with Sim("--instant") as a, self.gateway(a) as gw:
            for _ in range(5):
                gw.post("/v1/chat/completions", chat("hello"))
            self.assertEqual(gw.metric("caudal_ledger_records_total"), 15)
            self.assertGreater(gw.metric("caudal_ledger_write_seconds_count"), 0)
            until(lambda: gw.metric("caudal_ledger_lag_records") == 0)
            self.assertEqual(sums(self.state)["total"]["calls"], 5)  # while it runs


class Load:
    """Clients that ask, stream, go away; until stopped or refused."""

    def __init__(self, gw, threads, seed):
        self.gw, self.stopped = gw, False
        self.answered = collections.Counter()
        self.threads = [threading.Thread(target=self._run, args=(seed * 1000 + i,)) for i in range(threads)]
        for t in self.threads:
            t.start()

    def _run(self, seed):
        rng = random.Random(seed)
        while not self.stopped:
            try:
                self._one(rng)
            except (OSError, AssertionError, ValueError):
                if self.stopped:
                    return
                time.sleep(0.005)

    def _one(self, rng):
        stream = rng.random() < 0.6
        body = json.dumps(chat("hello " * rng.randint(1, 40), stream=stream, max_tokens=rng.randint(1, 60)))
        with self.gw.socket(5) as s:
            s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            if rng.random() < 0.15:
                time.sleep(rng.random() * 0.02)
                return  # goes away
            got = b""
            while piece := s.recv(65536):
                got += piece
            self.answered[got[9:12]] += 1

    def stop(self):
        self.stopped = True
        for t in self.threads:
            t.join()


class Kill(Case):
    """kill -9 in the middle of load: the promise of the design, each time."""

    def test_every_call_has_exactly_one_row(self):
        rng = random.Random(SEED)
        threads = 8
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        recorder = Recorder(lambda r: json_answer({
            "id": "x", "object": "chat.completion", "model": "m", "usage": usage,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "a b c"}, "finish_reason": "stop"}]}))
        small = {"CAUDAL_TEST_SEGMENT_BYTES": str(1024 * RECORD)}  # their ends come often
        with Sim("--ttft", "2ms", "--per-token", "300us", "--output", "20") as a, Sim("--ttft", "3ms", "--per-token", "200us", "--output", "20") as b:
            a.faults("500,p=0.1", "cut-after=5,p=0.1", "refuse,p=0.05")
            b.faults("503,p=0.1", "stall-after=3,p=0.02", "no-usage,p=0.2")
            opened = 0
            for turn in range(KILLS):
                gw = self.gateway(a, b, recorder, env=small if turn % 2 else {},
                                  price="{input: 1 USD/Mtok, output: 2 USD/Mtok}", serve="attempts: {retry_budget: 100 %}", threads=4)
                load = Load(gw, threads, SEED + turn)
                time.sleep(0.1 + rng.random() * 0.6)
                gw.process.send_signal(signal.SIGKILL)
                gw.process.wait()
                load.stop()
                gw.stop()
                gw.log.close()
                with self.subTest(turn=turn, answered=dict(load.answered)):
                    opened += self.check(a, b, recorder, threads)
            self.assertGreater(sum(load.answered.values()), 0)
        again = rows(self.state)
        self.assertEqual(again, rows(self.state))  # folding again changes nothing
        total = sums(self.state)["total"]  # which are kept beside the rows
        self.assertEqual((total["calls"], total["open"]), (len(again), sum(r["state"] == "open" for r in again)))
        self.assertEqual(total["output_tokens"], sum(r["output_tok"] for r in again))
        self.assertEqual(round(total["list_usd"] * 1e9), sum(r["list_nusd"] for r in again))
        charged = sum(r["charged_nusd"] for r in rows(self.state, "requests"))
        self.assertEqual(round(total["charged_usd"] * 1e9), charged)
        print(f"  {KILLS} kills, {len(again)} calls, {opened} left open", flush=True)
        recorder.close()

    def check(self, a, b, recorder, threads):
        until(lambda: a.calls()["now"] == 0 and b.calls()["now"] == 0, "the suppliers to be idle")
        attempts = rows(self.state)
        keys = [(r["epoch"], r["loop"], r["sequence"]) for r in attempts]
        self.assertEqual(len(keys), len(set(keys)))
        sent = collections.Counter((r["request"], r["ordinal"]) for r in attempts)
        self.assertEqual(max(sent.values()), 1)
        for pool, sim in (("a", a), ("b", b)):
            mine = [r for r in attempts if r["pool"] == pool]
            heard = [r for r in mine if r["state"] == "settled" and not r["unsent"] and not r["unheard"]]
            unsure = [r for r in mine if r["state"] == "open" or r["unheard"]]
            calls = sim.calls()
            seen = sum(n for path, n in calls["by_path"].items() if "chat" in path)
            self.assertLessEqual(len(heard), seen)
            self.assertLessEqual(seen, len(heard) + len(unsure))
            exact = [r for r in heard if not r["estimated"]]
            self.assertLessEqual(sum(r["output_tok"] for r in exact), calls["tokens"]["output"])
            # In money: settled <= the supplier's count <= settled + open, as far as usage was said.
            theirs = calls["tokens"]["prompt"] * 1000 + calls["tokens"]["output"] * 2000
            settled = sum(r["list_nusd"] for r in exact)
            self.assertLessEqual(settled, theirs)
            self.assertLessEqual(theirs, settled + sum(r["bound_nusd"] for r in mine if r["estimated"] or r in unsure or r["fault"]))
        # The recorder knows each call by the id of its request.
        seen = collections.Counter(r["headers"]["x-client-request-id"] for r in recorder.requests)
        mine = [r for r in attempts if r["pool"] == "c"]
        rows_of = collections.Counter(r["request"] for r in mine)
        heard = collections.Counter(r["request"] for r in mine
                                    if r["state"] == "settled" and not r["unsent"] and not r["unheard"])
        for request, n in seen.items():
            self.assertGreaterEqual(rows_of[request], n, f"{request} was called without a row")
        for request, n in heard.items():
            self.assertLessEqual(n, seen[request], f"{request} has a row of a call that was not made")
        last = max(r["epoch"] for r in attempts)
        left = [r for r in attempts if r["state"] == "open" and r["epoch"] == last]
        self.assertLessEqual(len(left), 2 * threads)  # in flight, and one turn
        ids = [r["request"] for r in rows(self.state, "requests")]
        self.assertEqual(len(ids), len(set(ids)))
        return len(left)


class Trouble(Case):
    def some_rows(self, n=3):
        """A ledger that was killed with `n` calls in its journal."""
        with Sim("--instant") as a:
            gw = self.gateway(a, threads=1)
            for _ in range(n):
                gw.post("/v1/chat/completions", chat("hello"))
            gw.process.kill()
            gw.process.wait()
            gw.stop()
            gw.log.close()
        # Not what the store has already: only journals.
        for name in os.listdir(self.folder()):
            if name.startswith("ledger.db"):
                os.remove(os.path.join(self.folder(), name))
        with sqlite3.connect(os.path.join(self.folder(), "ledger.db")):
            pass
        open(os.path.join(self.folder(), "ledger.db"), "w").close()
        return [os.path.join(self.folder(), n) for n in self.journals()]

    def full_journal(self, paths):
        for path in paths:
            with open(path, "rb") as f:
                if any(f.read()[RECORD:RECORD * 2]):
                    return path
        self.fail("no journal has a record")

    def test_two_processes_cannot_have_one_ledger(self):
        with Sim("--instant") as a, self.gateway(a):
            with self.assertRaises(AssertionError) as second:
                self.gateway(a)
        self.assertRegex(str(second.exception), r"in use by another caudal, process \d+")

    def test_a_torn_tail_is_told_and_left_out(self):
        path = self.full_journal(self.some_rows())
        with open(path, "rb") as f:
            data = f.read().rstrip(b"\0")
        whole = (len(data) - 1) // RECORD * RECORD
        with open(path, "wb") as f:
            f.write(data[:whole + 50])
        said = ledger(self.state)
        self.assertIn("ends in the middle of a record", said.stderr)
        self.assertIn("all", said.stdout)
        self.assertFalse(self.journals())
        self.assertTrue(rows(self.state))

    def test_damage_in_the_middle_is_told_and_kept(self):
        path = self.full_journal(self.some_rows())
        with open(path, "r+b") as f:
            f.seek(RECORD * 3 + 40)
            f.write(b"\xff")
        self.assertIn("kept as .damaged", ledger(self.state).stderr)
        self.assertTrue(os.path.exists(path + ".damaged"))
        self.assertEqual(len(rows(self.state)), 1)

    def test_a_journal_of_a_newer_version_is_refused_and_untouched(self):
        path = self.full_journal(self.some_rows())
        with open(path, "r+b") as f:
            f.seek(8)
            f.write(struct.pack("<I", 99))
        with open(path, "rb") as f:
            before = f.read()
        self.assertRegex(ledger(self.state, ok=False).stderr, "version 99.*newer caudal")
        with Sim("--instant") as a, self.assertRaises(AssertionError) as refused:
            self.gateway(a)
        self.assertIn("newer caudal must read it", str(refused.exception))
        with open(path, "rb") as f:
            self.assertEqual(f.read(), before)

    def test_a_store_of_a_newer_version_and_a_damaged_one_are_refused(self):
        os.makedirs(self.folder())
        path = os.path.join(self.folder(), "ledger.db")
        with open(path, "wb") as f:
            f.write(b"this is not a database" * 100)
        with Sim("--instant") as a, self.assertRaises(AssertionError) as refused:
            self.gateway(a)
        self.assertIn("restore a backup", str(refused.exception))
        os.remove(path)
        with Sim("--instant") as a, self.gateway(a):
            pass
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version=99")
        db.close()
        self.assertIn("version 99", ledger(self.state, ok=False).stderr)

    def test_no_state_folder_means_no_ledger_and_a_warning(self):
        with Sim("--instant") as a, Gateway(portfolio(a)) as gw:
            self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
            if not os.environ.get("TEST_LEDGER"):
                self.assertIn("serve.state says no folder", gw.stderr())
        self.assertIn("no ledger here", ledger(self.state, ok=False).stderr)

    @unittest.skipUnless(os.geteuid() == 0, "mounts a tmpfs")
    def test_a_full_disk(self):
        for on_full, status in (("refuse", 503), ("serve", 200)):
            with self.subTest(on_full=on_full):
                disk = tempfile.mkdtemp()
                if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", disk], capture_output=True).returncode:
                    os.rmdir(disk)
                    self.skipTest("a tmpfs cannot be mounted here")
                try:
                    self.fill(disk, on_full, status)
                finally:
                    subprocess.run(["umount", "-l", disk], check=True)
                    os.rmdir(disk)

    def fill(self, disk, on_full, status):
        env = {"CAUDAL_TEST_SEGMENT_BYTES": str(64 * RECORD)}
        with Sim("--instant") as a:
            text = portfolio(a, serve=f"state: {disk}, ledger: {{on_full: {on_full}}}")
            with Gateway(text, "--threads", "1", env=env) as gw:
                for _ in range(3):
                    self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
                until(lambda: gw.metric("caudal_ledger_lag_records") == 0)
                ballast = os.path.join(disk, "ballast")
                with open(ballast, "wb", buffering=0) as f:
                    try:
                        while True:
                            f.write(bytes(4096))
                    except OSError:
                        pass
                answers = [gw.post("/v1/chat/completions", chat("hello")).status for _ in range(80)]
                self.assertEqual(answers[-1], status)
                self.assertGreater(gw.metric("caudal_ledger_full"), 0)
                answered = answers.count(200)
                os.remove(ballast)
                until(lambda: gw.post("/v1/chat/completions", chat("hello")).status == 200
                      and gw.metric("caudal_ledger_full") == 0, "room again")
                gw.post("/v1/chat/completions", chat("hello"))
            served = a.calls()["total"]
        said = sums(disk)
        self.assertEqual(said["total"]["open"], 0)
        self.assertEqual(said["total"]["calls"] + said["unrecorded"]["calls"], served)
        if on_full == "refuse":
            self.assertEqual(said["unrecorded"]["calls"], 0)
            self.assertLess(answered, 80)
        else:
            self.assertGreater(said["unrecorded"]["calls"], 0)
            self.assertIn("not recorded", ledger(disk).stdout)


@unittest.skipUnless(shutil.which("cc") and "asan" not in CAUDAL and not os.environ.get("CAUDAL_ASAN"), "needs cc and LD_PRELOAD")
class Faults(Case):
    """A disk that fails, a clock that jumps (tests/lib/bad_disk.c)."""

    @classmethod
    def setUpClass(cls):
        cls.lib = os.path.join(tempfile.mkdtemp(), "bad_disk.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", cls.lib,
                        os.path.join(ROOT, "tests", "lib", "bad_disk.c"), "-ldl"], check=True)

    def setUp(self):
        super().setUp()
        self.bad = tempfile.mkdtemp()
        self.log = os.path.join(self.bad, "log")
        self.env = {"LD_PRELOAD": self.lib, "BAD_DISK_FOLDER": self.bad, "BAD_DISK_LOG": self.log}
        self.addCleanup(shutil.rmtree, self.bad, ignore_errors=True)

    def say(self, name, text):
        path = os.path.join(self.bad, name)
        if text is None:
            os.remove(path)
        else:
            with open(path + ".new", "w") as f:
                f.write(text)
            os.rename(path + ".new", path)

    def test_a_short_write_is_repaired(self):
        with Sim("--instant") as a:
            with self.gateway(a, env=self.env) as gw:
                self.say("fail", "short")
                for _ in range(20):
                    self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
            calls = a.calls()["total"]
        self.assertEqual([r["state"] for r in rows(self.state)], ["settled"] * calls)

    def test_a_failing_disk_refuses_or_serves_and_loses_nothing(self):
        for on_full in ("refuse", "serve"):
            with self.subTest(on_full=on_full), Sim("--instant") as a:
                shutil.rmtree(self.folder(), ignore_errors=True)
                with self.gateway(a, env=self.env, threads=1, serve=f"ledger: {{on_full: {on_full}}}") as gw:
                    gw.post("/v1/chat/completions", chat("hello"))
                    until(lambda: gw.metric("caudal_ledger_lag_records") == 0)
                    self.say("fail", "yes")
                    if on_full == "serve":
                        self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
                    else:
                        # The first is held with its row; behind it all are refused.
                        held = []
                        t = threading.Thread(target=lambda: held.append(gw.post("/v1/chat/completions", chat("held"))))
                        t.start()
                        until(lambda: gw.metric("caudal_ledger_failures_total") > 0)
                        self.assertEqual(a.calls()["total"], 1)
                        self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 503)
                    self.say("fail", None)
                    if on_full == "refuse":
                        t.join()
                        self.assertEqual(held[0].status, 200)
                    until(lambda: gw.post("/v1/chat/completions", chat("hello")).status == 200)
                calls = a.calls()["total"]
                self.assertEqual([r["state"] for r in rows(self.state)], ["settled"] * calls)

    def test_a_clock_set_back_changes_no_count(self):
        with Sim("--instant") as a:
            with self.gateway(a, env=self.env) as gw:
                for jump in ("0", "-86400", "-172800", "3600"):
                    self.say("clock", jump)
                    time.sleep(1.1)  # the loops look at the time of day once a second
                    for _ in range(3):
                        self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
                until(lambda: gw.metric("caudal_ledger_lag_records") == 0)
            calls = a.calls()["total"]
        attempts = rows(self.state)
        self.assertEqual(len(attempts), calls)
        self.assertTrue(all(0 <= r["total_us"] < 60e6 and r["state"] == "settled" for r in attempts))
        self.assertGreaterEqual(len({r["began_us"] // 86400000000 for r in attempts}), 3)

    def order(self):
        with open(self.log) as f:
            return [line.split()[0] for line in f]

    def test_rows_are_written_before_their_bytes_leave(self):
        with Sim("--instant") as a, self.gateway(a, env=self.env, threads=1) as gw:
            for _ in range(5):
                gw.post("/v1/chat/completions", chat("hello"))
            order = self.order()
        sends = [i for i, what in enumerate(order) if what == "sent"]
        self.assertEqual(len(sends), 5, order)
        for n, at in enumerate(sends):  # its own reserve, and reserve and end of each before it
            self.assertGreaterEqual(order[:at].count("journal"), 2 * n + 1, order)

    def test_with_durability_disk_rows_are_synced_before_their_bytes_leave(self):
        with Sim("--instant") as a, self.gateway(a, env=self.env, threads=1, serve="ledger: {durability: disk}") as gw:
            for _ in range(5):
                self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
            order, synced = self.order(), True
            sends = 0
            for what in order:
                if what == "synced":
                    synced = True
                elif what == "sent":
                    sends += 1
                    self.assertTrue(synced, order)
                    synced = False
            self.assertEqual(sends, 5, order)

    def test_what_a_failed_sync_may_have_lost_is_not_sent_when_the_next_one_works(self):
        text = """caudal: 1
serve: {state: %s, ledger: {durability: disk}, breaker: {failures: 1}}
pools: {a: {api: openai, url: %s, first_byte: 1 s, serves: [m]}}
"""
        with Sim("--instant") as a, Gateway(text % (self.state, a.url), "--threads", "1", env=self.env) as gw:
            self.say("fail", "sync")
            held = []
            t = threading.Thread(target=lambda: held.append(gw.post("/v1/chat/completions", chat("held", stream=True))))
            t.start()
            until(lambda: gw.metric("caudal_ledger_failures_total") > 0)
            self.say("fail", None)
            self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
            self.assertEqual(a.calls()["total"], 1)
            t.join()
            self.assertEqual(held[0].status, 504)
            self.assertEqual(a.calls()["total"], 1)
            self.assertEqual(gw.metric("caudal_pool_breaker_open", pool="a"), 0)  # it is no fault of the pool's
            gw.logged("attempt", "the ledger's row")
        self.assertEqual([(r["unsent"], r["fault"]) for r in rows(self.state)], [(1, "timeout"), (0, "")])


class Command(Case):
    def test_sums_reconcile_backup_and_retain(self):
        with Sim("--instant") as a:
            with self.gateway(a) as gw:
                for _ in range(4):
                    gw.post("/v1/chat/completions", chat("hello"))
        day = time.strftime("%Y-%m-%d", time.gmtime())
        total = sums(self.state)["total"]
        usd = total["list_usd"]
        self.assertEqual(sums(self.state, "--since", "1h")["total"]["calls"], 4)
        self.assertEqual(sums(self.state, "--until", "2026-01-01")["total"]["calls"], 0)
        self.assertEqual(sums(self.state, "--pool", "a", "--by", "tenant,model")["rows"][0]["calls"], 4)
        self.assertEqual(sums(self.state, "--pool", "zz")["total"]["calls"], 0)
        invoice = os.path.join(self.state, "invoice.csv")
        with open(invoice, "w") as f:
            f.write(f"date,model,amount,currency\n{day},m,{usd},USD\n{day},other,3.5,USD\n")
        said = list(csv.DictReader(io.StringIO(ledger("reconcile", invoice, self.state, "--csv").stdout)))
        self.assertEqual([(r["model"], r["cause"]) for r in said],
                         [("m", "none: they agree"), ("other", "not in the ledger: sent past the gateway, or another name")])
        with open(invoice, "w") as f:
            f.write(f"date,model,amount,currency\n{day},m,1,EUR\n")
        self.assertIn("only USD", ledger("reconcile", invoice, self.state, ok=False).stderr)
        copy = os.path.join(self.state, "copy")
        os.mkdir(copy)
        whole = os.path.join(copy, "ledger.db")
        self.assertEqual(ledger("backup", whole, self.state).stdout,
                         f"{whole}: a whole copy, {os.path.getsize(whole)} bytes\n")
        self.assertEqual(ledger("check", self.state).stdout,
                         "the store is whole: 8 rows of attempts and requests were read\n")
        said = ledger("reconcile", "--supplier", "nobody", invoice, self.state, ok=False).stderr
        self.assertIn('no supplier is called "nobody", the ledger knows a\n', said)
        self.assertEqual(sums(copy), sums(self.state))
        self.assertIn("already", ledger("backup", os.path.join(copy, "ledger.db"), self.state, ok=False).stderr)
        # Old rows become sums, and the sums stay the same.
        age(self.folder(), 100)
        before = sums(self.state, "--by", "day,pool,tenant,model")
        self.assertIn("8 rows", ledger("retain", "90d", self.state).stdout)
        self.assertEqual(sums(self.state, "--by", "day,pool,tenant,model"), before)
        self.assertEqual(rows(self.state), [])

    def test_wrong_usage_is_told(self):
        for args in ([], ["export"], ["reconcile", self.state], ["--by", "weather", self.state], ["--csv", "--json", self.state]):
            self.assertEqual(ledger(*args, ok=False).returncode in (1, 2), True, args)


if __name__ == "__main__":
    main()
