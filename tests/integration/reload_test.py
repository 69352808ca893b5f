"""Another portfolio while requests go on: nothing is dropped, nothing overrun, nothing kept for ever."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from admin_test import Admin
from harness import CAUDAL, Gateway, Recorder, Sim, Stream, chat, json_answer, main, portfolio, until

ADMIN = "admin: {listen: 127.0.0.1:0}"


def rewrite(gateway, text):
    """By renaming, as a careful operator does."""
    if "metrics:" not in text:  # as the harness
        text = text.replace("serve: {", "serve: {metrics: open, ", 1)
    with open(gateway.file + ".new", "w") as f:
        f.write(text)
    os.rename(gateway.file + ".new", gateway.file)


class ReloadTest(unittest.TestCase):
    def test_new_requests_see_the_new_portfolio_and_old_ones_keep_theirs(self):
        with Sim("--pace", "20ms", "--chunks", "20") as a, Sim("--instant") as b, \
                Gateway(portfolio(a, serve=ADMIN)) as gw:
            admin = Admin(gw)
            with Stream(gw, chat("hello", stream=True)) as old:
                old.content(2)
                rewrite(gw, portfolio(b, model="other", serve=ADMIN))
                said = admin.post("/admin/reload")
                self.assertEqual(200, said.status, said)
                self.assertEqual(2, said.json()["generation"])
                self.assertEqual(2, gw.metric("caudal_generations"))
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", model="other")).status)
                self.assertEqual(404, gw.post("/v1/chat/completions", chat("x")).status)
                self.assertEqual("data: [DONE]", old.events()[-1])
            until(lambda: gw.metric("caudal_generations") == 1, "the old portfolio to go")
            self.assertEqual(1, gw.metric("caudal_requests_total", model="m", code="200"))

    def test_a_wrong_file_is_refused_with_its_errors_and_nothing_changes(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN)) as gw:
            admin = Admin(gw)
            right = open(gw.file).read()
            for wrong, why in ((right.replace("pools:", "polls:"), "polls"),
                               (right + "groups: {g: [nobody]}\n", "nobody"),
                               (right.replace(sim.url, "ftp://x"), "http://"),
                               (right.replace("serve: {", "serve: {policy: none-such, "), "none-such"),
                               ("", "pools")):
                rewrite(gw, wrong)
                said = admin.post("/admin/reload")
                self.assertEqual(422, said.status, said)
                self.assertEqual("portfolio_refused", said.json()["error"]["code"])
                self.assertIn(why, said.json()["error"]["message"])
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            os.unlink(gw.file)
            self.assertEqual(422, admin.post("/admin/reload").status)
            self.assertEqual(6, gw.metric("caudal_reloads_total", outcome="refused"))
            self.assertEqual(1, gw.metric("caudal_generation"))

    def test_a_hangup_reloads_and_what_needs_a_restart_is_named(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN)) as gw:
            rewrite(gw, portfolio(sim, serve=ADMIN + ", limits: {connections: 77}, log: {level: debug}"))
            gw.process.send_signal(signal.SIGHUP)
            until(lambda: gw.metric("caudal_reloads_total", outcome="used") == 1, "the reload")
            self.assertIn("needs_restart=serve.limits.connections", gw.stderr())

    def test_a_hangup_stands_in_the_audit(self):
        with tempfile.TemporaryDirectory() as state, Sim("--instant") as sim, \
                Gateway(portfolio(sim, serve=f"state: {state}")) as gw:
            def audit():
                done = subprocess.run([CAUDAL, "ledger", "audit", "--json", state], capture_output=True, text=True)
                return [(r["who"], r["what"], r["detail"]) for r in json.loads(done.stdout)]
            gw.process.send_signal(signal.SIGHUP)
            until(lambda: audit() == [("SIGHUP", "reload", "generation 2")])

    def test_secrets_of_the_environment_are_there_for_a_reload(self):
        with Recorder() as seen, Gateway(
                "caudal: 1\nserve: {%s}\npools:\n  a: {api: openai, url: %s, key: \"${SECRET_OF_A}\", serves: [m]}\n"
                % (ADMIN, seen.url), env={"SECRET_OF_A": "first-secret"}) as gw:
            self.assertEqual(200, Admin(gw).post("/admin/reload").status)
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            self.assertEqual("Bearer first-secret", seen.requests[-1]["headers"]["authorization"])

    def test_keys_come_and_go(self):
        key = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("old", "new")}
        tenants = "tenants:\n  t: {keys: [\"sha256:%s\"]}\n"
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN, extra=tenants % key["old"])) as gw:
            def ask(k):
                return gw.post("/v1/chat/completions", chat("x"), {"Authorization": "Bearer " + k}).status
            self.assertEqual([200, 401], [ask("old"), ask("new")])
            rewrite(gw, portfolio(sim, serve=ADMIN, extra=tenants % key["new"]))
            self.assertEqual(200, Admin(gw).post("/admin/reload").status)
            self.assertEqual([401, 200], [ask("old"), ask("new")])

    def test_what_waits_in_an_old_portfolio_gets_what_a_new_one_frees(self):
        with Sim("--pace", "30ms", "--chunks", "10") as sim, \
                Gateway(portfolio(sim, serve=ADMIN, limits="{in_flight: 1}")) as gw:
            admin, answers = Admin(gw), []
            with Stream(gw, chat("hello", stream=True)) as first:
                first.content(1)
                waits = [threading.Thread(target=lambda: answers.append(
                    gw.post("/v1/chat/completions", chat("x")).status)) for _ in range(3)]
                for w in waits:
                    w.start()
                until(lambda: gw.metric("caudal_waiting") == 3, "three to wait")
                self.assertEqual(200, admin.post("/admin/reload").status)
                late = threading.Thread(target=lambda: answers.append(
                    gw.post("/v1/chat/completions", chat("x")).status))
                late.start()
                first.events()
                for w in [*waits, late]:
                    w.join()
            self.assertEqual([200] * 4, answers)
            self.assertEqual(1, sim.get("/sim/calls").json().get("at_once_max", 1))

    def test_connections_to_suppliers_are_kept(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN), "--threads", "1") as gw:
            for _ in range(3):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
                self.assertEqual(200, Admin(gw).post("/admin/reload").status)
            self.assertEqual(2, sim.calls()["connections"]["total"], "one, and the one of this look")

    def test_under_load_nothing_is_dropped_or_overrun(self):
        limit, seconds = 3, float(os.environ.get("RELOAD_SECONDS", "4"))
        flight, most, lock = [0], [0], threading.Lock()

        def answer(request):
            with lock:
                flight[0] += 1
                most[0] = max(most[0], flight[0])
            time.sleep(0.004)  # the length of its work, not a synchronisation
            with lock:
                flight[0] -= 1
            return json_answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]})

        with Recorder(answer) as narrow, Sim("--pace", "2ms", "--chunks", "30", "--fault", "500,p=0.2") as broken, \
                Sim("--pace", "2ms", "--chunks", "30") as sound, \
                Gateway(portfolio(broken, sound, serve=ADMIN)) as gw:
            admin, failures, counts, stop = Admin(gw), [], [0, 0], threading.Event()

            def text(turn):
                serve = ADMIN + ", attempts: {retry_budget: 100 %}"
                pools = [f"  a: {{api: openai, url: {broken.url}, serves: [m]}}",
                         f"  b: {{api: openai, url: {sound.url}, serves: [m]}}",
                         f"  n: {{api: openai, url: {narrow.url}, serves: [one], limits: {{in_flight: {limit}}}}}"]
                tenants = [f"  t{i}: {{expose: [decision]}}" for i in range(3)]
                if turn % 2:
                    pools.insert(0, f"  new{turn % 4}: {{api: openai, url: {sound.url}, serves: [m]}}")
                for k in range(turn % 3):
                    pools.append(pools.pop(0))
                    tenants.append(tenants.pop(0))
                return "\n".join(["caudal: 1", f"serve: {{{serve}}}", "pools:", *pools, "tenants:", *tenants]) + "\n"

            rewrite(gw, text(0))
            self.assertEqual(200, admin.post("/admin/reload").status)

            def ask(stream, model):
                while not stop.is_set():
                    if stream:
                        with Stream(gw, chat("x", model=model, stream=True)) as s:
                            events = s.events()
                            if s.begin().status != 200 or events[-1] != "data: [DONE]":
                                failures.append((s.status, events[-1:]))
                    else:
                        a = gw.post("/v1/chat/completions", chat("x", model=model))
                        if a.status != 200:
                            failures.append(a)
                    with lock:
                        counts[stream] += 1

            threads = [threading.Thread(target=ask, args=(i % 2 == 0, "m")) for i in range(6)]
            threads += [threading.Thread(target=ask, args=(False, "one")) for _ in range(6)]
            for t in threads:
                t.start()
            turn, end, rss = 0, time.monotonic() + seconds, []
            while time.monotonic() < end:
                turn += 1
                rewrite(gw, text(turn))
                said = admin.post("/admin/reload")
                self.assertEqual(200, said.status, said)
                if turn % 10 == 0:
                    rss.append(gw.rss())
            stop.set()
            for t in threads:
                t.join()
            print(f"  {turn} reloads, {counts[0]} whole answers, {counts[1]} streams, at most {most[0]} in flight, "
                  f"rss {[r >> 20 for r in rss][:1]} to {[r >> 20 for r in rss][-1:]} MiB")
            self.assertEqual([], failures[:3])
            self.assertGreater(turn, 5)
            self.assertLessEqual(most[0], limit)
            until(lambda: gw.metric("caudal_generations") == 1, "the old portfolios to go")
            self.assertEqual(0, gw.metric("caudal_pool_in_flight"))
            late = len(rss) // 2
            if late > 3:  # what the first reloads touched is what the last ones have
                self.assertLess(min(rss[late:]), max(rss[:late]) + (4 << 20), rss)

    def test_a_tenant_that_goes_while_it_is_answered_gets_its_answer(self):
        key = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("one", "two")}
        both = "tenants:\n  a: {keys: [\"sha256:%s\"]}\n  b: {keys: [\"sha256:%s\"]}\n" % (key["one"], key["two"])
        only = "tenants:\n  a: {keys: [\"sha256:%s\"]}\n" % key["one"]
        with Sim("--pace", "20ms", "--chunks", "15") as sim, Gateway(portfolio(sim, serve=ADMIN, extra=both)) as gw:
            with Stream(gw, chat("x", stream=True), {"Authorization": "Bearer two"}) as s:
                s.content(2)
                rewrite(gw, portfolio(sim, serve=ADMIN, extra=only))
                self.assertEqual(200, Admin(gw).post("/admin/reload").status)
                self.assertEqual("data: [DONE]", s.events()[-1])
            until(lambda: gw.metric("caudal_requests_total", tenant="b", code="200") == 1, "its count")


class EnginesTest(unittest.TestCase):
    """Engines over reloads; a simulated supplier stands for one."""

    def text(self, *engines):
        lines = ["caudal: 1", f"serve: {{{ADMIN}}}", "pools:"]
        for name, words in engines:
            lines.append(f"  {name}: {{api: openai, run: [\"${{CAUDAL}}\", sim, --listen, \"127.0.0.1:${{PORT}}\""
                         f"{words}], serves: [{name}]}}")
        return "\n".join(lines) + "\n"

    def pids(self, gw, name):
        """Of the engines of this name that became ready, in their order."""
        return re.findall(rf"engine +supplier={name} state=ready .*?pid=(\d+)", gw.stderr())

    def running(self, pid):
        try:
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] != "Z"
        except (FileNotFoundError, ProcessLookupError):  # it may end while it is read
            return False

    def ready(self, gw, name):
        until(lambda: gw.metric("caudal_pool_ready", pool=name) == 1, f"{name} to be ready")

    def test_an_unchanged_engine_goes_on_and_a_removed_one_ends_with_its_last_request(self):
        slow = ", --pace, 20ms, --output, \"=25\""
        with Gateway(self.text(("a", ", --instant"), ("b", slow))) as gw:
            self.ready(gw, "a")
            self.ready(gw, "b")
            b, = self.pids(gw, "b")
            with Stream(gw, chat("x", model="b", stream=True)) as s:
                s.content(2)
                rewrite(gw, self.text(("a", ", --instant")))
                self.assertEqual(200, Admin(gw).post("/admin/reload").status)
                self.assertTrue(self.running(b), "a request is at it")
                self.assertEqual("data: [DONE]", s.events()[-1])
            until(lambda: not self.running(b), "the engine that nobody needs to end")
            self.assertEqual(1, len(self.pids(gw, "a")), "it was not started again")
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", model="a")).status)

    def test_a_changed_engine_is_replaced_when_the_new_one_is_ready(self):
        with Gateway(self.text(("a", ", --instant"))) as gw:
            self.ready(gw, "a")
            failures, stop = [], threading.Event()

            def ask():
                while not stop.is_set():
                    answer = gw.post("/v1/chat/completions", chat("x", model="a"))
                    if answer.status != 200:
                        failures.append(answer)

            threads = [threading.Thread(target=ask) for _ in range(3)]
            for t in threads:
                t.start()
            rewrite(gw, self.text(("a", ", --instant, --seed, \"7\"")))
            said = Admin(gw).post("/admin/reload")
            stop.set()
            for t in threads:
                t.join()
            self.assertEqual(200, said.status, said)
            self.assertEqual([], failures[:3])
            old, new = self.pids(gw, "a")
            until(lambda: not self.running(old), "the old engine to end")
            self.assertTrue(self.running(new))
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", model="a")).status)

    def test_a_changed_engine_that_does_not_start_refuses_the_reload(self):
        with Gateway(self.text(("a", ", --instant"))) as gw:
            self.ready(gw, "a")
            rewrite(gw, self.text(("a", ", --no-such-option")))
            said = Admin(gw).post("/admin/reload")
            self.assertEqual(422, said.status, said)
            self.assertIn("engine", said.json()["error"]["message"])
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", model="a")).status)
            rewrite(gw, self.text(("a", ", --instant")))
            self.assertEqual(200, Admin(gw).post("/admin/reload").status)
            self.assertEqual(1, len(self.pids(gw, "a")))


if __name__ == "__main__":
    main()
