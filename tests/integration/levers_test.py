"""What an operator says while the gateway serves: it holds, it is shown, it is remembered."""

import json
import os
import subprocess
import tempfile
import threading
import unittest

from admin_test import ADMIN, Admin
from harness import CAUDAL, Gateway, Sim, Stream, chat, main, portfolio, until


def ctl(admin, *words, ok=True):
    done = subprocess.run([CAUDAL, "ctl", "--url", admin.url, *words], capture_output=True, text=True, timeout=60)
    if ok and done.returncode:
        raise AssertionError(done)
    return done


class LeversTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.state = os.path.join(self.folder.name, "state")

    def test_a_drained_pool_gets_nothing_new_and_ends_what_it_has(self):
        with Sim("--pace", "20ms", "--chunks", "15") as a, Sim("--instant") as b, \
                Gateway(portfolio(a, b, serve=ADMIN)) as gw:
            admin = Admin(gw)
            ctl(admin, "drain", "b")
            with Stream(gw, chat("x", stream=True)) as s:
                s.content(2)
                ctl(admin, "enable", "b")
                self.assertIn("drained", ctl(admin, "drain", "a").stdout)
                before = gw.metric("caudal_attempts_total", pool="b", outcome="ok")
                for _ in range(5):
                    self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
                self.assertEqual(before + 5, gw.metric("caudal_attempts_total", pool="b", outcome="ok"))
                self.assertEqual("data: [DONE]", s.events()[-1])
            self.assertEqual(1, gw.metric("caudal_pool_stopped", pool="a"))
            self.assertRegex(ctl(admin, "status").stdout, r"\na +drained +yes +0")

    def test_nobody_is_left_and_then_somebody_is(self):
        with Sim("--instant") as a, Gateway(portfolio(a, serve=ADMIN)) as gw:
            admin = Admin(gw)
            ctl(admin, "disable", "a")
            refused = gw.post("/v1/chat/completions", chat("x"))
            self.assertEqual(503, refused.status, refused)
            ctl(admin, "enable", "a")
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)

    def test_what_hangs_at_a_disabled_pool_is_answered_elsewhere(self):
        with Sim("--fault", "stall-before") as a, Sim("--instant") as b, \
                Gateway(portfolio(a, b, serve=ADMIN + ", attempts: {patience: 20 s}")) as gw:
            admin, answers = Admin(gw), []
            ctl(admin, "drain", "b")
            ask = threading.Thread(target=lambda: answers.append(gw.post("/v1/chat/completions", chat("x"))))
            ask.start()
            until(lambda: gw.metric("caudal_pool_in_flight", pool="a") == 1, "it to hang")
            shown = admin.get("/admin/requests").json()["requests"]
            self.assertEqual([("trying", "a", "m")], [(r["state"], r["pool"], r["model"]) for r in shown])
            ctl(admin, "enable", "b")
            ctl(admin, "disable", "a")
            ask.join()
            self.assertEqual(200, answers[0].status, answers[0])

    def test_a_derate_is_a_share_of_the_limits(self):
        with Sim("--pace", "50ms", "--chunks", "40") as a, \
                Gateway(portfolio(a, serve=ADMIN, limits="{in_flight: 4}")) as gw:
            admin = Admin(gw)
            ctl(admin, "derate", "a", "0.5")
            streams = [Stream(gw, chat("x", stream=True)) for _ in range(3)]
            until(lambda: gw.metric("caudal_waiting") == 1, "one to wait")
            self.assertEqual(2, gw.metric("caudal_pool_in_flight", pool="a"))
            ctl(admin, "derate", "a", "none")
            until(lambda: gw.metric("caudal_pool_in_flight", pool="a") == 3, "it to go")
            for s in streams:
                s.close()

    def test_a_capped_site_derates_its_pools(self):
        with Sim("--instant") as a:
            text = ("caudal: 1\nserve: {%s}\nsites:\n  here: {power: 100 MW}\n  dark: {region: us}\npools:\n"
                    "  a: {api: openai, url: %s, site: here, serves: [m], limits: {in_flight: 100}}\n"
                    "  d: {api: openai, url: %s, site: dark, serves: [m2]}\n" % (ADMIN, a.url, a.url))
            with Gateway(text) as gw:
                admin = Admin(gw)
                ctl(admin, "cap", "here", "25MW")
                self.assertEqual(25e6, gw.metric("caudal_site_cap_watts", site="here"))
                self.assertEqual({"pools": [], "sites": [{"site": "here", "cap_w": 25e6}]},
                                 admin.get("/admin/levers").json())
                self.assertIn("derate its pools", ctl(admin, "cap", "dark", "1MW", ok=False).stderr)
                ctl(admin, "cap", "here", "none")
                self.assertEqual([], admin.get("/admin/levers").json()["sites"])

    def test_maintenance_that_has_begun_and_that_is_to_come(self):
        with Sim("--instant") as a, Sim("--instant") as b, Gateway(portfolio(
                a, b, serve=ADMIN, extra="tenants: {t: {expose: [decision]}}\n")) as gw:
            admin = Admin(gw)
            ctl(admin, "maintenance", "a", "2999-01-01T00:00:00Z", "2h")
            ctl(admin, "maintenance", "b", "now", "1h")
            before = gw.metric("caudal_attempts_total", pool="a", outcome="ok")
            for _ in range(5):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            self.assertEqual(before + 5, gw.metric("caudal_attempts_total", pool="a", outcome="ok"))
            said = {p["pool"]: p for p in admin.get("/admin/levers").json()["pools"]}
            self.assertEqual([{"from": "2999-01-01T00:00:00Z", "until": "2999-01-01T02:00:00Z"}],
                             said["a"]["maintenance"])
            self.assertIn("2999-01-01T00:00:00Z to 2999-01-01T02:00:00Z", ctl(admin, "levers").stdout)
            ctl(admin, "maintenance", "b", "now", "none")
            self.assertEqual(["a"], [p["pool"] for p in admin.get("/admin/levers").json()["pools"]])
            ctl(admin, "maintenance", "b", "1h")  # from now on
            self.assertEqual(before + 5, gw.metric("caudal_attempts_total", pool="a", outcome="ok"))
            self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            self.assertEqual(before + 6, gw.metric("caudal_attempts_total", pool="a", outcome="ok"))
            ctl(admin, "maintenance", "b", "none")
            self.assertEqual(["a"], [p["pool"] for p in admin.get("/admin/levers").json()["pools"]])

    def test_a_pool_that_weighs_nothing_gets_none_of_what_costs_the_same(self):
        with Sim("--instant") as a, Sim("--instant") as b, \
                Gateway(portfolio(a, b, serve=ADMIN + ", band: 100 %")) as gw:
            admin = Admin(gw)
            ctl(admin, "weigh", "a", "0")
            for _ in range(12):
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            self.assertEqual(0, gw.metric("caudal_attempts_total", pool="a"))
            self.assertEqual(0, admin.get("/admin/levers").json()["pools"][0]["weight"])
            ctl(admin, "weigh", "a", "none")
            self.assertEqual([], admin.get("/admin/levers").json()["pools"])

    def test_a_new_pool_enters_in_steps_and_goes_back(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            text = (f"caudal: 1\nserve: {{{ADMIN}, breaker: {{failures: 1000}}}}\npools:\n"
                    f"  a: {{api: openai, url: {a.url}, serves: {{m: {{price: {{input: 2 USD/Mtok}}}}}}}}\n"
                    f"  b: {{api: openai, url: {b.url}, serves: {{m: {{price: {{input: 1 USD/Mtok}}}}}},\n"
                    "      share: {steps: [50%, 100%], every: 1 ms, at_least: 8}}\n")
            with Gateway(text) as gw:
                admin = Admin(gw)

                def steps(direction):
                    self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
                    return gw.metric("caudal_pool_share_steps_total", pool="b", direction=direction)

                self.assertEqual(0.5, gw.metric("caudal_pool_share_ratio", pool="b"))
                until(lambda: steps("forward"), "a step forward")
                self.assertEqual(1, gw.metric("caudal_pool_share_ratio", pool="b"))
                self.assertEqual(0, ctl(admin, "reload").returncode)
                self.assertEqual(1, gw.metric("caudal_pool_share_ratio", pool="b"))
                self.assertGreater(gw.metric("caudal_attempts_total", pool="a", outcome="ok"), 0)
                b.faults("503")
                until(lambda: steps("back") >= 2, "steps back")
                self.assertTrue(gw.logged("share", "pool=b", "from=0.5", "to=1"))
                self.assertTrue(gw.logged("share", "pool=b", "too many errors"))

    def test_a_share_is_set_by_hand_and_given_back(self):
        with Sim("--instant") as a, Gateway(portfolio(a, serve=f"{ADMIN}, state: {self.state}")) as gw:
            admin = Admin(gw)
            self.assertRegex(ctl(admin, "share", "a", "10%").stdout, r"\na +enabled +- +- +0.1")
            self.assertEqual(0.1, gw.metric("caudal_pool_share_ratio", pool="a"))
            for _ in range(5):  # nobody else may have them
                self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
            shown = admin.get("/admin/status").json()["pools"][0]
            self.assertEqual((0.1, True), (shown["share"], shown["share_by_hand"]))
            for wrong, status in (("0", 1), ("101%", 1), ("x", 2)):
                self.assertEqual(status, ctl(admin, "share", "a", wrong, ok=False).returncode, wrong)
            ctl(admin, "share", "a", "none")
            self.assertEqual(1, gw.metric("caudal_pool_share_ratio", pool="a"))
            self.assertEqual([], admin.get("/admin/levers").json()["pools"])

    def test_what_is_wrong_is_said_and_changes_nothing(self):
        with Sim("--instant") as a, Gateway(portfolio(a, serve=ADMIN)) as gw:
            admin = Admin(gw)
            for words, said, status in ((("drain", "z"), "no pool 'z'", 1), (("derate", "a", "1.5"), "at most 1", 1),
                                        (("derate", "a", "0"), "above 0", 1), (("cap", "a", "1MW"), "no site", 1),
                                        (("maintenance", "a", "now", "2020-01-01"), "after now", 1),
                                        (("weigh", "a", "x"), "a number or none", 2), (("drain",), "POOL", 2),
                                        (("dance",), "no word", 2)):
                done = ctl(admin, *words, ok=False)
                self.assertEqual((status, True), (done.returncode, said in done.stderr), done)
            self.assertEqual({"pools": [], "sites": []}, admin.get("/admin/levers").json())
            self.assertEqual("missing_pool", admin.post("/admin/drain", {}).json()["error"]["code"])
            self.assertEqual(400, admin.request("POST", "/admin/drain", "[1]").status)

    def test_reloads_and_restarts_keep_it_and_the_audit_knows(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            text = portfolio(a, b, serve=f"{ADMIN}, state: {self.state}")
            with Gateway(text) as gw:
                admin = Admin(gw)
                ctl(admin, "drain", "a")
                ctl(admin, "derate", "b", "0.25")
                self.assertEqual(0, ctl(admin, "reload").returncode)
                self.assertEqual(1, gw.metric("caudal_pool_stopped", pool="a"))
                gw.post("/v1/chat/completions", chat("x"))
                self.assertEqual(0, gw.metric("caudal_attempts_total", pool="a"))
            with Gateway(text) as gw:
                said = {p["pool"]: p for p in Admin(gw).get("/admin/levers").json()["pools"]}
                self.assertEqual(("drained", 0.25), (said["a"]["state"], said["b"]["derate"]))
                for _ in range(4):
                    self.assertEqual(200, gw.post("/v1/chat/completions", chat("x")).status)
                self.assertEqual(0, gw.metric("caudal_attempts_total", pool="a"))
            done = subprocess.run([CAUDAL, "ledger", "audit", "--json", self.state], capture_output=True, text=True)
            self.assertEqual([("loopback", "drain", "a"), ("loopback", "derate", "b 0.25"),
                              ("loopback", "reload", "generation 2")],
                             [(r["who"], r["what"], r["detail"]) for r in json.loads(done.stdout)], done)
            table = subprocess.run([CAUDAL, "ledger", "audit", self.state], capture_output=True, text=True)
            self.assertRegex(table.stdout, r"\n\S+Z +loopback +drain +a\n")


if __name__ == "__main__":
    main()
