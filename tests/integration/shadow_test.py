"""A pool that shadows another: it sees copies, is counted apart, costs no more than it may, and no client notices."""

import hashlib
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, Recorder, Sim, Stream, chat, json_answer, main, stream_answer, until
from ledger_case import rows, sums

PRICE = "{input: 1 USD/Mtok, output: 2 USD/Mtok}"


def shadowed(a, b, shadow="share: 100%, at_most: 5 USD/day", serve="", price=PRICE, more=""):
    """`a` answers, `b` shadows it."""
    return f"""caudal: 1
serve: {{{serve}}}
pools:
  a: {{api: openai, url: {a.url}, key: secret-of-a, serves: {{m: {{price: {PRICE}}}}}}}
  b: {{api: openai, url: {b.url}, key: secret-of-b, shadow: {{of: a, {shadow}}}, {more}
      serves: {{m: {{as: m-there, price: {price}}}}}}}
tenants:
  everyone: {{expose: [decision]}}
"""


def done(gw, n=1, **labels):
    until(lambda: gw.metric("caudal_shadow_requests_total", pool="b", **labels) >= n, "the copies to end")


def skipped(gw, why):
    return gw.metric("caudal_shadow_skipped_total", pool="b", why=why)


def shown(answer):
    """What a client gets, but for what is never twice the same."""
    head = {k: v for k, v in answer.headers.items() if k.lower() not in ("date", "x-request-id")}
    return answer.status, head, re.sub(rb'"created":\d{6,}', b"", answer.body)  # of a model: when caudal started


