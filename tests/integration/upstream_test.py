"""Connections to suppliers: TLS, proxies, names, and how they are kept."""

import json
import os
import re
import socket
import ssl
import tempfile
import threading
import unittest

from harness import CAUDAL, Gateway, Recorder, Wire, chat, json_answer, main, raw_request, stream_answer, until

CHAT = "/v1/chat/completions"

# An authority and a server (localhost, 127.0.0.1, supplier.test) for these tests, good until 2120. The
# key is no secret: nothing trusts the authority but the gateways below.
AUTHORITY = """\
-----BEGIN CERTIFICATE-----
MIIBdDCCARmgAwIBAgIBATAKBggqhkjOPQQDAjAgMR4wHAYDVQQDDBVjYXVkYWwg
dGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBa
MCAxHjAcBgNVBAMMFWNhdWRhbCB0ZXN0IGF1dGhvcml0eTBZMBMGByqGSM49AgEG
CCqGSM49AwEHA0IABLfvV9G1EHYVUMoL+eZ5nI5Y256TvbXf1QVWT1FMSqBxhA43
BpB3deS+RhCp3b9lMPAhaxfMxuVHbCczd6CelJujQjBAMA8GA1UdEwEB/wQFMAMB
Af8wDgYDVR0PAQH/BAQDAgIEMB0GA1UdDgQWBBRsf7y4vSIDCJUF+qj1/BpFAwIG
7DAKBggqhkjOPQQDAgNJADBGAiEAnFJKqcaR/5AUYKECFYzwpGHgwLXd6g2KIe0E
/F1Gz9cCIQC/xauXLlMofCuyaxCu0RR3aPHaLvCYr5TUWIswRdXiMA==
-----END CERTIFICATE-----
"""
SERVER = """\
-----BEGIN CERTIFICATE-----
MIIBtTCCAVqgAwIBAgIBAjAKBggqhkjOPQQDAjAgMR4wHAYDVQQDDBVjYXVkYWwg
dGVzdCBhdXRob3JpdHkwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBa
MBQxEjAQBgNVBAMMCWxvY2FsaG9zdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IA
BAIxCzQJd3BoC5R7vdNKmSd0RLXIwQN/DQpRN94gjJuj0QY1GPqFwhoEfgjNrNWx
SkqXXrcBigXMYY23N+cRycCjgY4wgYswKQYDVR0RBCIwIIIJbG9jYWxob3N0gg1z
dXBwbGllci50ZXN0hwR/AAABMAkGA1UdEwQCMAAwEwYDVR0lBAwwCgYIKwYBBQUH
AwEwHQYDVR0OBBYEFAW239NFcujpu5Y7TuxTWtKOAtioMB8GA1UdIwQYMBaAFGx/
vLi9IgMIlQX6qPX8GkUDAgbsMAoGCCqGSM49BAMCA0kAMEYCIQDNaLtxnmWjWkhU
sQz3EsgAnFhAfwe2DFXGGLrvqIyLwQIhALkmWSi0QA9SvFb3692ozz+nvJSee2jz
5SwMrb6NLecs
-----END CERTIFICATE-----
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEINb8tA3wvcMEV6zaq8D62MDHl0rMFKypPDr1yUwk93UmoAoGCCqGSM49
AwEHoUQDQgAEAjELNAl3cGgLlHu900qZJ3REtcjBA38NClE33iCMm6PRBjUY+oXC
GgR+CM2s1bFKSpdetwGKBcxhjbc35xHJwA==
-----END EC PRIVATE KEY-----
"""



