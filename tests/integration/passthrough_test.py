"""What no model decides goes to the tenant's supplier as it is: streamed both ways, never collected."""

import hashlib
import json
import socket
import threading
import unittest

from harness import CAUDAL, Gateway, PATIENCE_S, Recorder, Wire, chat, json_answer, main, raw_request, until

MB = 1 << 20
# A sanitizer keeps what was freed for a while, and a shadow of all of it.
ROOM = 8 * MB * (4 if "asan" in CAUDAL or "tsan" in CAUDAL else 1)


def served(there, tenants="t: {passthrough: files}", more="", pool=None):
    return Gateway(f"""
caudal: 1
{more}
suppliers: {{files: {{url: "{there.url}", key: secret-of-files, idle: 5 s}}}}
pools: {{a: {{api: openai, url: "{(pool or there).url}", key: k, serves: [m]}}}}
tenants: {{{tenants}}}
""")


def whole(body=b"", status=200, headers=()):
    lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers), f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Limits(unittest.TestCase):
    def test_what_we_refuse_ourselves_is_no_request_of_the_tenants(self):
        with Gateway("""
caudal: 1
suppliers: {files: {api: llama.cpp, run: [sh, -c, 'exec sleep 1000', '${PORT}']}}
pools: {a: {supplier: files, serves: [m]}}
tenants: {t: {passthrough: files, requests: 1/min}}
""") as gw:
            for _ in range(3):
                self.assertEqual(503, gw.get("/v1/files").status)


