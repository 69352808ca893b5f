"""Limits of tenants and keys: what is refused, in what words, and that no loop lets one more in."""

import hashlib
import http.client
import json
import os
import shutil
import signal
import tempfile
import threading
import unittest

from harness import Gateway, Recorder, Sim, Stream, chat, json_answer, main, portfolio, until
from ledger_case import rows, sums

KEYS = {name: f"ck-{name}" for name in ("app", "ci", "other", "gone", "far", "one")}


def sha(name):
    return "sha256:" + hashlib.sha256(KEYS[name].encode()).hexdigest()


def bearer(name="app"):
    return {"Authorization": "Bearer " + KEYS[name]}


def tenants(text):
    """A `tenants:` section in which KEY stands for the key of app, KEY.ci for that of ci."""
    for name in KEYS:
        text = text.replace(f"KEY.{name}", f'"{sha(name)}"')
    return "tenants:\n" + text.replace("KEY", f'"{sha("app")}"')


def ask(gw, name="app", **more):
    return gw.post("/v1/chat/completions", chat("hello", **more), bearer(name))


def usage(prompt, output):
    """A supplier whose every answer has used so many tokens."""
    return Recorder(lambda r: json_answer({"id": "x", "object": "chat.completion", "model": r["model"], "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}}))


class Refusals(unittest.TestCase):
    def check(self, answer, code, kind, *parts):
        self.assertEqual(answer.status, 429, answer)
        error = answer.json()["error"]
        self.assertEqual((error["code"], error["type"]), (code, kind))
        for part in parts:
            self.assertIn(part, error["message"])

    def test_requests_of_a_minute(self):
        with Sim("--instant") as a, Gateway(portfolio(a, extra=tenants("  app: {keys: [KEY], requests: 3/min}\n"))) as gw:
            for left in (2, 1, 0):
                answer = ask(gw)
                self.assertEqual(answer.status, 200, answer)
                self.assertEqual(answer.headers["x-ratelimit-limit-requests"], "3")
                self.assertEqual(answer.headers["x-ratelimit-remaining-requests"], str(left))
                self.assertRegex(answer.headers["x-ratelimit-reset-requests"], r"^(\d+m)?\d+(\.\d+)?s$")
                self.assertNotIn("x-ratelimit-limit-tokens", answer.headers)
            answer = ask(gw)
            self.check(answer, "rate_limit_exceeded", "requests",
                       "Rate limit reached for tenant app: 3 requests a minute, 3 used. Try again in ")
            self.assertTrue(0 < int(answer.headers["retry-after-ms"]) <= 20000, answer)
            self.assertTrue(0 < int(answer.headers["retry-after"]) <= 20)
            self.assertEqual(answer.headers["x-ratelimit-remaining-requests"], "0")
            self.assertEqual(len(a.calls()["requests"]) if "requests" in a.calls() else a.calls()["total"], 3)
            self.assertEqual(gw.metric("caudal_tenant_limit", tenant="app", limit="requests"), 3)
            self.assertGreater(gw.metric("caudal_tenant_used", tenant="app", limit="requests"), 2)
            self.assertIn("tenant=app", gw.logged("limit", "limit=requests"))

    def test_tokens_are_taken_as_expected_and_set_right(self):
        with usage(10, 90) as a, Gateway(portfolio(a, extra=tenants("  app: {keys: [KEY], tokens: 1000/min}\n"))) as gw:
            first = ask(gw, max_tokens=900)
            self.assertEqual(first.headers["x-ratelimit-limit-tokens"], "1000")
            self.assertLess(int(first.headers["x-ratelimit-remaining-tokens"]), 750)  # 256 and the prompt expected
            second = ask(gw, max_tokens=100)
            self.assertTrue(780 <= int(second.headers["x-ratelimit-remaining-tokens"]) <= 815, second.headers)
            answer = gw.post("/v1/chat/completions", chat("x" * 8000), bearer())
            self.check(answer, "rate_limit_exceeded", "tokens", "1000 tokens a minute", "never fits")
            self.assertEqual(answer.headers["x-should-retry"], "false")

    def test_requests_at_once_of_a_stream_too(self):
        with Sim("--pace", "5ms", "--output", "=4000") as a, \
                Gateway(portfolio(a, extra=tenants("  app: {keys: [KEY], in_flight: 2}\n"))) as gw:
            one = Stream(gw, chat("a", stream=True, max_tokens=4000), bearer())
            two = Stream(gw, chat("b", stream=True, max_tokens=4000), bearer())
            one.content(), two.content()
            self.check(ask(gw), "rate_limit_exceeded", "requests", "2 requests at once, 2 in flight")
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="app", limit="in_flight"), 2)
            one.close()  # a client that leaves gives its place back
            until(lambda: ask(gw, max_tokens=1).status == 200)
            two.close()
            until(lambda: gw.metric("caudal_tenant_used", tenant="app", limit="in_flight") == 0)

    def test_a_failed_request_gives_back_and_a_mistake_does_not(self):
        extra = tenants("  app: {keys: [KEY], requests: 60/min, tokens: 100k/min, in_flight: 8, budget: {day: 1 USD, kind: hard}}\n")
        with Sim("--instant") as a, Gateway(portfolio(a, serve="attempts: {max: 1}", extra=extra)) as gw:
            a.faults("500")
            self.assertGreaterEqual(ask(gw, max_tokens=10).status, 500)
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="app", limit="tokens"), 0)
            self.assertLess(gw.metric("caudal_tenant_used", tenant="app", limit="requests"), 0.9)
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="app", limit="in_flight"), 0)
            a.faults("400")
            self.assertEqual(ask(gw, max_tokens=10).status, 400)
            self.assertGreater(gw.metric("caudal_tenant_used", tenant="app", limit="requests"), 0.5)
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="app", limit="budget_day"), 0)

    def test_everybody_above_must_have_room(self):
        extra = tenants("  firm: {requests: 4/min}\n  team: {of: firm, requests: 3/min}\n"
                        "  app: {of: team, keys: [KEY, {sha256: KEY.ci, name: ci, requests: 1/min}]}\n"
                        "  other: {of: firm, keys: [KEY.other]}\n")
        with Sim("--instant") as a, Gateway(portfolio(a, extra=extra)) as gw:
            self.assertEqual(ask(gw, "ci").status, 200)
            self.check(ask(gw, "ci"), "rate_limit_exceeded", "requests", "key ci: 1 requests a minute")
            self.assertEqual([ask(gw).status for _ in range(2)], [200, 200])
            self.check(ask(gw), "rate_limit_exceeded", "requests", "tenant team")
            self.assertEqual(ask(gw, "other").status, 200)
            self.check(ask(gw, "other"), "rate_limit_exceeded", "requests", "tenant firm")

    def test_dates_addresses_models_and_classes(self):
        extra = ("classes: {chat: {}, batch: {}}\n" + tenants(
            "  app: {keys: [KEY, {sha256: KEY.ci, models: [n], classes: [batch]}]}\n"
            "  ended: {keys: [KEY.gone], until: 2020-01-01}\n"
            "  far: {keys: [KEY.far], addresses: [10.0.0.0/8]}\n"
            "  one: {keys: [{sha256: KEY.one, until: 2020-01-01}, {sha256: KEY.other, addresses: [127.0.0.0/8]}]}\n"))
        with Sim("--instant") as a:
            text = portfolio(a, extra=extra).replace("serves: {m:", "serves: {n: {as: m}, m:")
            with Gateway(text) as gw:
                for name, status, code in (("gone", 403, "tenant_ended"), ("far", 403, "address_not_allowed"),
                                           ("one", 401, "key_expired")):
                    answer = ask(gw, name)
                    self.assertEqual((answer.status, answer.json()["error"]["code"]), (status, code))
                self.assertEqual(ask(gw, "other").status, 200)
                answer = ask(gw, "ci")
                self.assertEqual((answer.status, answer.json()["error"]["code"]), (404, "model_not_found"))
                self.assertEqual(ask(gw, "ci", model="n").status, 200)
                models = gw.get("/v1/models", bearer("ci")).json()["data"]
                self.assertEqual([m["id"] for m in models], ["n"])
                answer = gw.post("/v1/chat/completions", chat("x", model="n"), {**bearer("ci"), "x-caudal-class": "chat"})
                self.assertEqual((answer.status, answer.json()["error"]["code"]), (403, "class_not_allowed"))

    def test_a_key_with_models_of_its_own_gets_no_stand_in(self):
        extra = ("groups: {g: [m, n]}\n" + tenants("  app: {keys: [KEY, {sha256: KEY.ci, models: [m]}], expose: [decision]}\n"))
        with Sim("--instant") as a, Sim("--instant") as b:
            text = portfolio(a, b, serve="attempts: {stand_in_after: 0 s}", extra=extra).replace(
                f"url: {b.url}, key: secret-of-b, serves: {{m:", f"url: {b.url}, key: secret-of-b, serves: {{n:")
            with Gateway(text) as gw:
                a.faults("500")
                self.assertEqual(ask(gw).json()["model"], "n")
                self.assertGreaterEqual(ask(gw, "ci").status, 500)
                self.assertGreaterEqual(ask(gw, "ci", model="g").status, 500)


