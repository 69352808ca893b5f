"""Starting, stopping, engines of its own, and what an operator sees: log and metrics."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import (CAUDAL, Gateway, PATIENCE_S, Recorder, Sim, Stream, Wire, chat, json_answer, main, portfolio, raw_request,
                     stream_answer, until)

CHAT = "/v1/chat/completions"


def stream(text="hello", **more):
    return chat(text, stream=True, **more)


def alive(pid):
    """Is there such a process, and has it not ended?"""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def refused(process):
    try:
        process.socket(1).close()
    except OSError:
        return True
    return False


def ends(process, within=10):
    return process.process.wait(within)


class Draining(unittest.TestCase):
    def slow(self, serve="", output=40):
        sim = Sim("--pace", "20ms", "--output", f"={output}")
        self.addCleanup(sim.__exit__)
        gw = Gateway(portfolio(sim, serve=serve))
        self.addCleanup(gw.__exit__)
        return sim, gw

    def test_what_runs_is_finished_and_nothing_new_is_taken(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            sim, gw = self.slow()
            with Stream(gw, stream()) as running, Wire(gw) as idle, Wire(gw) as half, \
                    Wire(gw, raw_request("POST", CHAT, chat("whole"))) as whole:
                body = json.dumps(chat("half")).encode()
                half.send(raw_request("POST", CHAT, headers={"Content-Length": len(body)}) + body[:10])
                until(lambda: gw.metric("caudal_requests_in_progress") == 3)
                running.content(1)
                gw.process.send_signal(number)
                until(lambda: refused(gw))
                self.assertEqual(idle.rest(), b"")
                half.send(body[10:])
                a = half.answer()
                self.assertEqual((a.status, a.headers["connection"]), (200, "close"))
                self.assertEqual(whole.answer().status, 200)
                self.assertEqual(whole.rest(), b"")
                self.assertEqual(running.events()[-1], "data: [DONE]")
                self.assertEqual(running.rest(), b"")
            self.assertEqual(ends(gw), 0)
            self.assertEqual(sim.calls()["finished"], 3)
            self.assertEqual(sim.calls()["cancelled"], 0)

    def test_what_waits_for_a_pool_is_finished_too(self):
        with Sim("--pace", "10ms", "--output", "=20") as sim, Gateway(portfolio(sim, limits="{in_flight: 1}")) as gw:
            asked = [Wire(gw, raw_request("POST", CHAT, chat("x"))) for _ in range(3)]
            until(lambda: gw.metric("caudal_waiting") == 2)
            gw.process.terminate()
            self.assertEqual([w.answer().status for w in asked], [200] * 3)
            self.assertEqual(ends(gw), 0)
            for w in asked:
                w.close()

    def test_without_work_it_ends_at_once(self):
        sim, gw = self.slow()
        gw.post(CHAT, chat("x", max_tokens=1))
        began = time.monotonic()
        gw.process.terminate()
        self.assertEqual(ends(gw), 0)
        self.assertLess(time.monotonic() - began, 3)

    def test_a_supplier_that_has_not_ended_its_answer_does_not_hold_the_end_up(self):
        ended = threading.Event()

        def answer(_):  # the last chunk is missing
            whole = stream_answer({"model": "m", "choices": [{"index": 0, "delta": {"content": "a"},
                                                              "finish_reason": "stop"}]}, b"[DONE]")
            yield whole.removesuffix(b"0\r\n\r\n")
            ended.wait(PATIENCE_S)

        with Recorder(answer) as there:
            gw = Gateway(portfolio(there))
            self.addCleanup(gw.__exit__)
            with Stream(gw, stream()) as s:
                self.assertEqual(s.events()[-1], "data: [DONE]")
            gw.process.terminate()
            self.assertEqual(ends(gw), 0)
            ended.set()

    def test_a_second_signal_stops_at_once(self):
        sim, gw = self.slow(output=100000)
        with Stream(gw, stream()) as s:
            s.content(1)
            gw.process.terminate()
            until(lambda: refused(gw))
            s.content(1)  # it drains
            began = time.monotonic()
            gw.process.terminate()
            self.assertEqual(ends(gw), 0)
            self.assertLess(time.monotonic() - began, 3)
            self.assertNotIn("data: [DONE]", s.events())
        until(lambda: sim.calls()["cancelled"] == 1)

    def test_draining_has_a_limit(self):
        sim, gw = self.slow("drain: 300 ms", output=100000)
        with Stream(gw, stream()) as s:
            s.content(1)
            began = time.monotonic()
            gw.process.terminate()
            self.assertEqual(ends(gw), 0)
            self.assertTrue(0.29 < time.monotonic() - began < 4)
            self.assertNotIn("data: [DONE]", s.events())

    def test_a_client_that_never_ends_its_request_does_not_hold_the_end_up(self):
        sim, gw = self.slow("drain: 300 ms")
        with Wire(gw, b"GET /healthz HT"), Wire(gw, raw_request("POST", CHAT, headers={"Content-Length": 10})):
            until(lambda: gw.metric("caudal_clients") == 3)
            gw.process.terminate()
            self.assertEqual(ends(gw), 0)


class Starting(unittest.TestCase):
    def serve(self, text, *args, env=None):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "portfolio.yaml")
            with open(path, "w") as f:
                f.write(text)
            r = subprocess.run([CAUDAL, "serve", path, "--listen", "127.0.0.1:0", *args], capture_output=True, text=True,
                               timeout=20, cwd=folder, env={**os.environ, **(env or {})})
            return r, path, sorted(os.listdir(folder))

    GOOD = "caudal: 1\npools: {a: {api: openai, url: 'http://127.0.0.1:9/v1', key: k, serves: [m]}}\n"

    def test_a_second_one_on_the_same_port_says_so(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
            engine = 'suppliers: {here: {run: [touch, started, "${PORT}"]}}\n'
            r, _, files = self.serve(self.GOOD + engine, "--listen", f"127.0.0.1:{gw.port}", "--log-level", "error")
            self.assertEqual((r.returncode, r.stdout), (1, ""), r)
            self.assertIn(str(gw.port), r.stderr)
            self.assertIn("in use", r.stderr)
            self.assertEqual(len(r.stderr.strip().splitlines()), 1, r.stderr)
            self.assertEqual(files, ["portfolio.yaml"])  # no engine either
            self.assertEqual(gw.post(CHAT, chat("x")).status, 200)

    def test_another_programs_port_is_said_as_well(self):
        with socket.create_server(("127.0.0.1", 0)) as s:
            r, _, _ = self.serve(self.GOOD, "--listen", f"127.0.0.1:{s.getsockname()[1]}")
            self.assertEqual(r.returncode, 1)
            self.assertIn("in use", r.stderr)

    def test_a_wrong_portfolio_is_told_with_its_places_and_nothing_is_started(self):
        text = ("caudal: 1\nsuppliers: {here: {run: [touch, started, '${PORT}']}}\n"
                "pools:\n  a: {api: openai, url: 'http://127.0.0.1:9/v1', serves: [m], enable: 3}\n"
                "  b: {supplier: her, serves: [m]}\n  c: {supplier: here, serves: [m], limits: {in_flight: -1}}\n")
        r, path, files = self.serve(text)
        self.assertEqual((r.returncode, r.stdout), (1, ""))
        for place in (":4:", ":5:", ":6:"):
            self.assertRegex(r.stderr, re.escape(path + place) + r"\d+: ")
        self.assertIn('did you mean "enabled"?', r.stderr)
        self.assertIn('did you mean "here"?', r.stderr)
        self.assertEqual(files, ["portfolio.yaml"])

    def test_text_that_is_no_portfolio_is_told(self):
        for text in ("", "caudal: 2\npools: {}\n", "caudal: 1\n", "[", "\0", "caudal: 1\npools: {a: *b}\n", "{" * 1000):
            r, path, _ = self.serve(text)
            self.assertEqual((r.returncode, r.stdout), (1, ""), (text[:20], r))
            self.assertIn(path, r.stderr)
        r = subprocess.run([CAUDAL, "serve", "/nonexistent.yaml"], capture_output=True, text=True, timeout=20)
        self.assertEqual(r.returncode, 1)
        self.assertIn("/nonexistent.yaml", r.stderr)

    def test_wrong_usage_exits_with_2_and_a_hint(self):
        for args in ([], ["--nonsense", "x.yaml"], ["x.yaml", "--listen"], ["x.yaml", "--threads", "-1"],
                     ["x.yaml", "--listen", "nowhere"], ["x.yaml", "--log-level", "loud"]):
            r = subprocess.run([CAUDAL, "serve", *args], capture_output=True, text=True, timeout=20)
            self.assertEqual((r.returncode, r.stdout), (2, ""), (args, r))
            self.assertIn("--help", r.stderr)

    def test_without_keys_only_loopback_can_be_listened_on(self):
        for where in ("0.0.0.0:0", "[::]:0"):
            r, _, _ = self.serve(self.GOOD, "--listen", where)
            self.assertEqual((r.returncode, r.stdout), (1, ""), r)
            self.assertIn("keys", r.stderr)

    def test_an_engine_that_is_not_there_is_one_clear_line(self):
        text = "caudal: 1\npools: {here: {run: [no-such-engine-program, '${PORT}'], serves: [m]}}\n"
        r, _, _ = self.serve(text)
        self.assertEqual((r.returncode, r.stdout), (1, ""), r)
        self.assertIn("no-such-engine-program", r.stderr)
        self.assertEqual(len([x for x in r.stderr.splitlines() if " warn " not in x]), 1, r.stderr)

    def test_a_certificate_that_is_not_there_is_one_clear_line(self):
        text = ("caudal: 1\npools: {a: {api: openai, url: 'https://127.0.0.1:9/v1', key: k, ca_file: /no/such.pem, "
                "serves: [m]}}\n")
        r, _, _ = self.serve(text)
        self.assertEqual((r.returncode, r.stdout), (1, ""), r)
        self.assertIn("/no/such.pem", r.stderr)

    def test_a_variable_that_is_not_set_is_told(self):
        r, path, _ = self.serve(self.GOOD.replace("key: k", 'key: "${NO_SUCH_VARIABLE}"'))
        self.assertEqual(r.returncode, 1)
        self.assertRegex(r.stderr, re.escape(path) + r":2:\d+: .*NO_SUCH_VARIABLE")


class Engines(unittest.TestCase):
    """Engines that are simulators, started by the gateway."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def gateway(self, *names, sim="--instant", serve=""):
        text = f"caudal: 1\nserve: {{state: {self.folder}{serve and ', ' + serve}}}\npools:\n"
        for name in names:
            args = ", ".join(json.dumps(a) for a in [CAUDAL, "sim", "--listen", "127.0.0.1:${PORT}", *sim.split()])
            text += f"  {name}: {{api: llama.cpp, run: [{args}], serves: [m]}}\n"
        gw = Gateway(text + "tenants: {everyone: {expose: [decision]}}\n", "--log-format", "json")
        self.addCleanup(gw.__exit__)
        return gw

    def states(self, gw):
        """[(name, state, pid)] as logged."""
        lines = [json.loads(x) for x in gw.stderr().splitlines() if x.endswith("}")]
        return [(x["supplier"], x["state"], x["pid"]) for x in lines if x["event"] == "engine"]

    def ready(self, gw, name, times=1):
        """The process of the engine when it is ready for the n-th time."""
        found = lambda: [pid for n, state, pid in self.states(gw) if (n, state) == (name, "ready")]
        return until(lambda: len(found()) >= times and found()[times - 1])

    def test_an_engine_becomes_ready_and_answers(self):
        gw = self.gateway("here")
        pid = self.ready(gw, "here")
        self.assertTrue(alive(pid))
        until(lambda: gw.get("/readyz").status == 200)
        for streamed in (True, False):
            a = gw.post(CHAT, chat("x", stream=streamed))
            self.assertEqual(a.status, 200, a)
            self.assertIn("pool=here;", a.headers["x-caudal-decision"])
        with open(os.path.join(self.folder, "here.log")) as f:
            self.assertIn("listening on", f.read())
        gw.process.terminate()
        self.assertEqual(ends(gw), 0)
        self.assertFalse(alive(pid))

    def test_until_then_it_is_not_ready(self):
        text = "caudal: 1\npools: {here: {api: llama.cpp, run: [sh, -c, 'exec sleep 1000', '${PORT}'], serves: [m]}}\n"
        with Gateway(text) as gw:
            self.assertEqual(gw.get("/readyz").status, 503)
            self.assertEqual(gw.get("/healthz").status, 200)
            self.assertEqual(gw.metric("caudal_pool_ready", pool="here"), 0)
            began = time.monotonic()
            a = gw.post(CHAT, chat("x"), {"x-stainless-timeout": "2"})
            self.assertEqual(a.status, 503, a)
            self.assertIn("retry-after", a.headers)
            self.assertLess(time.monotonic() - began, 5)

    def test_one_that_is_killed_leaves_the_others_answering_and_comes_back(self):
        gw = self.gateway("one", "two")
        first = self.ready(gw, "one")
        self.ready(gw, "two")
        until(lambda: gw.metric("caudal_pool_ready") == 2)
        os.kill(first, signal.SIGKILL)
        for i in range(30):
            a = gw.post(CHAT, chat("x", stream=i % 2 == 0))
            self.assertEqual(a.status, 200, a)
        second = self.ready(gw, "one", 2)
        self.assertNotEqual(first, second)
        until(lambda: gw.metric("caudal_pool_ready") == 2)
        os.kill(self.ready(gw, "two"), signal.SIGKILL)
        a = gw.post(CHAT, chat("x"))
        self.assertEqual(a.status, 200)
        self.assertIn("pool=one;", a.headers["x-caudal-decision"])

    def test_streams_of_a_killed_engine_end_with_an_error_and_the_others_go_on(self):
        gw = self.gateway("one", "two", sim="--pace 10ms --output =60", serve="policy: round-robin")
        victim = self.ready(gw, "one")
        self.ready(gw, "two")
        until(lambda: gw.metric("caudal_pool_ready") == 2)
        streams = [Stream(gw, stream()) for _ in range(10)]
        for s in streams:
            s.content(1)
        os.kill(victim, signal.SIGKILL)
        ended = [s.events()[-1] for s in streams]
        whole = ended.count("data: [DONE]")
        self.assertTrue(0 < whole < 10, ended)
        self.assertEqual(len([e for e in ended if '"error"' in e]), 10 - whole)
        for s in streams:
            s.close()

    def test_a_gateway_that_is_killed_leaves_no_engine_behind(self):
        gw = self.gateway("one", "two")
        pids = [self.ready(gw, "one"), self.ready(gw, "two")]
        gw.process.kill()
        ends(gw)
        until(lambda: not any(alive(p) for p in pids))

    def test_an_engine_lives_until_the_streams_have_ended(self):
        gw = self.gateway("here", sim="--pace 10ms --output =40")
        pid = self.ready(gw, "here")
        until(lambda: gw.get("/readyz").status == 200)
        with Stream(gw, stream()) as s:
            s.content(1)
            gw.process.terminate()
            self.assertEqual(s.events()[-1], "data: [DONE]")
        self.assertEqual(ends(gw), 0)
        self.assertFalse(alive(pid))

    def test_an_engine_that_ends_at_once_is_tried_again_and_the_gateway_lives(self):
        text = f"caudal: 1\nserve: {{state: {self.folder}}}\npools: {{here: {{run: ['false', '${{PORT}}'], serves: [m]}}}}\n"
        with Gateway(text, "--log-format", "json") as gw:
            until(lambda: len([1 for _, state, _ in self.states(gw) if state == "failed"]) >= 2)
            self.assertEqual(gw.get("/healthz").status, 200)


