"""Keys made at run time: at once on all loops, over a reload and a restart, and gone when revoked."""

import hashlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, Process, Sim, chat, main, portfolio, until
from ledger_case import sums


class Admin(Process):
    """The admin address of a gateway, found in its log."""

    def __init__(self, gw):
        line = gw.logged("admin", "port=")
        self.host, self.port = "127.0.0.1", int(re.search(r"port=(\d+)", line).group(1))
        self.url = f"http://127.0.0.1:{self.port}"


def bearer(key):
    return {"Authorization": "Bearer " + key}


class Keys(unittest.TestCase):
    def setUp(self):
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)

    def gateway(self, sim, tenants="  app: {}\n  other: {}\n", threads=3):
        text = portfolio(sim, serve=f"state: {self.state}, admin: {{listen: 127.0.0.1:0}}", extra="tenants:\n" + tenants)
        return Gateway(text, "--threads", str(threads))

    def key(self, admin, *args, ok=True):
        r = subprocess.run([CAUDAL, "key", "--url", admin.url, *args], capture_output=True, text=True)
        if ok and r.returncode:
            raise AssertionError(f"caudal key {args}: {r.returncode}\n{r.stdout}\n{r.stderr}")
        return r

    def status(self, gw, key):
        return gw.post("/v1/chat/completions", chat("x"), bearer(key)).status

    def test_a_key_holds_at_once_and_over_a_restart_and_a_revoked_one_never_again(self):
        with Sim("--instant") as a:
            with self.gateway(a) as gw:
                admin = Admin(gw)
                self.assertEqual(self.status(gw, "anything"), 200)  # nobody has a key yet: this machine may
                kept, digest = self.key(admin, "add", "--tenant", "app", "--name", "kept").stdout.split()
                self.assertEqual(digest, "sha256:" + hashlib.sha256(kept.encode()).hexdigest())
                gone = self.key(admin, "add", "--tenant", "app", "--name", "gone").stdout.split()[0]
                for _ in range(12):  # whichever loop takes the connection
                    self.assertEqual([self.status(gw, k) for k in (kept, gone, "anything")], [200, 200, 401])
                self.key(admin, "revoke", "gone")
                for _ in range(12):
                    self.assertEqual([self.status(gw, k) for k in (kept, gone)], [200, 401])
                self.assertEqual(self.key(admin, "revoke", "gone", ok=False).returncode, 1)
                gw.process.send_signal(signal.SIGHUP)
            with self.gateway(a, "  other: {}\n  app: {}\n") as gw:  # and in another order
                self.assertEqual([self.status(gw, k) for k in (kept, gone)], [200, 401])
                listed = json.loads(self.key(Admin(gw), "list", "--json").stdout)["keys"]
                self.assertEqual([(k["name"], k["tenant"], k["holds"]) for k in listed],
                                 [("kept", "app", True), ("gone", "app", False)])
                self.key(Admin(gw), "revoke", "kept")
                self.assertEqual(self.status(gw, kept), 401)
            with self.gateway(a) as gw:  # the last was revoked: still not open to everybody
                self.assertEqual([self.status(gw, k) for k in (kept, "anything")], [401, 401])
        with open(os.path.join(self.state, "ledger", "ledger.db"), "rb") as f:
            self.assertNotIn(kept.encode(), f.read())
        self.assertEqual({"kept", "gone"} & {r["key"] for r in sums(self.state, "--by", "key")["rows"]}, {"kept", "gone"})
        db = sqlite3.connect(os.path.join(self.state, "ledger", "ledger.db"))
        self.assertEqual([row[0] for row in db.execute("SELECT what FROM audit WHERE what LIKE 'key %' ORDER BY at_us")],
                         ["key add", "key add", "key revoke", "key revoke"])

    def test_limits_of_a_key_made_at_run_time(self):
        with Sim("--instant") as a:
            with self.gateway(a) as gw:
                admin = Admin(gw)
                key = self.key(admin, "add", "--tenant", "app", "--name", "ci", "--requests", "2/min", "--budget",
                               "1 USD/day", "--hard", "--in-flight", "4", "--until", "2099-01-01", "--addresses",
                               "127.0.0.0/8,::1", "--models", "m").stdout.split()[0]
                self.assertEqual([self.status(gw, key) for _ in range(3)], [200, 200, 429])
                table = self.key(admin, "list").stdout
                self.assertRegex(table, r"ci +app +store +yes +2099-01-01T00:00:00Z +[12](\.\d+)? of 2 +- +0 of 4 +0\.0*[1-9]\d* of 1 +-")
                far = self.key(admin, "add", "--tenant", "other", "--addresses", "10.0.0.0/8").stdout.split()[0]
                self.assertEqual(self.status(gw, far), 403)
            with self.gateway(a) as gw:  # what it used is counted on
                self.assertEqual(self.status(gw, key), 429)
                used = [k for k in json.loads(self.key(Admin(gw), "list", "--json").stdout)["keys"] if k["name"] == "ci"]
                self.assertGreater(used[0]["used"]["day_usd"], 0)

    def test_what_is_wrong_is_said_and_changes_nothing(self):
        with Sim("--instant") as a, self.gateway(a) as gw:
            admin = Admin(gw)
            for body, status, part in (({"tenant": "nobody"}, 400, "no tenant 'nobody'"),
                                       ({"tenant": "app", "models": ["zzz"]}, 400, "no model 'zzz'"),
                                       ({"tenant": "app", "classes": ["zzz"]}, 400, "no class 'zzz'"),
                                       ({"tenant": "app", "budget": "5 EUR/day"}, 400, "budget"),
                                       ({"tenant": "app", "requsts": "5/min"}, 400, "requests"),
                                       ({"tenant": "app", "until": "2020-01-01"}, 400, "until: is past"),
                                       ({"tenant": "app", "sha256": "sha256:12"}, 400, "sha256"),
                                       ({"tenant": "app", "sha256": 12}, 400, "sha256"),
                                       ({}, 400, "no tenant")):
                answer = admin.post("/admin/keys", body)
                self.assertEqual(answer.status, status, answer)
                self.assertIn(part, answer.json()["error"]["message"])
            self.assertEqual(admin.get("/admin/keys").json(), {"keys": []})
            made = admin.post("/admin/keys", {"tenant": "app", "name": "api"})
            self.assertEqual(made.status, 201)
            self.assertEqual(self.status(gw, made.json()["key"]), 200)
            again = admin.post("/admin/keys", {"tenant": "app", "sha256": made.json()["hash"]})
            self.assertEqual(again.status, 409, again)
            self.assertEqual(admin.request("DELETE", "/admin/keys/nothing").status, 404)
            twice = admin.post("/admin/keys", {"tenant": "app", "name": "api"})
            self.assertEqual(twice.status, 409)
            self.assertIn(f"there is a key 'api' of app, {made.json()['id']}", twice.json()["error"]["message"])
            self.assertEqual(admin.request("DELETE", "/admin/keys/api").status, 200)
            self.assertEqual(admin.post("/admin/keys", {"tenant": "app", "name": "api"}).status, 201)
            self.assertEqual(admin.request("DELETE", "/admin/keys/" + made.json()["id"]).status, 404)
            for words in (["add"], ["revoke"], ["list", "x"], ["sing"], ["list", "--tenant", "app"], ["add", "--tenant", "a", "--hard"]):
                self.assertEqual(self.key(admin, *words, ok=False).returncode, 2, words)

    def test_without_a_store_there_is_no_place_for_keys(self):
        with Sim("--instant") as a, Gateway(portfolio(a, serve="admin: {listen: 127.0.0.1:0}"), env={"TEST_LEDGER": ""}) as gw:
            if os.environ.get("TEST_LEDGER"):
                self.skipTest("every gateway has a ledger now")
            self.assertEqual(Admin(gw).post("/admin/keys", {"tenant": "everyone"}).status, 409)

    def test_a_key_of_the_portfolio_is_taken_out_there(self):
        digest = "sha256:" + hashlib.sha256(b"mine").hexdigest()
        with Sim("--instant") as a, self.gateway(a, f'  app: {{keys: [{{sha256: "{digest}", name: mine}}]}}\n') as gw:
            admin = Admin(gw)
            self.assertEqual(admin.request("DELETE", "/admin/keys/mine").status, 409)
            listed, = admin.get("/admin/keys").json()["keys"]
            self.assertEqual((listed["of"], listed["name"]), ("portfolio", "mine"))
            self.assertEqual(self.status(gw, "mine"), 200)


if __name__ == "__main__":
    main()
