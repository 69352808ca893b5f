"""The simulated supplier: what it answers, how fast, what it counts, and each way it can fail."""

import asyncio
import base64
import http.client
import json
import math
import os
import resource
import socket
import struct
import tempfile
import time
import unittest

from harness import CAUDAL, Sim, chat, main, until

import subprocess


def raise_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def stream(text="hello", **more):
    return chat(text, stream=True, **more)


class Shape(unittest.TestCase):
    """Bodies and streams of each surface."""

    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant")

    @classmethod
    def tearDownClass(cls):
        cls.sim.__exit__()

    def test_unary_chat_is_whole_and_says_it_is_simulated(self):
        a = self.sim.post("/v1/chat/completions", chat("x" * 400, max_tokens=7))
        self.assertEqual(a.status, 200, a)
        self.assertEqual(a.headers["content-type"], "application/json")
        self.assertTrue(a.headers["x-request-id"])
        body = a.json()
        self.assertTrue(body["id"].startswith("chatcmpl-sim-"))
        self.assertEqual(body["object"], "chat.completion")
        self.assertEqual(body["model"], "m")
        self.assertEqual(body["system_fingerprint"], "simulated")
        self.assertIn("This is a simulated", body["choices"][0]["message"]["content"])
        self.assertIn(body["choices"][0]["finish_reason"], ("stop", "length"))
        usage = body["usage"]
        self.assertEqual(usage["prompt_tokens"], 100)
        self.assertLessEqual(usage["completion_tokens"], 7)
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])

    def test_a_stream_is_role_then_tokens_then_finish_then_usage_then_done(self):
        a = self.sim.post("/v1/chat/completions",
                          stream(max_tokens=5, ignore_eos=True, stream_options={"include_usage": True}))
        self.assertEqual(a.headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertEqual(a.headers.get("transfer-encoding"), "chunked")
        self.assertEqual(a.events()[-1], "[DONE]")
        chunks = a.chunks()
        self.assertEqual(len(chunks), 1 + 5 + 1 + 1)
        for key in ("id", "created", "model", "object"):
            self.assertEqual(len({c[key] for c in chunks}), 1, key)
        self.assertEqual(chunks[0]["choices"][0]["delta"]["role"], "assistant")
        for c in chunks[1:6]:
            self.assertTrue(c["choices"][0]["delta"]["content"])
            self.assertIsNone(c["choices"][0]["finish_reason"])
            self.assertIsNone(c["usage"])
        self.assertEqual(chunks[6]["choices"][0]["delta"], {})
        self.assertEqual(chunks[6]["choices"][0]["finish_reason"], "length")
        self.assertEqual(chunks[7]["choices"], [])
        self.assertEqual(chunks[7]["usage"]["completion_tokens"], 5)

    def test_usage_comes_only_when_asked_for(self):
        a = self.sim.post("/v1/chat/completions", stream(max_tokens=3))
        self.assertTrue(all("usage" not in c and c["choices"] for c in a.chunks()))

    def test_choices_have_each_their_text(self):
        a = self.sim.post("/v1/chat/completions", chat("hi", n=3, max_tokens=30, ignore_eos=True))
        texts = [c["message"]["content"] for c in a.json()["choices"]]
        self.assertEqual(len(texts), 3)
        self.assertEqual(len(set(texts)), 3)
        self.assertEqual(a.json()["usage"]["completion_tokens"], 90)
        s = self.sim.post("/v1/chat/completions", stream(n=2, max_tokens=4, ignore_eos=True))
        self.assertEqual([sum(1 for c in s.chunks() for x in c["choices"]
                              if x["index"] == i and x["delta"].get("content")) for i in (0, 1)], [4, 4])

    def test_completions(self):
        ask = {"model": "m", "prompt": "once", "max_tokens": 6, "ignore_eos": True}
        a = self.sim.post("/v1/completions", ask).json()
        self.assertEqual(a["object"], "text_completion")
        self.assertTrue(a["choices"][0]["text"])
        self.assertEqual(a["usage"]["completion_tokens"], 6)
        s = self.sim.post("/v1/completions", {**ask, "stream": True})
        self.assertEqual("".join(c["choices"][0]["text"] for c in s.chunks()), a["choices"][0]["text"])
        self.assertEqual(s.events()[-1], "[DONE]")
        two = self.sim.post("/v1/completions", {**ask, "prompt": ["a", "b"]}).json()
        self.assertEqual([c["index"] for c in two["choices"]], [0, 1])

    def test_embeddings_are_the_same_for_the_same_text(self):
        ask = {"model": "m", "input": ["a", "b", "a"], "dimensions": 33}
        a = self.sim.post("/v1/embeddings", ask).json()
        vectors = [d["embedding"] for d in a["data"]]
        self.assertEqual([len(v) for v in vectors], [33] * 3)
        self.assertEqual(vectors[0], vectors[2])
        self.assertNotEqual(vectors[0], vectors[1])
        self.assertAlmostEqual(math.fsum(x * x for x in vectors[0]), 1, places=5)
        b = self.sim.post("/v1/embeddings", {**ask, "encoding_format": "base64"}).json()
        packed = base64.b64decode(b["data"][1]["embedding"], validate=True)
        for x, y in zip(struct.unpack("<33f", packed), vectors[1]):
            self.assertAlmostEqual(x, y, places=6)
        self.assertEqual(self.sim.post("/v1/embeddings", {**ask, "input": {}}).status, 400)
        self.assertEqual(self.sim.post("/v1/embeddings", {**ask, "dimensions": 0}).status, 400)
        tokens = self.sim.post("/v1/embeddings", {"model": "m", "input": [1, 2, 3]}).json()
        self.assertEqual(len(tokens["data"]), 1)

    def test_a_tool_that_must_be_called_is_called(self):
        tools = [{"type": "function", "function": {"name": n, "parameters": {}}} for n in ("one", "two")]
        a = self.sim.post("/v1/chat/completions", chat("x", tools=tools, tool_choice="required")).json()
        call = a["choices"][0]["message"]["tool_calls"][0]
        self.assertEqual((call["function"]["name"], call["function"]["arguments"]), ("one", "{}"))
        self.assertEqual(a["choices"][0]["finish_reason"], "tool_calls")
        named = {"type": "function", "function": {"name": "two"}}
        s = self.sim.post("/v1/chat/completions", stream("x", tools=tools, tool_choice=named))
        deltas = [c["choices"][0]["delta"] for c in s.chunks() if c["choices"][0]["delta"].get("tool_calls")]
        self.assertEqual([d["tool_calls"][0]["function"]["name"] for d in deltas], ["two"])
        self.assertEqual(deltas[0]["tool_calls"][0]["index"], 0)
        plain = self.sim.post("/v1/chat/completions", chat("x", tools=tools)).json()
        self.assertTrue(plain["choices"][0]["message"]["content"])

    def test_responses_in_both_forms(self):
        ask = {"model": "m", "input": "hello", "max_output_tokens": 20, "ignore_eos": True}
        a = self.sim.post("/v1/responses", ask).json()
        text = a["output"][0]["content"][0]["text"]
        self.assertTrue(text.startswith("This is a simulated"))
        self.assertEqual(a["status"], "incomplete")
        self.assertEqual(a["usage"]["output_tokens"], 20)
        events = [json.loads(e) for e in self.sim.post("/v1/responses", {**ask, "stream": True}).events()]
        self.assertEqual([e["sequence_number"] for e in events], list(range(len(events))))
        kinds = [e["type"] for e in events]
        self.assertEqual(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added",
                                     "response.content_part.added"])
        self.assertEqual(kinds[4:24], ["response.output_text.delta"] * 20)
        self.assertEqual(kinds[24:], ["response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.incomplete"])
        streamed = "".join(e["delta"] for e in events[4:24])
        self.assertEqual(streamed, events[24]["text"])
        self.assertEqual(streamed, events[-1]["response"]["output"][0]["content"][0]["text"])

    def test_messages_in_both_forms(self):
        ask = chat("hello", max_tokens=20, ignore_eos=True)
        a = self.sim.post("/v1/messages", ask).json()
        self.assertEqual((a["type"], a["role"], a["stop_reason"]), ("message", "assistant", "max_tokens"))
        self.assertTrue(a["content"][0]["text"].startswith("This is a simulated"))
        self.assertEqual(a["usage"]["output_tokens"], 20)
        events = [json.loads(e) for e in self.sim.post("/v1/messages", {**ask, "stream": True}).events()]
        kinds = [e["type"] for e in events]
        self.assertEqual(kinds, ["message_start", "content_block_start", "ping"] + ["content_block_delta"] * 20
                         + ["content_block_stop", "message_delta", "message_stop"])
        self.assertEqual(events[-2]["usage"]["output_tokens"], 20)
        tools = [{"name": "look", "input_schema": {}}]
        t = self.sim.post("/v1/messages", {**ask, "tools": tools, "tool_choice": {"type": "any"}}).json()
        self.assertEqual((t["content"][0]["name"], t["stop_reason"]), ("look", "tool_use"))

    def test_models_and_health(self):
        self.assertEqual(self.sim.get("/health").status, 200)
        self.assertEqual([m["id"] for m in self.sim.get("/v1/models").json()["data"]], ["sim"])

    def test_mistakes_get_the_dialect_of_errors(self):
        for body, status in (("{", 400), ("[]", 400), (json.dumps({"messages": []}), 400)):
            a = self.sim.post("/v1/chat/completions", body)
            self.assertEqual(a.status, status, a)
            self.assertEqual(set(a.json()["error"]), {"message", "type", "param", "code"})
        self.assertEqual(self.sim.post("/v1/nothing", "{}").status, 404)
        self.assertEqual(self.sim.request("DELETE", "/v1/models").status, 405)
        self.assertEqual(self.sim.post("/v1/messages", "{}").json()["type"], "error")
        self.assertIn(b" 400 ", self.sim.raw(b"\x16\x03\x01 nonsense\r\n\r\n").split(b"\r\n")[0])

    def test_one_connection_serves_many_requests(self):
        c = self.sim.connect()
        before = self.sim.calls()["connections"]["total"]
        for i in range(20):
            c.request("POST", "/v1/chat/completions", json.dumps(stream("hello", max_tokens=i + 1)))
            self.assertIn(b"[DONE]", c.getresponse().read())
        c.close()
        self.assertEqual(self.sim.calls()["connections"]["total"], before + 2)

    def test_requests_sent_ahead_are_answered_in_turn(self):
        body = json.dumps(chat("hello", max_tokens=3)).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%s\r\n"
        one = head % (len(body), b"") + body
        last = head % (len(body), b"Connection: close\r\n") + body
        self.assertEqual(self.sim.raw(one + one + last).count(b"HTTP/1.1 200 OK"), 3)

    def test_http_1_0_gets_no_chunks(self):
        body = json.dumps(stream("hello", max_tokens=3)).encode()
        got = self.sim.raw(b"POST /v1/chat/completions HTTP/1.0\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertNotIn(b"chunked", got)
        self.assertTrue(got.endswith(b"data: [DONE]\n\n"), got[-100:])


class Dialects(unittest.TestCase):
    def test_cerebras_puts_usage_on_the_finish_chunk(self):
        with Sim("--instant", "--api", "cerebras", "--model", "a", "--model", "b/c:d") as sim:
            a = sim.post("/v1/chat/completions", {**stream(max_tokens=4), "model": "a"})
            chunks = a.chunks()
            self.assertTrue(all(c["choices"] for c in chunks))
            self.assertTrue(chunks[-1]["choices"][0]["finish_reason"])
            self.assertIn("completion_tokens", chunks[-1]["usage"])
            self.assertIn("completion_time", chunks[-1]["time_info"])
            self.assertEqual(set(sim.post("/v1/chat/completions", chat("x", model="z")).json()),
                             {"message", "type", "param", "code"})
            self.assertEqual(sim.get("/v1/models/b%2Fc%3Ad").json()["id"], "b/c:d")
            self.assertEqual(sim.get("/v1/models/z").status, 404)

    def test_without_the_key_it_is_401(self):
        with Sim("--instant", "--key", "sesame-open") as sim:
            self.assertEqual(sim.post("/v1/chat/completions", chat("x")).status, 401)
            self.assertEqual(sim.get("/v1/models").status, 401)
            self.assertEqual(sim.get("/health").status, 200)
            bearer = {"Authorization": "Bearer sesame-open"}
            self.assertEqual(sim.post("/v1/chat/completions", chat("x"), bearer).status, 200)
            self.assertEqual(sim.post("/v1/messages", chat("x", max_tokens=1), {"x-api-key": "sesame-open"}).status,
                             200)
            wrong = {"Authorization": "Bearer sesame-opem"}
            self.assertEqual(sim.post("/v1/chat/completions", chat("x"), wrong).status, 401)

    def test_a_context_that_is_too_small_is_400(self):
        with Sim("--instant", "--model", "m=context=100") as sim:
            a = sim.post("/v1/chat/completions", chat("x" * 400))
            self.assertEqual((a.status, a.json()["error"]["code"]), (400, "context_length_exceeded"))
            b = sim.post("/v1/chat/completions", chat("x" * 200, ignore_eos=True))
            self.assertEqual(b.status, 200)
            self.assertLessEqual(b.json()["usage"]["total_tokens"], 100)

    def test_a_pool_of_a_portfolio_gives_models_and_speed(self):
        text = ("caudal: 1\nchips:\n  c: {points: [{model: big, per_user: 200 tok/s, batch: 8, "
                "throughput: 1600 tok/s, basis: assumed}]}\n"
                "pools:\n  p: {api: sim, url: http://127.0.0.1:1/v1, chip: c, serves: {big: {as: big-there}}}\n")
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            f.write(text)
            f.flush()
            with Sim("--portfolio", f.name, "--pool", "p") as sim:
                self.assertEqual([m["id"] for m in sim.get("/v1/models").json()["data"]], ["big-there"])
                a = sim.post("/v1/chat/completions", chat("x", model="big-there", max_tokens=2))
                self.assertEqual(a.status, 200, a)
            wrong = subprocess.run([CAUDAL, "sim", "--portfolio", f.name, "--pool", "q"], capture_output=True)
            self.assertEqual(wrong.returncode, 1)


class Speed(unittest.TestCase):
    def test_time_is_at_least_what_the_service_model_says(self):
        with Sim("--ttft", "60ms", "--prefill", "2000tok/s", "--per-token", "10ms",
                 "--step-per-sequence", "0us", "--prefix-cache", "0tok") as sim:
            c = sim.connect()
            began = time.monotonic()
            c.request("POST", "/v1/chat/completions",
                      json.dumps(stream("x" * 800, max_tokens=8, ignore_eos=True)))
            r = c.getresponse()
            line = r.readline()
            while b'"content":"This"' not in line:
                line = r.readline()
            first = time.monotonic() - began
            r.read()
            whole = time.monotonic() - began
            c.close()
            self.assertGreaterEqual(first, 0.060 + 200 / 2000 + 0.010 - 0.002)
            self.assertGreaterEqual(whole, 0.160 + 8 * 0.010 - 0.002)

    def test_a_slow_fault_slows(self):
        with Sim("--ttft", "1ms", "--per-token", "5ms", "--fault", "slow=4") as sim:
            began = time.monotonic()
            sim.post("/v1/chat/completions", chat("x", max_tokens=10, ignore_eos=True))
            self.assertGreaterEqual(time.monotonic() - began, 10 * 0.020 - 0.002)

    def test_what_has_no_slot_waits(self):
        with Sim("--ttft", "1ms", "--per-token", "20ms", "--slots", "1", "--step-per-sequence", "0us") as sim:
            async def one():
                return await ask(sim, stream(max_tokens=5, ignore_eos=True))

            async def both():
                return await asyncio.gather(one(), one())

            began = time.monotonic()
            asyncio.run(both())
            self.assertGreaterEqual(time.monotonic() - began, 2 * 5 * 0.020 - 0.002)

    def test_a_full_queue_is_503(self):
        with Sim("--queue", "1", "--ttft", "60s") as sim:
            with sim.socket() as s:
                body = json.dumps(chat("x")).encode()
                s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                          + body)
                until(lambda: sim.calls()["running"] == 1)
                a = sim.post("/v1/chat/completions", chat("x"))
                self.assertEqual((a.status, a.json()["error"]["code"]), (503, "server_is_overloaded"))
            until(lambda: sim.calls()["cancelled"] == 1)
            self.assertEqual(sim.calls()["running"], 0)

    def test_a_prefix_that_was_seen_is_cached(self):
        with Sim("--instant") as sim:
            def cached(text):
                usage = sim.post("/v1/chat/completions", chat(text)).json()["usage"]
                self.assertLess(usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_tokens"])
                return usage["prompt_tokens_details"]["cached_tokens"]
            long = "".join(f"line {i} of a long prompt. " for i in range(400))
            self.assertEqual(cached(long), 0)
            self.assertGreater(cached(long + " and more"), 2000)
            self.assertEqual(cached("another beginning " + long), 0)

    def test_two_thousand_streams_finish(self):
        raise_descriptors()
        with Sim("--ttft", "100us", "--per-token", "5ms", "--step-per-sequence", "20us", "--slots", "4096",
                 "--kv", "100Mtok") as sim:
            async def all_of_them():
                return await asyncio.gather(*[ask(sim, stream(f"hello {i}", max_tokens=10, ignore_eos=True))
                                              for i in range(2000)])
            for got in asyncio.run(all_of_them()):
                self.assertEqual(got.count(b'"content":"'), 1 + 10, got[:300])
                self.assertIn(b"data: [DONE]", got)
            calls = sim.calls()
            self.assertEqual((calls["started"], calls["finished"], calls["now"]), (2000, 2000, 0))
            self.assertEqual(calls["tokens"]["output"], 20000)
            self.assertGreater(calls["streams_most"], 500)


async def ask(sim, body):
    """One request whose connection closes after its answer: all bytes."""
    data = json.dumps(body).encode()
    for _ in range(20):  # the backlog may be full for a moment
        try:
            reader, writer = await asyncio.open_connection(sim.host, sim.port)
            break
        except ConnectionError:
            await asyncio.sleep(0.05)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n" % len(data) + data)
    got = await reader.read(-1)
    writer.close()
    return got


class Repeats(unittest.TestCase):
    def test_one_seed_gives_one_run(self):
        def run(seed):
            with Sim("--instant", "--seed", str(seed), "--fault", "503,p=0.4") as sim:
                return [(a.status, a.text() if a.status == 200 else "")
                        for a in (sim.post("/v1/chat/completions", chat(f"q {i}")) for i in range(30))]
        first = run(7)
        self.assertEqual(first, run(7))
        self.assertNotEqual(first, run(8))
        self.assertEqual({s for s, _ in first}, {200, 503})

    def test_lengths_have_the_mean_that_was_asked_for(self):
        with Sim("--instant", "--output", "50") as sim:
            c, lengths = sim.connect(), []
            for _ in range(600):
                c.request("POST", "/v1/chat/completions", json.dumps(chat("x")))
                lengths.append(json.loads(c.getresponse().read())["usage"]["completion_tokens"])
            c.close()
            mean = sum(lengths) / len(lengths)
            self.assertTrue(42 < mean < 58, mean)
            self.assertGreater(len(set(lengths)), 50)

    def test_reset_begins_again(self):
        with Sim("--instant") as sim:
            def texts():
                return [sim.post("/v1/chat/completions", chat("x", max_tokens=40)).text() for _ in range(5)]
            first = texts()
            sim.faults("500")
            self.assertEqual(sim.post("/sim/reset", "").status, 200)
            self.assertEqual(sim.calls()["total"], 0)
            self.assertEqual(texts(), first)


class Counts(unittest.TestCase):
    def test_calls_are_counted_and_the_last_are_kept_whole(self):
        with Sim("--instant") as sim:
            body = json.dumps(chat("hel\u00e9", model="one"))
            sim.post("/v1/chat/completions", body, {"X-Secret": "abc"})
            for i in range(3):
                sim.post("/v1/embeddings", {"model": "two", "input": "x"})
            sim.get("/v1/models")
            calls = sim.calls()
            self.assertEqual(calls["total"], 5)
            self.assertEqual(calls["by_path"], {"/v1/chat/completions": 1, "/v1/embeddings": 3, "/v1/models": 1})
            self.assertEqual(calls["by_model"], {"one": 1, "two": 3})
            self.assertEqual((calls["started"], calls["finished"], calls["faulted"]), (4, 4, 0))
            self.assertIn("X-Secret", calls["last"][0]["headers"])
            first = sim.last()["requests"][0]
            self.assertEqual(first["body"], body)
            self.assertIn(["X-Secret", "abc"], first["headers"])
            self.assertEqual((first["method"], first["path"], first["model"], first["status"]),
                             ("POST", "/v1/chat/completions", "one", 200))
            for i in range(50):
                sim.get(f"/v1/models?{i}")
            kept = sim.last()["requests"]
            self.assertEqual(len(kept), 32)
            self.assertEqual(kept[-1]["target"], "/v1/models?49")

    def test_a_client_that_goes_away_cancels(self):
        with Sim("--ttft", "1ms", "--per-token", "5ms", "--output", "=100000") as sim:
            c = sim.connect()
            c.request("POST", "/v1/chat/completions", json.dumps(stream()))
            c.getresponse().readline()
            self.assertEqual(sim.calls()["streams_now"], 1)
            c.sock.shutdown(socket.SHUT_RDWR)
            c.close()
            until(lambda: sim.calls()["cancelled"] == 1)
            calls = sim.calls()
            self.assertEqual((calls["streams_now"], calls["now"], calls["running"]), (0, 0, 0))

    def test_a_client_that_does_not_read_costs_no_memory(self):
        def resident(sim):
            with open(f"/proc/{sim.process.pid}/statm") as f:
                return int(f.read().split()[1]) * resource.getpagesize()
        with Sim("--instant", "--output", "=300000") as sim:
            sim.post("/v1/chat/completions", stream(max_tokens=1000))
            before = resident(sim)
            body = json.dumps(stream()).encode()
            with sim.socket() as s:
                s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          b"Content-Length: %d\r\n\r\n" % len(body) + body)
                until(lambda: sim.calls()["streams_now"] == 1)
                for _ in range(20):
                    sim.calls()
                self.assertLess(resident(sim) - before, 8 << 20)
                tokens, last = 0, b""
                while True:  # and now it reads after all
                    piece = s.recv(1 << 20)
                    if not piece:
                        break
                    tokens += (last[-20:] + piece).count(b'"content":"') - last[-20:].count(b'"content":"')
                    last = piece
                self.assertEqual(tokens, 1 + 300000)
            self.assertEqual(sim.calls()["finished"], 2)


