"""Commitments: what is drawn of one, what that leaves one more call costing, and that a restart knows it."""

import csv
import io
import json
import os
import signal
import sqlite3
import time

from harness import Gateway, Recorder, Sim, chat, json_answer, main, until
from ledger_case import Case, ledger, rows, sums

NOW = time.time()
MONTH = time.strftime("%Y-%m", time.gmtime(NOW))


def supplier(prompt=100, output=50, cached=0):
    """One that says always the same usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output,
             "prompt_tokens_details": {"cached_tokens": cached}}
    return Recorder(lambda r: json_answer({
        "id": "x", "object": "chat.completion", "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]}))


class Commitments(Case):
    def portfolio(self, url, commitment, more="", pool=""):
        """One pool under the contract `deal`."""
        path = os.path.join(self.state, "p.yaml")
        text = (f"caudal: 1\nserve: {{state: {self.state}, listen: 127.0.0.1:0}}\n"
                f"contracts:\n  deal: {{status: live, commitment: {commitment}{more}}}\n"
                f"pools:\n  a: {{api: openai, url: {url}, key: k, contract: deal{pool}, "
                "serves: {m: {as: m, price: {input: 1 USD/Mtok, cached_input: 0.5 USD/Mtok, output: 2 USD/Mtok}}}}\n"
                "tenants:\n  everyone: {expose: [decision]}\n")
        with open(path, "w") as f:
            f.write(text)
        return text

    def ask(self, gw, n=1):
        for _ in range(n):
            self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)

    def used(self, gw, unit):
        return gw.metric("caudal_commitment_used", contract="deal", unit=unit)

    def said(self, *args):
        return json.loads(ledger("commitments", "--json", *args, os.path.join(self.state, "p.yaml")).stdout)["rows"]

    def test_a_restart_knows_what_was_used(self):
        with supplier() as a:
            for how in (signal.SIGTERM, signal.SIGKILL):
                # One loop: that it answers for its metrics says that the turn before was written.
                with Gateway(self.portfolio(a.url, "{amount: 1000 tok, per: month}"), "--threads", "1") as gw:
                    before = self.used(gw, "tok")
                    self.ask(gw, 2)
                    self.assertEqual(self.used(gw, "tok"), before + 300)
                    if how == signal.SIGKILL:  # what was written is folded by the next start
                        gw.process.kill()
                        gw.process.wait()
            with Gateway(self.portfolio(a.url, "{amount: 1000 tok, per: month}")) as gw:
                self.assertEqual(self.used(gw, "tok"), 600)
                self.assertEqual(gw.metric("caudal_commitment_remaining", contract="deal", unit="tok"), 400)
        row, = self.said()
        self.assertEqual((row["used"], row["remaining"], row["amount"]), (600, 400, 1000))

    def test_what_is_used_of_a_never_beyond_stops_the_pool_after_a_restart_too(self):
        commitment = "{amount: 300 tok, per: month, beyond: never}"
        with supplier() as a:
            with Gateway(self.portfolio(a.url, commitment)) as gw:
                self.ask(gw, 2)
                until(lambda: gw.post("/v1/chat/completions", chat("hello")).status in (429, 503))
            with Gateway(self.portfolio(a.url, commitment)) as gw:
                self.assertIn(gw.post("/v1/chat/completions", chat("hello")).status, (429, 503))
                self.assertEqual(len(a.requests), 2)

    def test_marginal_money_is_nothing_inside_and_the_price_beyond_past_it(self):
        # 150 tokens and 200 micro-dollars a call, 375 tokens committed, 4 USD/Mtok beyond
        with supplier() as a, Gateway(self.portfolio(a.url, "{amount: 375 tok, per: month, beyond: 4 USD/Mtok}")) as gw:
            receipts = []
            for _ in range(4):
                answer = gw.post("/v1/chat/completions", chat("hello"), {"x-caudal-receipt": "1"})
                receipts.append(json.loads(answer.headers["x-caudal-receipt"])["marginal_usd"])
        self.assertEqual(receipts, [0, 0, 0.0003, 0.0006])
        mine = rows(self.state)
        self.assertEqual([r["marginal_nusd"] for r in mine], [0, 0, 300000, 600000])
        self.assertEqual([r["list_nusd"] for r in mine], [200000] * 4)
        self.assertEqual([(r["commitment"], r["unit"], r["drawn"]) for r in mine], [("deal", "tok", "150.0")] * 4)
        total = sums(self.state)["total"]
        self.assertEqual((total["list_usd"], total["marginal_usd"]), (0.0008, 0.0009))

    def test_dollars_are_those_of_the_list_price_with_its_cached_tokens(self):
        with supplier(prompt=100, cached=40, output=50) as a:
            with Gateway(self.portfolio(a.url, "{amount: 1 USD, per: month}")) as gw:
                self.ask(gw, 1)
                until(lambda: self.used(gw, "USD") > 0)
                self.assertAlmostEqual(self.used(gw, "USD"), (60 + 40 * 0.5 + 50 * 2) / 1e6, 12)
        row, = rows(self.state)
        self.assertEqual((row["marginal_nusd"], row["list_nusd"]), (0, 180000))

    def test_capacity_is_drawn_by_the_time_a_slot_was_held(self):
        with Sim("--ttft", "100ms", "--per-token", "10ms", "--output", "=20") as a:
            text = self.portfolio(a.url, "{amount: 100 accelerator-hours, per: month}",
                                  pool=", chips: 8, limits: {in_flight: 4}")
            with Gateway(text) as gw:
                gw.post("/v1/chat/completions", chat("hello", stream=True))
        row, = rows(self.state)
        held_h = row["total_us"] / 3.6e9
        self.assertEqual(row["unit"], "accelerator-hours")
        self.assertAlmostEqual(float(row["drawn"]) / (held_h * 8 / 4), 1, 1)

    def test_a_call_that_is_left_draws_what_it_used(self):
        with Sim("--pace", "10ms", "--output", "=2000") as a:
            with Gateway(self.portfolio(a.url, "{amount: 1000000 tok, per: month}")) as gw:
                c = gw.socket()
                body = json.dumps(chat("hello", stream=True, max_tokens=2000))
                c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
                got = b""
                while got.count(b"data:") < 5:
                    got += c.recv(4096)
                c.close()
                until(lambda: gw.metric("caudal_ledger_open_calls") == 0)
                used = self.used(gw, "tok")
        row, = rows(self.state)
        self.assertTrue(row["cancelled"] and row["estimated"])
        self.assertEqual(used, row["prompt_tok"] + row["output_tok"])
        self.assertEqual(float(row["drawn"]), used)

    def test_the_command_and_the_metrics_say_the_same(self):
        more = ", value: 1200 USD, from: 2026-01-01, until: 2027-01-01"
        with supplier() as a:
            with Gateway(self.portfolio(a.url, "{amount: 10000 tok, per: month}", more)) as gw:
                self.ask(gw, 4)
                until(lambda: self.used(gw, "tok") == 600 and gw.metric("caudal_ledger_lag_records") == 0)
                row, = self.said()
                shown = {name: gw.metric(f"caudal_commitment_{name}", contract="deal", unit="tok")
                         for name in ("amount", "used", "remaining", "projected", "stranded", "stranded_usd", "elapsed_ratio")}
        self.assertEqual(row["contract"], "deal")
        for name, value in shown.items():
            self.assertAlmostEqual(row[name] / value, 1, 3, name)
        # 1200 USD over a year of 10,000 tokens a month are 0.01 USD a token.
        self.assertAlmostEqual(row["stranded_usd"] / (row["stranded"] * 0.01), 1, 2)
        self.assertAlmostEqual(row["pace"], 0.06 / row["elapsed_ratio"], 3)
        table = ledger("commitments", os.path.join(self.state, "p.yaml")).stdout
        self.assertIn("deal", table)
        line, = csv.DictReader(io.StringIO(ledger("commitments", "--csv", os.path.join(self.state, "p.yaml")).stdout))
        self.assertEqual(float(line["used"]), 600)

    def test_draws_outlive_their_rows_and_are_those_of_their_period(self):
        with supplier() as a:
            with Gateway(self.portfolio(a.url, "{amount: 10000 tok, per: month}")) as gw:
                self.ask(gw, 2)
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        self.assertEqual(db.execute("SELECT sum(drawn) FROM draws").fetchone()[0], 300)
        db.execute("INSERT INTO draws SELECT '2020-01-15',commitment,unit,5000 FROM draws")  # an earlier period's
        db.commit()
        db.close()
        row, = self.said()
        self.assertEqual(row["used"], 300)
        then, = self.said("--until", "2020-01-31")
        self.assertEqual(then["used"], 5000)

    def test_without_commitments_the_command_says_so(self):
        with supplier() as a:
            path = os.path.join(self.state, "q.yaml")
            text = f"caudal: 1\nserve: {{state: {self.state}}}\npools:\n  a: {{api: openai, url: {a.url}, key: k, serves: [m]}}\n"
            with open(path, "w") as f:
                f.write(text)
            with Gateway(text) as gw:
                self.ask(gw, 1)
                self.assertNotIn("caudal_commitment", gw.get("/metrics").body.decode())
        self.assertIn("no contract of this portfolio commits to anything", ledger("commitments", path).stdout)
        said = ledger("commitments", self.state, ok=False)
        self.assertEqual(said.returncode, 1)
        self.assertIn("a portfolio file", said.stderr)


if __name__ == "__main__":
    main()
