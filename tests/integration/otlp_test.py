"""Spans of sampled requests: what is sent, to whom, and that serving never waits for it."""

import json
import signal
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import Gateway, Recorder, Sim, Stream, chat, json_answer, main, portfolio, until

CHAT = "/v1/chat/completions"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE, SPAN = PARENT.split("-")[1:3]


class Receiver:
    """Takes OTLP over HTTP, or answers with `status`; keeps each body and its headers."""

    def __init__(self, status=200):
        self.status, self.posts = status, []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.posts.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def spans(self):
        return [s for _, _, body in list(self.posts) for r in body["resourceSpans"] for c in r["scopeSpans"]
                for s in c["spans"]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def attributes(thing):
    """The attributes of a span or an event as Python has them."""
    out = {}
    for a in thing.get("attributes", []):
        (kind, value), = a["value"].items()
        out[a["key"]] = int(value) if kind == "intValue" else value
    return out


def served(receiver, *suppliers, sample="100 %", more="", args=(), **options):
    """A gateway over these suppliers that sends its spans to the receiver."""
    traces = f"traces: {{to: '{receiver.url}', sample: {sample}{more}}}"
    return Gateway(portfolio(*suppliers, serve=traces, **options), *args)


def passing(receiver, there, *args, sample="100 %", more=""):
    """A gateway whose tenant's calls without a model go there."""
    return Gateway(f"""
caudal: 1
serve: {{traces: {{to: '{receiver.url}', sample: {sample}}}{more}}}
suppliers: {{files: {{url: "{there.url}", key: secret-of-files}}}}
pools: {{a: {{api: openai, url: "{there.url}", key: k, serves: [m]}}}}
tenants: {{t: {{passthrough: files}}}}
""", *args)


class Spans(unittest.TestCase):
    def test_a_request_and_its_send(self):
        with Receiver() as there, Sim("--output", "=5") as sim, served(there, sim) as gw:
            answer = gw.post(CHAT, chat("a secret prompt"))
            self.assertEqual(answer.status, 200)
            until(lambda: len(there.spans()) == 2)
            request, send = sorted(there.spans(), key=lambda s: s["kind"])
            self.assertEqual((request["name"], request["kind"]), (f"POST {CHAT}", 2))
            self.assertEqual((send["name"], send["kind"]), ("chat m", 3))
            self.assertEqual(send["traceId"], request["traceId"])
            self.assertEqual(send["parentSpanId"], request["spanId"])
            self.assertNotIn("parentSpanId", request)
            self.assertRegex(request["traceId"], r"^[0-9a-f]{32}$")
            a, b = attributes(request), attributes(send)
            self.assertEqual(a["http.request.method"], "POST")
            self.assertEqual(a["http.route"], CHAT)
            self.assertEqual(a["http.response.status_code"], 200)
            self.assertEqual(a["gen_ai.operation.name"], "chat")
            self.assertEqual(a["gen_ai.request.model"], "m")
            self.assertEqual(a["gen_ai.response.model"], "m")
            self.assertEqual(a["gen_ai.usage.output_tokens"], 5)
            self.assertEqual(a["gen_ai.usage.input_tokens"], answer.json()["usage"]["prompt_tokens"])
            self.assertEqual(a["caudal.request.id"], answer.headers["x-request-id"])
            self.assertEqual((b["gen_ai.provider.name"], b["caudal.pool"]), ("a", "a"))
            self.assertEqual((b["server.address"], b["server.port"]), ("127.0.0.1", sim.port))
            self.assertLess(int(request["startTimeUnixNano"]), int(request["endTimeUnixNano"]))
            self.assertLessEqual(int(request["startTimeUnixNano"]), int(send["startTimeUnixNano"]))
            self.assertIn("caudal.first_content", [e["name"] for e in send["events"]])
            self.assertNotIn("secret", json.dumps(there.posts))

    def test_failing_over_is_a_span_for_each_send(self):
        bad = Recorder(lambda _: json_answer({"error": {"message": "no"}}, status=503))
        with bad, Receiver() as there, Sim() as good, \
                served(there, bad, good, price="{input: 1 USD/Mtok, output: 2 USD/Mtok}") as gw:
            for _ in range(20):  # the draw decides who is asked first
                self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
                if bad.requests:
                    break
            until(lambda: any(len([e for e in s.get("events", []) if e["name"] == "caudal.send_failed"])
                              for s in there.spans()))
            spans = there.spans()
            request = next(s for s in spans if s["kind"] == 2 and attributes(s)["caudal.sends"] == 2)
            sends = sorted((s for s in spans if s.get("parentSpanId") == request["spanId"]),
                           key=lambda s: int(s["startTimeUnixNano"]))
            self.assertEqual([attributes(s)["caudal.pool"] for s in sends], ["a", "b"])
            self.assertEqual([s.get("status") for s in sends], [{"code": 2}, None])
            self.assertIn("error.type", attributes(sends[0]))
            failed = next(e for e in request["events"] if e["name"] == "caudal.send_failed")
            self.assertEqual(attributes(failed)["caudal.pool"], "a")
            self.assertNotIn("status", request)
            # the supplier was told the very span of its send
            for supplier, send in ((bad.requests[0]["headers"], sends[0]),):
                self.assertEqual(supplier["traceparent"], f"00-{send['traceId']}-{send['spanId']}-01")

    def test_a_refused_request_has_a_span_too(self):
        with Receiver() as there, Sim() as sim, served(there, sim) as gw:
            self.assertEqual(gw.post(CHAT, chat("x", model="none")).status, 404)
            until(lambda: there.spans())
            span, = there.spans()
            self.assertEqual(attributes(span)["http.response.status_code"], 404)
            self.assertEqual(attributes(span)["error.type"], "404")
            self.assertNotIn("status", span)  # a client's mistake is no error of a server's span

    def test_a_stream_says_when_its_first_content_came(self):
        with Receiver() as there, Sim("--output", "=3") as sim, served(there, sim) as gw:
            with Stream(gw, chat("x", stream=True)) as s:
                self.assertEqual(s.events()[-1], "data: [DONE]")
            until(lambda: len(there.spans()) == 2)
            request, = [s for s in there.spans() if s["kind"] == 2]
            a = attributes(request)
            self.assertTrue(a["gen_ai.request.stream"])
            self.assertGreaterEqual(a["gen_ai.response.time_to_first_chunk"], 0)


class PassedThrough(unittest.TestCase):
    def spans(self, receiver, n):
        until(lambda: len(receiver.spans()) == n)
        return sorted(receiver.spans()[-2:], key=lambda s: s["kind"])

    def test_the_request_and_its_send(self):
        with Receiver() as there, Recorder(lambda _: json_answer({"id": "f"})) as files, passing(there, files) as gw:
            # Whole, as no model says where it goes; and as it comes.
            for n, (method, path, body) in enumerate((("POST", "/v1/responses", {"input": "secret text"}),
                                                      ("POST", "/v1/files?purpose=secret", {"a": 1})), 1):
                answer = gw.request(method, path, json.dumps(body))
                self.assertEqual(answer.status, 200)
                request, send = self.spans(there, 2 * n)
                a, b = attributes(request), attributes(send)
                self.assertEqual((request["name"], send["name"]), ("POST /v1/*", "POST"))
                self.assertEqual((a["url.path"], a["http.response.status_code"]), (path.split("?")[0], 200))
                self.assertEqual((a["http.request.body.size"], a["http.response.body.size"]),
                                 (len(json.dumps(body)), len(answer.body)))
                self.assertEqual((a["caudal.tenant"], a["caudal.request.id"]), ("t", answer.headers["x-request-id"]))
                self.assertEqual((b["caudal.supplier"], b["server.port"]), ("files", files.port))
                self.assertEqual((send["traceId"], send["parentSpanId"]), (request["traceId"], request["spanId"]))
                self.assertLessEqual(int(request["startTimeUnixNano"]), int(send["startTimeUnixNano"]))
                self.assertEqual(files.requests[-1]["headers"]["traceparent"],
                                 f"00-{send['traceId']}-{send['spanId']}-01")
            self.assertNotIn("secret", json.dumps(there.posts))

    def test_the_callers_trace_goes_on_and_one_that_does_not_sample_is_believed(self):
        with Receiver() as there, Recorder() as files, passing(there, files, sample="0 %") as gw:
            quiet = PARENT[:-1] + "0"
            for n, path in enumerate(("/v1/files", "/v1/responses"), 1):
                gw.post(path, {"input": "x"}, {"traceparent": quiet, "tracestate": "vendor=1"})
                self.assertEqual(files.requests[-1]["headers"]["traceparent"], quiet)
                gw.post(path, {"input": "x"}, {"traceparent": PARENT, "tracestate": "vendor=1"})
                request, send = self.spans(there, 2 * n)
                self.assertEqual((request["traceId"], request["parentSpanId"]), (TRACE, SPAN))
                got = files.requests[-1]["headers"]
                self.assertEqual(got["traceparent"], f"00-{TRACE}-{send['spanId']}-01")
                self.assertEqual(got["tracestate"], "vendor=1")

    def test_a_path_may_be_as_long_as_a_head_may(self):
        path = "/v1/files/" + "a" * 70_000
        with Receiver() as there, Recorder() as files, \
                passing(there, files, more=", limits: {head: 256 KiB}") as gw:
            gw.get(path)
            request, _ = self.spans(there, 2)
            self.assertEqual(len(attributes(request)["url.path"]), len(path))

    def test_one_that_fails_says_why(self):
        with Receiver() as there, Recorder() as files, passing(there, files) as gw:
            files.close()
            self.assertEqual(gw.get("/v1/files").status, 502)
            request, send = self.spans(there, 2)
            self.assertEqual((request["status"], send["status"]), ({"code": 2}, {"code": 2}))
            self.assertEqual(attributes(send)["error.type"], attributes(request)["error.type"])
            self.assertNotIn("http.response.status_code", attributes(send))


class Context(unittest.TestCase):
    def supplier_headers(self, gw, recorder, headers):
        self.assertEqual(gw.post(CHAT, chat("x"), headers).status, 200)
        return recorder.requests[-1]["headers"]

    def test_the_callers_trace_goes_on(self):
        with Receiver() as there, Recorder() as supplier, served(there, supplier, sample="0 %") as gw:
            got = self.supplier_headers(gw, supplier, {"traceparent": PARENT, "tracestate": "vendor=1,other=2"})
            until(lambda: len(there.spans()) == 2)
            request, send = sorted(there.spans(), key=lambda s: s["kind"])
            self.assertEqual((request["traceId"], request["parentSpanId"]), (TRACE, SPAN))
            self.assertEqual(request["traceState"], "vendor=1,other=2")
            self.assertEqual(got["traceparent"], f"00-{TRACE}-{send['spanId']}-01")
            self.assertEqual(got["tracestate"], "vendor=1,other=2")

    def test_a_caller_that_does_not_sample_is_believed(self):
        with Receiver() as there, Recorder() as supplier, served(there, supplier) as gw:
            quiet = PARENT[:-1] + "0"
            self.assertEqual(self.supplier_headers(gw, supplier, {"traceparent": quiet})["traceparent"], quiet)
            self.supplier_headers(gw, supplier, {})  # this one is sampled
            until(lambda: len(there.spans()) == 2)
            self.assertNotIn(TRACE, {s["traceId"] for s in there.spans()})

    def test_what_is_no_traceparent_begins_a_trace(self):
        with Receiver() as there, Recorder() as supplier, served(there, supplier) as gw:
            for n, wrong in enumerate(["nonsense", PARENT.upper(), "00" + PARENT[2:-3] + "-1", PARENT + "-x",
                                       "ff" + PARENT[2:], f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"], 1):
                got = self.supplier_headers(gw, supplier, {"traceparent": wrong, "tracestate": "vendor=1"})
                self.assertRegex(got["traceparent"], r"^00-[0-9a-f]{32}-[0-9a-f]{16}-01$")
                self.assertNotIn(TRACE, got["traceparent"])
                self.assertNotIn("tracestate", got)
                self.assertNotEqual(got["traceparent"].lower(), wrong.lower())

    def test_a_later_version_is_read_as_far_as_it_is_known(self):
        with Receiver() as there, Recorder() as supplier, served(there, supplier, sample="0 %") as gw:
            got = self.supplier_headers(gw, supplier, {"traceparent": "01" + PARENT[2:] + "-what-comes"})
            self.assertTrue(got["traceparent"].startswith(f"00-{TRACE}-"), got)

    def test_without_traces_the_context_passes_untouched(self):
        with Recorder() as supplier, Gateway(portfolio(supplier)) as gw:
            got = self.supplier_headers(gw, supplier, {"traceparent": PARENT, "tracestate": "vendor=1"})
            self.assertEqual((got["traceparent"], got["tracestate"]), (PARENT, "vendor=1"))
            self.assertNotIn("caudal_spans_total", gw.get("/metrics").body.decode())

    def test_without_a_sampled_request_nothing_is_sent(self):
        with Receiver() as there, Recorder() as supplier, served(there, supplier, sample="0 %") as gw:
            self.assertNotIn("traceparent", self.supplier_headers(gw, supplier, {}))
            self.assertEqual(gw.metric("caudal_spans_total"), 0)
            self.assertEqual(there.posts, [])


class Receivers(unittest.TestCase):
    def test_it_is_told_its_headers_and_the_path(self):
        with Receiver() as there, Sim() as sim, served(there, sim, more=", headers: {x-key: '${TRACE_KEY:-abc}'}") as gw:
            gw.post(CHAT, chat("x"))
            until(lambda: there.posts)
            path, headers, body = there.posts[0]
            self.assertEqual((path, headers["x-key"], headers["Content-Type"]), ("/v1/traces", "abc", "application/json"))
            resource = attributes(body["resourceSpans"][0]["resource"])
            self.assertEqual(resource["service.name"], "caudal")

    def test_many_requests_are_few_posts(self):
        with Receiver() as there, Sim("--output", "=1") as sim, served(there, sim) as gw:
            for _ in range(60):
                gw.post(CHAT, chat("x"))
            until(lambda: len(there.spans()) == 120)
            self.assertLess(len(there.posts), 30)
            until(lambda: gw.metric("caudal_spans_total", outcome="sent") == 120)
            self.assertEqual(len({s["spanId"] for s in there.spans()}), 120)

    def test_a_receiver_that_is_not_there_costs_spans_only(self):
        with Receiver() as there:
            gone = there.url
        there.url = gone
        with Sim("--output", "=1") as sim, served(there, sim) as gw:
            for _ in range(20):
                self.assertEqual(gw.post(CHAT, chat("x")).status, 200)
            gw.process.terminate()
            self.assertEqual(gw.process.wait(10), 0)

    def test_a_receiver_that_refuses_is_not_asked_again_with_the_same(self):
        with Receiver(status=400) as there, Sim("--output", "=1") as sim, served(there, sim) as gw:
            gw.post(CHAT, chat("x"))
            until(lambda: gw.metric("caudal_spans_total", outcome="dropped") == 2)
            self.assertEqual(len(there.posts), 1)
            there.status = 200
            gw.post(CHAT, chat("x"))
            until(lambda: gw.metric("caudal_spans_total", outcome="sent") == 2)

    def test_a_receiver_that_is_busy_gets_them_later(self):
        with Receiver(status=503) as there, Sim("--output", "=1") as sim, served(there, sim) as gw:
            gw.post(CHAT, chat("x"))
            until(lambda: len(there.posts) == 1)
            there.status = 200
            until(lambda: gw.metric("caudal_spans_total", outcome="sent") == 2)
            self.assertEqual(there.posts[0][2], there.posts[1][2])

    def test_what_does_not_fit_is_dropped_and_counted(self):
        """A receiver that accepts and says nothing: memory is bounded, and requests go on."""
        with Recorder(lambda _: None) as silent, Recorder() as files:
            silent.url += "/traces"
            with passing(silent, files, "--threads", "1") as gw:
                for n in range(600):  # a span of 16 KB each, and 2 MiB for them
                    self.assertEqual(gw.get("/v1/" + "x" * 16000).status, 200)
                    if n % 20 == 19 and gw.metric("caudal_spans_total", outcome="dropped"):
                        break
                self.assertGreater(gw.metric("caudal_spans_total", outcome="dropped"), 0)

    def test_a_silent_receiver_does_not_hold_the_end_up(self):
        with Recorder(lambda _: None) as silent, Sim("--output", "=1") as sim:
            silent.url += "/traces"
            for signals in (1, 2):
                gw = served(silent, sim)
                self.addCleanup(gw.__exit__)
                gw.post(CHAT, chat("x"))
                for _ in range(signals):
                    gw.process.send_signal(signal.SIGTERM)
                self.assertEqual(gw.process.wait(10), 0)

    def test_a_receiver_that_a_reload_took_away_does_not_hold_the_end_up(self):
        with Receiver(status=503) as there, Sim("--output", "=1") as sim:
            gw = served(there, sim)
            self.addCleanup(gw.__exit__)
            gw.post(CHAT, chat("x"))
            until(lambda: len(there.posts) == 1)  # its spans wait for another try
            with open(gw.file, "w") as f:
                f.write(portfolio(sim, serve="metrics: open"))
            gw.process.send_signal(signal.SIGHUP)
            until(lambda: gw.metric("caudal_generation") == 2)
            gw.process.send_signal(signal.SIGTERM)
            self.assertEqual(gw.process.wait(10), 0)

    def test_the_last_spans_leave_before_the_end(self):
        with Receiver() as there, Sim("--output", "=1") as sim:
            gw = served(there, sim)
            self.addCleanup(gw.__exit__)
            gw.post(CHAT, chat("x"))
            gw.process.send_signal(signal.SIGTERM)
            self.assertEqual(gw.process.wait(10), 0)
            until(lambda: len(there.spans()) == 2)


class Proxied(unittest.TestCase):
    def test_a_receiver_over_tls_is_reached_through_the_environments_proxy(self):
        clean = {k: "" for k in ("https_proxy", "NO_PROXY", "no_proxy")}
        with Sim("--instant") as a, Recorder() as proxy:
            text = portfolio(a, serve="traces: {to: https://receiver.test/v1/traces, sample: 100%}")
            with Gateway(text, env={**clean, "HTTPS_PROXY": f"http://me:pw@127.0.0.1:{proxy.port}"}) as gw:
                self.assertEqual(200, gw.post(CHAT, chat("x")).status)
                head = until(lambda: proxy.broken, "the proxy to be asked")[0]  # the recorder knows paths only
                self.assertTrue(head.startswith(b"CONNECT receiver.test:443 HTTP/1.1\r\n"), head)
                self.assertIn(b"Proxy-Authorization: Basic", head)


if __name__ == "__main__":
    main()