class Folder:
    """The files of the tests."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.authority, self.server = (os.path.join(self.folder.name, n) for n in ("ca.pem", "server.pem"))
        for path, text in ((self.authority, AUTHORITY), (self.server, SERVER)):
            with open(path, "w") as f:
                f.write(text)


FILES = Folder()


class TlsRecorder(Recorder):
    """A supplier behind TLS."""

    def __init__(self, answer=None, rudely=False):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(FILES.server)
        self.context.sni_callback = lambda s, name, c: self.names.append(name)
        self.names, self.resumed, self.failed, self.rudely = [], [], [], rudely
        super().__init__(answer)
        self.url = f"https://localhost:{self.port}/v1"

    def _serve(self, s):
        try:
            s = self.context.wrap_socket(s, server_side=True)
        except (ssl.SSLError, OSError) as e:
            self.failed.append(e)
            s.close()
            return
        self.resumed.append(s.session_reused)
        try:
            self._requests(s)
        except (OSError, EOFError):
            pass
        try:
            if not self.rudely:
                s.unwrap()
        except (OSError, ValueError):
            pass
        s.close()


class Proxy:
    """Takes CONNECT to anywhere to one port here, and passes on requests in absolute form."""

    def __init__(self, port, status=200):
        self.port_there, self.status = port, status
        self.heads = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def serve(self, s):
        got = b""
        while b"\r\n\r\n" not in got:
            piece = s.recv(65536)
            if not piece:
                return
            got += piece
        head, rest = got.split(b"\r\n\r\n", 1)
        self.heads.append(head)
        if self.status != 200:
            s.sendall(b"HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n" % self.status)
            s.close()
            return
        there = socket.create_connection(("127.0.0.1", self.port_there))
        if head.startswith(b"CONNECT "):
            s.sendall(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        else:
            there.sendall(re.sub(rb"^(\w+) http://[^/]+", rb"\1 ", head) + b"\r\n\r\n")
        there.sendall(rest)
        for a, b in ((s, there), (there, s)):
            threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while piece := a.recv(65536):
                b.sendall(piece)
        except OSError:
            pass
        try:
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def gateway(url, more="", env=None):
    """One pool; the environment says nothing of proxies unless the test does."""
    clean = {k: "" for k in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "HTTP_PROXY", "http_proxy")}
    return Gateway(f"caudal: 1\nserve: {{breaker: {{failures: 1000}}}}\n"
                   f"pools: {{a: {{api: openai, url: '{url}', key: k, serves: [m]{more and ', ' + more}}}}}\n",
                   env={**clean, **(env or {})})


TRUST = f"ca_file: {FILES.authority}"


class Tls(unittest.TestCase):
    def test_a_verified_supplier_answers_and_is_told_its_name(self):
        with TlsRecorder() as there, gateway(there.url, TRUST) as gw:
            a = gw.post(CHAT, chat("hello"))
            self.assertEqual((a.status, a.text()), (200, "hello"), a)
            self.assertEqual(there.names, ["localhost"])
            self.assertEqual(there.requests[0]["headers"]["host"], f"localhost:{there.port}")

    def test_an_address_is_verified_too_and_is_no_name(self):
        with TlsRecorder() as there, gateway(f"https://127.0.0.1:{there.port}/v1", TRUST) as gw:
            self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)
            self.assertEqual(there.names, [None])

    def test_streams_and_long_bodies_go_through(self):
        event = {"model": "m", "choices": [{"index": 0, "delta": {"content": "y" * 5000}}]}
        with TlsRecorder(lambda r: stream_answer(*[event] * 200, b"[DONE]")) as there, gateway(there.url, TRUST) as gw:
            for _ in range(3):
                a = gw.post(CHAT, chat("x" * 3000000, stream=True))
                self.assertEqual((a.status, a.events()[-1], len(a.text())), (200, "[DONE]", 1000000))
            self.assertEqual({len(json.loads(r["body"])["messages"][0]["content"]) for r in there.requests}, {3000000})

    def test_an_authority_that_is_not_trusted_gets_no_request(self):
        with TlsRecorder() as there, gateway(there.url) as gw:
            a = gw.post(CHAT, chat("hello"))
            self.assertEqual(a.status, 502, a)
            until(lambda: there.failed)
            self.assertEqual(there.requests, [])
            self.assertEqual(gw.metric("caudal_attempts_total", outcome="connect"), gw.metric("caudal_attempts_total"))

    def test_a_certificate_of_another_name_gets_no_request(self):
        with TlsRecorder() as there:
            for host in ("127.0.0.2", "localhost.localdomain", "ip6-localhost"):
                with gateway(f"https://{host}:{there.port}/v1", TRUST) as gw:
                    self.assertEqual(gw.post(CHAT, chat("hello")).status, 502, host)
            self.assertEqual(there.requests, [])

    def test_insecure_is_not_verified(self):
        with TlsRecorder() as there, gateway(f"https://127.0.0.2:{there.port}/v1", "insecure: true") as gw:
            self.assertEqual(gw.post(CHAT, chat("hello")).status, 502)  # nobody listens at that address
        with TlsRecorder() as there, gateway(there.url, "insecure: true") as gw:
            self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)

    def test_a_supplier_that_speaks_no_tls_is_a_failed_connection(self):
        with Recorder() as there, gateway(there.url.replace("http:", "https:"), TRUST + ", connect: 300 ms") as gw:
            self.assertIn(gw.post(CHAT, chat("hello")).status, (502, 504))  # it waits for a head that never comes
            self.assertEqual(there.requests, [])
        with TlsRecorder() as there, gateway(there.url.replace("https:", "http:")) as gw:
            self.assertEqual(gw.post(CHAT, chat("hello")).status, 502)

    def test_sessions_are_resumed(self):
        answer = json_answer({"model": "m", "choices": [{"message": {"content": "hi"}}]}, headers={"Connection": "close"})

        def once(request):
            yield answer
            raise EOFError
        with TlsRecorder(once) as there, gateway(there.url, TRUST) as gw:
            with Wire(gw) as w:
                for _ in range(4):
                    w.send(raw_request("POST", CHAT, chat("x")))
                    self.assertEqual(w.answer().status, 200)
            self.assertEqual(there.resumed, [False, True, True, True])

    def test_an_end_without_close_notify_is_a_cut(self):
        whole = b'{"model":"m","choices":[{"index":0,"message":{"content":"hi"}}]}'
        def unframed(request):
            yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + whole
            raise EOFError
        for rudely, status in ((False, 200), (True, 502)):
            with TlsRecorder(unframed, rudely) as there, gateway(there.url, TRUST) as gw:
                self.assertEqual(gw.post(CHAT, chat("x")).status, status)


class Proxies(unittest.TestCase):
    def test_https_proxy_is_used_and_sees_no_secret(self):
        with TlsRecorder() as there, Proxy(there.port) as proxy:
            for name in ("HTTPS_PROXY", "https_proxy"):
                with gateway("https://supplier.test/v1", TRUST, {name: f"http://{proxy.address}"}) as gw:
                    self.assertEqual(gw.post(CHAT, chat("hello")).text(), "hello")
            self.assertEqual(len(proxy.heads), 2)
            self.assertTrue(proxy.heads[0].startswith(b"CONNECT supplier.test:443 HTTP/1.1\r\n"), proxy.heads)
            self.assertNotIn(b"uthorization", proxy.heads[0])
            self.assertEqual(there.names, ["supplier.test"] * 2)
            self.assertEqual(there.requests[0]["headers"]["host"], "supplier.test")

    def test_the_proxys_password_goes_to_the_proxy_only(self):
        with TlsRecorder() as there, Proxy(there.port) as proxy:
            with gateway("https://supplier.test/v1", TRUST, {"HTTPS_PROXY": f"http://us:pw@{proxy.address}"}) as gw:
                self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)
                self.assertNotIn("us:pw", gw.stderr())
            self.assertIn(b"\r\nProxy-Authorization: Basic dXM6cHc=", proxy.heads[0])
            self.assertNotIn("proxy-authorization", there.requests[0]["headers"])

    def test_a_suppliers_own_proxy_goes_before_the_environments(self):
        with TlsRecorder() as there, Proxy(there.port) as own, Proxy(there.port) as other:
            env = {"HTTPS_PROXY": f"http://{other.address}"}
            with gateway("https://supplier.test/v1", f"{TRUST}, proxy: 'http://{own.address}'", env) as gw:
                self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)
            self.assertEqual((len(own.heads), len(other.heads)), (1, 0))

    def test_loopback_no_proxy_and_none_go_past_it(self):
        with TlsRecorder() as there, Proxy(there.port) as proxy:
            env = {"HTTPS_PROXY": f"http://{proxy.address}"}
            with gateway(there.url, TRUST, env) as gw:
                self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)
            for more, extra in (("proxy: none", {}), ("", {"NO_PROXY": "x.example, .test"})):
                with gateway("https://supplier.test/v1", TRUST + (more and ", " + more), {**env, **extra}) as gw:
                    self.assertEqual(gw.post(CHAT, chat("hello")).status, 502)  # the name is unknown here
            self.assertEqual(proxy.heads, [])

    def test_a_proxy_that_refuses_is_a_failed_connection(self):
        for status in (407, 502):
            with TlsRecorder() as there, Proxy(there.port, status) as proxy:
                with gateway("https://supplier.test/v1", TRUST, {"HTTPS_PROXY": f"http://{proxy.address}"}) as gw:
                    self.assertEqual(gw.post(CHAT, chat("hello")).status, 502)
                self.assertEqual(there.requests, [])

    def test_a_plain_supplier_is_asked_for_in_absolute_form(self):
        with Recorder() as there, Proxy(there.port) as proxy:
            with gateway("http://supplier.test:81/base/v1", f"proxy: 'http://{proxy.address}'") as gw:
                self.assertEqual(gw.post(CHAT, chat("hello")).status, 200)
            self.assertTrue(proxy.heads[0].startswith(b"POST http://supplier.test:81/base/v1/chat/completions HTTP/1.1\r\n"),
                            proxy.heads)
            self.assertIn(b"\r\nHost: supplier.test:81\r\n", proxy.heads[0])


class Kept(unittest.TestCase):
    def test_one_connection_carries_many_calls(self):
        with Recorder() as there, gateway(there.url) as gw, Wire(gw) as w:
            peak = 0
            for i in range(20):
                w.send(raw_request("POST", CHAT, chat("x")))
                self.assertEqual(w.answer().status, 200)
                peak = max(peak, len(there.open))
            self.assertEqual((peak, len(there.requests)), (1, 20))

    def test_a_supplier_that_closes_after_each_answer_is_no_failure(self):
        body = {"model": "m", "choices": [{"message": {"content": "hi"}}]}
        for headers in ({}, {"Connection": "close"}):  # said, or not
            def once(request):
                yield json_answer(body, headers=headers)
                raise EOFError
            with Recorder(once) as there, gateway(there.url) as gw, Wire(gw) as w:
                for i in range(20):
                    w.send(raw_request("POST", CHAT, chat("x")))
                    self.assertEqual(w.answer().status, 200)
                self.assertEqual(len(there.requests), 20)
                self.assertEqual(gw.metric("caudal_attempts_total", outcome="ok"), 20)
                self.assertEqual(gw.metric("caudal_attempts_total"), 20)

    def test_an_answer_that_ends_with_the_connection_is_whole(self):
        def once(request):
            yield b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{"model":"m","choices":[{"message":'
            yield b'{"content":"hi"}}]}'
            raise EOFError
        with Recorder(once) as there, gateway(there.url) as gw:
            for _ in range(3):
                self.assertEqual(gw.post(CHAT, chat("x")).text(), "hi")

    def test_the_url_stands_for_what_comes_before_the_path(self):
        for path in ("/v1", "/v1/", "/openai/deployments/x", "/a%20b"):
            with Recorder() as there, gateway(f"http://127.0.0.1:{there.port}{path}") as gw:
                self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
                self.assertEqual(there.requests[0]["target"], path.rstrip("/") + "/chat/completions")

    def test_a_url_without_a_path_works(self):
        with Recorder() as there, gateway(f"http://127.0.0.1:{there.port}") as gw:
            self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
            self.assertEqual(there.requests[0]["target"], "/chat/completions")

    def test_a_name_that_nobody_knows_fails_over(self):
        with Recorder() as there:
            text = ("caudal: 1\npools:\n  a: {api: openai, url: 'http://no-such-host.invalid/v1', key: k, connect: 2 s, "
                    f"serves: {{m: {{price: {{input: 1 USD/Mtok, output: 1 USD/Mtok}}}}}}}}\n  b: {{api: openai, url: '{there.url}', "
                    "key: k, serves: {m: {price: {input: 9 USD/Mtok, output: 9 USD/Mtok}}}}\n")
            with Gateway(text) as gw:
                self.assertEqual(gw.post(CHAT, chat("x")).text(), "hello")

    def test_a_connection_that_is_never_made_is_given_up_in_time(self):
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            deaf.listen(0)
            filled = []
            for _ in range(4):  # its backlog
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex(deaf.getsockname())
                filled.append(s)
            with gateway(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", "connect: 300 ms") as gw:
                a = gw.post(CHAT, chat("x"))
                self.assertIn(a.status, (502, 504), a)
            for s in filled:
                s.close()


def copies(process, what):
    """How often these bytes stand in the memory that a process can write to."""
    n = 0
    with open(f"/proc/{process.pid}/maps") as maps, open(f"/proc/{process.pid}/mem", "rb", 0) as mem:
        for line in maps:
            where, may, *_ = line.split()
            if may.startswith("rw"):
                begin, end = (int(x, 16) for x in where.split("-"))
                mem.seek(begin)
                n += mem.read(end - begin).count(what)
    return n


@unittest.skipIf("asan" in CAUDAL or "tsan" in CAUDAL, "terabytes of shadow memory")
class Secrets(unittest.TestCase):
    def test_requests_leave_no_copies_of_a_suppliers_key(self):
        with Recorder() as a, Gateway(f"""
caudal: 1
suppliers: {{there: {{url: "{a.url}", key: key-of-the-supplier}}}}
pools: {{a: {{supplier: there, serves: [m]}}}}
tenants: {{t: {{passthrough: there}}}}
""") as gw:
            before = copies(gw.process, b"key-of-the-supplier")
            self.assertGreater(before, 0)  # the portfolio's
            for n in (1, 3000, 50000):
                for stream in (False, True):
                    gw.post("/v1/chat/completions", chat("x" * n, stream=stream))
                gw.post("/v1/files", {"a": "x" * n})
            self.assertEqual({r["headers"]["authorization"] for r in a.requests}, {"Bearer key-of-the-supplier"})
            self.assertLessEqual(copies(gw.process, b"key-of-the-supplier"), before)


if __name__ == "__main__":
    main()
