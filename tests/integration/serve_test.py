"""What a client gets from `caudal serve` when all goes well, and what its mistakes get."""

import hashlib
import json
import time
import unittest

from harness import (Gateway, Recorder, Sim, Stream, Wire, chat, json_answer, main, portfolio, raw_request,
                     stream_answer, until)


def data_of(event):
    return json.loads(event[len("data: "):])


class Served(unittest.TestCase):
    """One simulated supplier behind one gateway without keys."""

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant", "--output", "=5")
        cls.addClassCleanup(cls.sim.__exit__)
        cls.gw = Gateway(f"""
caudal: 1
serve: {{cors: ["https://page.example"], limits: {{body: 64 KiB}}, default_class: chat}}
classes: {{chat: {{ttft: 400 ms}}, batch: {{deadline: 24 h}}}}
groups: {{any: [m, plain]}}
pools:
  a:
    api: openai
    url: {cls.sim.url}
    key: secret-of-a
    serves:
      m: {{as: there/m, price: {{input: 1 USD/Mtok, output: 2 USD/Mtok}}}}
      plain: {{as: plain, price: {{input: 9 USD/Mtok, output: 9 USD/Mtok}}}}
      "org/model:7b": {{as: x}}
tenants: {{everyone: {{expose: [decision]}}}}
""")
        cls.addClassCleanup(cls.gw.__exit__)

    def setUp(self):
        self.sim.post("/sim/reset", "")

    def seen(self):
        """The last request that the supplier got."""
        return self.sim.last()["requests"][-1]

    def assert_error(self, answer, status, code=..., param=...):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["content-type"], "application/json")
        error = answer.json()["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertTrue(error["message"] and error["type"])
        self.assertTrue(answer.headers["x-request-id"])
        if code is not ...:
            self.assertEqual(error["code"], code, answer)
        if param is not ...:
            self.assertEqual(error["param"], param, answer)


class Answers(Served):
    def test_a_whole_answer_names_the_portfolios_model_and_the_suppliers_goes_there(self):
        a = self.gw.post("/v1/chat/completions", chat("hello"))
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.headers["content-type"], "application/json")
        self.assertEqual(a.json()["model"], "m")
        self.assertIn("simulated", a.text())
        self.assertEqual(a.json()["usage"]["completion_tokens"], 5)
        self.assertEqual(json.loads(self.seen()["body"])["model"], "there/m")
        self.assertEqual(self.seen()["path"], "/v1/chat/completions")
        self.assertTrue(a.headers["x-request-id"].startswith("req_"))

    def test_a_stream_begins_with_the_role_and_ends_with_done(self):
        a = self.gw.post("/v1/chat/completions", chat("hello", stream=True))
        self.assertEqual((a.status, a.headers["content-type"]), (200, "text/event-stream; charset=utf-8"))
        self.assertEqual(a.headers["cache-control"], "no-cache")
        self.assertNotIn("content-length", a.headers)
        chunks = a.chunks()
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        self.assertEqual(len([c for c in chunks if c["choices"][0]["delta"].get("content")]), 5)
        self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "stop")
        self.assertEqual({c["model"] for c in chunks}, {"m"})
        self.assertEqual(a.events()[-1], "[DONE]")
        self.assertTrue(a.body.endswith(b"data: [DONE]\n\n"))

    def test_usage_that_was_not_asked_for_is_asked_for_and_taken_out(self):
        a = self.gw.post("/v1/chat/completions", chat("hello", stream=True))
        self.assertTrue(json.loads(self.seen()["body"])["stream_options"]["include_usage"])
        self.assertNotIn(b"usage", a.body)
        self.assertTrue(all(c["choices"] for c in a.chunks()))

    def test_usage_that_was_asked_for_comes_in_the_last_chunk(self):
        a = self.gw.post("/v1/chat/completions",
                         chat("hello", stream=True, stream_options={"include_usage": True}))
        *others, last = a.chunks()
        self.assertTrue(all(c["usage"] is None and c["choices"] for c in others))
        self.assertEqual((last["choices"], last["usage"]["completion_tokens"]), ([], 5))
        b = self.gw.post("/v1/chat/completions",
                         chat("hello", stream=True, stream_options={"include_usage": False, "x": 1}))
        self.assertNotIn(b"usage", b.body)
        self.assertEqual(json.loads(self.seen()["body"])["stream_options"], {"include_usage": True, "x": 1})

    def test_events_come_one_by_one_as_the_supplier_sends_them(self):
        with Sim("--pace", "50ms", "--output", "=20") as sim, Gateway(portfolio(sim)) as gw:
            began = time.monotonic()
            with Stream(gw, chat("hello", stream=True)) as s:
                s.content(1)
                self.assertLess(time.monotonic() - began, 0.9)  # not when it is over, after 1 s
                self.assertEqual(sim.calls()["streams_now"], 1)
                self.assertEqual(s.events()[-1], "data: [DONE]")

    def test_the_receipt_is_a_header_of_a_whole_answer(self):
        a = self.gw.post("/v1/chat/completions", chat("x" * 400), {"x-caudal-receipt": "1"})
        r = json.loads(a.headers["x-caudal-receipt"])
        usage = a.json()["usage"]
        self.assertEqual((r["pool"], r["model"], r["tokens"]), ("a", "m", "reported"))
        self.assertEqual([s["outcome"] for s in r["attempts"]], ["answered"])
        self.assertEqual((r["prompt_tokens"], r["completion_tokens"]),
                         (usage["prompt_tokens"], usage["completion_tokens"]))
        price = (usage["prompt_tokens"] * 1 + usage["completion_tokens"] * 2) / 1e6
        self.assertAlmostEqual(r["list_usd"], price, places=9)
        self.assertEqual(r["request"], a.headers["x-request-id"])
        self.assertGreaterEqual(r["total_ms"], r["ttft_ms"])
        self.assertNotIn("x-caudal-receipt", self.gw.post("/v1/chat/completions", chat("x")).headers)

    def test_the_receipt_is_the_last_comment_of_a_stream(self):
        a = self.gw.post("/v1/chat/completions", chat("hello", stream=True), {"x-caudal-receipt": "1"})
        blocks = a.body.split(b"\n\n")
        self.assertEqual(blocks[-2:], [b"data: [DONE]", b""])
        self.assertTrue(blocks[-3].startswith(b": caudal-receipt {"), blocks[-3])
        r = json.loads(blocks[-3][len(b": caudal-receipt "):])
        self.assertEqual((r["pool"], r["completion_tokens"]), ("a", 5))
        self.assertEqual(len(a.comments()), 1)
        self.assertEqual(self.gw.post("/v1/chat/completions", chat("hello", stream=True)).comments(), [])

    def test_the_decision_is_told_to_a_tenant_that_may_see_it(self):
        a = self.gw.post("/v1/chat/completions", chat("hello"))
        self.assertIn("pool=a; model=m; attempts=1", a.headers["x-caudal-decision"])
        with Gateway(portfolio(self.sim, extra="tenants: {everyone: {}}")) as gw:
            self.assertNotIn("x-caudal-decision", gw.post("/v1/chat/completions", chat("hello")).headers)

    def test_completions(self):
        ask = {"model": "m", "prompt": "once", "max_tokens": 4}
        a = self.gw.post("/v1/completions", ask)
        self.assertEqual((a.json()["object"], a.json()["model"]), ("text_completion", "m"))
        s = self.gw.post("/v1/completions", {**ask, "stream": True})
        self.assertEqual("".join(c["choices"][0]["text"] for c in s.chunks()), a.json()["choices"][0]["text"])
        self.assertEqual(s.events()[-1], "[DONE]")
        self.assertNotIn(b"usage", s.body)

    def test_embeddings(self):
        a = self.gw.post("/v1/embeddings", {"model": "m", "input": ["a", "b"], "dimensions": 8,
                                            "encoding_format": "base64"})
        self.assertEqual((a.status, a.json()["model"]), (200, "m"))
        self.assertEqual(len(a.json()["data"]), 2)
        self.assertIsInstance(a.json()["data"][0]["embedding"], str)
        self.assertEqual(json.loads(self.seen()["body"])["encoding_format"], "base64")

    def test_responses_and_messages_pass_to_a_pool_that_speaks_them(self):
        with Gateway(portfolio(self.sim).replace("api: openai", "api: openai, surfaces: [chat, responses, messages]")) as gw:
            ask = {"model": "m", "input": "hello", "max_output_tokens": 20}
            a = gw.post("/v1/responses", ask)
            self.assertEqual((a.status, a.json()["model"], a.json()["object"]), (200, "m", "response"))
            s = gw.post("/v1/responses", {**ask, "stream": True})
            self.assertIn(b"event: response.completed\n", s.body)
            self.assertNotIn(b"[DONE]", s.body)
            m = gw.post("/v1/messages", chat("hello", max_tokens=9))
            self.assertEqual((m.status, m.json()["type"]), (200, "message"))
            t = gw.post("/v1/messages", chat("hello", max_tokens=9, stream=True))
            self.assertTrue(t.body.startswith(b"event: message_start\n"), t)
            self.assertIn(b"event: message_stop\n", t.body)
            self.assertEqual(gw.post("/v1/completions", {"model": "m", "prompt": "x"}).status, 404)

    def test_models_are_listed_and_told_one_by_one(self):
        a = self.gw.get("/v1/models").json()
        self.assertEqual(a["object"], "list")
        self.assertEqual([m["id"] for m in a["data"]], ["m", "plain", "org/model:7b"])
        for m in a["data"]:
            self.assertEqual((m["object"], m["owned_by"]), ("model", "a"))
            self.assertGreater(m["created"], 1_700_000_000)
        for path in ("org/model:7b", "org%2Fmodel:7b", "org%2fmodel%3A7b", "org/model%3a7b"):
            b = self.gw.get("/v1/models/" + path)
            self.assertEqual((b.status, b.json().get("id")), (200, "org/model:7b"), b)
        self.assert_error(self.gw.get("/v1/models/org"), 404, "model_not_found")
        self.assert_error(self.gw.get("/v1/models/x%00y%"), 400)

    def test_a_model_with_a_slash_and_a_colon_in_its_name_answers(self):
        a = self.gw.post("/v1/chat/completions", chat("hello", model="org/model:7b"))
        self.assertEqual((a.status, a.json()["model"]), (200, "org/model:7b"))
        self.assertEqual(json.loads(self.seen()["body"])["model"], "x")

    def test_a_groups_name_is_answered_by_one_of_its_models(self):
        a = self.gw.post("/v1/chat/completions", chat("hello", model="any"))
        self.assertEqual((a.status, a.json()["model"]), (200, "m"))
        self.assertIn("model=m;", a.headers["x-caudal-decision"])

    def test_a_class_is_taken_from_the_header(self):
        before = self.gw.metric("caudal_requests_total", **{"class": "batch"})
        a = self.gw.post("/v1/chat/completions", chat("hello"), {"x-caudal-class": "batch"})
        self.assertEqual(a.status, 200, a)
        self.assertEqual(self.gw.metric("caudal_requests_total", **{"class": "batch"}), before + 1)
        b = self.gw.post("/v1/chat/completions", chat("hello", service_tier="batch"))
        self.assertEqual(b.status, 200, b)
        self.assertEqual(self.gw.metric("caudal_requests_total", **{"class": "batch"}), before + 2)
        self.assertEqual(self.gw.post("/v1/chat/completions", chat("x", service_tier="auto")).status, 200)
        self.assert_error(self.gw.post("/v1/chat/completions", chat("x"), {"x-caudal-class": "no"}), 400,
                          param="x-caudal-class")

    def test_health(self):
        self.assertEqual(self.gw.get("/healthz").json(), {"status": "ok"})
        a = self.gw.get("/readyz")
        self.assertEqual((a.status, a.json()["status"]), (200, "ready"))


