"""The admin address: who may come in, what it answers, what it writes down."""

import hashlib
import http.client
import json
import re
import sys
import unittest

from harness import PATIENCE_S, Answer, Gateway, Sim, main, portfolio, until


class Admin:
    """The admin address of a gateway."""

    def __init__(self, gateway):
        self.gateway = gateway
        found = until(lambda: re.search(r"admin +host=(\S+) port=(\d+)", gateway.stderr()), "the admin address")
        self.host, self.port = found.group(1), int(found.group(2))
        self.url = f"http://{self.host}:{self.port}"

    def request(self, method, path, body=None, headers=None):
        c = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        try:
            c.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers or {})
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def get(self, path, **headers):
        return self.request("GET", path, headers=headers)

    def post(self, path, body=None, **headers):
        return self.request("POST", path, body if body is not None else {}, headers)


ADMIN = "admin: {listen: 127.0.0.1:0}"


class AdminTest(unittest.TestCase):
    def test_nobody_comes_in_unless_the_portfolio_says_where(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
            self.assertEqual(404, gw.get("/admin/status").status)
            self.assertNotIn("admin ", gw.stderr())

    def test_the_status_tells_of_every_pool(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN)) as gw:
            status = Admin(gw).get("/admin/status")
            self.assertEqual(200, status.status, status)
            said = status.json()
            self.assertEqual(["a"], [p["name"] for p in said["pools"]])
            self.assertTrue(said["pools"][0]["ready"])
            self.assertEqual(gw.process.pid, said["pid"])
            self.assertEqual(404, gw.get("/admin/status").status, "clients have an address of their own")

    def test_pages_of_others_and_strange_names_stay_outside(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN)) as gw:
            admin = Admin(gw)
            self.assertEqual(403, admin.get("/admin/status", Host="gateway.example.com").status)
            self.assertEqual(403, admin.get("/admin/status", Origin="http://localhost:3000").status)
            self.assertEqual(403, admin.get("/admin/status", Origin="null").status)
            self.assertEqual(200, admin.get("/admin/status", Origin=admin.url).status)

    def test_with_keys_one_is_needed(self):
        hashes = {n: hashlib.sha256(n.encode()).hexdigest() for n in ("first", "second")}
        serve = ("admin: {listen: 127.0.0.1:0, keys: {alice: \"sha256:%s\", bob: \"sha256:%s\"}}"
                 % (hashes["first"], hashes["second"]))
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=serve)) as gw:
            admin = Admin(gw)
            self.assertEqual(401, admin.get("/admin/status").status)
            refused = admin.get("/admin/status", Authorization="Bearer third")
            self.assertEqual(401, refused.status)
            self.assertEqual("invalid_api_key", refused.json()["error"]["code"])
            self.assertEqual(200, admin.get("/admin/status", Authorization="Bearer second").status)

    def test_an_open_address_without_keys_is_refused_at_the_start(self):
        with Sim("--instant") as sim:
            with self.assertRaises(AssertionError) as said:
                Gateway(portfolio(sim, serve="admin: {listen: 0.0.0.0:0}"))
            self.assertIn("serve.admin.listen", str(said.exception))

    def test_what_is_no_call_gets_an_error_of_the_usual_shape(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, serve=ADMIN)) as gw:
            admin = Admin(gw)
            self.assertEqual("unknown_url", admin.get("/admin/nothing").json()["error"]["code"])
            self.assertEqual(405, admin.post("/admin/status").status)
            self.assertEqual(413, admin.request("POST", "/admin/status", "x" * 70000).status)


if __name__ == "__main__":
    main()
