"""What the integration tests stand on: the real binary, real sockets, no fixed ports, no sleeps.

    with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
        answer = gw.post("/v1/chat/completions", chat("hello"))

Standard library only. A process says in one line of its output where it listens; waiting for
anything else is `until(condition)`, which looks again until it is true or its time is over.
"""

import http.client
import json
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAUDAL = os.environ.get("CAUDAL") or os.path.join(ROOT, "build", "src", "cli", "caudal")
PATIENCE_S = float(os.environ.get("TEST_PATIENCE", "30"))
# What was freed is to come back soon, where a sanitizer would hold it to find its late use: tests
# look at how much memory a process has.
SANITIZER = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"}


def until(condition, what="the condition", patience_s=PATIENCE_S):
    """Looks at `condition` again and again; returns its first true value."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s:g} s in vain for {what}")
        time.sleep(0.01)


def certificate(folder, name="localhost", alternatives="DNS:localhost,IP:127.0.0.1", by=None, days=30):
    """Makes FOLDER/NAME.pem and NAME.key: signed by the certificate `by` of the folder, else by itself."""
    cert, key = os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
               str(days), "-subj", "/CN=" + name, "-keyout", key, "-out", cert]
    if alternatives:
        command += ["-addext", "subjectAltName=" + alternatives]
    if by:
        command += ["-CA", os.path.join(folder, by + ".pem"), "-CAkey", os.path.join(folder, by + ".key"),
                    "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(command, check=True, stderr=subprocess.PIPE)
    return cert, key


class Process:
    """A caudal process; `address` is where it listens."""

    trust = None  # the ssl.SSLContext that clients use; None: plain HTTP

    def __init__(self, args, env=None, said=r"https?://([0-9a-z.:\[\]]+):(\d+)", cwd=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([CAUDAL, *args], stdout=subprocess.PIPE, stderr=self.log, cwd=cwd,
                                        env={**os.environ, **SANITIZER, **(env or {})})
        self.first_line = self._first_line()
        found = re.search(said, self.first_line)
        if not found:
            self.stop()
            raise AssertionError(f"caudal {' '.join(args)} said {self.first_line!r}\n{self.stderr()}")
        self.host, self.port = found.group(1).strip("[]"), int(found.group(2))

    def _first_line(self):
        line, end = b"", time.monotonic() + PATIENCE_S
        while not line.endswith(b"\n") and time.monotonic() < end:
            if select.select([self.process.stdout], [], [], 0.1)[0]:
                piece = os.read(self.process.stdout.fileno(), 1)
                if not piece:
                    break
                line += piece
        return line.decode()

    def stderr(self):
        if not self.log.closed:
            self.log.seek(0)
            self.heard = self.log.read().decode(errors="replace")
        return self.heard

    def stop(self, patience_s=10):
        """Asks it to end, then insists. Returns its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.stderr()  # which can be asked for later too
        self.log.close()
        return self.process.returncode

    def __enter__(self):
        return self

    def __exit__(self, *_):
        status = self.stop()
        if status not in (0, -9, -15):
            sys.stderr.write(self.stderr())
            raise AssertionError(f"caudal ended with {status}")

    # --- speaking HTTP -------------------------------------------------------------------------

    def connect(self, timeout=PATIENCE_S):
        if self.trust:
            return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.trust)
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def socket(self, timeout=PATIENCE_S):
        s = socket.create_connection((self.host, self.port), timeout)
        return self.trust.wrap_socket(s, server_hostname="localhost") if self.trust else s

    def request(self, method, path, body=None, headers=None):
        """One request on its own connection: Answer."""
        c = self.connect()
        try:
            if isinstance(body, (dict, list)):
                body = json.dumps(body)
            c.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            r = c.getresponse()
            return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, r.read())
        finally:
            c.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post(self, path, body, headers=None):
        return self.request("POST", path, body, headers)

    def raw(self, data, timeout=PATIENCE_S):
        """Sends bytes as they are and reads until the other side closes: bytes."""
        with self.socket(timeout) as s:
            s.sendall(data)
            got = b""
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return got
                    got += piece
            except (ConnectionResetError, ssl.SSLEOFError, socket.timeout):
                return got


