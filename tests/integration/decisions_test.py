"""The event log of serve, told to a fresh core: the same answers, all of them, or it is noticed."""

import json
import os
import random
import struct
import subprocess
import tempfile
import threading
import unittest

from admin_test import Admin
from harness import CAUDAL, Gateway, Sim, Stream, chat, main, until

FRAME = 8  # bytes in front of the records of a frame: length, CRC
HEAD = 16  # bytes in front of the first frame

PORTFOLIO = """
caudal: 1
serve: {{events: {log}, admin: {{listen: 127.0.0.1:0}}, default_class: chat, {serve}
  attempts: {{stand_in_after: 20 ms, deadline: 5 s}}, breaker: {{failures: 3, open: 30 ms, open_max: 100 ms}}}}
classes:
  chat: {{ttft: 200 ms, time_value: {{ttft: 4 USD/h, per_token: 4 USD/h}}}}
  batch: {{deadline: 3 s, unserved: 0.01 USD}}
contracts:
  prepaid: {{supplier: s0, status: live, from: 2026-01-01, until: 2036-01-01, commitment: {{amount: 1 USD, per: month}}}}
suppliers:
{suppliers}
pools:
{pools}
groups: {{any: [m, n]}}
tenants:
  one: {{}}
  two: {{}}
"""


def write_portfolio(folder, sims, serve=""):
    suppliers = "".join(f"  s{i}: {{api: openai, url: '{s.url}'}}\n" for i, s in enumerate(sims))
    pools = "".join(f"  p{i}: {{supplier: s{i}, {'contract: prepaid, ' if i == 0 else ''}limits: {{in_flight: 3}}, "
                    f"serves: {{{'n' if i == 3 else 'm'}: {{price: {{input: {1 + i / 10} USD/Mtok, output: 2 USD/Mtok}}}}}}}}\n"
                    for i, s in enumerate(sims))
    return PORTFOLIO.format(log=os.path.join(folder, "events"), suppliers=suppliers, pools=pools, serve=serve)


def read(path, mode="r"):
    with open(path, mode) as f:
        return f.read()


def compare(portfolio, log, *args):
    done = subprocess.run([CAUDAL, "replay", portfolio, "--decisions", log, *args], capture_output=True, text=True,
                          timeout=120)
    return done.returncode, done.stdout, done.stderr


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0x82f63b78 * (crc & 1)
    return crc ^ 0xffffffff


def ask(gw, chance, i):
    """One request of some kind; some are left in the middle."""
    body = chat("x" * chance.choice((10, 400, 4000, 20000)), model="m", max_tokens=chance.choice((5, 20, 60)))
    headers = {"x-caudal-class": chance.choice(("chat", "batch"))}
    if chance.random() < 0.5:
        return gw.post("/v1/chat/completions", body, headers).status
    with Stream(gw, {**body, "stream": True}, headers) as s:
        s.begin()
        if s.status == 200 and chance.random() < 0.3:
            s.event()  # and away
        elif s.status == 200:
            s.events()
        return s.status


