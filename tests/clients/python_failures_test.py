"""Failures as the official OpenAI client for Python sees them: exceptions, timeouts, retries, cut streams."""

import time
import unittest

from clients import main, openai, says, sim_fleet, until


class Failures(unittest.TestCase):
    """Each case has suppliers of its own, since what went wrong is remembered."""

    def test_one_500_is_hidden(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=0) as client:
            fleet.sim.faults("500,count=1")
            self.assertTrue(client.chat.completions.create(model="m", messages=says("x")).choices)
            self.assertEqual(fleet.attempts(), 2)

    def test_a_supplier_that_is_down_is_replaced(self):
        for fault in ("refuse", "503", "429:retry-after=100s", "garbage", "empty", "role-then-nothing,count=1",
                      "error-event=server_error", "cut-after=0", "quota", "401"):
            with self.subTest(fault), sim_fleet(2, supplier="first_byte: 1 s, idle: 1 s,", serve="policy: round-robin") \
                    as fleet, fleet.openai(max_retries=0) as client:
                fleet.sim.faults(fault)
                for i in range(4):
                    chunks = list(client.chat.completions.create(model="m", messages=says("x"), stream=True))
                    self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
                self.assertGreaterEqual(fleet.attempts(), 1)

    def test_nobody_answers(self):
        for fault, status in (("500", 502), ("refuse", 502), ("garbage", 502), ("quota", 503), ("401", 503)):
            with self.subTest(fault), sim_fleet() as fleet, fleet.openai(max_retries=0) as client:
                fleet.sim.faults(fault)
                for stream in (False, True):
                    with self.assertRaises(openai.InternalServerError) as e:
                        client.chat.completions.create(model="m", messages=says("x"), stream=stream)
                    self.assertIn(e.exception.status_code, (status, 503))
                    self.assertTrue(e.exception.code)
                    self.assertTrue(e.exception.request_id)

    def test_a_limit_of_the_supplier_is_a_rate_limit(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=0, timeout=20) as client:
            fleet.sim.faults("429:retry-after=300s")
            began = time.monotonic()
            for stream in (False, True):
                with self.assertRaises(openai.RateLimitError) as e:
                    client.chat.completions.create(model="m", messages=says("x"), stream=stream)
                self.assertEqual(e.exception.code, "rate_limit_exceeded")
                self.assertGreater(int(e.exception.response.headers["retry-after"]), 200)
                self.assertEqual(e.exception.response.headers["x-should-retry"], "false")
            self.assertLess(time.monotonic() - began, 10)

    def test_a_pool_that_is_full_is_a_rate_limit(self):
        with sim_fleet(sim=("--pace", "50ms", "--output", "=1000"), limits="in_flight: 1") as fleet, \
                fleet.openai(max_retries=0) as client:
            stream = client.chat.completions.create(model="m", messages=says("x"), stream=True)
            next(iter(stream))
            with self.assertRaises(openai.RateLimitError) as e:  # no slot comes free within its patience
                client.with_options(timeout=1).chat.completions.create(model="m", messages=says("x"))
            self.assertGreater(float(e.exception.response.headers["retry-after-ms"]), 0)
            stream.close()  # gives the slot back
            until(lambda: fleet.sim.calls()["now"] == 0)
            client.chat.completions.create(model="m", messages=says("x"), max_tokens=2)

    def test_a_limit_of_the_tenant_is_a_rate_limit(self):
        tenants = "tenants: {t: {requests: 2/h}}\n"
        with sim_fleet(more=tenants) as fleet, fleet.openai(max_retries=0) as client:
            answer = client.chat.completions.with_raw_response.create(model="m", messages=says("x"))
            self.assertEqual(answer.headers["x-ratelimit-remaining-requests"], "0")
            for stream in (False, True):
                with self.assertRaises(openai.RateLimitError) as e:
                    client.chat.completions.create(model="m", messages=says("x"), stream=stream)
                self.assertEqual((e.exception.code, e.exception.type), ("rate_limit_exceeded", "requests"))
                self.assertIn("48 requests a day", str(e.exception))
                self.assertGreater(int(e.exception.response.headers["retry-after"]), 1700)
            self.assertEqual(fleet.attempts(), 1)

    def test_a_spent_budget_is_a_rate_limit_that_is_not_tried_again(self):
        tenants = "tenants: {t: {budget: {day: 0.000001 USD, kind: hard}}}\n"
        with sim_fleet(more=tenants) as fleet, fleet.openai(max_retries=3) as client:
            with self.assertRaises(openai.RateLimitError) as e:
                client.chat.completions.create(model="m", messages=says("x"))
            self.assertEqual(e.exception.code, "insufficient_quota")
            self.assertEqual(fleet.serve.metric("caudal_requests_total", code="429"), 1)

    def test_a_retry_of_the_client_comes_when_it_was_told(self):
        with sim_fleet(serve="attempts: {max: 1}") as fleet, fleet.openai(max_retries=2) as client:
            fleet.sim.faults("429:retry-after=1500ms,count=1")
            began = time.monotonic()
            answer = client.chat.completions.with_raw_response.create(model="m", messages=says("x"))
            took = time.monotonic() - began
            self.assertEqual((answer.retries_taken, fleet.attempts()), (1, 2))
            self.assertTrue(1.4 < took < 5, took)  # left alone it tries again within half a second

    def test_the_client_does_not_retry_what_it_should_not(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=3) as client:
            fleet.sim.faults("429:retry-after=300s")
            with self.assertRaises(openai.RateLimitError):
                client.chat.completions.create(model="m", messages=says("x"))
            self.assertEqual(fleet.serve.metric("caudal_requests_total", code="429"), 1)
            self.assertEqual(fleet.attempts(), 1)

    def test_the_clients_retries_end(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=1) as client:
            fleet.sim.faults("500")
            with self.assertRaises(openai.InternalServerError):
                client.chat.completions.create(model="m", messages=says("x"))

    def test_a_timeout(self):
        """The client says how long it waits; the gateway answers just then, or the client gives up."""
        with sim_fleet() as fleet:
            fleet.sim.faults("stall-before")
            for stream in (False, True):
                with fleet.openai(max_retries=0, timeout=1) as client:
                    began = time.monotonic()
                    with self.assertRaises((openai.APITimeoutError, openai.InternalServerError)) as e:
                        client.chat.completions.create(model="m", messages=says("x"), stream=stream)
                    self.assertTrue(0.8 < time.monotonic() - began < 5)
                    if isinstance(e.exception, openai.InternalServerError):
                        self.assertEqual((e.exception.status_code, e.exception.code), (504, "timeout"))
                until(lambda: fleet.sim.calls()["now"] == 0, "the supplier's call to be cancelled")

    def test_the_deadline_of_the_gateway(self):
        with sim_fleet(serve="attempts: {deadline: 1 s}") as fleet, fleet.openai(max_retries=0) as client:
            fleet.sim.faults("stall-before")
            with self.assertRaises(openai.InternalServerError) as e:
                client.chat.completions.create(model="m", messages=says("x"))
            self.assertEqual((e.exception.status_code, e.exception.code), (504, "timeout"))

    def test_a_cut_stream_is_an_error_after_what_came(self):
        for fault in ("cut-after=5", "error-event=server_error,after=5", "stall-after=5"):
            for call in ("chat", "completions", "responses", "helper"):
                with self.subTest(fault, call=call), sim_fleet(supplier="idle: 1 s,") as fleet, \
                        fleet.openai(max_retries=0) as client:
                    fleet.sim.faults(fault)
                    texts, began = [], time.monotonic()
                    with self.assertRaises(openai.APIError) as e:
                        read(client, call, texts)
                    self.assertLess(time.monotonic() - began, 6)
                    self.assertEqual(len([t for t in texts if t]), 5)
                    self.assertNotIsInstance(e.exception, (openai.APIStatusError, openai.APIConnectionError))
                    self.assertTrue(e.exception.message)

    def test_a_stream_without_its_done_is_whole_when_it_has_finished(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=0) as client:
            fleet.sim.faults("no-done")
            chunks = list(client.chat.completions.create(model="m", messages=says("x"), stream=True))
            self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_long_silence_breaks_no_client(self):
        """The head goes out and comments come before the first content."""
        with sim_fleet(serve="attempts: {silence: 400 ms}") as fleet, fleet.openai(max_retries=0) as client:
            fleet.sim.faults("delay=1s")
            for call in ("chat", "completions", "responses", "helper"):
                texts = []
                began = time.monotonic()
                read(client, call, texts)
                self.assertGreater(time.monotonic() - began, 0.9)
                self.assertIn("simulated", "".join(texts), call)
            with client.chat.completions.with_streaming_response.create(model="m", messages=says("x"),
                                                                        stream=True) as raw:
                self.assertIn(": keepalive", list(raw.iter_lines()))

    def test_a_failure_after_long_silence_is_an_error(self):
        with sim_fleet(serve="attempts: {silence: 200 ms}", supplier="first_byte: 1 s,") as fleet, \
                fleet.openai(max_retries=0) as client:
            fleet.sim.faults("stall-before")
            for call in ("chat", "completions", "responses", "helper"):
                with self.assertRaises(openai.APIError) as e:
                    read(client, call, [])
                self.assertTrue(e.exception.message)

    def test_json_for_a_stream_after_long_silence(self):
        with sim_fleet(serve="attempts: {silence: 200 ms}") as fleet, fleet.openai(max_retries=0) as client:
            fleet.sim.faults("delay=1s", "400,code=mine")
            with self.assertRaises(openai.APIError) as e:
                list(client.chat.completions.create(model="m", messages=says("x"), stream=True))
            self.assertEqual(e.exception.code, "mine")

    def test_a_client_that_leaves_ends_the_suppliers_work(self):
        with sim_fleet(sim=("--pace", "20ms", "--output", "=10000")) as fleet, fleet.openai() as client:
            with client.chat.completions.create(model="m", messages=says("x"), stream=True) as stream:
                for _ in zip(range(5), stream):
                    pass
            until(lambda: fleet.sim.calls()["cancelled"] == 1)
            self.assertEqual(fleet.sim.calls()["now"], 0)


def read(client, call, texts):
    """Streams an answer of this call, and puts its pieces of text into `texts`."""
    if call == "chat":
        for c in client.chat.completions.create(model="m", messages=says("x"), stream=True):
            texts.append(c.choices[0].delta.content or "")
    elif call == "completions":
        for c in client.completions.create(model="m", prompt="x", stream=True):
            texts.append(c.choices[0].text)
    elif call == "responses":
        for e in client.responses.create(model="m", input="x", stream=True):
            texts.append(e.delta if e.type == "response.output_text.delta" else "")
    else:
        with client.chat.completions.stream(model="m", messages=says("x")) as stream:
            for e in stream:
                texts.append(e.delta if e.type == "content.delta" else "")


if __name__ == "__main__":
    main()
