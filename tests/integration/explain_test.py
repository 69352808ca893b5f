"""Why a request goes where it goes: `caudal explain`, the admin address, x-caudal-explain."""

import hashlib
import json
import subprocess
import tempfile
import unittest

from admin_test import Admin
from harness import CAUDAL, Gateway, Sim, chat, main, until

FLEET = """
caudal: 1
serve: {default_class: chat}
classes:
  chat: {time_value: {ttft: 4 USD/h, per_token: 4 USD/h}}
  batch: {deadline: 24 h}
contracts:
  prepaid: {supplier: cloud, status: live, from: 2026-01-01, until: 2027-01-01, commitment: {amount: 12 kUSD, per: month}}
suppliers:
  cloud: {api: openai, url: http://127.0.0.1:9/v1}
pools:
  cheap: {supplier: cloud, serves: {m: {price: {input: 1 USD/Mtok, output: 2 USD/Mtok}}}}
  paid: {supplier: cloud, contract: prepaid, serves: {m: {price: {input: 1.5 USD/Mtok, output: 3 USD/Mtok}}}}
  off: {supplier: cloud, enabled: no, serves: {m: {price: {input: 0.1 USD/Mtok, output: 0.1 USD/Mtok}}}}
  other: {supplier: cloud, serves: [n]}
tenants:
  app: {classes: [chat, batch], default_class: batch}
"""


