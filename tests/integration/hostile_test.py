"""The corpus of tests/lib/hostile.h sent to the real gateway, with a recorder behind it: what two
servers could read differently is refused and closed, and the recorder sees whole, strictly formed
requests only, one for each that was accepted."""

import os
import re
import unittest

from harness import ROOT, Gateway, Recorder, Wire, chat, json_answer, main, portfolio, raw_request, until
from serve_test import key_hash

KEY = b"Authorization: Bearer sesame\r\n"

# --- the corpus, out of the C source ----------------------------------------------------------

TOKEN = re.compile(r'\s+|//[^\n]*|"((?:[^"\\]|\\.)*)"|(\w+)|([(),{}])')
ESCAPE = re.compile(rb'\\(x[0-9a-fA-F]+|[0-7]{1,3}|.)')
SIMPLE = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\", b'"': b'"'}


def unescaped(match):
    what = match.group(1)
    if what[:1] == b"x":
        return bytes([int(what[1:], 16)])
    return bytes([int(what, 8)]) if what.isdigit() else SIMPLE[what]


class Source:
    def __init__(self, text):
        self.tokens = [m.groups() for m in TOKEN.finditer(text) if m.group(1) is not None or m.group(2) or m.group(3)]
        self.at = 0
        self.names = {}

    def peek(self, mark):
        return self.at < len(self.tokens) and self.tokens[self.at][2] == mark

    def take(self, mark):
        assert self.peek(mark), (mark, self.tokens[self.at])
        self.at += 1

    def text(self):
        """String literals and macros, one behind the other."""
        value = b""
        while self.at < len(self.tokens) and not self.tokens[self.at][2]:
            literal, name, _ = self.tokens[self.at]
            self.at += 1
            if name is None:
                value += ESCAPE.sub(unescaped, literal.encode("latin-1"))
            elif self.peek("("):
                self.take("(")
                value += self.text() * self.names[name]
                self.take(")")
            else:
                value += self.names[name]
        return value


def corpus():
    """[(name, status, requests, bodies, raw)]; status 0: legal."""
    with open(os.path.join(ROOT, "tests", "lib", "hostile.h"), encoding="latin-1") as f:
        text = f.read()
    names = {"HOSTILE_X16": 16, "HOSTILE_4K": 4096}
    for name, value in re.findall(r'#define (\w+) (.*"\s*|HOSTILE_4K.*)(?://.*)?$', text, re.M):
        source = Source(value)
        source.names = names
        names[name] = source.text()
    rows = []
    for kind, body in re.findall(r'^    (BAD|BAD_BODY|LEGAL)\((.*)\),$', text, re.M):
        source = Source(body)
        source.names = names
        name = source.text().decode()
        source.take(",")
        number = int(source.tokens[source.at][1])
        source.at += 1
        source.take(",")
        bodies = b""
        if kind == "LEGAL":
            bodies = source.text()
            source.take(",")
        raw = source.text()
        assert source.at == len(source.tokens), (name, source.tokens[source.at:])
        rows.append((name, 0 if kind == "LEGAL" else number, number if kind == "LEGAL" else 0, bodies, raw))
    assert len(rows) == len(re.findall(r"^    (?:BAD|LEGAL)", text, re.M))
    return rows


def aimed(raw, path):
    """The same request at a path that is passed on, with a key that lets it in."""
    raw = raw.replace(b" /v1/x ", b" " + path + b" ").replace(b" / HTTP", b" " + path + b" HTTP")
    raw = raw.replace(b" /smuggled ", b" /v1/smuggled ")
    return re.sub(rb"\r\n([Hh]ost:[^\r\n]*)\r\n(?![ \t])", lambda m: b"\r\n" + m.group(1) + b"\r\n" + KEY, raw)


