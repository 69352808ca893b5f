"""What routing knows beside the portfolio: how long this user's answers are, and what a plan's prices say."""

import hashlib
import os
import tempfile
import unittest

from admin_test import Admin
from harness import Gateway, Sim, chat, main

KEYS = {name: "sha256:" + hashlib.sha256(name.encode()).hexdigest() for name in ("operator", "app", "web")}

TENANTS = """
caudal: 1
serve: {admin: {listen: 127.0.0.1:0, keys: {eve: 'OPERATOR'}}}
pools: {one: {api: openai, url: 'URL', serves: [m]}}
tenants: {app: {keys: ['APP']}, web: {keys: ['WEB']}}
"""

# Without prices a commitment is worth half its price: 0.75 against 1 USD a million tokens.
PREPAID = """
caudal: 1
serve: {admin: {listen: 127.0.0.1:0}, prices: 'PRICES'}
contracts:
  prepaid: {supplier: cloud, status: live, from: 2026-01-01, until: 2126-01-01, commitment: {amount: 900 kUSD, per: term}}
suppliers: {cloud: {api: openai, url: 'URL'}}
pools:
  cheap: {supplier: cloud, serves: {m: {price: {input: 1 USD/Mtok, output: 1 USD/Mtok}}}}
  paid: {supplier: cloud, contract: prepaid, serves: {m: {price: {input: 1.5 USD/Mtok, output: 1.5 USD/Mtok}}}}
"""


class Users(unittest.TestCase):
    def test_the_user_that_a_request_names_reaches_the_forecast(self):
        text = TENANTS
        for name, digest in KEYS.items():
            text = text.replace(name.upper() + "'", digest + "'")
        with Sim("--instant", "--chunks", "60") as sim, Gateway(text.replace("URL", sim.url)) as gw:
            def answered(key, **said):
                a = gw.post("/v1/chat/completions", chat("x", **said), {"Authorization": "Bearer " + key})
                self.assertEqual(a.status, 200, a)
                return a.json()["usage"]["completion_tokens"]

            def forecast(tenant, **said):
                asked = {"Authorization": "Bearer operator", "x-caudal-explain": "1", "x-caudal-tenant": tenant}
                a = gw.post("/v1/chat/completions", chat("x", **said), asked)
                self.assertEqual(a.status, 200, a)
                return a.json()["output_tok"]

            names = ("user", "safety_identifier", "prompt_cache_key")
            for _ in range(12):
                for name in names:
                    self.assertEqual(answered("app", max_tokens=2, **{name: "brief by " + name}), 2)
                    self.assertEqual(answered("app", **{name: "wordy by " + name}), 60)
            mean = forecast("app")
            for name in names:
                brief, wordy = forecast("app", **{name: "brief by " + name}), forecast("app", **{name: "wordy by " + name})
                self.assertLess(brief, mean - 5, name)
                self.assertGreater(wordy, mean + 5, name)
            # A name that was not heard of is nobody's, and one tenant's users are not another's.
            self.assertEqual(forecast("app", user="somebody else"), mean)
            self.assertEqual(forecast("web", user="brief by user"), forecast("web"))
            # The name that says least beside who asks is the one that counts.
            both = forecast("app", user="wordy by user", prompt_cache_key="brief by prompt_cache_key")
            self.assertEqual(both, forecast("app", user="wordy by user"))


class Prices(unittest.TestCase):
    def test_a_reload_takes_new_prices_and_a_wrong_file_leaves_the_old(self):
        with Sim("--instant") as sim, tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "prices.yaml")

            def plan(worth, contract="prepaid", until_date="2126-01-01"):
                with open(path + ".new", "w") as f:
                    f.write("caudal_prices: 1\nuntil: %s\ncontracts:\n  %s:\n    worth: %s %%\n    pace: {weekday: %s}\n"
                            % (until_date, contract, worth, [1] * 24))
                os.rename(path + ".new", path)

            plan(90)
            with Gateway(PREPAID.replace("URL", sim.url).replace("PRICES", path)) as gw:
                admin = Admin(gw)

                def goes_to():
                    said = admin.post("/admin/explain", {"model": "m"}).json()
                    return said["decision"]["pool"]

                self.assertEqual(goes_to(), "cheap")
                plan(10)
                self.assertEqual(goes_to(), "cheap", "a file is read by a reload, not before")
                self.assertEqual(admin.post("/admin/reload").status, 200)
                self.assertEqual(goes_to(), "paid")
                refused = 0
                for wrong, words in ((lambda: plan(90, "nobody"), "contracts.nobody"), (lambda: plan("many"), "many"),
                                     (lambda: os.unlink(path), "prices.yaml")):
                    wrong()
                    said = admin.post("/admin/reload")
                    refused += 1
                    self.assertEqual((said.status, said.json()["error"]["code"]), (422, "portfolio_refused"))
                    self.assertIn(words, said.json()["error"]["message"])
                    self.assertEqual(goes_to(), "paid")
                self.assertEqual(gw.metric("caudal_reloads_total", outcome="refused"), refused)
                plan(90)
                self.assertEqual(admin.post("/admin/reload").status, 200)
                self.assertEqual(goes_to(), "cheap")
                # A plan that has ended is not routed by.
                plan(90, until_date="2026-01-02")
                self.assertEqual(admin.post("/admin/reload").status, 200)
                self.assertEqual(goes_to(), "paid")


if __name__ == "__main__":
    main()
