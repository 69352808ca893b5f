"""What the tests of the ledger share: a state folder, a gateway over it, and what `caudal ledger` says."""

import csv
import io
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, portfolio

RECORD = 192  # bytes of a record, and of a segment's head


def ledger(*args, ok=True):
    r = subprocess.run([CAUDAL, "ledger", *args], capture_output=True, text=True)
    if ok and r.returncode:
        raise AssertionError(f"caudal ledger {args}: {r.returncode}\n{r.stdout}\n{r.stderr}")
    return r


# How the fields of a packed row are kept (docs/formats.md), by the kind of the chunk, and which says when it began.
PACKED = {1: ("NNNNNWWWWWWNNNNNNNNNNNNNWNNNWW", 11), 2: ("NNNNWWWWWWWWNNNNNNNNNNNNN", 12)}
FROM_ZEROS = 1 << 31


def unpack(kind, blob):
    """The rows of a chunk: what request, and its fields."""
    hows, _ = PACKED[kind]
    fields, at = [0] * len(hows), 0
    while at < len(blob):
        mask, = struct.unpack_from("<I", blob, at)
        n = blob[at + 4]
        request = "req_" + blob[at + 5:at + 17].hex() if n == 255 else blob[at + 5:at + 5 + n].decode()
        at += 17 if n == 255 else 5 + n
        if mask & FROM_ZEROS:
            fields = [0] * len(hows)
        for i, how in enumerate(hows):
            if not mask >> i & 1:
                continue
            if how == "W":
                fields[i], = struct.unpack_from("<q", blob, at)
                at += 8
                continue
            n = shift = 0
            while True:
                n |= (blob[at] & 127) << shift
                shift, at = shift + 7, at + 1
                if blob[at - 1] < 128:
                    break
            fields[i] += n >> 1 ^ -(n & 1)
        yield request, list(fields)


def pack(kind, rows):
    out = b""
    for request, fields in rows:
        out += struct.pack("<IB", FROM_ZEROS | (1 << len(fields)) - 1, len(request)) + request.encode()
        for how, v in zip(PACKED[kind][0], fields):
            if how == "W":
                out += struct.pack("<q", v)
                continue
            v = v << 1 ^ v >> 63
            while v > 127:
                out, v = out + bytes([v & 127 | 128]), v >> 7
            out += bytes([v])
    return out


def age(folder, days):
    """As if all of the ledger's rows were so much older."""
    us = days * 86400000000

    def older(kind, blob):
        rows = list(unpack(kind, blob))
        for _, fields in rows:
            fields[PACKED[kind][1]] -= us
        return pack(kind, rows)

    db = sqlite3.connect(os.path.join(folder, "ledger.db"))
    db.create_function("older", 2, older)
    db.execute("UPDATE chunks SET min_us=min_us-?1,max_us=max_us-?1,rows=older(kind,rows)", (us,))
    db.execute("UPDATE open SET began_us=began_us-?,row=older(1,row)", (us,))
    db.execute("UPDATE daily SET day=date(day,?)", (f"-{days} days",))
    db.commit()
    db.close()


def table(text):
    """CSV as dicts, whole numbers as numbers."""
    return [{k: int(v) if v.lstrip("-").isdigit() else v for k, v in row.items()}
            for row in csv.DictReader(io.StringIO(text))]


def rows(state, which="attempts"):
    return table(ledger("export", "--rows", which, state).stdout)


def sums(state, *args):
    return json.loads(ledger("--json", *args, state).stdout)


class Case(unittest.TestCase):
    def setUp(self):
        self.state = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.state, ignore_errors=True)

    def gateway(self, *sims, serve="", env=None, threads=2, **more):
        text = portfolio(*sims, serve=f"state: {self.state}" + (f", {serve}" if serve else ""), **more)
        return Gateway(text, "--threads", str(threads), env=env)

    def folder(self):
        return os.path.join(self.state, "ledger")

    def journals(self):
        return sorted(n for n in os.listdir(self.folder()) if n.endswith(".cj"))