class ShadowTest(unittest.TestCase):
    def gateway(self, a, b, *args, text=None, **more):
        gw = Gateway(text or shadowed(a, b, **more), *args)
        self.addCleanup(gw.stop)
        return gw

    def test_it_sees_what_the_other_answers_under_its_own_name_and_nobody_gets_its_answer(self):
        with Sim("--instant") as a, Recorder() as b:
            gw = self.gateway(a, b)
            for stream in (False, True):
                answer = gw.post("/v1/chat/completions", chat("hi", stream=stream, temperature=0.5))
                self.assertEqual(200, answer.status, answer)
                self.assertNotIn(b"hello", answer.body)
                self.assertIn("pool=a", answer.headers.get("x-caudal-decision", "pool=a"))
            done(gw, 2)
            whole, streamed = sorted(b.requests, key=lambda r: json.loads(r["body"])["stream"])
            self.assertEqual("m-there", whole["model"])
            self.assertEqual(0.5, json.loads(whole["body"])["temperature"])
            self.assertEqual("Bearer secret-of-b", whole["headers"]["authorization"])
            self.assertTrue(json.loads(streamed["body"])["stream"])
            self.assertEqual([], b.broken)
            self.assertEqual(2, gw.metric("caudal_requests_total"))
            self.assertEqual(2, gw.metric("caudal_attempts_total"))

    def test_the_share_is_honoured(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            gw = self.gateway(a, b, shadow="share: 25%, at_most: 5 USD/day")
            for _ in range(400):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi")).status)
            drawn = lambda: gw.metric("caudal_shadow_requests_total") + gw.metric("caudal_shadow_skipped_total")
            until(lambda: gw.metric("caudal_shadows_in_progress") == 0, "the copies to end")
            self.assertTrue(50 < drawn() < 160, drawn())  # 100 on average, 6 standard deviations

    def test_what_a_client_gets_is_the_same_to_the_byte(self):
        def event(text=None, finish=None):
            return {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [
                {"index": 0, "delta": {"content": text} if text else {}, "finish_reason": finish}]}

        def supplier(request):
            if json.loads(request["body"]).get("stream"):
                return stream_answer(event("one"), event(" two"), event(finish="stop"), b"[DONE]")
            return json_answer({"id": "x", "object": "chat.completion", "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "one two"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})

        got = []
        with Recorder(supplier) as a, Sim("--instant") as b:
            for share in ("0%", "100%"):
                gw = self.gateway(a, b, shadow=f"share: {share}, at_most: 5 USD/day")
                got.append([shown(gw.post("/v1/chat/completions", chat("hi", stream=s))) for s in (False, True)])
                got[-1].append(shown(gw.get("/v1/models")))
                if share != "0%":
                    done(gw, 2)
                gw.stop()
        for off, on in zip(*got):
            off[1].pop("x-caudal-decision", None), on[1].pop("x-caudal-decision", None)  # its times are measured
            self.assertEqual(off[0:2], on[0:2])
            self.assertEqual(off[2].replace(b"x", b""), on[2].replace(b"x", b""))

    def test_one_that_is_dead_slow_or_wrong_changes_nothing(self):
        for fault, outcome in (("500", "server"), ("refuse", "reset"), ("garbage", "garbage"), ("429", "busy"),
                               ("cut-after=2", "reset"), ("error-event", "server"), ("empty", "garbage")):
            with self.subTest(fault), Sim("--instant") as a, Sim("--instant", "--fault", fault) as b:
                gw = self.gateway(a, b)
                answer = gw.post("/v1/chat/completions", chat("hi", stream=True))
                self.assertEqual("[DONE]", answer.events()[-1])
                done(gw, outcome=outcome)
                self.assertEqual(0, gw.metric("caudal_attempts_total", pool="b"))
                self.assertEqual(1, gw.metric("caudal_requests_total", code="200"))
                gw.stop()
        with Sim("--instant") as a, Sim("--instant") as b:
            b.stop()
            gw = self.gateway(a, b)
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi")).status)
            done(gw, outcome="connect")

    def test_one_that_hangs_holds_nobody_up_and_no_more_than_the_limit_are_on(self):
        with Sim("--instant") as a, Sim("--fault", "stall-before") as b:
            gw = self.gateway(a, b, serve="limits: {shadows: 3}")
            for _ in range(5):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi")).status)
            until(lambda: gw.metric("caudal_shadows_in_progress") == 3, "three to hang")
            until(lambda: skipped(gw, "in_flight") == 2, "two to be skipped")
            self.assertEqual(0, gw.metric("caudal_pool_in_flight", pool="a"))

    def test_its_own_limits_hold(self):
        with Sim("--instant") as a, Sim("--fault", "stall-before") as b:
            gw = self.gateway(a, b, more="limits: {in_flight: 1},")
            for _ in range(3):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi")).status)
            until(lambda: skipped(gw, "limits") == 2, "two to be skipped")

    def test_nobody_else_answers_for_it_and_it_answers_for_nobody(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            a.stop()
            gw = self.gateway(a, b)
            self.assertGreaterEqual(gw.post("/v1/chat/completions", chat("hi")).status, 500)
            self.assertEqual(0, gw.metric("caudal_shadow_requests_total") + gw.metric("caudal_shadow_skipped_total"))

    def test_a_client_that_goes_away_does_not_end_it(self):
        with Sim("--pace", "20ms", "--chunks", "200") as a, Sim("--pace", "20ms", "--chunks", "20") as b:
            gw = self.gateway(a, b)
            with Stream(gw, chat("x", stream=True)) as s:
                s.content(1)
                until(lambda: gw.metric("caudal_pool_in_flight", pool="b") == 1, "the copy to be on")
            until(lambda: gw.metric("caudal_requests_total", code="499") == 1, "the client to be gone")
            done(gw, outcome="ok")

    def test_what_its_prefix_cache_is_worth_is_known_when_it_becomes_a_candidate(self):
        operator = "admin: {listen: 127.0.0.1:0, keys: ['sha256:%s']}" % hashlib.sha256(b"operator-key").hexdigest()
        body = chat("a stone in the river " * 400)  # some 8 KB
        for cache, warm in (("1Mtok", True), ("0tok", False)):
            with Sim("--instant") as a, Sim("--instant", "--prefix-cache", cache) as b:
                text = shadowed(a, b, serve=operator, price=PRICE.replace("}", ", cached_input: 0.1 USD/Mtok}"))
                gw = self.gateway(a, b, text=text)
                for n in range(1, 31):
                    self.assertEqual(200, gw.post("/v1/chat/completions", body).status)
                    done(gw, n)
                with open(gw.file, "w") as f:
                    f.write(text.replace("shadow: {of: a, share: 100%, at_most: 5 USD/day},", ""))
                gw.process.send_signal(signal.SIGHUP)
                until(lambda: gw.metric("caudal_generation") == 2, "the reload")
                asked = {"Authorization": "Bearer operator-key", "x-caudal-explain": "1", "x-caudal-tenant": "everyone"}
                answer = gw.post("/v1/chat/completions", body, asked).json()
                found = next(c for c in answer["candidates"] if c["pool"] == "b")
                self.assertGreater(found["warm_tok"], 1000)
                self.assertEqual(warm, found["cached_tok"] > found["warm_tok"] // 2, found)
                gw.stop()

    def test_a_drain_waits_for_it_and_not_for_longer_than_it_may(self):
        with tempfile.TemporaryDirectory() as folder:
            state = os.path.join(folder, "state")
            with Sim("--instant") as a, Sim("--pace", "20ms", "--chunks", "20") as b:
                gw = self.gateway(a, b, serve=f"state: {state}")
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", stream=True)).status)
                until(lambda: gw.metric("caudal_pool_in_flight", pool="b") == 1, "the copy to be on")
                self.assertEqual(0, gw.stop())
                self.assertIn(' shadow ', gw.stderr())
                self.assertEqual(["", ""], [r["fault"] for r in rows(state)])  # it was waited for
            with Sim("--instant") as a, Sim("--fault", "stall-before") as b:
                gw = self.gateway(a, b, serve=f"state: {state}, drain: 200 ms")
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x", stream=True)).status)
                until(lambda: gw.metric("caudal_pool_in_flight", pool="b") == 1, "the copy to be on")
                self.assertEqual(0, gw.stop())
                left = rows(state)[-1]
                self.assertEqual(("b", "settled", 1), (left["pool"], left["state"], left["shadow"]))

    def test_its_money_ends_for_the_day_also_over_a_restart(self):
        with tempfile.TemporaryDirectory() as folder, Sim("--instant") as a, Sim("--instant") as b:
            state = os.path.join(folder, "state")
            # An answer of at most 1,000 tokens may cost 0.2 cents; two fit into half a cent.
            money = {"shadow": "share: 100%, at_most: 0.005 USD/day", "serve": f"state: {state}"}
            gw = self.gateway(a, b, **money, price="{input: 0 USD/Mtok, output: 2 USD/Mtok}")
            ask = lambda gw: self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi", max_tokens=1000)).status)
            for _ in range(2):
                ask(gw)
                before = gw.metric("caudal_shadow_requests_total")
                done(gw, before)
            self.assertEqual(0, skipped(gw, "money"))
            while not skipped(gw, "money"):
                ask(gw)
                until(lambda: gw.metric("caudal_shadows_in_progress") == 0, "the copy to end")
            spent = gw.metric("caudal_shadow_list_usd_total", pool="b")
            self.assertTrue(0.003 - 1e-9 < spent <= 0.005 + 1e-9, spent)
            self.assertEqual(0, gw.stop())
            again = self.gateway(a, b, **money, price="{input: 0 USD/Mtok, output: 2 USD/Mtok}")
            ask(again)
            until(lambda: skipped(again, "money") == 1, "it to be skipped")
            self.assertEqual(0, again.metric("caudal_shadow_requests_total"))

    def test_a_copy_that_costs_more_than_it_could_ends_the_day(self):
        usage = {"prompt_tokens": 3, "completion_tokens": 1000000, "total_tokens": 1000003}
        dear = lambda r: json_answer({"id": "x", "object": "chat.completion", "model": "m", "usage": usage, "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]})
        with Sim("--instant") as a, Recorder(dear) as b:
            gw = self.gateway(a, b, shadow="share: 100%, at_most: 1 USD/day")
            for ended in (1, 2):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi", max_tokens=1000)).status)
                until(lambda: gw.metric("caudal_shadow_requests_total") + skipped(gw, "money") == ended,
                      "copy %d to end" % ended)
            self.assertEqual(1, skipped(gw, "money"))
            self.assertGreater(gw.metric("caudal_shadow_list_usd_total", pool="b"), 2)

    def test_the_ledger_has_its_money_and_no_request_and_no_charge(self):
        with tempfile.TemporaryDirectory() as folder, Sim("--instant") as a, Sim("--instant") as b:
            state = os.path.join(folder, "state")
            gw = self.gateway(a, b, serve=f"state: {state}")
            for _ in range(3):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("hi")).status)
            done(gw, 3)
            usd = gw.metric("caudal_shadow_list_usd_total", pool="b")
            self.assertEqual(0, gw.stop())
            attempts, requests = rows(state), rows(state, "requests")
            copies = [r for r in attempts if r["shadow"]]
            self.assertEqual((6, 3, 3), (len(attempts), len(copies), len(requests)))
            self.assertEqual({r["request"] for r in requests}, {r["request"] for r in copies})
            self.assertTrue(all(r["bytes_up"] > 0 and r["bytes_down"] > 0 for r in attempts), attempts)
            self.assertEqual({("b", "", 0, "settled")}, {(r["pool"], r["tenant"], r["ordinal"], r["state"]) for r in copies})
            self.assertAlmostEqual(usd * 1e9, sum(r["list_nusd"] for r in copies), delta=1)
            of_b = next(r for r in sums(state, "--by", "pool")["rows"] if r["pool"] == "b")
            self.assertGreater(of_b["list_usd"], 0)
            self.assertEqual(0, of_b["charged_usd"])


class Nowhere:
    url = "http://127.0.0.1:1/v1"


class CheckTest(unittest.TestCase):
    def check(self, text, *args):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(text)
            f.flush()
            return subprocess.run([CAUDAL, "check", *args, f.name], capture_output=True, text=True, timeout=60)

    def test_it_is_shown(self):
        shown = self.check(shadowed(Nowhere, Nowhere, "share: 2%, at_most: 5 USD/day"))
        self.assertEqual(0, shown.returncode, shown)
        self.assertRegex(shown.stdout, r"pools that shadow another\n.*\n +b +a +2 % +5 USD")
        pools = json.loads(self.check(shadowed(Nowhere, Nowhere, "share: 2%, at_most: 5 USD/day"), "--json").stdout)["pools"]
        self.assertEqual({"of": "a", "share": 0.02, "at_most_usd_day": 5}, pools[1]["shadow"])

    def test_what_cannot_be_is_said_with_its_place(self):
        good = shadowed(Nowhere, Nowhere)
        free = good.replace(f"m-there, price: {PRICE}", "m-there")
        cycle = good.replace("key: secret-of-a,", "key: secret-of-a, shadow: {of: b, at_most: 1 USD/day},")
        for text, said in (
                (good.replace("of: a", "of: c"), "pools.b.shadow.of:"),
                (good.replace("of: a, ", ""), "pools.b.shadow: .*says no pool"),
                (good.replace("of: a", "of: b"), "pools.b.shadow.of: is itself"),
                (cycle, "pools.b.shadow.of: is a shadow itself"),
                (cycle, "pools.a.shadow.of: is a shadow itself"),
                (good.replace("{m: {as: m-there", "{n: {as: m-there"), "pools.b.shadow.of: serves none of its models"),
                (good.replace(", at_most: 5 USD/day", ""), "pools.b.shadow.at_most: is not said"),
                (free, "pools.b.shadow.at_most: cannot hold"),
                (good.replace("5 USD/day", "5 USD"), "pools.b.shadow.at_most: .*is not money a day"),
                (good.replace("5 USD/day", "-5 USD/day"), "pools.b.shadow.at_most: is below nothing, got \"-5 USD/day\""),
                (good.replace("share: 100%", "share: 120%"), "pools.b.shadow.share:"),
                (good.replace("serve: {}", "serve: {limits: {shadows: 0}}"), "serve.limits.shadows:"),
                (good.replace("shadow: {", "share: {steps: [1%, 100%]}, shadow: {"), "pools.b.share: is for pools that answer")):
            refused = self.check(text)
            self.assertEqual(1, refused.returncode, refused)
            self.assertRegex(refused.stderr + refused.stdout, said)
        self.assertEqual(0, self.check(free.replace(", at_most: 5 USD/day", "")).returncode)


if __name__ == "__main__":
    main()