class Bytes(Served):
    """What reaches the supplier, and what comes back, byte for byte."""

    def test_unknown_keys_and_number_literals_go_through_as_they_are(self):
        body = ('{ "model" : "m",\n"x":123456789012345678901234567890,"y":1e999, "z":{"d":[-0.0,1E+2,0.10]},'
                '"messages":[{"role":"user","content":"\\u00e9\\ud83d\\ude00 \u20ac"}],\t"u":"\\/","top_k":40 }')
        a = self.gw.post("/v1/chat/completions", body.encode())
        self.assertEqual(a.status, 200, a)
        self.assertEqual(self.seen()["body"], body.replace('"m"', '"there/m"', 1))

    def test_only_the_wish_for_usage_is_added_to_a_stream(self):
        body = '{"model":"plain","stream":true,"x":1e999,"messages":[{"role":"user","content":"a"}]}'
        self.gw.post("/v1/chat/completions", body.encode())
        got = self.seen()["body"]
        self.assertEqual(len(got), len(body) + len(',"stream_options":{"include_usage":true}'), got)
        self.assertEqual(got.replace(',"stream_options":{"include_usage":true}', ""), body)

    def test_a_whole_answer_differs_only_in_the_models_name(self):
        said = (b'{ "id" : "x","big":123456789012345678901234567890,"inf":1e999,\r\n "model":"there", "choices":['
                b'{"index":0,"message":{"role":"assistant","content":"\\u00e9\\/"},"finish_reason":"stop"}] }')
        with Recorder(lambda r: json_answer(said)) as there:
            with Gateway(portfolio(there).replace("as: m,", "as: there,")) as gw:
                a = gw.post("/v1/chat/completions", chat("hello"))
                self.assertEqual((a.status, a.body), (200, said.replace(b'"there"', b'"m"')))

    def test_a_streams_events_differ_only_in_the_models_name(self):
        events = [b'{"model":"there", "x":1e999,"choices":[{"index":0,"delta":{"role":"assistant"}}]}',
                  b'{"choices":[{"index":0,"delta":{"content":"a\\u2028b"} }],"n":-0.0,"model":"there"}',
                  b'{"model":"there","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}']
        with Recorder(lambda r: stream_answer(*events, b"[DONE]")) as there:
            with Gateway(portfolio(there).replace("as: m,", "as: there,")) as gw:
                a = gw.post("/v1/chat/completions", chat("hello", stream=True))
                self.assertEqual(a.events(), [e.decode().replace('"there"', '"m"') for e in events] + ["[DONE]"])

    def test_the_clients_secrets_stay_here_and_the_suppliers_key_goes_there(self):
        theirs = {"Authorization": "Bearer clients-own", "x-api-key": "clients-own", "Cookie": "a=clients-own",
                  "Accept-Encoding": "gzip, br", "X-Forwarded-For": "clients-own", "Proxy-Authorization": "clients-own",
                  "OpenAI-Organization": "clients-own", "traceparent": "00-1-2-3", "Connection": "keep-alive, X-Own",
                  "X-Own": "clients-own", "User-Agent": "clients-own", "idempotency-key": "k7"}
        self.gw.post("/v1/chat/completions", chat("hello"), theirs)
        headers = {k.lower(): v for k, v in self.seen()["headers"]}
        self.assertNotIn("clients-own", json.dumps(headers))
        self.assertEqual(headers["authorization"], "Bearer secret-of-a")
        self.assertEqual(headers["accept-encoding"], "identity")
        self.assertEqual(headers["host"], f"127.0.0.1:{self.sim.port}")
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual((headers["traceparent"], headers["idempotency-key"]), ("00-1-2-3", "k7"))
        self.assertEqual(set(headers), {"host", "authorization", "content-type", "content-length", "accept",
                                        "accept-encoding", "user-agent", "x-client-request-id", "traceparent",
                                        "idempotency-key"})

    def test_the_suppliers_headers_stay_there(self):
        answer = json_answer({"model": "m", "choices": [{"message": {"content": "hi"}}]},
                             headers={"Set-Cookie": "a=1", "Server": "theirs", "openai-organization": "org-1"})
        with Recorder(lambda r: answer) as there, Gateway(portfolio(there)) as gw:
            a = gw.post("/v1/chat/completions", chat("hello"))
            self.assertEqual(a.status, 200)
            self.assertFalse({"set-cookie", "server", "openai-organization"} & set(a.headers))

    def test_a_last_event_without_its_blank_line_counts(self):
        body = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\ndata: [DONE]'
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        def answer(request):
            yield head + body
            raise EOFError
        with Recorder(answer) as there, Gateway(portfolio(there)) as gw:
            a = gw.post("/v1/chat/completions", chat("hello", stream=True))
            self.assertEqual((a.status, a.events()[-1], len(a.events())), (200, "[DONE]", 2))

    def test_framing_that_breaks_the_official_clients_is_taken_out(self):
        body = (b"\xef\xbb\xbfid: 1\r\nretry: 5\r\n: hello\r\n\r\nevent: ping\r\n\r\ndata:\r\n\r\ndata:{\"model\":\"m\",\r\n"
                b"data: \"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\r\n\r\n"
                b"data: [DONE]\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
        with Recorder(lambda r: [head, *(body[i:i + 1] for i in range(len(body)))]) as there:
            with Gateway(portfolio(there)) as gw:
                a = gw.post("/v1/chat/completions", chat("hello", stream=True))
                self.assertEqual((a.status, a.text(), a.events()[-1]), (200, "a", "[DONE]"), a)
                for bad in (b"id:", b"retry", b"ping", b"\xef", b"\r", b"data:\n"):
                    self.assertNotIn(bad, a.body)


class Mistakes(Served):
    """Whatever is wrong, the client learns what, in the dialect's words; the supplier sees none of it."""

    def tearDown(self):
        self.assertEqual(self.sim.calls()["total"], 0)

    def post(self, body, headers=None):
        return self.gw.post("/v1/chat/completions", body, headers)

    def test_an_unknown_model_is_404_and_close_ones_are_named(self):
        a = self.post(chat("x", model="plan"))
        self.assert_error(a, 404, "model_not_found", "model")
        self.assertIn("'plain'", a.json()["error"]["message"])
        self.assert_error(self.post(chat("x", model="there/m")), 404, "model_not_found", "model")

    def test_what_is_refused_is_logged_with_what_is_known_of_it(self):
        text = portfolio(self.sim, extra="classes: {batch: {deadline: 1 h}}\ntenants: {t: {classes: [batch], default_class: batch}}\n")
        with Gateway(text) as gw:
            for ask, headers, status, parts in (
                    (chat("x", model="other"), {}, 404, [" error=model_not_found ", " tenant=t "]),
                    (chat("x"), {"x-caudal-class": "no"}, 400, [" model=m ", " error=invalid_request_error "]),
                    (chat("x", max_tokens="many"), {}, 400, [" model=m ", " error=invalid_request_error "])):
                a = gw.post("/v1/chat/completions", ask, headers)
                self.assertEqual(a.status, status)
                gw.logged("request", f" id={a.headers['x-request-id']} ", f" status={status} ", *parts)
            self.assertEqual(gw.metric("caudal_requests_total", model="m", code="400", **{"class": "batch"}), 1)

    def test_not_json_is_400(self):
        for body in ("{", "[]", "7", "nonsense", '{"model":"m"} x', '{"model":"m",}', "\xff\xfe",
                     '{"model":"m","x":01}', '{"model":"m","x":NaN}', b'{"model":"m","x":"\xff"}'):
            self.assert_error(self.post(body if isinstance(body, bytes) else body.encode("latin-1")), 400)

    def test_an_empty_body_is_400(self):
        self.assert_error(self.post(""), 400)
        with Wire(self.gw, raw_request("POST", "/v1/chat/completions")) as w:  # not even a length
            self.assert_error(w.answer(), 400)

    def test_too_deep_is_400(self):
        self.assert_error(self.post('{"model":"m","x":' + "[" * 20000 + "]" * 20000 + "}"), 400)

    def test_a_key_that_is_there_twice_is_400_with_its_name(self):
        self.assert_error(self.post('{"model":"m","messages":[{}],"model":"plain"}'), 400, param="model")
        self.assert_error(self.post('{"model":"m","mod\\u0065l":"plain"}'), 400, param="model")
        self.assert_error(self.post('{"model":"m","stream":true,"stream":false}'), 400, param="stream")

    def test_a_wrong_type_is_400_with_its_name(self):
        for key, value in (("model", 7), ("model", None), ("model", ["m"]), ("stream", "yes"), ("stream", 1),
                           ("max_tokens", "9"), ("max_tokens", -1), ("max_tokens", 1.5), ("n", "two"),
                           ("stream_options", 3), ("messages", "hello")):
            self.assert_error(self.post(chat("x", **{"stream": True, key: value}) if key != "model"
                                        else {**chat("x"), "model": value}), 400, param=key)

    def test_without_a_model_it_is_400(self):
        messages = [{"role": "user", "content": "x"}]
        self.assert_error(self.post({"messages": messages}), 400, param="model")
        self.assert_error(self.post({"model": "", "messages": messages}), 400, param="model")

    def test_unknown_paths_are_404_and_wrong_methods_405(self):
        self.assert_error(self.gw.get("/v1/files"), 404)
        self.assert_error(self.gw.get("/"), 404)
        self.assert_error(self.gw.post("/v1/chat/completions/", chat("x")), 404)
        self.assert_error(self.gw.post("/v1/chat/completionsx", chat("x")), 404)
        a = self.gw.get("/v1/chat/completions")
        self.assert_error(a, 405)
        self.assertEqual(a.headers["allow"], "POST")
        for path in ("/healthz", "/v1/models", "/metrics", "/readyz"):
            a = self.gw.post(path, "{}")
            self.assert_error(a, 405)
            self.assertIn("GET", a.headers["allow"])
        self.assert_error(self.gw.request("DELETE", "/v1/models/m"), 405)

    def test_a_body_that_is_said_to_be_too_long_is_413_before_it_comes(self):
        head = raw_request("POST", "/v1/chat/completions", headers={"Content-Length": (64 << 10) + 1})
        with Wire(self.gw, head) as w:
            self.assert_error(w.answer(), 413)

    def test_a_chunked_body_is_413_at_the_limit(self):
        head = raw_request("POST", "/v1/chat/completions", headers={"Transfer-Encoding": "chunked"})
        with Wire(self.gw, head) as w:
            w.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
            for _ in range(16):
                w.send(b"1000\r\n" + b" " * 4096 + b"\r\n")
            self.assert_error(w.answer(), 413)  # its end was never sent
            self.assertEqual(w.rest(), b"")

    def test_a_body_of_just_the_limit_is_taken(self):
        body = json.dumps(chat("x")).encode()
        body += b" " * ((64 << 10) - len(body))
        self.assertEqual(self.post(body).status, 200)
        self.assert_error(self.post(body + b" "), 413)
        self.sim.post("/sim/reset", "")

    def test_bytes_that_are_no_text_come_back_as_text(self):
        for answer in (self.gw.get("/v1/models/%ff%c3%28"), self.post(chat("x"), {"x-caudal-class": b"\xff\xc3("}),
                       self.post(chat("x", model="a\u0000\ud800b"))):
            self.assertIn(answer.status, (400, 404))
            self.assertEqual(set(json.loads(answer.body.decode("utf-8"))["error"]), {"message", "type", "param", "code"})

    def test_an_encoded_body_is_415(self):
        self.assert_error(self.post(chat("x"), {"Content-Encoding": "gzip"}), 415)


class Http(Served):
    def one(self, text="hello", headers=None, version="1.1", **more):
        return raw_request("POST", "/v1/chat/completions", chat(text, **more), headers, version=version)

    def test_one_connection_carries_many_requests(self):
        c = self.gw.connect()
        for i in range(20):
            c.request("POST", "/v1/chat/completions", json.dumps(chat("hello", stream=i % 2 == 0)))
            r = c.getresponse()
            self.assertEqual(r.status, 200)
            r.read()
        port = c.sock.getsockname()[1]
        c.request("GET", "/healthz")
        c.getresponse().read()
        self.assertEqual(c.sock.getsockname()[1], port)
        c.close()
        self.assertLessEqual(self.sim.calls()["connections"]["now"], 4)  # kept alive there as well

    def test_close_closes(self):
        for ask in (self.one(headers={"Connection": "close"}), self.one(headers={"Connection": "close"}, stream=True),
                    raw_request("GET", "/healthz", headers={"Connection": "close"})):
            with Wire(self.gw, ask) as w:
                status, headers = w.head()
                self.assertEqual((status, headers["connection"]), (200, "close"))
                w.rest()

    def test_http_1_0_gets_no_chunks_and_an_end(self):
        with Wire(self.gw, self.one(version="1.0", stream=True)) as w:
            status, headers = w.head()
            self.assertEqual(status, 200)
            self.assertNotIn("transfer-encoding", headers)
            self.assertTrue(w.rest().endswith(b"\n\ndata: [DONE]\n\n"))
        with Wire(self.gw, self.one(version="1.0")) as w:
            self.assertEqual(w.answer().json()["model"], "m")
            self.assertEqual(w.rest(), b"")

    def test_http_1_0_may_keep_the_connection(self):
        ask = self.one(version="1.0", headers={"Connection": "keep-alive"})
        with Wire(self.gw, ask) as w:
            for _ in range(3):
                a = w.answer()
                self.assertEqual((a.status, a.headers["connection"]), (200, "keep-alive"))
                w.send(ask)
            self.assertEqual(w.answer().status, 200)

    def test_a_chunked_body_is_the_same_as_one_with_a_length(self):
        body = json.dumps(chat("hello")).encode()
        chunks = b"".join(b"%X;x=y\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
        head = raw_request("POST", "/v1/chat/completions", headers={"Transfer-Encoding": "chunked"})
        with Wire(self.gw, head + chunks + b"0\r\nX-Trailer: y\r\n\r\n" + self.one()) as w:
            self.assertEqual((w.answer().status, w.answer().status), (200, 200))
        first = self.sim.last()["requests"][0]
        self.assertEqual(first["body"].encode(), body.replace(b'"m"', b'"there/m"'))
        self.assertIn(["Content-Length", str(len(first["body"]))], first["headers"])

    def test_a_request_that_comes_byte_by_byte_is_read(self):
        with Wire(self.gw) as w:
            for b in self.one("x"):
                w.send(bytes([b]))
            self.assertEqual(w.answer().status, 200)

    def test_expect_gets_its_continue_before_the_body(self):
        body = json.dumps(chat("hello")).encode()
        head = raw_request("POST", "/v1/chat/completions", headers={"Expect": "100-continue", "Content-Length": len(body)})
        with Wire(self.gw, head) as w:
            self.assertEqual(w.head()[0], 100)
            w.send(body)
            self.assertEqual(w.answer().status, 200)
            w.send(head)
            self.assertEqual(w.head()[0], 100)
            w.send(body)
            self.assertEqual(w.answer().status, 200)

    def test_what_will_be_refused_gets_no_continue(self):
        for path, length, status in (("/v1/chat/completions", 1 << 20, 413), ("/v1/nothing", 10, 404)):
            head = raw_request("POST", path, headers={"Expect": "100-continue", "Content-Length": length})
            with Wire(self.gw, head) as w:
                self.assertEqual(w.head()[0], status)

    def test_pipelined_requests_are_answered_in_order(self):
        self.sim.faults("delay=200ms,model=there/m")
        asks = [self.one("slow"), self.one("fast", model="plain"), raw_request("GET", "/healthz"),
                self.one("no such", model="zzz"), self.one("slow", stream=True), self.one("fast", model="plain"),
                raw_request("GET", "/v1/models/m"), self.one("last", model="plain", headers={"Connection": "close"})]
        with Wire(self.gw, b"".join(asks)) as w:
            answers = [w.answer() for _ in asks]
            self.assertEqual(w.rest(), b"")
        self.assertEqual([a.status for a in answers], [200, 200, 200, 404, 200, 200, 200, 200])
        self.assertEqual([answers[i].json()["model"] for i in (0, 1, 5, 7)], ["m", "plain", "plain", "plain"])
        self.assertEqual(answers[2].json(), {"status": "ok"})
        self.assertEqual(answers[4].events()[-1], "[DONE]")
        self.assertEqual(answers[6].json()["id"], "m")

    def test_long_bodies_behind_a_slow_request_wait_and_lose_nothing(self):
        self.sim.faults("delay=200ms,count=1")
        texts = ["x"] + [f"{i}" * 60000 for i in range(8)]
        asks = [self.one(t) for t in texts]
        with Wire(self.gw) as w:
            w.send(b"".join(asks))
            self.assertEqual([w.answer().status for _ in asks], [200] * len(asks))
        got = [json.loads(r["body"])["messages"][0]["content"] for r in self.sim.last()["requests"]]
        self.assertEqual(got, texts)

    def test_many_pipelined_requests_are_all_answered(self):
        with Wire(self.gw, self.one() * 100 + raw_request("GET", "/healthz") * 300) as w:
            self.assertEqual([w.answer().status for _ in range(400)], [200] * 400)

    def test_head_gets_no_body(self):
        for path, status in (("/healthz", 200), ("/v1/models", 200), ("/nothing", 404), ("/metrics", 200)):
            with Wire(self.gw, raw_request("HEAD", path) + raw_request("GET", "/healthz")) as w:
                self.assertEqual(w.answer("HEAD").status, status)
                self.assertEqual(w.answer().json(), {"status": "ok"})

    def test_a_refused_request_with_a_short_body_keeps_the_connection(self):
        with Wire(self.gw, raw_request("POST", "/v1/nothing", {"a": 1}) + raw_request("GET", "/healthz")) as w:
            self.assertEqual((w.answer().status, w.answer().status), (404, 200))

    def test_without_keys_only_loopback_names_are_answered(self):
        for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "0.0.0.0"):
            with Wire(self.gw, raw_request("POST", "/v1/chat/completions", chat("x"), host=host)) as w:
                a = w.answer()
                self.assert_error(a, 403, "host_not_allowed")
        for host in ("localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]", "[::1]:8080"):
            with Wire(self.gw, raw_request("GET", "/v1/models", host=host)) as w:
                self.assertEqual(w.answer().status, 200, host)
        with Wire(self.gw, raw_request("GET", "/metrics", host="evil.example")) as w:
            self.assertEqual(w.answer().status, 403)
        self.assertEqual(self.sim.calls()["total"], 0)

    def test_without_keys_pages_of_strangers_may_not_call(self):
        for origin in ("https://evil.example", "null", "http://localhost.evil.example", "file://", "https://page.example.evil"):
            a = self.gw.post("/v1/chat/completions", chat("x"), {"Origin": origin})
            self.assert_error(a, 403, "origin_not_allowed")
            self.assertNotIn("access-control-allow-origin", a.headers)
        self.assertEqual(self.sim.calls()["total"], 0)
        self.assertEqual(self.gw.post("/v1/chat/completions", chat("x"), {"Origin": "http://localhost:3000"}).status, 200)

    def test_a_page_of_a_configured_origin_may_call(self):
        origin = {"Origin": "https://page.example"}
        for a in (self.gw.post("/v1/chat/completions", chat("x"), origin),
                  self.gw.post("/v1/chat/completions", chat("x", stream=True), origin),
                  self.gw.post("/v1/chat/completions", "{", origin), self.gw.get("/v1/models", origin),
                  self.gw.get("/v1/nothing", origin)):
            self.assertEqual(a.headers["access-control-allow-origin"], "https://page.example")
            self.assertIn("x-request-id", a.headers["access-control-expose-headers"])
            self.assertEqual(a.headers["vary"], "Origin")
        self.assertNotIn("access-control-allow-origin", self.gw.get("/v1/models").headers)

    def test_preflights(self):
        ask = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST",
               "Access-Control-Request-Headers": "authorization, content-type, x-stainless-os"}
        with Wire(self.gw, raw_request("OPTIONS", "/v1/chat/completions", headers=ask) * 2) as w:
            for _ in range(2):
                status, headers = w.head()
                self.assertEqual(status, 204)
                self.assertNotIn("content-length", headers)  # RFC 9110 section 8.6
                self.assertEqual(headers["access-control-allow-origin"], "https://page.example")
                self.assertIn("POST", headers["access-control-allow-methods"])
                self.assertIn("x-stainless-os", headers["access-control-allow-headers"])
        a = self.gw.request("OPTIONS", "/v1/chat/completions", headers={**ask, "Origin": "https://evil.example"})
        self.assertEqual(a.status, 403)
        self.assertNotIn("access-control-allow-origin", a.headers)