class Decisions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        """Some thousand requests over three loops, while everything goes wrong; then the process ends."""
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.log = os.path.join(cls.folder.name, "events")
        cls.portfolio = os.path.join(cls.folder.name, "portfolio.yaml")
        sims = [Sim("--ttft", "1ms", "--per-token", "0.1ms", "--output", "8") for _ in range(4)]
        for s in sims:
            cls.addClassCleanup(s.__exit__)
        sims[0].faults("429:retry-after=50ms,p=0.1", "500,p=0.1")
        sims[1].faults("cut-after=2,p=0.1", "refuse,p=0.1", "no-usage,p=0.2")
        sims[2].faults("503,p=0.4")
        sims[3].faults("slow=3", "error-event,after=1,p=0.1")
        with open(cls.portfolio, "w") as f:
            f.write(write_portfolio(cls.folder.name, sims))
        with Gateway(read(cls.portfolio), "--threads", "3") as gw:
            admin = Admin(gw)
            cls.text = read(gw.file)
            cls.statuses = cls.load(gw, admin)
            until(lambda: gw.metric("caudal_requests_in_progress") == 0)
            cls.found = gw.metric("caudal_prices_found_total")
        with open(cls.portfolio, "w") as f:
            f.write(cls.text)

    @staticmethod
    def load(gw, admin, threads=12, each=100):
        statuses, lock = {}, threading.Lock()

        def client(seed):
            chance = random.Random(seed)
            for i in range(each):
                status = ask(gw, chance, i)
                with lock:
                    statuses[status] = statuses.get(status, 0) + 1

        def operator():
            for name, body in [("drain", {"pool": "p1"}), ("derate", {"pool": "p0", "share": 0.4}), ("enable", {"pool": "p1"}),
                               ("weigh", {"pool": "p2", "weight": 3}), ("share", {"pool": "p1", "share": 0.5}), ("reload", {}),
                               ("derate", {"pool": "p0", "share": 1}), ("maintenance", {"pool": "p2", "until": "1s"})] * 2:
                answer = admin.post("/admin/" + name, body)
                assert answer.status == 200, answer

        all_threads = [threading.Thread(target=client, args=(i,)) for i in range(threads)] + [threading.Thread(target=operator)]
        for t in all_threads:
            t.start()
        for t in all_threads:
            t.join()
        return statuses

    def test_a_fresh_core_decides_the_same(self):
        status, out, err = compare(self.portfolio, self.log, "--json")
        self.assertEqual((status, err), (0, ""), out)
        r = json.loads(out)
        print(r, self.statuses)
        self.assertEqual((r["end"], r["equal"]), ("whole", r["answers"]))
        self.assertGreater(r["answers"], 1500)
        self.assertEqual(r["generations"], 3, "the reloads are in it")
        self.assertGreater(self.statuses[200], 500)

    def kinds(self):
        """How many records of each kind the log has."""
        data, at, counts = read(self.log, "rb"), HEAD, {}
        while at < len(data):
            n = struct.unpack_from("<I", data, at)[0]
            record, end = at + FRAME, at + FRAME + n
            while record < end:
                counts[data[record + 2]] = counts.get(data[record + 2], 0) + 1
                record += 2 + struct.unpack_from("<H", data, record)[0]
            at = end
        return counts

    def test_prices_found_are_in_it(self):
        priced = 17
        self.assertGreater(self.found, 0)
        self.assertEqual(self.kinds()[priced], self.found, "one commitment, so one record each time")

    def rewrite(self, change):
        """A copy of the log with one frame's records changed by `change`, its CRC right again."""
        data = bytearray(read(self.log, "rb"))
        at = HEAD
        while at < len(data):
            n = struct.unpack_from("<I", data, at)[0]
            records = bytes(data[at + FRAME:at + FRAME + n])
            changed = change(records)
            if changed is not None:
                data[at + FRAME:at + FRAME + n] = changed
                struct.pack_into("<I", data, at + 4, crc32c(changed))
                break
            at += FRAME + n
        path = self.log + ".changed"
        with open(path, "wb") as f:
            f.write(data)
        return path

    def test_a_log_that_was_changed_is_noticed(self):
        def other_pool(records):
            """The first pick that says send to p0 or p1 says the other."""
            at = 0
            while at < len(records):
                n = struct.unpack_from("<H", records, at)[0]
                if records[at + 2] == 3:  # a pick: kind, number, generation, time, then the ask
                    p = at + 3
                    for _ in range(3):
                        while records[p] & 0x80:
                            p += 1
                        p += 1
                    p += 2 + struct.unpack_from("<H", records, p)[0]  # behind the ask
                    verdict, bar, pool = records[p + 2:p + 5]
                    if verdict == 0 and pool in (0, 2):  # zigzag
                        return records[:p + 4] + bytes([2 - pool]) + records[p + 5:]
                at += 2 + n
            return None

        status, out, err = compare(self.portfolio, self.rewrite(other_pool))
        self.assertEqual((status, err), (1, ""))
        self.assertRegex(out, r"The first that differs is record \d+\.\nserve     send to p[01].*\nhere      send to p[01]")
        self.assertRegex(out, r"(?m)^>  p[01] ")

    def test_what_is_no_whole_log_is_said(self):
        data = read(self.log, "rb")

        def of(changed):
            with open(self.log + ".bad", "wb") as f:
                f.write(changed)
            return compare(self.portfolio, self.log + ".bad")

        status, out, err = of(data[:-3])
        self.assertEqual(status, 1)
        self.assertIn("ends in the middle of the frame that begins at byte", err)
        self.assertRegex(out, r"(\d+) of \1 answers equal")
        damaged = bytearray(data)
        damaged[HEAD + FRAME + 5] ^= 1
        self.assertIn(f"the frame that begins at byte {HEAD} is damaged", of(damaged)[2])
        self.assertIn("is of version 3, and this caudal reads up to version 2", of(data[:15] + b"\x03" + data[16:])[2])
        self.assertIn("no event log", of(b"caudal: 1\n" * 10)[2])
        self.assertEqual(of(b"")[2], f"caudal replay: {self.log}.bad: this is no event log of caudal serve\n")
        first = HEAD + FRAME + struct.unpack_from("<I", data, HEAD)[0]
        second = first + FRAME + struct.unpack_from("<I", data, first)[0]
        status, out, err = of(data[:first] + data[second:])
        self.assertEqual((status, err), (0, ""))
        self.assertIn("It lacks records there", out)
        status, out, err = of(data[:first])
        self.assertEqual((status, err), (0, ""))
        self.assertIn("It does not say that it ends", out)
        self.assertIn(f"what begins at byte {first} is no frame", of(data[:first] + bytes(64))[2])

    def test_what_would_be_passed_over_is_refused(self):
        for args in (("--rate", "x5"), ("--from", "3s"), ("--seed", "2"), ("--events", "none")):
            status, out, err = compare(self.portfolio, self.log, *args)
            self.assertEqual((status, out), (2, ""), args)
            self.assertIn("--decisions goes with nothing but --json", err)

    def test_other_files_are_refused(self):
        with open(self.portfolio + ".other", "w") as f:
            f.write(self.text + "# and more\n")
        status, out, err = compare(self.portfolio + ".other", self.log)
        self.assertEqual(status, 1)
        self.assertIn("0 of 0 answers equal", out)
        self.assertIn("over other portfolio files than these", err)
        self.assertIn("No such file", compare(self.portfolio, self.log + ".none")[2])
        self.assertEqual(compare(self.portfolio, self.log, "--demand")[0], 2)