def explain(*args, text=FLEET, key=None):
    """Runs `caudal explain` on this portfolio; (status, out, err)."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(text)
        f.flush()
        done = subprocess.run([CAUDAL, "explain", *[f.name if a is None else a for a in args]], capture_output=True,
                              text=True, timeout=60, env={"CAUDAL_ADMIN_KEY": key} if key else {})
    return done.returncode, done.stdout, done.stderr


def explained(*args, **more):
    status, out, err = explain(*args, "--json", **more)
    assert status == 0, err
    return json.loads(out)


class Offline(unittest.TestCase):
    def test_every_candidate_has_its_terms_and_the_barred_their_bar(self):
        e = explained(None, "--model", "m", "--prompt", "1000", "--output", "100", "--at", "2026-07-16T00:00:00Z")
        self.assertEqual((e["policy"], e["class"], e["decision"]["verdict"]), ("caudal", "chat", "send"))
        by = {c["pool"]: c for c in e["candidates"]}
        self.assertEqual(set(by), {"cheap", "paid", "off"})
        for c in by.values():
            u = c["usd"]
            self.assertAlmostEqual(u["total"], u["list"] + u["energy"] + u["carbon"] + u["wait_ttft"] + u["wait_tokens"], 9)
        # An even pace leaves the commitment at half its price, which is below the cheaper list.
        self.assertAlmostEqual(by["paid"]["usd"]["list"], by["paid"]["pace"] * (1.5e-3 + 0.3e-3), 9)
        self.assertAlmostEqual(by["paid"]["pace"], 0.5, 2)
        self.assertAlmostEqual(by["cheap"]["usd"]["list"], 1.2e-3, 9)
        self.assertEqual([c["pool"] for c in e["candidates"]], ["paid", "cheap", "off"])
        self.assertEqual([c["chosen"] for c in e["candidates"]], [True, False, False])
        self.assertEqual(e["decision"]["pool"], "paid")
        self.assertIsNone(by["cheap"]["bar"])
        self.assertIn("not active", by["off"]["bar"])

    def test_the_policy_and_the_time_are_told(self):
        listed = explained(None, "--model", "m", "--policy", "least-cost", "--at", "2026-07-16")
        self.assertEqual(listed["decision"]["pool"], "cheap")
        ended = explained(None, "--model", "m", "--at", "2027-07-16")
        self.assertEqual(ended["decision"]["pool"], "cheap", "the contract has ended")

    def test_a_tenant_has_its_class(self):
        self.assertEqual(explained(None, "--model", "m", "--tenant", "app")["class"], "batch")
        self.assertEqual(explained(None, "--model", "m", "--tenant", "app", "--class", "chat")["class"], "chat")

    def test_a_person_reads_a_table(self):
        status, out, _ = explain(None, "--model", "m", "--at", "2026-07-16")
        self.assertEqual(status, 0)
        lines = out.splitlines()
        self.assertRegex(lines[2], r"^decision  send to paid: the least total cost")
        self.assertRegex(out, r"(?m)^>  paid +m +\d")
        self.assertRegex(out, r"(?m)^   off +m .*not active")

    def test_what_is_wrong_is_said(self):
        for args, status, words in (((None,), 2, "--model is missing"),
                                    (("--model", "m"), 2, "a portfolio file, or --url"),
                                    ((None, "--model", "mm"), 1, 'no model "mm" in the portfolio'),
                                    ((None, "--model", "m", "--class", "chatt"), 1, 'did you mean "chat"'),
                                    ((None, "--model", "m", "--tenant", "x"), 1, 'no tenant "x"'),
                                    ((None, "--model", "m", "--policy", "best"), 1, "best"),
                                    ((None, "--model", "m", "--prompt", "-1"), 2, "--prompt"),
                                    ((None, "--model", "m", "--url", "http://127.0.0.1:1"), 2, "--url asks")):
            got = explain(*args)
            self.assertEqual(got[0], status, (args, got))
            self.assertIn(words, got[2])


KEYS = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("operator-key", "client-key")}


def gateway(sim, keys=True):
    admin = f"admin: {{listen: 127.0.0.1:0, keys: {{eve: 'sha256:{KEYS['operator-key']}'}}}}" if keys else \
        "admin: {listen: 127.0.0.1:0}"
    tenants = f"tenants: {{app: {{keys: ['sha256:{KEYS['client-key']}'], limits: {{requests: 60/min}}}}}}\n" if keys else ""
    return Gateway(f"caudal: 1\nserve: {{listen: 127.0.0.1:0, {admin}}}\n"
                   f"pools:\n  one: {{api: openai, url: '{sim.url}', serves: [m], limits: {{in_flight: 2}}}}\n"
                   f"  two: {{api: openai, url: '{sim.url}', serves: [m], priority: 1}}\n{tenants}")


def bearer(name, **more):
    return {"Authorization": "Bearer " + name, **more}


class Live(unittest.TestCase):
    def test_a_gateway_is_asked_as_it_is(self):
        with Sim("--instant") as sim, gateway(sim) as gw:
            admin = Admin(gw)
            self.assertEqual(gw.post("/v1/chat/completions", chat("x", model="m"), bearer("client-key")).status, 200)
            self.assertEqual(admin.post("/admin/drain", {"pool": "one"}, **bearer("operator-key")).status, 200)
            e = explained("--url", admin.url, "--model", "m", "--tenant", "app", key="operator-key")
            self.assertEqual(e["decision"]["pool"], "two")
            self.assertEqual([c["bar"] is None for c in e["candidates"]], [True, False])
            self.assertEqual({(x["who"], x["what"], x["limit"]) for x in e["limits"]}, {("tenant app", "requests", 60)})
            self.assertGreater(e["limits"][0]["used"], 0)
            status, out, _ = explain("--url", admin.url, "--model", "m", "--tenant", "app", key="operator-key")
            self.assertEqual(status, 0)
            self.assertRegex(out, r"(?m)^limits    tenant app: [\d.]+ of 60 requests$")
            got = explain("--url", admin.url, "--model", "m", key="client-key")
            self.assertEqual(got[0], 1)
            self.assertIn("Incorrect admin key", got[2])
            got = explain("--url", admin.url, "--model", "none", key="operator-key")
            self.assertIn('no model "none"', got[2])
            nothing = admin.post("/admin/explain", {"model": ""}, **bearer("operator-key"))
            self.assertEqual((nothing.status, "missing" in nothing.json()["error"]["message"]), (400, True))

    def test_an_ordinary_request_is_explained_and_goes_nowhere(self):
        with Sim("--instant") as sim, gateway(sim) as gw:
            ask = {"x-caudal-explain": "1"}
            refused = gw.post("/v1/chat/completions", chat("x", model="m"), bearer("client-key", **ask))
            self.assertEqual((refused.status, refused.json()["error"]["code"]), (403, "explain_not_allowed"))
            asked = bearer("operator-key", **ask, **{"x-caudal-tenant": "app"})
            for stream in (False, True):
                a = gw.post("/v1/chat/completions", chat("x" * 4000, model="m", stream=stream), asked)
                self.assertEqual((a.status, a.headers["content-type"]), (200, "application/json"))
                e = a.json()
                self.assertEqual((e["model"], e["tenant"], e["decision"]["verdict"]), ("m", "app", "send"))
                self.assertGreater(e["prompt_tok"], 900)
                self.assertEqual({c["pool"] for c in e["candidates"]}, {"one", "two"})
                self.assertEqual(e["limits"][0]["used"], 0)
            asked["x-caudal-tenant"] = "nobody"
            self.assertEqual(gw.post("/v1/chat/completions", chat("x", model="m"), asked).status, 400)
            self.assertEqual(sim.calls()["finished"], 0)
            until(lambda: gw.metric("caudal_requests_in_progress") == 0)

    def test_what_would_be_passed_on_is_not_sent_either(self):
        with Sim("--instant") as sim, Gateway(
                f"caudal: 1\nserve: {{default_class: any}}\nclasses: {{any: {{}}}}\n"
                f"suppliers: {{s: {{api: openai, url: '{sim.url}'}}}}\npools: {{one: {{supplier: s, serves: [m]}}}}\n"
                f"tenants: {{app: {{passthrough: s}}}}\n") as gw:
            ask = {"x-caudal-explain": "1", "x-caudal-tenant": "app"}
            self.assertEqual(gw.post("/v1/chat/completions", {"messages": []}, ask).status, 400)
            self.assertEqual(sim.calls()["total"], 0)
            self.assertEqual(gw.metric("caudal_requests_total"), 0)

    def test_without_keys_whoever_is_here_may_ask(self):
        with Sim("--instant") as sim, gateway(sim, keys=False) as gw:
            a = gw.post("/v1/chat/completions", chat("x", model="m"), {"x-caudal-explain": "1"})
            self.assertEqual(a.json()["decision"]["verdict"], "send")
            foreign = {"x-caudal-explain": "1", "Origin": "http://elsewhere.example"}
            self.assertEqual(gw.post("/v1/chat/completions", chat("x", model="m"), foreign).status, 403)


if __name__ == "__main__":
    main()
