"""What earlier versions wrote stays readable, what newer ones wrote is left alone."""

import os
import re
import sqlite3

from harness import ROOT, Sim, chat, main
from ledger_case import Case, ledger, rows, sums, unpack

GOLDEN = os.path.join(ROOT, "tests", "golden")


class Store(Case):
    def old_store(self, version=1):
        os.makedirs(self.folder())
        with open(os.path.join(GOLDEN, f"store-{version}.sql")) as f:
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

    def test_stores_of_versions_2_to_5_say_the_same(self):
        """The same calls, written by each version: a failure and its second try, of old days; an estimate, an open one."""
        top = self.state
        for version in (2, 3, 4, 5):
            with self.subTest(version=version):
                self.state = os.path.join(top, str(version))
                self.old_store(version)
                said = sums(self.state, "--by", "day,pool,tenant,key,contract")
                self.assertEqual(self.version(), 5)
                self.assertEqual([(r["day"], r["pool"], r["key"], r["contract"], r["calls"], r["open"], r["failed"], r["list_usd"], r["charged_usd"])
                                  for r in said["rows"]],
                                 [("2026-08-14", "a", "laptop", "deal", 1, 0, 1, 7e-6, 0), ("2026-08-14", "b", "laptop", "deal", 1, 0, 0, 26e-6, 39e-6),
                                  ("2026-11-21", "a", "laptop", "deal", 1, 0, 0, 31e-6, 46.5e-6), ("2026-11-22", "a", "laptop", "deal", 1, 1, 0, 0, 0),
                                  ("2026-11-22", "b", "laptop", "deal", 1, 0, 0, 33e-6, 49.5e-6)])
                total = said["total"]
                self.assertEqual((total["failed_over"], total["estimated"], total["reasoning_tokens"], total["energy_j"]), (1, 1, 15, 6))
                self.assertEqual((total["open_usd_at_most"], said["unrecorded"]["calls"]), (0.262466, 2))
                self.assertEqual([(r["sequence"], r["request"], r["state"], r["commitment"], r["drawn"]) for r in rows(self.state)],
                                 [(6, "req_bfb804e1c35257cccc7143a0", "settled", "deal", "30.0"), (9, "asked-for-by-the-client", "settled", "deal", "30.0"),
                                  (12, "req_76fb58bf0f6ba865b05f0db5", "open", "", "0.0")])
                self.assertEqual([(r["sequence"], r["request"], r["charged_nusd"]) for r in rows(self.state, "requests")],
                                 [(8, "req_bfb804e1c35257cccc7143a0", 46500), (11, "asked-for-by-the-client", 49500)])
                self.assertEqual("pool a" in ledger("audit", self.state).stdout, version >= 3)

    def test_packing_that_was_ended_in_between_goes_on(self):
        self.old_store(4)
        with open(os.path.join(GOLDEN, "store-5.sql")) as f:
            begun = [line for line in f if re.match(r"(CREATE TABLE|INSERT INTO|CREATE INDEX) \"?(chunks|chunks_at|open|loops)\b", line)
                     and not line.startswith(("INSERT INTO chunks", "INSERT INTO open"))]
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        db.executescript("".join(begun))
        db.close()
        total = sums(self.state)["total"]
        self.assertEqual((total["calls"], total["open"], total["list_usd"]), (5, 1, 97e-6))
        self.assertEqual((self.version(), len(rows(self.state))), (5, 3))

    def test_damage_inside_packed_rows_is_found(self):
        self.old_store(5)
        ledger("check", self.state)
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        db.execute("UPDATE chunks SET rows=CAST(substr(rows,1,length(rows)-1) AS BLOB) WHERE kind=2")
        db.commit()
        db.close()
        for words in (["check"], ["export", "--rows", "requests"]):
            said = ledger(*words, self.state, ok=False)
            self.assertEqual(said.returncode, 1)
            self.assertIn("malformed", said.stderr)

    def test_rows_are_packed_as_the_page_says(self):
        self.old_store(5)
        db = sqlite3.connect(os.path.join(self.folder(), "ledger.db"))
        chunks = [(kind, list(unpack(kind, blob))) for kind, blob in db.execute("SELECT kind,rows FROM chunks ORDER BY kind,max_us")]
        db.close()
        self.assertEqual([(kind, [request for request, _ in of]) for kind, of in chunks],
                         [(kind, [request]) for kind in (1, 2) for request in ("req_bfb804e1c35257cccc7143a0", "asked-for-by-the-client")])
        self.assertEqual([of[0][1][-2] for kind, of in chunks if kind == 2], [31000, 33000])

    def test_a_gateway_goes_on_with_a_store_of_version_1(self):
        self.old_store()
        with Sim("--instant") as a, self.gateway(a) as gw:
            gw.post("/v1/chat/completions", chat("hello"))
        total = sums(self.state)["total"]
        self.assertEqual((total["calls"], total["open"]), (6, 0))


if __name__ == "__main__":
    main()
