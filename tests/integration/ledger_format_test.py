"""What earlier versions wrote stays readable, what newer ones wrote is left alone."""

import os
import sqlite3

from harness import ROOT, Sim, chat, main
from ledger_case import Case, ledger, sums

GOLDEN = os.path.join(ROOT, "tests", "golden")


class Store(Case):
    def old_store(self):
        os.mkdir(self.folder())
        with open(os.path.join(GOLDEN, "store-1.sql")) as f:
            script = f.read()
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        db.executescript(script)
        db.close()

    def version(self):
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        version, = db.execute("PRAGMA user_version").fetchone()
        db.close()
        return version

    def test_a_store_of_version_1_is_brought_up_to_date_and_says_the_same(self):
        self.old_store()
        said = sums(self.state, "--by", "day,tenant,pool,model")
        self.assertGreater(self.version(), 1)
        self.assertEqual([(r["day"], r["tenant"], r["pool"], r["model"], r["calls"]) for r in said["rows"]],
                         [("2026-08-14", "app", "a", "m", 1), ("2026-08-14", "app", "b", "m", 1),
                          ("2026-11-22", "app", "a", "m", 3)])
        total = said["total"]
        self.assertEqual((total["calls"], total["failed"], total["failed_over"], total["output_tokens"]), (5, 1, 1, 254))
        self.assertAlmostEqual(total["list_usd"], 0.000516, 12)
        self.assertAlmostEqual(total["charged_usd"], 0.000774, 12)

    def test_a_gateway_goes_on_with_a_store_of_version_1(self):
        self.old_store()
        with Sim("--instant") as a, self.gateway(a) as gw:
            gw.post("/v1/chat/completions", chat("hello"))
        total = sums(self.state)["total"]
        self.assertEqual((total["calls"], total["open"]), (6, 0))



if __name__ == "__main__":
    main()
