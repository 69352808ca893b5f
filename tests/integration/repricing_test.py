"""What a commitment is worth is found anew while serving: one that nobody can use up is free within seconds."""

import time
import unittest

from admin_test import Admin
from harness import Gateway, Sim, chat, main, until

PORTFOLIO = """
caudal: 1
serve: {{admin: {{listen: 127.0.0.1:0}}, metrics: open, policy: {policy}, band: 0}}
contracts:
  large: {{supplier: s, status: live, from: {today}, until: 2046-01-01, commitment: {{amount: 250 kUSD, per: term}}}}
suppliers:
  s: {{api: openai, url: "{url}"}}
pools:
  paid: {{supplier: s, contract: large, serves: {{m: {{price: {{input: 3 USD/Mtok, output: 3 USD/Mtok}}}}}}}}
  spot: {{supplier: s, serves: {{m: {{price: {{input: 1 USD/Mtok, output: 1 USD/Mtok}}}}}}}}
tenants:
  everyone: {{expose: [decision]}}
"""


def portfolio(sim, policy):
    """Its term has just begun: by the calendar alone it is at half its price, which is more than the other's."""
    return PORTFOLIO.format(url=sim.url, policy=policy, today=time.strftime("%Y-%m-%d", time.gmtime()))


def pool_of(answer):
    assert answer.status == 200, answer
    return answer.headers["x-caudal-decision"].split(";")[0].split("=")[1]


def paid_of(gw):
    answer = Admin(gw).post("/admin/explain", {"model": "m"}).json()
    return next(c for c in answer["candidates"] if c["pool"] == "paid")


class Repricing(unittest.TestCase):
    def test_what_cannot_be_used_up_becomes_free(self):
        with Sim("--output", "=3") as sim, Gateway(portfolio(sim, "caudal")) as gw:
            def goes_to_paid():
                return pool_of(gw.post("/v1/chat/completions", chat("hello", model="m"))) == "paid"

            self.assertEqual(gw.metric("caudal_prices_found_total"), 0)
            self.assertNotIn("\ncaudal_prices_age_seconds", gw.get("/metrics").body.decode())
            self.assertFalse(goes_to_paid())
            self.assertEqual(paid_of(gw)["priced_by"], "the calendar")
            until(goes_to_paid)
            self.assertGreaterEqual(gw.metric("caudal_prices_found_total"), 1)
            self.assertEqual(gw.metric("caudal_prices_failures_total"), 0)
            self.assertGreater(gw.metric("caudal_prices_solve_seconds"), 0)
            self.assertLess(gw.metric("caudal_prices_age_seconds"), 900)
            paid = paid_of(gw)
            self.assertEqual(paid["priced_by"], "demand")
            self.assertLess(paid["pace"], 1 / 3)
            self.assertGreaterEqual(paid["priced_age_ms"], 0)
            # A reload keeps what was found, and finds it again for its own router.
            before = gw.metric("caudal_prices_found_total")
            self.assertEqual(Admin(gw).post("/admin/reload", {}).status, 200)
            self.assertEqual(paid_of(gw)["priced_by"], "demand")
            until(lambda: goes_to_paid() and gw.metric("caudal_prices_found_total") > before)

    def test_policies_that_know_no_pace_have_no_use_for_it(self):
        with Sim("--output", "=3") as sim, Gateway(portfolio(sim, "least-cost")) as gw:
            for _ in range(8):
                self.assertEqual(pool_of(gw.post("/v1/chat/completions", chat("hello", model="m"))), "spot")
            self.assertEqual(gw.metric("caudal_prices_found_total"), 0)
            self.assertNotEqual(paid_of(gw)["priced_by"], "demand")


if __name__ == "__main__":
    main()
