"""Who may read /metrics."""

import hashlib
import tempfile
import unittest

from harness import Gateway, Process, Sim, main, portfolio


def key_hash(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


CLIENTS = f"tenants:\n  t: {{keys: ['{key_hash('sk-client')}']}}\n"


class MetricsKeys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant")
        cls.addClassCleanup(cls.sim.__exit__)

    def statuses(self, gw):
        """Without a key, with a client's, with that of the metrics."""
        keys = ({}, {"Authorization": "Bearer sk-client"}, {"Authorization": "Bearer sk-metrics"})
        return [gw.get("/metrics", k).status for k in keys]

    def test_unless_said_a_clients_key_is_wanted(self):
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(portfolio(self.sim, extra=CLIENTS))
            f.flush()
            # From loopback too: behind a proxy on this machine everybody comes from there.
            with Process(["serve", f.name, "--listen", "127.0.0.1:0"]) as gw:
                self.assertEqual(self.statuses(gw), [401, 200, 401])
                self.assertEqual(gw.get("/metrics").json()["error"]["code"], "invalid_api_key")

    def test_where_nobody_has_a_key_none_is_wanted(self):
        with Gateway(portfolio(self.sim, serve="metrics: clients")) as gw:
            self.assertEqual(self.statuses(gw), [200] * 3)

    def test_open_is_open(self):
        with Gateway(portfolio(self.sim, serve="metrics: open", extra=CLIENTS)) as gw:
            self.assertEqual(self.statuses(gw), [200] * 3)
            self.assertEqual(gw.get("/v1/models").status, 401)

    def test_keys_of_its_own_read_it_and_nothing_else(self):
        own = f"metrics: {{keys: {{prometheus: '{key_hash('sk-metrics')}'}}}}"
        for extra in (CLIENTS, ""):
            with Gateway(portfolio(self.sim, serve=own, extra=extra)) as gw:
                self.assertEqual(self.statuses(gw), [401, 401, 200])
                if extra:
                    self.assertEqual(gw.get("/v1/models", {"Authorization": "Bearer sk-metrics"}).status, 401)


if __name__ == "__main__":
    main()