class Corpus(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = corpus()
        cls.there = Recorder(lambda r: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Theirs: 1\r\n\r\nhere")
        cls.addClassCleanup(cls.there.close)
        cls.gw = Gateway(f"""
caudal: 1
suppliers: {{files: {{url: "{cls.there.url}", key: secret-of-files}}}}
pools: {{a: {{api: openai, url: "{cls.there.url}", key: k, serves: [m]}}}}
tenants: {{t: {{keys: ["{key_hash('sesame')}"], passthrough: files}}}}
""")
        cls.addClassCleanup(cls.gw.__exit__)

    def send(self, raw, cuts=None):
        """All answers that come, and whether the connection was closed."""
        answers = []
        with Wire(self.gw) as w:
            try:
                for piece in [raw] if cuts is None else [raw[i:i + cuts] for i in range(0, len(raw), cuts)]:
                    w.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            while True:
                try:
                    answers.append(w.answer())
                except EOFError:
                    return answers

    def setUp(self):
        with self.there.lock:
            self.there.requests.clear()
            self.there.broken.clear()

    def quiet(self):
        """The recorder has seen the end of all that was sent to it."""
        until(lambda: self.gw.metric("caudal_requests_in_progress") == 0)
        self.assertEqual(self.there.broken, [])
        return list(self.there.requests)

    def refused(self, path, cuts=None):
        for name, status, _, _, raw in self.rows:
            if not status or (cuts and len(raw) > 4000):
                continue
            with self.subTest(name, path=path):
                # What follows a refused request is never looked at.
                behind = aimed(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", path)
                answers = self.send(aimed(raw, path) + (behind if b"SMUGGLE" not in raw else b""), cuts)
                self.assertEqual([a.status for a in answers], [status])
                self.assertEqual(answers[0].headers["connection"], "close")
                self.assertEqual(set(answers[0].json()["error"]), {"message", "type", "param", "code"})
                self.assertNotIn("x-theirs", answers[0].headers)
                self.assertEqual(self.quiet(), [])

    def test_there_is_a_corpus(self):
        self.assertGreater(len([r for r in self.rows if r[1]]), 150)
        self.assertGreater(len([r for r in self.rows if not r[1]]), 30)
        raws = {r[0]: r[4] for r in self.rows}
        self.assertEqual(raws["chunk size 0x5"], b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                         b"0x5\r\nabcde\r\n0\r\n\r\n")
        self.assertEqual(len(raws["head too long"]), 24 + 5 + 4096 * 32 + 4 + 1)

    def test_refused_ones_get_their_status_and_nothing_is_passed_on(self):
        self.refused(b"/v1/passed")

    def test_the_same_at_a_models_call(self):
        self.refused(b"/v1/chat/completions")

    def test_the_same_byte_by_byte(self):
        self.refused(b"/v1/passed", cuts=1)

    def test_legal_ones_arrive_once_and_whole(self):
        for name, status, heads, bodies, raw in self.rows:
            if status:
                continue
            for cuts in (None, 1 if len(raw) < 4000 else 1000):
                with self.subTest(name, cuts=cuts):
                    self.setUp()
                    # A last request of ours ends the connection.
                    end = raw_request("GET", "/healthz", headers={"Connection": "close"})
                    answers = self.send(aimed(raw, b"/v1/passed") + end, cuts)
                    closes = b"Connection: close" in raw or b"HTTP/1.0" in raw
                    final = [a for a in answers if a.status != 100][:None if closes else -1]
                    self.assertEqual(len(final), heads, answers)
                    passed = [a for a in final if "x-theirs" in a.headers]
                    for a in passed:
                        self.assertEqual((a.status, a.body), (200, b"here"))
                    self.assertEqual([a.status for a in final if "x-theirs" not in a.headers and a.status not in (401, 404)],
                                     [])
                    seen = self.quiet()
                    self.assertEqual(len(seen), len(passed))
                    if len(passed) == heads:
                        self.assertEqual(b"".join(r["body"] for r in seen), bodies)
                    for r in seen:
                        self.assertEqual(r["headers"]["authorization"], "Bearer secret-of-files")

    def test_most_legal_ones_do_arrive(self):
        for name, status, heads, _, raw in self.rows:
            if not status:
                self.send(aimed(raw, b"/v1/passed") + raw_request("GET", "/healthz", headers={"Connection": "close"}))
        self.assertGreater(len(self.quiet()), 30)


class Suppliers(unittest.TestCase):
    """What a supplier sends is read as strictly, and never becomes two answers."""

    BODY = b'{"model":"m","choices":[{"index":0,"message":{"content":"hi"}}]}'

    def test_an_answer_that_could_be_read_twice_is_refused(self):
        n = len(self.BODY)
        heads = {
            "CL and TE": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % n,
            "CL twice": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: 3\r\n\r\n" % n,
            "CL list": b"HTTP/1.1 200 OK\r\nContent-Length: %d, %d\r\n\r\n" % (n, n),
            "CL plus": b"HTTP/1.1 200 OK\r\nContent-Length: +%d\r\n\r\n" % n,
            "TE gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "bare LF": b"HTTP/1.1 200 OK\nContent-Length: %d\n\n" % n,
            "folded": b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: %d\r\n\r\n" % n,
            "blank before the colon": b"HTTP/1.1 200 OK\r\nContent-Length : %d\r\n\r\n" % n,
            "NUL": b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: %d\r\n\r\n" % n,
            "not HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2": b"HTTP/2.0 200 OK\r\nContent-Length: %d\r\n\r\n" % n,
            "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: %d\r\n\r\n" % n,
            "an upgrade nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "head too long": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
        }
        for name, head in heads.items():
            with self.subTest(name):
                with Recorder(lambda r: head + self.BODY) as there, Gateway(portfolio(there)) as gw:
                    a = gw.post("/v1/chat/completions", chat("x"))
                    self.assertEqual((a.status, a.json()["error"]["code"]), (502, "bad_supplier_answer"))

    def test_what_follows_an_answer_is_never_the_next_ones(self):
        forged = json_answer(b'{"model":"m","choices":[{"index":0,"message":{"content":"forged"}}]}')
        with Recorder(lambda r: json_answer(self.BODY) + forged) as there, Gateway(portfolio(there)) as gw:
            for _ in range(5):
                a = gw.post("/v1/chat/completions", chat("x"))
                self.assertEqual((a.status, a.text()), (200, "hi"))

    def test_what_comes_unasked_on_a_kept_connection_ends_it(self):
        late = []

        def answer(request):
            yield json_answer(self.BODY)
            late.append(1)
            until(lambda: len(late) > 1 or len(asked) > 0)
            yield json_answer(b'{"model":"m","choices":[{"index":0,"message":{"content":"forged"}}]}')

        asked = []
        with Recorder(answer) as there, Gateway(portfolio(there)) as gw:
            self.assertEqual(gw.post("/v1/chat/completions", chat("x")).text(), "hi")
            until(lambda: late)
            asked.append(1)
            until(lambda: not there.open)  # the gateway has closed it
            self.assertEqual(gw.post("/v1/chat/completions", chat("x")).text(), "hi")

    def test_interim_answers_are_passed_over(self):
        early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        with Recorder(lambda r: early + json_answer(self.BODY)) as there, Gateway(portfolio(there)) as gw:
            a = gw.post("/v1/chat/completions", chat("x"))
            self.assertEqual((a.status, a.text()), (200, "hi"))
            self.assertNotIn("link", a.headers)


if __name__ == "__main__":
    main()
