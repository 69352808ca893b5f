"""caudal check: what a person is told about a portfolio."""

import json
import os
import subprocess
import tempfile
import unittest

from harness import CAUDAL, certificate, main

HASH = "sha256:" + "0" * 63 + "1"


def check(text, *args, env=None):
    """The exit status, standard output and standard error; the file is called p.yaml."""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "p.yaml"), "w") as f:
            f.write("caudal: 1\n" + text)
        done = subprocess.run([CAUDAL, "check", *args, "p.yaml"], cwd=folder, capture_output=True, text=True,
                              timeout=60, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr


POOL = "pools:\n  a: {url: 'https://h.example/v1', key: '${A_KEY:-}', serves: [m]}\n"


class Certificates(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def check(self, cert, key, *args):
        return check(POOL + f"serve: {{tls: {{certificate: {cert}, key: {key}}}}}\n", *args)

    def test_until_when_they_are_good_is_said_and_in_time(self):
        status, out, _ = self.check(*certificate(self.folder, days=30))
        self.assertEqual(status, 0)
        self.assertRegex(out, r"certificate for clients is good until 20\d\d-")
        self.assertNotIn("renew", out)
        cert, key = certificate(self.folder, days=13)
        status, out, _ = self.check(cert, key)
        self.assertEqual(status, 0)
        self.assertRegex(out, r"serve\.tls: its certificate expires soon, on 20\d\d-")
        self.assertTrue(json.loads(self.check(cert, key, "--json")[1])["serve"]["certificate_until"].startswith("20"))
        self.assertIn("has expired", self.check(cert, key, "--at", "2099-01-01")[1])

    def test_what_is_wrong_with_them_is_an_error(self):
        cert, key = certificate(self.folder)
        _, other = certificate(self.folder, "other")
        for a, b, why in ((os.path.join(self.folder, "none.pem"), key, "none.pem: No such file"), (cert, other, "does not belong to"),
                          (key, key, "cannot be used")):
            status, _, err = self.check(a, b)
            self.assertEqual(status, 1)
            self.assertRegex(err, "error: p.yaml:4:.*serve.tls: .*" + why)


class Check(unittest.TestCase):
    def test_a_policy_that_is_not_there_is_an_error(self):
        status, out, err = check(POOL + "serve: {policy: leest-cost}\n")
        self.assertEqual(status, 1)
        self.assertRegex(err, r"error: p\.yaml:4:17: serve\.policy: is not known, got \"leest-cost\", "
                              r"expected one of .*least-cost")
        self.assertIn("can be read, but not used", out)
        status, out, _ = check(POOL + "serve: {policy: leest-cost}\n", "--json")
        self.assertEqual(status, 1)
        self.assertIn("serve.policy", json.dumps(json.loads(out)))

    def test_serve_says_the_same_of_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "p.yaml")
            with open(path, "w") as f:
                f.write("caudal: 1\n" + POOL + "serve: {policy: leest-cost}\n")
            done = subprocess.run([CAUDAL, "serve", path, "--listen", "127.0.0.1:0"], capture_output=True, text=True,
                                  timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"error: {path}:4:17: serve.policy: is not known, got \"leest-cost\", expected one of caudal, ",
                      done.stderr)

    def test_a_maintenance_window_that_is_listed_twice_is_told(self):
        pool = POOL.replace("}\n", ", maintenance: [{from: 2026-12-01, until: 2026-12-02},\n{from: 2026-12-02}")
        self.assertNotIn("twice", "".join(check(pool + "]}\n")[1:]))
        status, out, err = check(pool + ",\n{from: 2026-12-01T00:00:00Z, until: 2026-12-02}]}\n")
        self.assertEqual(status, 0)
        self.assertRegex(out + err, r"p\.yaml:5:1: pools\.a\.maintenance: this window is listed twice, before in line 3")

    def test_a_policy_that_is_there_is_none(self):
        for policy in ("least-cost", "priority-spill", "round-robin"):
            self.assertEqual(check(POOL + f"serve: {{policy: {policy}}}\n")[0], 0, policy)

    def test_what_should_be_whole_is(self):
        status, _, err = check(POOL + "serve: {limits: {connections: 1.5}}\n")
        self.assertEqual(status, 1)
        self.assertIn("serve.limits.connections: is not a whole number", err)

    def test_a_variable_that_is_not_set_is_said(self):
        status, out, _ = check(POOL)
        self.assertEqual(status, 0)
        self.assertIn("pools.a.key: is empty", out)
        self.assertNotIn("pools.a.key", check(POOL, env={"A_KEY": "sk-planted"})[1])

    def test_no_pools_are_warned_of(self):
        status, out, _ = check("pools: {}\n")
        self.assertEqual(status, 0)
        self.assertIn("pools: names none", out)

    def test_tenants_are_listed_whatever_they_have(self):
        _, out, _ = check(POOL + f"tenants:\n  with: {{keys: ['{HASH}']}}\n  without: {{}}\n")
        listed = out[out.index("\ntenants\n"):out.index("\nwarnings\n")]
        self.assertIn("  with     1 ", listed)
        self.assertIn("  without  0 ", listed)
        self.assertIn("tenants.without.keys: has no key", out)


if __name__ == "__main__":
    main()