class Wire:
    """A connection on which bytes are looked at as they come.

        with Wire(gw, raw_request("GET", "/healthz")) as w:
            answer = w.answer()
    """

    def __init__(self, process, data=b"", timeout=PATIENCE_S):
        self.socket = process.socket(timeout)
        self.got = b""      # read, and not taken yet
        self.ended = False  # the other side has said its last byte
        if data:
            self.send(data)

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        """Reads once; False at the end."""
        if self.ended:
            return False
        try:
            piece = self.socket.recv(1 << 16)
        except (ConnectionResetError, ssl.SSLEOFError):
            piece = b""
        self.ended = not piece
        self.got += piece
        return not self.ended

    def take(self, n):
        while len(self.got) < n:
            if not self.more():
                raise EOFError(f"the end after {self.got!r}")
        taken, self.got = self.got[:n], self.got[n:]
        return taken

    def until(self, mark):
        """What comes up to and with `mark`."""
        while mark not in self.got:
            if not self.more():
                raise EOFError(f"the end after {self.got[-2000:]!r}")
        return self.take(self.got.index(mark) + len(mark))

    def rest(self):
        while self.more():
            pass
        taken, self.got = self.got, b""
        return taken

    def head(self):
        """The next head: (status, headers)."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split(" ")[1]), {k.lower(): v for k, v in headers.items()}

    def chunk(self):
        """The next chunk of a chunked body; b"" is the last."""
        n = int(self.until(b"\r\n"), 16)
        piece = self.take(n)
        assert self.take(2) == b"\r\n"
        return piece

    def answer(self, of="GET"):
        status, headers = self.head()
        body = b""
        if of != "HEAD" and "chunked" in headers.get("transfer-encoding", ""):
            while piece := self.chunk():
                body += piece
        elif of != "HEAD" and "content-length" in headers:
            body = self.take(int(headers["content-length"]))
        elif of != "HEAD" and status >= 200 and status not in (204, 304):
            body = self.rest()
        return Answer(status, headers, body)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Stream(Wire):
    """An answer that is read event by event."""

    def __init__(self, process, body, headers=None, path="/v1/chat/completions"):
        super().__init__(process, raw_request("POST", path, body, headers))
        self.status = None
        self.text = b""

    def begin(self):
        if self.status is None:
            self.status, self.headers = self.head()
        return self

    def event(self):
        """The next event or comment, without its blank line; None when the stream has ended."""
        self.begin()
        while b"\n\n" not in self.text:
            try:
                piece = self.chunk()
            except EOFError:
                return None
            if not piece:
                return None
            self.text += piece
        event, self.text = self.text.split(b"\n\n", 1)
        return event.decode()

    def content(self, n=1):
        """Reads on until so many pieces of text have come; returns them."""
        pieces = []
        while len(pieces) < n:
            event = self.event()
            if event is None:
                raise EOFError("the stream ended")
            if event.startswith("data: {"):
                for choice in json.loads(event[6:]).get("choices", []):
                    if choice["delta"].get("content"):
                        pieces.append(choice["delta"]["content"])
        return pieces

    def events(self):
        """All events that are still to come."""
        found = []
        while (event := self.event()) is not None:
            found.append(event)
        return found


def raw_request(method, path, body=None, headers=None, host="localhost", version="1.1"):
    """The bytes of a request."""
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    if isinstance(body, str):
        body = body.encode()
    lines = [f"{method} {path} HTTP/{version}", f"Host: {host}"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def events(self):
        """The data of each event of a stream, as text."""
        return [b"\n".join(line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")).decode()
                for block in self.body.split(b"\n\n") if b"data: " in block]

    def chunks(self):
        return [json.loads(e) for e in self.events() if e != "[DONE]"]

    def comments(self):
        return [line[2:].decode() for line in self.body.split(b"\n") if line.startswith(b": ")]

    def text(self):
        """The text of a chat answer, streamed or whole."""
        if b"data: " in self.body:
            return "".join(c["delta"].get("content") or "" for k in self.chunks() for c in k.get("choices", []))
        return self.json()["choices"][0]["message"]["content"]

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:2000]!r}>"


class Sim(Process):
    """A simulated supplier."""

    def __init__(self, *args):
        super().__init__(["sim", "--listen", "127.0.0.1:0", *args])
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def faults(self, *specs):
        answer = self.post("/sim/faults", "\n".join(specs))
        assert answer.status == 200, answer

    def calls(self):
        return self.get("/sim/calls").json()

    def last(self):
        return self.get("/sim/last").json()


class Recorder:
    """A supplier in Python: keeps every byte it is sent, and answers as it is told.

    `answer(request)` gets {method, target, headers, body, raw, head} and returns the bytes of the
    answer, or an iterable of them, or None to say nothing. A request that is not strictly well
    formed is kept in `broken`.
    """

    def __init__(self, answer=None):
        self.answer = answer or (lambda request: json_answer({"id": "x", "object": "chat.completion",
                                                              "model": request["model"], "choices": [
                {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]}))
        self.requests, self.broken, self.bytes = [], [], b""
        self.lock = threading.Lock()
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(s)
            threading.Thread(target=self._serve, args=(s,), daemon=True).start()

    def _serve(self, s):
        try:
            self._requests(s)
        except (OSError, EOFError):
            pass
        finally:
            with self.lock:
                self.open.discard(s)
            s.close()

    def _requests(self, s):
        got = b""

        def more():
            nonlocal got
            piece = s.recv(1 << 18)
            if not piece:
                raise EOFError
            got += piece

        while True:
            while b"\r\n\r\n" not in got:
                more()
            head, got = got.split(b"\r\n\r\n", 1)
            request = self._head(head)
            if not request:
                return
            body = []
            if request["headers"].get("transfer-encoding") == "chunked":
                while True:
                    while b"\r\n" not in got:
                        more()
                    line, got = got.split(b"\r\n", 1)
                    if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", line):
                        self._break(b"chunk " + line)
                        return
                    n = int(line, 16)
                    while len(got) < n + 2:
                        more()
                    if got[n:n + 2] != b"\r\n":
                        self._break(b"chunk end " + got[n:n + 2])
                        return
                    if not n:
                        got = got[2:]
                        break
                    body.append(got[:n])
                    got = got[n + 2:]
            else:
                n = int(request["headers"].get("content-length", "0"))
                while n:
                    if not got:
                        more()
                    body.append(got[:n])
                    n, got = n - len(body[-1]), got[len(body[-1]):]
            request["body"] = b"".join(body)
            try:
                request["model"] = json.loads(request["body"]).get("model")
            except (ValueError, AttributeError):
                request["model"] = None
            with self.lock:
                self.requests.append(request)
            answer = self.answer(request)
            if answer is None:
                while True:
                    more()
            for piece in [answer] if isinstance(answer, bytes) else answer:
                s.sendall(piece)
            if request["headers"].get("connection") == "close":
                return

    def _head(self, head):
        lines = head.decode("latin-1").split("\r\n")
        first = re.fullmatch(r"([A-Z]+) (/[!-~]*) HTTP/1\.1", lines[0])
        pairs = [re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([!-~\x80-\xff]?[ -~\t\x80-\xff]*)", x) for x in lines[1:]]
        names = [p.group(1).lower() if p else None for p in pairs]
        framing = [n for n in names if n in ("content-length", "transfer-encoding")]
        if not first or None in names or names.count("host") != 1 or len(framing) > 1:
            self._break(head)
            return None
        headers = {p.group(1).lower(): p.group(2) for p in pairs}
        if not re.fullmatch(r"\d+", headers.get("content-length", "0")) or \
                headers.get("transfer-encoding", "chunked") != "chunked":
            self._break(head)
            return None
        return {"method": first.group(1), "target": first.group(2), "headers": headers, "head": head}

    def _break(self, what):
        with self.lock:
            self.broken.append(what)

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # or accept() would go on holding it
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            for s in self.open:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def json_answer(body, status=200, headers=None):
    """The bytes of an answer with a JSON body."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = "".join(f"{k}: {v}\r\n" for k, v in (headers or {}).items())
    return (f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}"
            f"Content-Length: {len(data)}\r\n\r\n").encode() + data