class Faults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant", "--output", "=10")

    @classmethod
    def tearDownClass(cls):
        cls.sim.__exit__()

    def setUp(self):
        self.sim.post("/sim/reset", "")

    def ask(self, body=None):
        return self.sim.post("/v1/chat/completions", body or chat("hello"))

    def partial(self, body):
        """What comes until the answer hangs or ends: (bytes, ended)."""
        data = json.dumps(body).encode()
        with self.sim.socket() as s:
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
                      + data)
            got = b""
            s.settimeout(0.3)  # how long "nothing more comes" is looked at
            try:
                while True:
                    piece = s.recv(65536)
                    if not piece:
                        return got, True
                    got += piece
            except socket.timeout:
                return got, False
            except ConnectionResetError:
                return got, True

    def test_statuses(self):
        for spec, status, code in (("429", 429, "rate_limit_exceeded"), ("500", 500, "server_error"),
                                   ("503", 503, "server_is_overloaded"), ("status=529", 529, "server_is_overloaded"),
                                   ("context-length", 400, "context_length_exceeded"),
                                   ("content-filter", 400, "content_filter"), ("quota", 429, "insufficient_quota"),
                                   ("401", 401, "invalid_api_key"), ("500,code=mine", 500, "mine")):
            self.sim.faults(spec)
            a = self.ask()
            self.assertEqual((a.status, a.json()["error"]["code"]), (status, code), spec)
            self.assertNotIn("retry-after", a.headers)
        self.assertEqual(self.sim.calls()["faulted"], 9)

    def test_retry_after(self):
        self.sim.faults("429:retry-after=2s")
        self.assertEqual(self.ask().headers["retry-after"], "2")
        self.sim.faults("429,retry-after=250ms")
        a = self.ask()
        self.assertEqual((a.headers["retry-after"], a.headers["retry-after-ms"]), ("1", "250"))

    def test_count_model_and_share(self):
        self.sim.faults("503,count=2")
        self.assertEqual([self.ask().status for _ in range(3)], [503, 503, 200])
        self.sim.faults("503,model=other")
        self.assertEqual(self.ask().status, 200)
        self.assertEqual(self.ask(chat("x", model="other")).status, 503)
        self.sim.faults("503,p=0.5")
        seen = [self.ask().status for _ in range(60)]
        self.assertTrue(10 < seen.count(503) < 50, seen)

    def test_admin_calls(self):
        self.sim.faults("503", "no-done")
        shown = self.sim.get("/sim/faults").json()["faults"]
        self.assertEqual([(f["spec"], f["active"]) for f in shown], [("503", True), ("no-done", True)])
        wrong = self.sim.post("/sim/faults", "503\nnonsense")
        self.assertEqual(wrong.status, 400)
        self.assertIn("nonsense", wrong.json()["error"]["message"])
        self.assertEqual(len(self.sim.get("/sim/faults").json()["faults"]), 2)
        self.sim.faults()
        self.assertEqual(self.ask().status, 200)

    def test_refuse_drops_everything_but_the_admin_pages(self):
        self.sim.faults("refuse")
        for path in ("/v1/chat/completions", "/v1/models", "/health"):
            with self.assertRaises((http.client.RemoteDisconnected, ConnectionError)):
                self.sim.request("POST" if "chat" in path else "GET", path, chat("x") if "chat" in path else None)
        self.assertEqual(self.sim.calls()["faulted"], 1)
        self.sim.faults()
        self.assertEqual(self.ask().status, 200)

    def test_stall_before(self):
        self.sim.faults("stall-before")
        self.assertEqual(self.partial(stream()), (b"", False))
        self.assertEqual(self.partial(chat("x")), (b"", False))
        until(lambda: self.sim.calls()["now"] == 0)
        self.assertEqual(self.sim.calls()["faulted"], 2)

    def test_stall_after_tokens(self):
        self.sim.faults("stall-after=5")
        got, ended = self.partial(stream())
        self.assertEqual((got.count(b'"content":"') - 1, ended), (5, False))
        got, ended = self.partial(chat("x"))
        self.assertTrue(b"Content-Length" in got and not got.endswith(b"}") and not ended)

    def test_cut_after_tokens(self):
        self.sim.faults("cut-after=5")
        got, ended = self.partial(stream())
        self.assertEqual((got.count(b'"content":"') - 1, ended), (5, True))
        self.assertFalse(got.endswith(b"0\r\n\r\n"))
        with self.assertRaises(http.client.IncompleteRead):
            self.ask(stream())
        with self.assertRaises(http.client.IncompleteRead):
            self.ask()
        self.sim.faults("cut-after=500")  # before the end, if the answer is shorter
        got, ended = self.partial(stream())
        self.assertEqual((got.count(b'"content":"') - 1, ended), (10, True))
        self.assertNotIn(b"finish_reason\":\"", got)

    def test_garbage(self):
        self.sim.faults("garbage")
        with self.assertRaises(http.client.BadStatusLine):
            self.ask()

    def test_garbage_event(self):
        self.sim.faults("garbage-event,after=3")
        a = self.ask(stream())
        bad = []
        for i, e in enumerate(a.events()[:-1]):
            try:
                json.loads(e)
            except ValueError:
                bad.append(i)
        self.assertEqual(bad, [4])
        self.assertEqual(a.events()[-1], "[DONE]")
        with self.assertRaises(ValueError):
            self.ask().json()

    def test_error_event(self):
        self.sim.faults("error-event=server_is_overloaded,after=2")
        a = self.ask(stream())
        self.assertEqual(a.chunks()[-1]["error"]["code"], "server_is_overloaded")
        self.assertEqual(len(a.events()), 1 + 2 + 1)
        whole = self.ask()
        self.assertEqual((whole.status, whole.json()["error"]["code"]), (200, "server_is_overloaded"))
        m = self.sim.post("/v1/messages", {**stream(), "max_tokens": 5})
        self.assertEqual(json.loads(m.events()[-1])["type"], "error")

    def test_role_then_nothing(self):
        self.sim.faults("role-then-nothing")
        got, ended = self.partial(stream())
        self.assertEqual((got.count(b"data: "), got.count(b'"role"'), ended), (1, 1, False))

    def test_empty(self):
        self.sim.faults("empty")
        self.assertEqual((self.ask().status, self.ask().body), (200, b""))
        a = self.ask(stream())
        self.assertEqual((a.status, a.body), (200, b""))

    def test_no_done_and_no_usage(self):
        self.sim.faults("no-done")
        a = self.ask(stream())
        self.assertTrue(a.chunks()[-1]["choices"][0]["finish_reason"])
        self.assertNotIn("[DONE]", a.events())
        self.sim.faults("no-usage")
        self.assertNotIn("usage", self.ask().json())
        a = self.ask(stream(stream_options={"include_usage": True}))
        self.assertTrue(all("usage" not in c for c in a.chunks()))
        self.assertEqual(a.events()[-1], "[DONE]")
        self.assertEqual(self.sim.calls()["faulted"], 0)

    def test_bad_length(self):
        self.sim.faults("bad-length")
        with self.assertRaises(http.client.IncompleteRead):
            self.ask()
        with self.assertRaises(http.client.IncompleteRead):
            self.ask(stream())

    def test_drip_and_delay(self):
        self.sim.faults("drip=50bytes/1ms")
        began = time.monotonic()
        a = self.ask(stream())
        self.assertEqual(a.events()[-1], "[DONE]")
        self.assertGreaterEqual(time.monotonic() - began, len(a.body) / 50 * 0.001 * 0.9)
        self.sim.faults("delay=100ms")
        began = time.monotonic()
        self.assertEqual(self.ask().status, 200)
        self.assertGreaterEqual(time.monotonic() - began, 0.099)

    def test_a_schedule_comes_and_goes(self):
        with tempfile.NamedTemporaryFile("w") as f:
            f.write("# at lasts what\n0s 400ms 503\n")
            f.flush()
            with Sim("--instant", "--schedule", f.name) as sim:
                began = time.monotonic()
                if sim.post("/v1/chat/completions", chat("x")).status == 200:
                    self.assertGreater(time.monotonic() - began, 0.2)  # a very slow machine
                until(lambda: sim.post("/v1/chat/completions", chat("x")).status == 200)


