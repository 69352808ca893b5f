"""An invoice beside the ledger: what is said of each difference, and of an invoice that is not right."""

import csv
import io
import json
import os
import signal

from harness import Gateway, Recorder, chat, json_answer, main, portfolio, until
from ledger_case import Case, ledger, sums


def supplier(usage=True):
    said = {"usage": {"prompt_tokens": 4000000, "completion_tokens": 1000000, "total_tokens": 5000000}} if usage else {}
    return Recorder(lambda r: json_answer({
        "id": "x", "object": "chat.completion", "model": "m", **said,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes " * 50000}, "finish_reason": "stop"}]}))


class Reconcile(Case):
    """Three calls of 6 USD each: 4 million tokens in, one million out."""

    USD = 18

    def setUp(self):
        super().setUp()
        self.invoice = os.path.join(self.state, "invoice.csv")

    def serve(self, usage=True, n=3):
        with supplier(usage) as a, self.gateway(a) as gw:
            for _ in range(n):
                self.assertEqual(gw.post("/v1/chat/completions", chat("hello")).status, 200)
        self.day = sums(self.state, "--by", "day")["rows"][0]["day"]

    def write(self, *lines, head="date,model,amount,currency,prompt_tokens,output_tokens"):
        with open(self.invoice, "w") as f:
            f.write("\n".join([head, *lines]) + "\n")

    def said(self, *args, where=None):
        text = ledger("reconcile", self.invoice, where or self.state, "--csv", *args).stdout
        return {r["model"]: r for r in csv.DictReader(io.StringIO(text))}

    def refused(self):
        r = ledger("reconcile", self.invoice, self.state, ok=False)
        self.assertEqual(r.returncode, 1)
        return r.stderr

    def test_what_agrees_says_so(self):
        self.serve()
        self.write(f"{self.day},m,18.00,USD,12000000,3000000")
        row = self.said()["m"]
        self.assertEqual((row["cause"], float(row["difference_usd"])), ("none: they agree", 0))

    def test_an_unknown_model_is_told_and_the_others_compared(self):
        self.serve()
        self.write(f"{self.day},m,18,USD,12000000,3000000", f"{self.day},other,3.50,USD,1,1")
        rows = self.said()
        self.assertEqual(rows["m"]["cause"], "none: they agree")
        self.assertEqual(rows["other"]["cause"], "not in the ledger: sent past the gateway, or another name")
        self.assertEqual(float(rows["other"]["difference_usd"]), 3.5)

    def test_what_the_invoice_does_not_have_is_told(self):
        self.serve()
        self.write(f"{self.day},other,1,USD,1,1")
        self.assertEqual(self.said()["m"]["cause"], "not in the invoice")

    def test_a_suppliers_own_name_is_known_with_a_portfolio(self):
        with supplier() as a:
            text = portfolio(a, serve=f"state: {self.state}").replace("as: m", "as: vendor/m-2026-01")
            with Gateway(text) as gw:
                gw.post("/v1/chat/completions", chat("hello"))
            path = os.path.join(self.state, "p.yaml")
            with open(path, "w") as f:
                f.write(text)
        self.day = sums(self.state, "--by", "day")["rows"][0]["day"]
        self.write(f"{self.day},vendor/m-2026-01,6,USD,4000000,1000000")
        self.assertEqual({k: r["cause"] for k, r in self.said(where=path).items()}, {"m": "none: they agree"})

    def test_a_line_that_stands_twice_is_the_likely_cause(self):
        self.serve()
        line = f"{self.day},m,18,USD,12000000,3000000"
        self.write(line, line)
        self.assertEqual(self.said()["m"]["cause"], "a line stands twice in the invoice")
        # By the hour there are several, and alike they are only where the ledger has less.
        hour = f"{self.day},m,6,USD,4000000,1000000"
        self.write(hour, hour, hour)
        self.assertEqual(self.said()["m"]["cause"], "none: they agree")

    def test_a_price_that_differs_is_told_from_tokens_that_differ(self):
        self.serve()
        self.write(f"{self.day},m,20,USD,12000000,3000000")
        self.assertEqual(self.said()["m"]["cause"], "price: the tokens agree, the money does not")
        self.write(f"{self.day},m,24,USD,16000000,4000000")
        self.assertEqual(self.said()["m"]["cause"], "tokens differ")
        self.write(f"{self.day},m,20", head="date,model,amount")
        self.assertEqual(self.said()["m"]["cause"], "price, or calls past the gateway")

    def test_columns_may_have_the_names_that_suppliers_give_them(self):
        self.serve()
        for head in ("Usage Date,Model-ID,Total Cost,Input Tokens,Output Tokens", "timestamp,model_name,spend,tokens_in,tokens_out",
                     "day,model,cost,prompt_tokens,completion_tokens"):
            with self.subTest(head=head):
                self.write(f"{self.day},m,24,16000000,4000000", head=head)
                self.assertEqual(self.said()["m"]["cause"], "tokens differ")

    def test_estimated_usage_is_the_cause_where_it_can_be(self):
        self.serve(usage=False)
        ours = sums(self.state)["total"]
        self.assertEqual(ours["estimated"], 3)
        self.write(f"{self.day},m,{ours['list_usd'] * 1.2:.6f},USD,1,1")
        self.assertEqual(self.said()["m"]["cause"], "estimated usage: the supplier did not say it")

    def test_open_rows_are_the_cause_where_they_can_be(self):
        self.serve()
        with Recorder(lambda r: None) as silent:
            gw = self.gateway(silent)
            c = gw.socket()
            body = json.dumps(chat("hello", max_tokens=2000000))
            c.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
            until(lambda: silent.requests)
            gw.process.send_signal(signal.SIGKILL)
            gw.process.wait()
            c.close()
            gw.stop()
            gw.log.close()
        self.assertEqual(sums(self.state)["total"]["open"], 1)
        self.write(f"{self.day},m,20.5,USD,13000000,3500000")
        self.assertEqual(self.said()["m"]["cause"], "open rows: calls whose end was not seen")

    def test_an_invoice_that_is_not_right_is_refused_with_its_line(self):
        self.serve(n=1)
        good = f"{self.day},m,6,USD,1,1"
        for lines, head, said in (
                ([f"{self.day},m,6,EUR,1,1"], None, "line 2 of the invoice is in 'EUR': only USD can be compared"),
                ([good, "yesterday,m,6,USD,1,1"], None, "line 3 of the invoice"),
                ([good, f"{self.day},m,six,USD,1,1"], None, "line 3 of the invoice: an amount is expected, got 'six'"),
                ([good, f"{self.day},m,6"], None, "line 3 of the invoice has not the 6 cells"),
                ([f"{self.day},6"], "date,amount", "names no column 'model'"),
                (["m,6"], "model,amount", "names no column 'date'"),
                ([f"{self.day},m"], "date,model", "names no column 'amount'")):
            with self.subTest(said):
                self.write(*lines, **({"head": head} if head else {}))
                self.assertIn(said, self.refused())
        open(self.invoice, "w").close()
        self.assertIn("the invoice is empty", self.refused())
        os.remove(self.invoice)
        self.assertIn("invoice.csv", self.refused())

    def test_all_forms_say_the_same(self):
        self.serve()
        self.write(f"{self.day},m,20,USD,12000000,3000000", f"{self.day},\"a, b\",3,USD,1,1")
        rows = self.said()
        lines = json.loads(ledger("reconcile", self.invoice, self.state, "--json").stdout)["rows"]
        self.assertEqual({r["model"]: (r["cause"], r["difference_usd"]) for r in lines},
                         {m: (r["cause"], float(r["difference_usd"])) for m, r in rows.items()})
        table = ledger("reconcile", self.invoice, self.state).stdout
        for r in rows.values():
            self.assertIn(r["cause"], table)


if __name__ == "__main__":
    main()
