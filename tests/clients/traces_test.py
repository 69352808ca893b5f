"""Spans as OpenTelemetry's own protocol buffers read them, and their names as its conventions have them."""

import base64
import json
import threading
import unittest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from clients import main, says, sim_fleet, until

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes, service_attributes


def known_names():
    modules = [gen_ai_attributes, error_attributes, http_attributes, server_attributes, service_attributes]
    return {v for m in modules for k, v in vars(m).items() if k.isupper() and isinstance(v, str)}


def as_proto3_json(body):
    """OTLP writes ids in hexadecimal, where JSON of protocol buffers has base64: the one difference."""
    def walk(thing):
        if isinstance(thing, dict):
            return {k: base64.b64encode(bytes.fromhex(v)).decode() if k in ("traceId", "spanId", "parentSpanId") else walk(v)
                    for k, v in thing.items()}
        return [walk(x) for x in thing] if isinstance(thing, list) else thing
    return walk(body)


class Receiver:
    def __init__(self):
        self.requests = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                # an unknown or misspelt field is an error here
                receiver.requests.append(json_format.ParseDict(as_proto3_json(body), ExportTraceServiceRequest()))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        return [s for q in list(self.requests) for r in q.resource_spans for c in r.scope_spans for s in c.spans]


class Traces(unittest.TestCase):
    def test_spans_are_otlp_and_names_are_the_conventions(self):
        there = Receiver()
        self.addCleanup(there.server.server_close)
        self.addCleanup(there.server.shutdown)
        with sim_fleet(serve=f"traces: {{to: '{there.url}', sample: 100 %}}") as fleet:
            with fleet.openai(max_retries=0) as client:
                client.chat.completions.create(model="m", messages=says("hello"))
                list(client.chat.completions.create(model="m", messages=says("hello"), stream=True))
            until(lambda: len(there.spans()) == 4)
        spans = there.spans()
        self.assertEqual(sorted(s.kind for s in spans), [Span.SPAN_KIND_SERVER] * 2 + [Span.SPAN_KIND_CLIENT] * 2)
        for s in spans:
            self.assertEqual((len(s.trace_id), len(s.span_id)), (16, 8))
            self.assertLess(s.start_time_unix_nano, s.end_time_unix_nano)
            self.assertEqual(s.status.code, Status.STATUS_CODE_UNSET)
            names = {a.key for a in s.attributes}
            self.assertEqual({n for n in names if not n.startswith("caudal.")} - known_names(), set())
            self.assertIn("gen_ai.operation.name", names)
            operation, = [a.value.string_value for a in s.attributes if a.key == "gen_ai.operation.name"]
            self.assertIn(operation, {v.value for v in gen_ai_attributes.GenAiOperationNameValues})
        self.assertEqual({a.key for q in there.requests for r in q.resource_spans for a in r.resource.attributes}
                         - known_names(), set())


if __name__ == "__main__":
    main()