class TheFile(unittest.TestCase):
    def test_it_has_its_size_and_serving_goes_on(self):
        with tempfile.TemporaryDirectory() as folder, Sim("--instant") as sim:
            log = os.path.join(folder, "events")
            for _ in range(3):  # each start begins anew, and keeps what was there
                with Gateway(f"caudal: 1\nserve: {{events: {log}, events_size: 6 kB}}\n"
                             f"pools: {{p: {{api: openai, url: '{sim.url}', serves: [m]}}}}\n") as gw:
                    text = read(gw.file)
                    for _ in range(60):
                        self.assertEqual(gw.post("/v1/chat/completions", chat("x")).status, 200)
            with open(log + ".yaml", "w") as f:
                f.write(text)
            self.assertEqual(sorted(os.listdir(folder)), ["events", "events.1", "events.2", "events.yaml"])
            for name in (log, log + ".1", log + ".2"):
                self.assertLessEqual(os.path.getsize(name), 6000)
                self.assertEqual(os.stat(name).st_mode & 0o777, 0o600)
                status, out, err = compare(log + ".yaml", name, "--json")
                self.assertEqual((status, err), (0, ""))
                r = json.loads(out)
                self.assertEqual((r["end"], r["equal"]), ("full", r["answers"]))
                self.assertGreater(r["answers"], 10)

    def test_who_finds_the_ledger_or_the_log_in_use_leaves_the_log_alone(self):
        for state, said in (("state: %s/state, ", "in use by another caudal"),
                            ("", "%s/events: another process writes its event log there")):
            with tempfile.TemporaryDirectory() as folder:
                log = os.path.join(folder, "events")
                text = ("caudal: 1\npools: {p: {api: openai, url: 'http://127.0.0.1:9/v1', serves: [m]}}\n"
                        f"serve: {{{state.replace('%s', folder)}events: {log}}}\n")
                with Gateway(text):
                    written = os.stat(log).st_ino
                    done = subprocess.run([CAUDAL, "serve", "-", "--listen", "127.0.0.1:0"], input=text, text=True,
                                          capture_output=True, timeout=60)
                    self.assertEqual(done.returncode, 1)
                    self.assertIn(said.replace("%s", folder), done.stderr)
                    self.assertEqual((os.stat(log).st_ino, os.path.exists(log + ".1")), (written, False))
                with Gateway(text):  # which another may have when it has ended
                    self.assertTrue(os.path.exists(log + ".1"))

    def test_one_that_cannot_be_made_is_said(self):
        with tempfile.TemporaryDirectory() as folder:
            os.mkfifo(os.path.join(folder, "pipe"))
            for path in ("/proc/none/events", os.path.join(folder, "pipe")):
                done = subprocess.run([CAUDAL, "serve", "-", "--listen", "127.0.0.1:0", "--events", path], text=True,
                                      capture_output=True, timeout=60,
                                      input="caudal: 1\npools: {p: {api: openai, url: 'http://127.0.0.1:9/v1', serves: [m]}}\n")
                self.assertEqual(done.returncode, 1)
                self.assertIn(path, done.stderr)
            self.assertEqual(os.listdir(folder), ["pipe"])


if __name__ == "__main__":
    main()
