"""A new process takes the place of one that serves: no request fails, no row is lost."""

import http.client
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import unittest

from harness import CAUDAL, PATIENCE_S, Gateway, Process, Sim, Stream, Wire, chat, main, portfolio, raw_request, until

CHAT = "/v1/chat/completions"


def alive(pid):
    """Whether it runs; one that has ended and is not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Load:
    """Clients that ask all the time: whole answers and streams, on new connections and on kept ones."""

    def __init__(self, gateway, n=8):
        self.gateway, self.stopping, self.lock = gateway, threading.Event(), threading.Lock()
        self.good, self.failed, self.sent = 0, [], 0
        self.threads = [threading.Thread(target=self._run, args=(i,)) for i in range(n)]
        for t in self.threads:
            t.start()

    def _run(self, i):
        kept = None
        while not self.stopping.is_set():
            try:
                kept = self._ask(i, kept)
                with self.lock:
                    self.good += 1
            except Exception as e:
                kept = None
                with self.lock:
                    self.failed.append(repr(e))
        if kept:
            kept.close()

    def _ask(self, i, kept):
        with self.lock:
            self.sent += 1
        if i % 2:
            with Stream(self.gateway, chat("hello", stream=True)) as s:
                events = s.events()
                if s.status != 200 or events[-1] != "data: [DONE]":
                    raise AssertionError(f"{s.status} {events[-1:]}")
            return None
        if kept is None:
            kept = Wire(self.gateway)
        kept.send(raw_request("POST", CHAT, chat("hello")))
        answer = kept.answer()
        if answer.status != 200:
            raise AssertionError(f"{answer}")
        if answer.headers.get("connection") == "close":
            kept.close()
            return None
        return kept

    def until(self, n):
        """So many more good answers."""
        goal = self.good + n
        until(lambda: self.good >= goal or self.failed, f"{n} more answers")

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()


class TakeOver(unittest.TestCase):
    def setUp(self):
        self.folder = self.enterContext(tempfile.TemporaryDirectory())
        self.state = os.path.join(self.folder, "state")
        os.mkdir(self.state)
        self.pids = []
        self.addCleanup(self.end)

    def end(self):
        for pid in self.pids:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)

    def serve(self, text, *args):
        """The first process; the next ones say on the same standard output where they serve."""
        gw = Gateway(text, *args)
        self.addCleanup(gw.stop)
        self.pids.append(gw.process.pid)
        return gw

    def follow(self, file, *args):
        """Another process that takes over: Process, once it serves."""
        next = Process(["serve", "--take-over", file, "--listen", "127.0.0.1:0", *args])
        self.addCleanup(next.stop)
        self.pids.append(next.process.pid)
        return next

    def text(self, *sims, more=""):
        return portfolio(*sims, serve=f"state: {self.state}{more}")

    def rows(self):
        with sqlite3.connect(f"file:{self.state}/ledger/ledger.db?mode=ro", uri=True) as db:
            settled, = db.execute("select coalesce(sum(n), 0) from chunks where kind=1").fetchone()
            return settled + db.execute("select count(*) from open").fetchone()[0], settled

    def test_three_in_a_row_under_load_and_a_broken_portfolio_between(self):
        with Sim("--ttft", "5ms", "--per-token", "2ms", "--output", "=20") as sim:
            gw = self.serve(self.text(sim))
            load = Load(gw)
            self.addCleanup(load.stop)
            load.until(100)
            last = gw
            for i in range(3):
                with open(gw.file + ".wrong", "w") as f:
                    f.write(self.text(sim) + "nonsense: 1\n")
                wrong = subprocess.run([CAUDAL, "serve", "--take-over", gw.file + ".wrong"], capture_output=True, text=True)
                self.assertEqual(wrong.returncode, 1, wrong)
                next = self.follow(gw.file, "--threads", str((3, 1, 2)[i]))
                self.assertEqual(next.port, gw.port)
                load.until(100)
                self.assertEqual(last.process.wait(PATIENCE_S), 0, last.stderr())
                last = next
                load.until(50)
            load.stop()
            self.assertEqual(load.failed, [])
            self.assertEqual(last.stop(), 0)
            calls = sim.calls()
            self.assertEqual(self.rows(), (load.good, load.good))
            self.assertEqual(calls["finished"], load.good)
            self.assertEqual([n for n in os.listdir(self.state + "/ledger") if n.endswith((".cj", ".lock"))], [])

    def test_a_long_stream_ends_where_it_began_and_a_signal_starts_the_next(self):
        with Sim("--ttft", "1ms", "--per-token", "20ms", "--output", "=100") as sim:
            log = os.path.join(self.folder, "events")
            gw = self.serve(self.text(sim, more=f", events: {log}"))
            with Stream(gw, chat("x", stream=True)) as s, Wire(gw) as idle:
                idle.send(raw_request("GET", "/healthz"))
                self.assertEqual(idle.answer().status, 200)
                s.content(2)
                gw.process.send_signal(signal.SIGUSR2)
                found = until(lambda: re.search(r"this one ends what it has begun\" pid=(\d+)", gw.stderr()),
                              "the take-over")
                self.pids.append(int(found.group(1)))
                self.assertNotEqual(int(found.group(1)), gw.process.pid)
                idle.send(raw_request("GET", "/healthz"))  # one more on the old process ...
                answer = idle.answer()
                self.assertEqual((answer.status, answer.headers["connection"]), (200, "close"))
                self.assertEqual(gw.get("/healthz").status, 200)  # ... and a new one on the new
                self.assertEqual(s.events()[-1], "data: [DONE]")
            self.assertEqual(gw.process.wait(PATIENCE_S), 0, gw.stderr())
            self.assertEqual(gw.post(CHAT, chat("x", max_tokens=2)).status, 200)
            self.assertTrue(os.path.exists(log + ".1"))  # the old one's, which it wrote to its end
            self.assertEqual(self.running(), [self.pids[-1]])
            os.kill(self.pids[-1], signal.SIGTERM)
            until(lambda: not alive(self.pids[-1]), "its end")
            self.assertEqual(self.rows(), (2, 2))

    def test_budgets_count_what_the_old_process_still_charges(self):
        """One stream ends before the take-over, two after it; each is counted once, in the key and those above it."""
        tenants = ("tenants:\n  app: {of: all, budget: {day: 50 USD, kind: hard}}\n"
                   "  all: {budget: 100 USD/day}\n")
        with Sim("--ttft", "1ms", "--per-token", "10ms", "--output", "=60") as sim:
            gw = self.serve(portfolio(sim, serve=f"state: {self.state}", extra=tenants,
                                      price="{input: 0 USD/Mtok, output: 10000 USD/Mtok}"))
            ask = chat("x", stream=True, max_tokens=60)
            used = lambda tenant: gw.metric("caudal_tenant_used", tenant=tenant, limit="budget_day")
            self.assertEqual(gw.post(CHAT, ask).status, 200)
            with Stream(gw, ask) as s, Stream(gw, ask) as t:
                s.content(2), t.content(2)
                next = self.follow(gw.file)
                self.assertEqual([s.events()[-1], t.events()[-1]], ["data: [DONE]"] * 2)
            self.assertEqual(gw.process.wait(PATIENCE_S), 0, gw.stderr())
            # From here on the port is the new one's.
            until(lambda: abs(used("all") - 1.8) < 1e-6, "the money of both")
            self.assertEqual(next.post(CHAT, ask).status, 200)
            until(lambda: abs(used("all") - 2.4) < 1e-6, "its own")
            self.assertAlmostEqual(used("app"), used("all"))

    def running(self):
        """Who holds the ledger."""
        with open(self.state + "/ledger/lock") as f:
            return [int(f.read())]

    def test_a_portfolio_that_became_wrong_keeps_the_old_process(self):
        with Sim("--instant") as sim:
            gw = self.serve(self.text(sim))
            with open(gw.file, "a") as f:
                f.write("nonsense: 1\n")
            gw.process.send_signal(signal.SIGUSR2)
            until(lambda: "has ended; this one goes on\" status=1" in gw.stderr(), "the refusal")
            self.assertIn("nonsense", gw.stderr())
            self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
            self.assertEqual(self.running(), [gw.process.pid])

    def test_one_that_dies_before_it_serves_changes_nothing(self):
        """An engine that does not become ready, where the old process has one that is."""
        engine = (f"[{CAUDAL}, sim, --instant, --listen, \"127.0.0.1:${{PORT}}\"]")
        text = ("caudal: 1\nserve: {state: %s}\npools: {a: {api: llama.cpp, run: %s, serves: [m]}}\n"
                "tenants: {t: {}}\n")
        gw = self.serve(text % (self.state, engine))
        until(lambda: gw.get("/readyz").status == 200, "the engine")
        with open(gw.file, "w") as f:
            f.write(text % (self.state, "[/bin/false, '${PORT}']"))
        failed = subprocess.run([CAUDAL, "serve", "--take-over", gw.file, "--listen", "127.0.0.1:0"],
                                capture_output=True, text=True)
        self.assertEqual(failed.returncode, 1, failed)
        self.assertRegex(failed.stderr, "caudal serve: an engine that the other process has does not become ready")
        until(lambda: "gave up; this one goes on" in gw.stderr(), "the log's line")
        self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
        # With a right one it goes, and at no moment is there none.
        with open(gw.file, "w") as f:
            f.write(text % (self.state, engine))
        next = self.follow(gw.file)
        self.assertEqual(next.post(CHAT, chat("x")).status, 200)
        self.assertEqual(gw.process.wait(PATIENCE_S), 0)
        self.assertEqual(next.post(CHAT, chat("x")).status, 200)

    def test_rows_of_one_that_is_killed_while_it_drains_are_not_lost(self):
        with Sim("--ttft", "1ms", "--per-token", "50ms", "--output", "=1000") as sim:
            gw = self.serve(self.text(sim))
            with Stream(gw, chat("x", stream=True)) as s:
                s.content(2)
                next = self.follow(gw.file)
                gw.process.send_signal(signal.SIGKILL)
                gw.process.wait()
            until(lambda: self.rows() == (1, 0), "its open row, folded by the next")
            self.assertEqual(next.get("/healthz").status, 200)
            self.assertEqual(next.stop(), 0)

    def test_operators_address_comes_over_too(self):
        with Sim("--instant") as sim:
            gw = self.serve(self.text(sim, more=", admin: {listen: 127.0.0.1:0}"))
            port = int(until(lambda: re.search(r"admin +host=\S+ port=(\d+)", gw.stderr()), "its address").group(1))
            next = self.follow(gw.file)
            self.assertIn(f" port={port} ", next.stderr())
            gw.process.wait(PATIENCE_S)
            with Wire(next) as w:
                w.socket.close()
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
            c.request("GET", "/admin/status")
            self.assertEqual(json.loads(c.getresponse().read())["pid"], next.process.pid)
            c.close()

    def test_an_address_that_the_next_does_not_listen_at_is_closed(self):
        with Sim("--instant") as sim:
            gw = self.serve(self.text(sim, more=", admin: {listen: 127.0.0.1:0}"))
            port = int(until(lambda: re.search(r"admin +host=\S+ port=(\d+)", gw.stderr()), "its address").group(1))
            file = os.path.join(self.folder, "next.yaml")
            with open(file, "w") as f:
                f.write(self.text(sim))
            self.follow(file)
            gw.process.wait(PATIENCE_S)
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port), PATIENCE_S)

    def test_nobody_to_take_over_from_is_said(self):
        with Sim("--instant") as sim:
            file = os.path.join(self.folder, "p.yaml")
            for text, says in ((self.text(sim), "nobody who serves with the state folder"),
                               (portfolio(sim), "--take-over needs serve.state")):
                with open(file, "w") as f:
                    f.write(text)
                done = subprocess.run([CAUDAL, "serve", "--take-over", file], capture_output=True, text=True)
                self.assertEqual(done.returncode, 1)
                self.assertIn(says, done.stderr)


if __name__ == "__main__":
    main()