class Exactness(unittest.TestCase):
    def test_four_loops_let_in_no_more_than_one_would(self):
        with Sim("--instant") as a, \
                Gateway(portfolio(a, extra=tenants("  app: {keys: [KEY], requests: 200/h, budget: 1 USD/day}\n")),
                        "--threads", "4") as gw:
            # 200 an hour are 3.3 in a minute: a bucket of 3.3, which refills by less than one here.
            statuses, lock = [], threading.Lock()

            def client():
                c = http.client.HTTPConnection(gw.host, gw.port)
                for _ in range(20):
                    c.request("POST", "/v1/chat/completions", json.dumps(chat("x")), bearer())
                    r = c.getresponse()
                    r.read()
                    with lock:
                        statuses.append(r.status)
            threads = [threading.Thread(target=client) for _ in range(8)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            self.assertEqual(set(statuses), {200, 429})
            self.assertLessEqual(statuses.count(200), 5)
            self.assertEqual(statuses.count(200), a.calls()["total"])

    def test_a_hard_budget_is_never_overrun_by_parallel_requests(self):
        # Each answer costs 110 nUSD x 1e6 / 1e6: prompt 10 at 1, output 50 at 2 USD/Mtok.
        extra = tenants("  app: {keys: [KEY], budget: {day: 0.002 USD, kind: hard}}\n")
        with usage(10, 50) as a, Gateway(portfolio(a, extra=extra), "--threads", "4") as gw:
            statuses = []

            def client():
                for _ in range(12):
                    statuses.append(ask(gw, max_tokens=50).status)
            threads = [threading.Thread(target=client) for _ in range(6)]
            [t.start() for t in threads]
            [t.join() for t in threads]
            used = gw.metric("caudal_tenant_used", tenant="app", limit="budget_day")
            self.assertEqual(set(statuses), {200, 429})
            self.assertAlmostEqual(used, statuses.count(200) * 110e-6, places=9)
            self.assertLessEqual(used, 0.002)
            answer = ask(gw, max_tokens=1000)
            error = answer.json()["error"]
            self.assertEqual((answer.status, error["code"], error["type"]), (429, "insufficient_quota", "insufficient_quota"))
            self.assertRegex(error["message"], r"^You exceeded the current quota of tenant app: 0\.002 USD a day, of which 0\.\d+ USD are ")
            self.assertEqual(answer.headers["x-should-retry"], "false")

    def test_a_forecast_budget_is_overrun_by_less_than_its_answers_in_flight(self):
        extra = tenants("  app: {keys: [KEY], budget: 0.002 USD/day}\n")
        with usage(10, 1000) as a, Gateway(portfolio(a, extra=extra)) as gw:
            while ask(gw, max_tokens=1000).status == 200:  # one at a time
                pass
            used = gw.metric("caudal_tenant_used", tenant="app", limit="budget_day")
            self.assertGreater(used, 0.002)
            self.assertLessEqual(used, 0.002 + 2010e-6)

    def test_a_supplier_that_says_more_than_could_be_is_not_charged_for_it(self):
        extra = tenants("  app: {keys: [KEY], budget: {day: 0.01 USD, kind: hard}}\n")
        with usage(10, 900000) as a, Gateway(portfolio(a, extra=extra)) as gw:
            answer = gw.post("/v1/chat/completions", chat("hello", max_tokens=100), {**bearer(), "x-caudal-receipt": "1"})
            receipt = json.loads(answer.headers["x-caudal-receipt"])
            self.assertLess(receipt["charged_usd"], 0.001)
            self.assertGreater(receipt["list_usd"], 1)
            self.assertLess(gw.metric("caudal_tenant_used", tenant="app", limit="budget_day"), 0.001)


class Money(unittest.TestCase):
    def setUp(self):
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)

    def gateway(self, sim, section):
        return Gateway(portfolio(sim, serve=f"state: {self.state}", extra=tenants(section)))

    def test_own_prices_and_markups_are_charged(self):
        section = ("  app: {keys: [KEY], prices: {m: {input: 3 USD/Mtok, output: 5 USD/Mtok}}, budget: 1 USD/day}\n"
                   "  other: {keys: [KEY.other], markup: 1.5}\n")
        with usage(10, 50) as a, self.gateway(a, section) as gw:
            answer = gw.post("/v1/chat/completions", chat("x"), {**bearer(), "x-caudal-receipt": "1"})
            receipt = json.loads(answer.headers["x-caudal-receipt"])
            self.assertEqual((receipt["list_usd"], receipt["charged_usd"]), (0.00011, 0.00028))
            answer = gw.post("/v1/chat/completions", chat("x"), {**bearer("other"), "x-caudal-receipt": "1"})
            self.assertEqual(json.loads(answer.headers["x-caudal-receipt"])["charged_usd"], 0.000165)
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="app", limit="budget_day"), 0.00028)
        charged = {r["tenant"]: r["charged_usd"] for r in sums(self.state, "--by", "tenant")["rows"]}
        self.assertEqual(charged, {"app": 0.00028, "other": 0.000165})

    def test_what_was_used_outlives_reloads_in_any_order(self):
        lines = ["  app: {keys: [KEY], requests: 6/h, in_flight: 9, budget: {day: 0.0005 USD, kind: hard}}\n",
                 "  other: {keys: [KEY.other], requests: 6/h}\n", "  gone: {keys: [KEY.gone]}\n"]
        with usage(10, 50) as a, self.gateway(a, "".join(lines)) as gw:
            def reload(n, section):
                with open(gw.file, "w") as f:
                    f.write(portfolio(a, serve=f"state: {self.state}, metrics: open", extra=tenants(section)))
                gw.process.send_signal(signal.SIGHUP)
                until(lambda: gw.metric("caudal_generation") == n)
            self.assertEqual([ask(gw, "other").status for _ in range(2)], [200, 429])
            self.assertEqual(ask(gw, max_tokens=50).status, 200)
            reload(2, lines[2] + lines[1] + lines[0].replace("6/h", "600/min"))
            self.assertEqual(ask(gw, "other").status, 429)
            self.assertAlmostEqual(gw.metric("caudal_tenant_used", tenant="app", limit="budget_day"), 110e-6, places=9)
            reload(3, lines[0].replace("6/h", "600/min") + lines[1])  # gone has gone
            self.assertEqual(ask(gw, "other").status, 429)
            self.assertEqual(ask(gw, "gone").status, 401)
            # The largest possible answer fits no more, though the budget is not spent.
            self.assertEqual(ask(gw, max_tokens=50).json()["error"]["code"], "insufficient_quota")
            reload(4, lines[1] + lines[0].replace("6/h", "600/min").replace("hard", "forecast"))
            self.assertEqual(ask(gw, max_tokens=50).status, 200)
            # A budget for who had none: what was charged before counts.
            def charged():
                return sum(r["charged_usd"] for r in sums(self.state, "--by", "tenant")["rows"] if r["tenant"] == "other")
            until(lambda: charged() == 0.00011)
            reload(5, lines[1].replace("requests: 6/h", "budget: 0.0001 USD/day"))
            self.assertEqual(ask(gw, "other").json()["error"]["code"], "insufficient_quota")
            # Also what was charged while there was none.
            reload(6, lines[1].replace(", requests: 6/h", ""))
            self.assertEqual(ask(gw, "other").status, 200)
            until(lambda: charged() == 0.00022)
            reload(7, lines[1].replace("requests: 6/h", "budget: 0.0002 USD/day"))
            self.assertEqual(gw.metric("caudal_tenant_used", tenant="other", limit="budget_day"), 0.00022)
            self.assertEqual(ask(gw, "other").json()["error"]["code"], "insufficient_quota")

    def test_what_was_used_outlives_a_restart(self):
        section = ("  firm: {budget: {month: 1 USD}}\n"
                   "  app: {of: firm, keys: [KEY, {sha256: KEY.ci, name: ci, requests: 3/min}], requests: 10/min, budget: 1 USD/day}\n")
        with usage(10, 50) as a:
            with self.gateway(a, section) as gw:
                for name in ("app", "app", "ci"):
                    self.assertEqual(ask(gw, name).status, 200)
            with self.gateway(a, section) as gw:
                self.assertAlmostEqual(gw.metric("caudal_tenant_used", tenant="app", limit="budget_day"), 330e-6, places=9)
                self.assertAlmostEqual(gw.metric("caudal_tenant_used", tenant="firm", limit="budget_month"), 330e-6, places=9)
                self.assertEqual([ask(gw, "ci").status for _ in range(3)], [200, 200, 429])
            with self.gateway(a, section.replace("1 USD/day", "0.0005 USD/day")) as gw:
                self.assertEqual(ask(gw).status, 429)
        self.assertEqual(len({row["key"] for row in rows(self.state, "requests")} - {""}), 2)


if __name__ == "__main__":
    main()