class AsItIs(unittest.TestCase):
    def setUp(self):
        self.there = Recorder(lambda r: self.answer(r))
        self.answer = lambda r: whole(b"ok", headers=[("Content-Type", "text/plain")])
        self.addCleanup(self.there.close)
        self.gw = served(self.there)
        self.addCleanup(self.gw.__exit__)

    def last(self):
        return self.there.requests[-1]

    def test_methods_paths_and_queries_arrive_as_they_were(self):
        for method, path, body in (("GET", "/v1/files", None), ("GET", "/v1/files?purpose=batch&after=a%20b&x[]=1", None),
                                   ("POST", "/v1/batches", b'{"a":1e999}'), ("DELETE", "/v1/files/f-1", None),
                                   ("GET", "/v1/files/a%2Fb%3a%25/content", None), ("PUT", "/v1/x", b"\0\xff"),
                                   ("PATCH", "/v1/x", b"p"), ("GET", "/v1/responses/resp_1/input_items?limit=2", None),
                                   ("GET", "/v1/chat/completions?model=m", None), ("DELETE", "/v1/chat/completions/c", None),
                                   ("DELETE", "/v1/models/ft:m", None), ("POST", "/v1/a//b/./../c", b"")):
            with self.subTest(path):
                a = self.gw.request(method, path, body)
                self.assertEqual((a.status, a.body, a.headers["content-type"]), (200, b"ok", "text/plain"))
                self.assertEqual((self.last()["method"], self.last()["target"]), (method, path))
                self.assertEqual(self.last()["body"], body or b"")
                self.assertTrue(a.headers["x-request-id"].startswith("req_"))
        self.assertEqual(self.there.broken, [])

    def test_a_head_goes_on_whole_however_large_one_may_be(self):
        path = "/v1/files/" + "a" * 140_000
        with served(self.there, more="serve: {limits: {head: 256 KiB}}") as gw:
            self.assertEqual(gw.get(path).body, b"ok")
        self.assertEqual((self.last()["method"], self.last()["target"]), ("GET", path))

    def test_a_path_that_a_page_of_ours_has_stays_ours(self):
        for path in ("/v1/models", "/v1/models/m", "/healthz", "/metrics"):
            self.assertEqual(self.gw.get(path).status, 200)
        for path in ("/v1", "/v2/files", "/files", "/admin", "/v1files"):
            self.assertEqual(self.gw.get(path).status, 404)
        self.assertEqual(self.there.requests, [])

    def test_headers_go_by_a_list(self):
        self.gw.post("/v1/files", b"x", {
            "Authorization": "Bearer clients-own", "Cookie": "clients-own", "Accept-Encoding": "gzip",
            "Content-Type": "application/x-thing; a=b", "OpenAI-Beta": "assistants=v2", "Accept": "text/x",
            "X-Own": "clients-own", "anthropic-version": "2023-06-01", "Connection": "close, OpenAI-Beta"})
        headers = self.last()["headers"]
        self.assertNotIn("clients-own", json.dumps(headers))
        self.assertEqual(headers["authorization"], "Bearer secret-of-files")
        self.assertEqual((headers["content-type"], headers["accept"]), ("application/x-thing; a=b", "text/x"))
        self.assertEqual(headers["anthropic-version"], "2023-06-01")
        self.assertEqual(headers["accept-encoding"], "identity")
        self.assertNotIn("openai-beta", headers)  # this connection's own, as it says

    def test_a_body_without_a_length_arrives_chunked(self):
        head = raw_request("POST", "/v1/files", headers={"Transfer-Encoding": "chunked"})
        with Wire(self.gw, head + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n") as w:
            self.assertEqual(w.answer().body, b"ok")
        self.assertEqual(self.last()["body"], b"abcde")
        self.assertEqual(self.last()["headers"]["transfer-encoding"], "chunked")

    def test_the_suppliers_errors_come_as_they_are(self):
        for status, body in ((400, b'{"error":{"x":1e999}}'), (404, b"<html>"), (429, b"{}"), (500, b""), (503, b"\0")):
            self.answer = lambda r: whole(body, status, [("Content-Type", "x/y"), ("retry-after", "7"), ("Set-Cookie", "a")])
            a = self.gw.get("/v1/files/f")
            self.assertEqual((a.status, a.body, a.headers["content-type"], a.headers["retry-after"]),
                             (status, body, "x/y", "7"))
            self.assertNotIn("set-cookie", a.headers)
        self.assertEqual(len(self.there.requests), 5)  # each asked once

    def test_answers_of_every_framing_are_framed_again(self):
        for made in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\nX: y\r\n\r\n",
                     b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde"):
            self.answer = lambda r: made
            with Wire(self.gw, raw_request("GET", "/v1/files/f/content") * 2) as w:
                self.assertEqual([w.answer().body, w.answer().body], [b"abcde"] * 2)

    def test_an_answer_that_ends_with_its_connection_is_whole(self):
        def until_the_end(r):
            yield b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
            yield b"de"
            raise EOFError
        self.answer = until_the_end
        with Wire(self.gw, raw_request("GET", "/v1/files/f/content") * 2) as w:
            self.assertEqual([w.answer().body, w.answer().body], [b"abcde"] * 2)
        with Wire(self.gw, raw_request("GET", "/v1/files/f/content", version="1.0")) as w:
            self.assertEqual(w.answer().body, b"abcde")

    def test_answers_without_a_body_have_none(self):
        self.answer = lambda r: b"HTTP/1.1 204 No Content\r\n\r\n"
        with Wire(self.gw, raw_request("DELETE", "/v1/files/f") * 2) as w:
            for _ in range(2):
                status, headers = w.head()
                self.assertEqual(status, 204)
                self.assertNotIn("transfer-encoding", headers)
        for length in (b"Content-Length: 1000\r\n", b"Transfer-Encoding: chunked\r\n", b""):
            self.answer = lambda r: b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
            with Wire(self.gw, raw_request("HEAD", "/v1/files/f/content") + raw_request("GET", "/healthz")) as w:
                self.assertEqual(w.answer("HEAD").status, 200)
                self.assertEqual(w.answer().json(), {"status": "ok"})

    def test_a_cut_answer_does_not_look_whole(self):
        def cut(r):
            yield self.made
            raise EOFError
        self.answer = cut
        for self.made in (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
                          b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):
            with Wire(self.gw, raw_request("GET", "/v1/files/f")) as w:
                self.assertEqual(w.head()[0], 200)
                rest = w.rest()
                self.assertIn(b"abc", rest)
                self.assertFalse(rest.endswith(b"0\r\n\r\n"), rest)

    def test_garbage_is_502(self):
        self.answer = lambda r: b"nonsense\r\n\r\n"
        a = self.gw.get("/v1/files")
        self.assertEqual((a.status, set(a.json()["error"])), (502, {"message", "type", "param", "code"}))

    def test_a_call_without_a_model_goes_there_too(self):
        body = b'{"input":"hello", "x":1e999, "previous_response_id":"resp_1"}'
        a = self.gw.post("/v1/responses", body)
        self.assertEqual((a.status, a.body), (200, b"ok"))
        self.assertEqual((self.last()["target"], self.last()["body"]), ("/v1/responses", body))
        self.assertEqual(self.last()["headers"]["content-type"], "application/json")
        self.gw.post("/v1/responses?include=a%20b", body, {
            "OpenAI-Beta": "x=1", "anthropic-beta": "y", "Idempotency-Key": "k1", "Accept": "text/event-stream",
            "Content-Type": "application/json; charset=utf-8", "Cookie": "clients-own", "X-Own": "clients-own",
            "Authorization": "Bearer clients-own", "OpenAI-Organization": "clients-own"})
        headers = self.last()["headers"]
        self.assertEqual(self.last()["target"], "/v1/responses?include=a%20b")
        self.assertEqual({k: headers.get(k) for k in ("openai-beta", "anthropic-beta", "idempotency-key", "accept", "content-type")},
                         {"openai-beta": "x=1", "anthropic-beta": "y", "idempotency-key": "k1",
                          "accept": "text/event-stream", "content-type": "application/json; charset=utf-8"})
        self.assertNotIn("clients-own", json.dumps(headers))  # an account belongs to a key, and ours goes
        with Wire(self.gw, raw_request("POST", "/v1/responses", body + b" " * 300000) * 2) as w:
            self.assertEqual([w.answer().body, w.answer().body], [b"ok"] * 2)
        self.assertEqual(len(self.last()["body"]), len(body) + 300000)

    def test_what_has_a_model_is_routed(self):
        self.answer = lambda r: json_answer({"model": "m", "choices": [{"index": 0, "message": {"content": "hi"}}]})
        self.assertEqual(self.gw.post("/v1/chat/completions", chat("x")).text(), "hi")
        self.assertEqual(self.last()["headers"]["authorization"], "Bearer k")
        self.assertEqual(self.gw.post("/v1/chat/completions", chat("x", model="no")).status, 404)

    def test_a_models_path_in_disguise_does_not_get_around_the_router(self):
        for path in ("/v1/chat/completions/", "/v1//chat/completions", "/v1/./chat/completions",
                     "/v1/files/../chat/completions", "/v1/chat%2Fcompletions", "/v1/%63hat/completions",
                     "/v1/x/%2e%2E/chat/completions?a=b", "/v1//messages/."):
            with self.subTest(path):
                self.assertEqual(self.gw.post(path, chat("hello")).status, 404)
        self.assertEqual(self.there.requests, [])

    def test_pipelined_ones_come_in_order(self):
        self.answer = lambda r: whole(r["target"].encode())
        asks = [raw_request("GET", f"/v1/files/{i}") for i in range(10)]
        with Wire(self.gw, b"".join(asks)) as w:
            self.assertEqual([w.answer().body.decode() for _ in asks], [f"/v1/files/{i}" for i in range(10)])

    def test_it_is_counted(self):
        self.gw.get("/v1/files")
        until(lambda: self.gw.metric("caudal_requests_total", tenant="t", code="200") == 1)
        self.assertEqual(self.gw.metric("caudal_requests_in_progress"), 0)


class Without(unittest.TestCase):
    def test_without_passthrough_it_is_404(self):
        with Recorder() as there, served(there, "t: {}") as gw:
            for method, path in (("GET", "/v1/files"), ("POST", "/v1/batches"), ("DELETE", "/v1/files/f")):
                a = gw.request(method, path, "{}" if method == "POST" else None)
                self.assertEqual((a.status, set(a.json()["error"])), (404, {"message", "type", "param", "code"}))
            self.assertEqual(gw.post("/v1/responses", {"input": "x"}).status, 400)
            self.assertEqual(there.requests, [])

    def test_a_plain_proxy_is_told_the_whole_address(self):
        with Recorder() as proxy, Recorder() as far:
            far.url = f'http://files.example:81/v1", proxy: "http://me:pw@127.0.0.1:{proxy.port}'
            with served(far, pool=proxy) as gw:
                gw.get("/v1/files?a=b")
                head = until(lambda: proxy.broken)[0].decode()  # the recorder knows paths only
        self.assertTrue(head.startswith("GET http://files.example:81/v1/files?a=b HTTP/1.1\r\n"
                                        "Host: files.example:81\r\n"), head)
        self.assertIn("\r\nProxy-Authorization: Basic bWU6cHc=\r\n", head)

    def test_each_tenant_has_its_own(self):
        def key(name):
            return hashlib.sha256(name.encode()).hexdigest()
        tenants = f"t: {{keys: ['sha256:{key('t')}'], passthrough: files}}, u: {{keys: ['sha256:{key('u')}']}}"
        with Recorder(lambda r: whole(b"ok")) as there, served(there, tenants) as gw:
            for name, status in (("t", 200), ("u", 404), ("w", 401)):
                self.assertEqual(gw.get("/v1/files", {"Authorization": f"Bearer {name}"}).status, status)
            self.assertEqual(len(there.requests), 1)

    def test_a_supplier_that_is_down_is_502(self):
        there = Recorder()
        there.close()
        with served(there) as gw:
            for ask in (("GET", "/v1/files", None), ("POST", "/v1/files", b"x" * 100)):
                a = gw.request(*ask)
                self.assertEqual((a.status, a.json()["error"]["code"]), (502, "no_supplier_answered"))
            with Wire(gw, raw_request("POST", "/v1/files", headers={"Content-Length": 10 * MB}) + b"x" * 1000) as w:
                self.assertEqual(w.answer().status, 502)


class Supplier:
    """Takes one request without collecting it, as fast as it is let."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def accept(self):
        """The connection, its head, and what came behind it."""
        self.listener.settimeout(PATIENCE_S)
        s, _ = self.listener.accept()
        s.settimeout(PATIENCE_S)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = s.recv(1 << 16)
            assert piece, got
            got += piece
        head, rest = got.split(b"\r\n\r\n", 1)
        return s, head, rest

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


class Streamed(unittest.TestCase):
    SIZE = 20 * MB

    def upload(self, chunked):
        boundary = "b0undary"
        lead = (f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f.bin\"\r\n"
                f"Content-Type: application/octet-stream\r\n\r\n").encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        block = bytes(range(256)) * 256
        digest = hashlib.sha256(lead)
        with Supplier() as there, served(there, more="serve: {limits: {body: 1 MiB}}") as gw:
            before = gw.rss()
            headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
            if chunked:
                headers["Transfer-Encoding"] = "chunked"
            else:
                headers["Content-Length"] = len(lead) + self.SIZE + len(tail)
            w = Wire(gw, raw_request("POST", "/v1/files", headers=headers))
            sent = [0]

            def send():
                for piece in [lead] + [block] * (self.SIZE // len(block)) + [tail]:
                    w.send(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
                    sent[0] += len(piece)
                if chunked:
                    w.send(b"0\r\n\r\n")

            sender = threading.Thread(target=send)
            sender.start()
            s, head, got = there.accept()
            # It reads nothing for now: the client is stopped before all is in somebody's memory.
            last = -1
            while last != sent[0]:
                last = sent[0]
                for _ in range(20):
                    self.assertEqual(gw.get("/healthz").status, 200)
            self.assertLess(last, self.SIZE)
            self.assertLess(gw.rss() - before, ROOM)
            self.assertIn(b"multipart/form-data; boundary=" + boundary.encode(), head)
            end = b"0\r\n\r\n" if chunked else tail
            pieces, n = [got], len(got)
            while not pieces[-1].endswith(end) and not b"".join(pieces[-2:]).endswith(end):
                piece = s.recv(1 << 18)
                assert piece
                pieces.append(piece)
                n += len(piece)
            sender.join()
            body = b"".join(pieces)
            if chunked:
                self.assertIn(b"Transfer-Encoding: chunked", head)
                body = unchunked(body)
            else:
                self.assertIn(b"Content-Length: %d" % headers["Content-Length"], head)
            self.assertEqual(len(body), len(lead) + self.SIZE + len(tail))
            for _ in range(self.SIZE // len(block)):
                digest.update(block)
            digest.update(tail)
            self.assertEqual(hashlib.sha256(body).digest(), digest.digest())
            self.assertLess(gw.rss() - before, ROOM)
            s.sendall(whole(b'{"id":"file-1"}'))
            self.assertEqual(w.answer().json(), {"id": "file-1"})
            w.send(raw_request("GET", "/healthz"))
            self.assertEqual(w.answer().status, 200)  # the connection goes on
            w.close()
            s.close()

    def test_a_long_upload_is_passed_on_as_it_comes(self):
        self.upload(chunked=False)

    def test_a_long_upload_in_chunks_too(self):
        self.upload(chunked=True)

    def test_a_long_download_is_passed_on_as_it_is_read(self):
        block = bytes(range(256)) * 256
        with Supplier() as there, served(there) as gw:
            before = gw.rss()
            for chunked in (False, True):
                with Wire(gw, raw_request("GET", "/v1/files/f/content")) as w:
                    s, _, _ = there.accept()
                    sent = [0]

                    def send():
                        s.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: x/y\r\n"
                                  + (b"Transfer-Encoding: chunked\r\n\r\n" if chunked
                                     else b"Content-Length: %d\r\n\r\n" % self.SIZE))
                        for _ in range(self.SIZE // len(block)):
                            s.sendall(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
                            sent[0] += len(block)
                        s.sendall(b"0\r\n\r\n" if chunked else b"")

                    sender = threading.Thread(target=send)
                    sender.start()
                    w.until(b"\r\n")
                    last = -1
                    while last != sent[0]:
                        last = sent[0]
                        for _ in range(20):
                            self.assertEqual(gw.get("/healthz").status, 200)
                    self.assertLess(last, self.SIZE)
                    self.assertLess(gw.rss() - before, ROOM)
                    w.got = b"HTTP/1.1 200 OK\r\n" + w.got
                    a = w.answer()
                    sender.join()
                    s.close()
                    self.assertEqual(hashlib.sha256(a.body).digest(),
                                     hashlib.sha256(block * (self.SIZE // len(block))).digest())
            self.assertLess(gw.rss() - before, ROOM)

    def test_an_answer_that_comes_before_the_upload_ends_is_told(self):
        with Supplier() as there, served(there) as gw:
            with Wire(gw, raw_request("POST", "/v1/files", headers={"Content-Length": MB}) + b"x" * 1000) as w:
                s, _, _ = there.accept()
                s.sendall(whole(b"too large", 413))
                a = w.answer()
                self.assertEqual((a.status, a.body), (413, b"too large"))
                s.close()

    def test_a_bad_chunk_behind_the_answers_beginning_ends_the_connection(self):
        with Supplier() as there, served(there) as gw:
            ask = raw_request("POST", "/v1/files", headers={"Transfer-Encoding": "chunked"}) + b"3\r\nabc\r\n"
            with Wire(gw, ask) as w:
                s, _, _ = there.accept()
                s.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
                self.assertEqual(w.head()[0], 200)
                self.assertEqual(w.chunk(), b"hello")
                w.send(b"zz\r\n")
                self.assertEqual(w.rest(), b"")  # no second head inside the first answer
                with self.assertRaises((AssertionError, ConnectionError)):
                    s.sendall(b"x")
                    until(lambda: s.recv(1 << 16) == b"" or None)
                    raise ConnectionError
                s.close()

    def test_a_client_that_leaves_ends_the_suppliers_call(self):
        with Supplier() as there, served(there) as gw:
            w = Wire(gw, raw_request("GET", "/v1/files/f/content"))
            s, _, _ = there.accept()
            s.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
            w.until(b"abc")
            w.close()
            try:
                self.assertEqual(s.recv(100), b"")
            except ConnectionResetError:
                pass
            s.close()
            until(lambda: gw.metric("caudal_requests_in_progress") == 0)
            until(lambda: gw.metric("caudal_clients") == 1)

    def test_expect_continue_is_answered_by_us(self):
        with Supplier() as there, served(there) as gw:
            with Wire(gw, raw_request("POST", "/v1/files", headers={"Content-Length": 3, "Expect": "100-continue"})) as w:
                self.assertEqual(w.head()[0], 100)
                w.send(b"abc")
                s, head, got = there.accept()
                self.assertNotIn(b"xpect", head)
                while got != b"abc":
                    got += s.recv(10)
                s.sendall(whole(b"ok"))
                self.assertEqual(w.answer().body, b"ok")
                s.close()


def unchunked(data):
    body, at = [], 0
    while True:
        end = data.index(b"\r\n", at)
        n = int(data[at:end], 16)
        if not n:
            return b"".join(body)
        body.append(data[end + 2:end + 2 + n])
        at = end + 2 + n + 2


if __name__ == "__main__":
    main()