class Pace(unittest.TestCase):
    def test_chunks_of_a_size_at_a_pace(self):
        with Sim("--pace", "5ms", "--chunks", "20", "--chunk-bytes", "100") as sim:
            began = time.monotonic()
            a = sim.post("/v1/chat/completions", stream())
            self.assertGreaterEqual(time.monotonic() - began, 20 * 0.005 - 0.002)
            pieces = [c["choices"][0]["delta"].get("content") for c in a.chunks()]
            self.assertEqual([len(p) for p in pieces if p], [100] * 20)


class CommandLine(unittest.TestCase):
    def run_it(self, *args):
        return subprocess.run([CAUDAL, "sim", *args], capture_output=True, text=True, timeout=20)

    def test_help_and_wrong_usage(self):
        r = self.run_it("--help")
        self.assertEqual(r.returncode, 0)
        for word in ("--instant", "stall-after=N", "/sim/faults", "refuse"):
            self.assertIn(word, r.stdout)
        for args in (["--nonsense"], ["--slots"], ["--slots", "0"], ["--ttft", "5"], ["--fault", "nonsense"],
                     ["--listen", "x:y"], ["--threads", "2"], ["--api", "azure"], ["stray"], ["--pool", "p"],
                     ["--model", "m=speed=5"], ["--model", ""], ["--output", "=0"]):
            r = self.run_it(*args)
            self.assertEqual(r.returncode, 2, (args, r))
            self.assertIn("--help", r.stderr)

    def test_a_port_that_is_taken_is_said(self):
        with Sim("--instant") as sim:
            r = self.run_it("--listen", f"127.0.0.1:{sim.port}")
            self.assertEqual(r.returncode, 1, r)
            self.assertIn(str(sim.port), r.stderr)

    def test_the_port_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "port")
            with Sim("--instant", "--port-file", path) as sim:
                with open(path) as f:
                    self.assertEqual(int(f.read()), sim.port)

    def test_it_ends_well_when_asked(self):
        sim = Sim("--ttft", "1ms", "--output", "=100000")
        with sim.socket() as s:
            body = json.dumps(stream()).encode()
            s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
                      + body)
            s.recv(100)
            self.assertEqual(sim.stop(), 0)
        self.assertEqual(sim.stderr(), "")


if __name__ == "__main__":
    main()