def stream_answer(*events):
    """The bytes of a whole stream of these events."""
    body = b"".join(b"data: " + (e if isinstance(e, bytes) else json.dumps(e).encode()) + b"\n\n" for e in events)
    return (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


class Gateway(Process):
    def __init__(self, text, *args, env=None):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "portfolio.yaml")
        if os.environ.get("TEST_LEDGER") and "state:" not in text:  # every scenario with a ledger too
            state = os.path.join(self.folder.name, "state")
            text = (text.replace("serve: {", f"serve: {{state: {state}, ", 1) if "serve: {" in text
                    else f"{text}\nserve: {{state: {state}}}\n")
        if "metrics:" not in text:  # metric() has no key
            text = (text.replace("serve: {", "serve: {metrics: open, ", 1) if "serve: {" in text
                    else f"{text}\nserve: {{metrics: open}}\n")
        if os.environ.get("TEST_TLS") and "tls:" not in text:  # ... and over TLS
            cert, key = certificate(self.folder.name)
            secure = f"tls: {{certificate: {cert}, key: {key}}}"
            text = (text.replace("serve: {", f"serve: {{{secure}, ", 1) if "serve: {" in text
                    else f"{text}\nserve: {{{secure}}}\n")
            self.trust = ssl.create_default_context(cafile=cert)
        with open(self.file, "w") as f:
            f.write(text)
        super().__init__(["serve", self.file, "--listen", "127.0.0.1:0", "--threads", "2", *args], env=env)

    def stop(self, patience_s=10):
        status = super().stop(patience_s)
        self.folder.cleanup()
        return status

    def rss(self):
        """Bytes of memory that it has now."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(re.search(r"VmRSS:\s+(\d+) kB", f.read()).group(1)) << 10

    def logged(self, event, *parts):
        """The first line of its log, in text, of this event and with these parts, when it has been written."""
        def found():
            return next((x for x in self.stderr().splitlines() if f" {event} " in x and all(p in x for p in parts)), None)
        return until(found, f"{event} with {parts} in the log")

    def metric(self, name, **labels):
        """Sum of the samples of a metric that have these labels."""
        total = 0.0
        for line in self.get("/metrics").body.decode().splitlines():
            m = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$", line)
            if not m or m.group(1) != name:
                continue
            found = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', m.group(2) or ""))
            if all(found.get(k) == v for k, v in labels.items()):
                total += float(m.group(3))
        return total


def portfolio(*sims, model="m", extra="", serve="", price="{input: 1 USD/Mtok, output: 2 USD/Mtok}", limits=None):
    """A portfolio over simulated suppliers a, b, c... that all serve one model."""
    lines = ["caudal: 1", f"serve: {{{serve}}}" if serve else "", "pools:"]
    for name, sim in zip("abcdefgh", sims):
        lines.append(f"  {name}: {{api: openai, url: {sim.url}, key: secret-of-{name}, "
                     f"serves: {{{model}: {{as: {model}, price: {price}}}}}"
                     + (f", limits: {limits}" if limits else "") + "}")
    if "tenants:" not in extra:
        lines += ["tenants:", "  everyone: {expose: [decision]}"]
    return "\n".join(lines) + "\n" + extra


def chat(text, model="m", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def main():
    unittest.main(verbosity=2)
