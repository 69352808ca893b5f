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
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CAUDAL = os.environ.get("CAUDAL") or os.path.join(ROOT, "build", "src", "cli", "caudal")
PATIENCE_S = float(os.environ.get("TEST_PATIENCE", "30"))


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


class Process:
    """A caudal process; `address` is where it listens."""

    def __init__(self, args, env=None, said=r"http://([0-9a-z.:\[\]]+):(\d+)", cwd=None):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([CAUDAL, *args], stdout=subprocess.PIPE, stderr=self.log, cwd=cwd,
                                        env={**os.environ, **(env or {})})
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
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

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
        return http.client.HTTPConnection(self.host, self.port, timeout=timeout)

    def socket(self, timeout=PATIENCE_S):
        return socket.create_connection((self.host, self.port), timeout)

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
            except (ConnectionResetError, socket.timeout):
                return got


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


class Gateway(Process):
    def __init__(self, text, *args, env=None):
        self.folder = tempfile.TemporaryDirectory()
        self.file = os.path.join(self.folder.name, "portfolio.yaml")
        with open(self.file, "w") as f:
            f.write(text)
        super().__init__(["serve", self.file, "--listen", "127.0.0.1:0", "--threads", "2", *args], env=env)

    def stop(self, patience_s=10):
        status = super().stop(patience_s)
        self.folder.cleanup()
        return status

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