class Log(unittest.TestCase):
    """A line for each request; never a secret, never what was said."""

    def planted(self, *options):
        """What a gateway has said at level debug after all kinds of requests that hold the word PLANTED."""
        def answer(r):
            said = r["body"].decode("latin-1")
            if "fail-400" in said:
                return json_answer({"error": {"message": "PLANTED: " + said, "type": "PLANTED", "code": "said_no",
                                              "param": "PLANTED"}}, 400)
            if "fail-500" in said:
                return json_answer(b"PLANTED " + r["body"], 500)
            if "fail-event" in said:
                return (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 46\r\n\r\n"
                        b"data: {\"error\":{\"message\":\"PLANTED\", \"x\":1}}\n\n")
            if "garbage" in said:
                return b"PLANTED garbage\r\n\r\n"
            if r["target"].startswith("/v1/files"):
                return json_answer(b'{"x":"PLANTED"}')
            if '"stream": true' in said:
                return stream_answer({"choices": [{"index": 0, "delta": {"content": "PLANTED"}}]}, b"[DONE]")
            return json_answer({"model": "m", "choices": [{"index": 0, "message": {"content": "PLANTED"}}]})

        key = "PLANTED-client-key"
        digest = hashlib.sha256(key.encode()).hexdigest()
        with Recorder(answer) as there:
            text = f"""
caudal: 1
serve: {{log: {{level: debug}}}}
suppliers: {{files: {{url: "{there.url}", key: PLANTED-supplier-key}}}}
pools: {{a: {{api: openai, url: "{there.url}", key: "${{PLANTED_KEY}}", serves: [m]}}}}
tenants: {{t: {{keys: ["sha256:{digest}"], passthrough: files}}}}
"""
            with Gateway(text, *options, env={"PLANTED_KEY": "PLANTED-env-key"}) as gw:
                bearer = {"Authorization": f"Bearer {key}", "x-client-request-id": "PLANTED"}
                asked = 0
                for said in ("PLANTED", "PLANTED fail-400", "PLANTED fail-500", "PLANTED fail-event", "PLANTED garbage"):
                    for streamed in (True, False):
                        gw.post(CHAT, chat(said, stream=streamed), bearer)
                        asked += 1
                for body in ('{"PLANTED', '{"model":"m","PLANTED":1,"PLANTED":2,"stream":"PLANTED"}',
                             {"model": "m", "messages": "PLANTED"}, chat("PLANTED", max_tokens="PLANTED")):
                    self.assertEqual(gw.post(CHAT, body, bearer).status, 400)
                    asked += 1
                self.assertEqual(gw.post(CHAT, chat("x"), {**bearer, "x-caudal-class": "PLANTED"}).status, 400)
                asked += 1
                gw.get("/v1/files/PLANTED?key=PLANTED", bearer)
                gw.get("/v1/models/PLANTED", bearer)
                gw.get("/PLANTED", bearer)
                gw.get("/v1/models", {"Authorization": "Bearer PLANTED-wrong"})
                gw.raw(b"PLANTED nonsense\r\n\r\n")
                with Wire(gw, raw_request("POST", CHAT, headers={**bearer, "Content-Length": 100}) + b"PLANTED"):
                    until(lambda: gw.metric("caudal_requests_in_progress") == 1)
                asked += 1
                until(lambda: gw.metric("caudal_requests_in_progress") == 0)
                page = gw.get("/metrics", bearer).body.decode()
                gw.stop()
                said = gw.stderr()
                self.assertIn("PLANTED", json.dumps([r["body"].decode("latin-1") for r in there.requests]))
                return said, page, gw.first_line, asked

    def test_nothing_that_was_planted_is_in_it(self):
        for options in ((), ("--log-format", "json")):
            said, page, first, _ = self.planted(*options)
            self.assertGreater(len(said.splitlines()), 15)
            self.assertEqual([x for x in said.splitlines() if "PLANTED" in x], [])
            self.assertNotIn("PLANTED", page)
            self.assertNotIn("PLANTED", first)

    def test_json_lines_are_json_and_each_request_has_one(self):
        said, _, _, asked = self.planted("--log-format", "json")
        lines = [json.loads(x) for x in said.splitlines()]
        for x in lines:
            self.assertRegex(x["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(x["level"], ("error", "warn", "info", "debug"))
            self.assertTrue(x["event"])
        requests = [x for x in lines if x["event"] == "request"]
        self.assertEqual(len(requests), asked)
        self.assertEqual(len({x["id"] for x in requests}), asked)
        good = [x for x in requests if x["status"] == 200]
        self.assertEqual(len(good), 2)
        for x in good:
            self.assertEqual((x["tenant"], x["model"], x["pool"], x["attempts"]), ("t", "m", "a", 1))
            self.assertGreaterEqual(x["total_us"], x["ttft_us"])

    def test_a_supplier_that_refuses_our_key_or_our_money_is_warned_of_once(self):
        for fault, said in (("401", "denied"), ("quota", "spent")):
            with Sim("--instant", "--fault", fault) as a, Sim("--instant") as b:
                prices = portfolio(a, b).replace("price: {input: 1 USD/Mtok", "price: {input: 0 USD/Mtok", 1)
                with Gateway(prices, "--log-format", "json") as gw:
                    for _ in range(20):
                        self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
                    gw.stop()
                    lines = [json.loads(x) for x in gw.stderr().splitlines()]
                    warned = [x for x in lines if x["event"] == "supplier"]
                    self.assertEqual(len(warned), 1, lines)
                    self.assertEqual((warned[0]["level"], warned[0]["supplier"], warned[0]["fault"]), ("warn", "a", said))
                    self.assertGreater(warned[0]["left_alone_s"], 0)

    def test_the_level_is_kept(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim), "--log-level", "error") as gw:
            gw.post(CHAT, chat("x"))
            gw.stop()
            self.assertEqual(gw.stderr(), "")

    def test_a_text_line_has_its_fields(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
            a = gw.post(CHAT, chat("x", max_tokens=3))
            gw.stop()
            line = [x for x in gw.stderr().splitlines() if " request " in x][0]
            self.assertRegex(line, r"^\S+Z info  request id=" + a.headers["x-request-id"] + " ")
            for field in ("pool=a", "status=200", "output_tok=3", "attempts=1"):
                self.assertIn(" " + field, line)


SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
                    r'([+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf|NaN))')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')


def parsed(page):
    """{family: (type, {(name, labels): value})}; an AssertionError where the text format is not kept."""
    assert page.endswith("\n")
    families, helped, current, seen = {}, set(), None, set()
    for line in page[:-1].split("\n"):
        if line.startswith("# HELP "):
            _, _, name, text = line.split(" ", 3)
            assert name not in helped, f"{name} has two HELP lines"
            assert text and "\\" not in text.replace("\\\\", "").replace("\\n", "")
            helped.add(name)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped and name not in families, name
            assert kind in ("counter", "gauge", "histogram"), kind
            families[name] = (kind, {})
            current = name
        else:
            m = SAMPLE.fullmatch(line)
            assert m, f"not a sample: {line!r}"
            name, text, value = m.groups()
            pairs = LABEL.findall(text or "")
            assert ",".join(f'{k}="{v}"' for k, v in pairs) == (text or ""), line
            assert len({k for k, _ in pairs}) == len(pairs), line
            family = re.sub(r"_(bucket|sum|count)$", "", name) if families[current][0] == "histogram" else name
            assert family == current, f"{line!r} stands under {current}"
            sample = (name, tuple(sorted(pairs)))
            assert sample not in seen, f"twice: {line!r}"
            seen.add(sample)
            if families[current][0] == "counter":
                assert name.endswith("_total") and float(value) >= 0, line
            families[current][1][sample] = float(value)
    for name, (kind, samples) in families.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        rest = tuple(x for x in labels if x[0] != "le")
        one = series.setdefault(rest, {"buckets": []})
        if sample == name + "_bucket":
            one["buckets"].append((float(dict(labels)["le"]), value))
        else:
            one[sample[len(name):]] = value
    for labels, one in series.items():
        bounds = [b for b, _ in one["buckets"]]
        counts = [c for _, c in one["buckets"]]
        assert bounds == sorted(bounds) and bounds[-1] == float("inf"), (name, labels)
        assert counts == sorted(counts) and counts[-1] == one["_count"], (name, labels)
        assert one["_sum"] >= 0


def total(families, family, name=None, **labels):
    return sum(v for (n, found), v in families[family][1].items()
               if n == (name or family) and all(dict(found).get(k) == x for k, x in labels.items()))


class Metrics(unittest.TestCase):
    def test_the_page_is_the_text_format_and_its_numbers_add_up(self):
        names = ["a", "b\\\"\u00e9"]
        with Sim("--instant", "--output", "=5") as a, Sim("--instant", "--output", "=5") as b:
            text = f"""
caudal: 1
serve: {{default_class: chat, breaker: {{failures: 1000}}}}
classes: {{chat: {{ttft: 400 ms}}, batch: {{deadline: 1 h}}}}
pools:
  {json.dumps(names[0])}: {{url: "{a.url}", key: k, serves: {{m: {{price: {{input: 1 USD/Mtok, output: 2 USD/Mtok}}}}}}}}
  {json.dumps(names[1])}: {{url: "{b.url}", key: k, serves: {{m: {{price: {{input: 3 USD/Mtok, output: 4 USD/Mtok}}}}}}}}
"""
            with Gateway(text) as gw:
                parsed(gw.get("/metrics").body.decode())  # also before the first request
                said = [gw.post(CHAT, chat(f"hello {i}" * 50)).json()["usage"] for i in range(4)]
                for i in range(3):
                    gw.post(CHAT, stream("x" * 300), {"x-caudal-class": "batch"})
                gw.post("/v1/embeddings", {"model": "m", "input": "x"})
                gw.post(CHAT, "{")
                gw.post(CHAT, chat("x", model="none"))
                a.faults("500,count=1")
                self.assertEqual(gw.post(CHAT, chat("x")).status, 200)  # by the other pool
                a.faults("cut-after=2,count=1")
                self.assertNotIn("[DONE]", gw.post(CHAT, stream()).events())
                a.faults("400,code=value_out_of_range")
                self.assertEqual(gw.post(CHAT, chat("x")).status, 400)
                gw.raw(b"nonsense\r\n\r\n")
                page = parsed(gw.get("/metrics").body.decode())
        self.assertEqual(total(page, "caudal_requests_total"), 4 + 3 + 1 + 1 + 1 + 1 + 1 + 1)
        self.assertEqual(total(page, "caudal_requests_total", code="200"), 4 + 3 + 1 + 1 + 1)
        self.assertEqual(total(page, "caudal_requests_total", code="400"), 2)
        self.assertEqual(total(page, "caudal_requests_total", code="404"), 1)
        self.assertEqual(total(page, "caudal_requests_total", **{"class": "batch"}), 3)
        self.assertEqual(total(page, "caudal_attempts_total"), 4 + 3 + 1 + 2 + 1 + 1)
        self.assertEqual(total(page, "caudal_attempts_total", pool="a", outcome="ok"), 8)
        self.assertEqual(total(page, "caudal_attempts_total", outcome="ok"), 9)
        self.assertEqual(total(page, "caudal_attempts_total", outcome="client"), 1)
        self.assertEqual(total(page, "caudal_attempts_total", outcome="server"), 1)
        self.assertEqual(total(page, "caudal_streams_cut_total"), 1)
        self.assertEqual(total(page, "caudal_bad_requests_total"), 1)
        output = total(page, "caudal_tokens_total", type="output")
        cut = output - (sum(u["completion_tokens"] for u in said) + 3 * 5 + 5)
        self.assertIn(cut, (2, 3))  # two words, estimated by their length
        self.assertEqual(total(page, "gen_ai_client_token_usage", "gen_ai_client_token_usage_sum",
                               gen_ai_token_type="output"), output)
        other = names[1].replace("\\", "\\\\").replace('"', '\\"')
        self.assertEqual(total(page, "caudal_tokens_total", type="output", pool=other), 5)
        tokens = {(p, t): total(page, "caudal_tokens_total", pool=p, type=t) for p in ("a", other)
                  for t in ("input", "cached_input", "output")}
        usd = ((tokens["a", "input"] + tokens["a", "cached_input"]) * 1 + tokens["a", "output"] * 2
               + (tokens[other, "input"] + tokens[other, "cached_input"]) * 3 + tokens[other, "output"] * 4) / 1e6
        self.assertAlmostEqual(total(page, "caudal_list_usd_total"), usd, places=8)
        for gauge in ("caudal_requests_in_progress", "caudal_streams_open", "caudal_waiting", "caudal_pool_in_flight"):
            self.assertEqual(total(page, gauge), 0, gauge)
        ttft = "gen_ai_server_time_to_first_token_seconds"
        self.assertEqual(total(page, ttft, ttft + "_count"), 10)


if __name__ == "__main__":
    main()