def key_hash(key):
    return "sha256:" + hashlib.sha256(key.encode()).hexdigest()


class Keys(Served):
    """Tenants with keys."""

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant", "--output", "=5")
        cls.addClassCleanup(cls.sim.__exit__)
        cls.gw = Gateway(f"""
caudal: 1
classes: {{chat: {{ttft: 400 ms}}, batch: {{deadline: 24 h}}}}
pools:
  a: {{api: openai, url: "{cls.sim.url}", key: secret-of-a, serves: [m, other]}}
tenants:
  one: {{keys: ["{key_hash('key-of-one')}", "{key_hash('second-of-one')}"], models: [m], classes: [chat], default_class: chat}}
  two: {{keys: ["{key_hash('key-of-two')}"]}}
""")
        cls.addClassCleanup(cls.gw.__exit__)

    def ask(self, key=None, model="m", headers=None):
        bearer = {"Authorization": f"Bearer {key}"} if key is not None else {}
        return self.gw.post("/v1/chat/completions", chat("x", model=model), {**bearer, **(headers or {})})

    def test_a_key_lets_in_and_is_not_sent_on(self):
        for key in ("key-of-one", "second-of-one", "key-of-two"):
            self.assertEqual(self.ask(key).status, 200)
        self.assertEqual(self.ask(headers={"x-api-key": "key-of-two"}).status, 200)
        self.assertEqual(self.ask(headers={"Authorization": "bearer key-of-two"}).status, 200)
        self.assertNotIn("key-of", json.dumps(self.sim.last()))

    def test_without_a_right_key_it_is_401(self):
        bodies = set()
        for a in (self.ask(), self.ask(""), self.ask("wrong"), self.ask("key-of-on"), self.ask("key-of-one "[:-1] + "x"),
                  self.ask(key_hash("key-of-one")[7:]), self.ask(headers={"Authorization": "Basic key-of-one"}),
                  self.ask(headers={"Authorization": "key-of-one"}), self.ask(headers={"x-api-key": "wrong"})):
            self.assert_error(a, 401, "invalid_api_key")
            self.assertIn("www-authenticate", a.headers)
            bodies.add(a.body)
        self.assertEqual(len(bodies), 1, "no key and a wrong one are told apart")
        for path in ("/v1/models", "/v1/models/m", "/v1/nothing"):
            self.assert_error(self.gw.get(path), 401, "invalid_api_key")
        self.assertEqual(self.sim.calls()["total"], 0)

    def test_health_and_metrics_need_no_key_here(self):
        self.assertEqual([self.gw.get(p).status for p in ("/healthz", "/readyz", "/metrics")], [200] * 3)

    def test_a_model_of_others_does_not_exist(self):
        self.assert_error(self.ask("key-of-one", "other"), 404, "model_not_found", "model")
        self.assertEqual(self.ask("key-of-two", "other").status, 200)
        unknown = self.ask("key-of-one", "othex")
        self.assert_error(unknown, 404, "model_not_found", "model")
        self.assertNotIn("'other'", unknown.json()["error"]["message"])  # not even as a suggestion
        for key, models in (("key-of-one", ["m"]), ("key-of-two", ["m", "other"])):
            bearer = {"Authorization": f"Bearer {key}"}
            self.assertEqual([m["id"] for m in self.gw.get("/v1/models", bearer).json()["data"]], models)
            self.assertEqual(self.gw.get("/v1/models/other", bearer).status, 200 if len(models) == 2 else 404)

    def test_a_class_of_others_is_403(self):
        self.assertEqual(self.ask("key-of-one", headers={"x-caudal-class": "chat"}).status, 200)
        self.assert_error(self.ask("key-of-one", headers={"x-caudal-class": "batch"}), 403, param="x-caudal-class")
        self.assertEqual(self.ask("key-of-two", headers={"x-caudal-class": "batch"}).status, 200)

    def test_with_keys_any_host_is_answered(self):
        ask = raw_request("POST", "/v1/chat/completions", chat("x"), {"Authorization": "Bearer key-of-two"},
                          host="api.example.com")
        with Wire(self.gw, ask) as w:
            self.assertEqual(w.answer().status, 200)

    def test_metrics_name_the_tenant(self):
        before = self.gw.metric("caudal_requests_total", tenant="two", code="200")
        self.ask("key-of-two")
        until(lambda: self.gw.metric("caudal_requests_total", tenant="two", code="200") == before + 1)


if __name__ == "__main__":
    main()
