"""Limits hold exactly, who waits is served in turn, and nothing that a client does grows without bound."""

import json
import re
import select
import socket
import threading
import time
import unittest

from harness import CAUDAL, Gateway, Recorder, Sim, Stream, Wire, chat, main, portfolio, raw_request, until

CHAT = "/v1/chat/completions"
BIG = 1 << 20
# A sanitizer keeps what was freed for a while, and a shadow of all of it.
if "asan" in CAUDAL or "tsan" in CAUDAL:
    BIG *= 4


def stream(text="hello", **more):
    return chat(text, stream=True, **more)


def all_of(n, work):
    """Runs work(i) for each of n at once; the results in order. The first failure is raised."""
    results, failures = [None] * n, []

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


class Waiting(unittest.TestCase):
    def test_requests_in_flight_never_exceed_the_pools_limit(self):
        with Sim("--ttft", "5ms", "--per-token", "1ms", "--output", "=5") as sim:
            with Gateway(portfolio(sim, limits="{in_flight: 3}")) as gw:
                answers = all_of(60, lambda i: gw.post(CHAT, chat("x", stream=i % 2 == 0)))
                self.assertEqual([a.status for a in answers], [200] * 60)
                calls = sim.calls()
                self.assertEqual((calls["most"], calls["finished"]), (3, 60))
                for gauge in ("caudal_pool_in_flight", "caudal_waiting", "caudal_requests_in_progress"):
                    until(lambda: gw.metric(gauge) == 0, gauge)

    def test_limits_of_two_pools_are_both_used(self):
        how = ("--ttft", "5ms", "--per-token", "2ms", "--output", "=5")
        with Sim(*how) as a, Sim(*how) as b, Gateway(portfolio(a, b, limits="{in_flight: 2}")) as gw:
            answers = all_of(40, lambda i: gw.post(CHAT, chat("x")))
            self.assertEqual([x.status for x in answers], [200] * 40)
            self.assertEqual((a.calls()["most"], b.calls()["most"]), (2, 2))

    def test_requests_in_a_minute_are_bounded(self):
        with Sim("--instant") as sim:
            text = portfolio(sim, limits="{requests: 5/min}", serve="attempts: {deadline: 500 ms}")
            with Gateway(text) as gw:
                answers = all_of(12, lambda i: gw.post(CHAT, chat("x")))
                self.assertEqual(sorted(a.status for a in answers), [200] * 5 + [429] * 7)
                self.assertEqual(sim.calls()["total"], 5)
                late = [a for a in answers if a.status == 429]
                for a in late:
                    self.assertEqual(a.json()["error"]["code"], "rate_limit_exceeded")
                    self.assertTrue(1 <= int(a.headers["retry-after"]) <= 61, a)
                    self.assertGreater(int(a.headers["retry-after-ms"]), 0)

    def test_who_waits_for_a_bucket_gets_its_turn(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, limits="{requests: 600/min}")) as gw:
            gw.post(CHAT, chat("x"))
            began = time.monotonic()
            answers = all_of(605, lambda i: gw.post(CHAT, chat("x")).status)
            self.assertEqual(answers, [200] * 605)
            self.assertGreater(time.monotonic() - began, 0.4)  # six more than a minute's worth, at ten a second
            self.assertEqual(sim.calls()["total"], 606)

    def test_tokens_in_a_minute_are_bounded(self):
        with Sim("--instant", "--output", "=10") as sim:
            text = portfolio(sim, limits="{tokens: 1000/min}", serve="attempts: {deadline: 500 ms}")
            with Gateway(text) as gw:
                answers = all_of(10, lambda i: gw.post(CHAT, chat("x" * 800, max_tokens=10)))
                good = [a for a in answers if a.status == 200]
                self.assertTrue(3 <= len(good) <= 5, len(good))  # of some 210 tokens each
                self.assertEqual({a.status for a in answers}, {200, 429})

    def test_who_waits_is_answered_in_the_order_of_arrival(self):
        with Sim("--ttft", "1ms", "--per-token", "1ms", "--output", "=2") as sim:
            with Gateway(portfolio(sim, limits="{in_flight: 1}")) as gw:
                sim.faults("delay=300ms,count=1")
                wires = [Wire(gw, raw_request("POST", CHAT, chat("0")))]
                until(lambda: sim.calls()["now"] == 1)
                for i in range(1, 12):
                    wires.append(Wire(gw, raw_request("POST", CHAT, chat(str(i)))))
                    until(lambda: gw.metric("caudal_waiting") == i)
                self.assertEqual([w.answer().status for w in wires], [200] * 12)
                for w in wires:
                    w.close()
                got = [json.loads(r["body"])["messages"][0]["content"] for r in sim.last()["requests"]]
                self.assertEqual(got, [str(i) for i in range(12)])

    def test_who_waits_past_the_deadline_is_told(self):
        with Sim("--ttft", "60s") as sim, Gateway(portfolio(sim, limits="{in_flight: 1}")) as gw:
            with Wire(gw, raw_request("POST", CHAT, chat("x"))):
                until(lambda: sim.calls()["now"] == 1)
                began = time.monotonic()
                a = gw.post(CHAT, chat("x"), {"x-stainless-timeout": "0.3"})
                self.assertIn(a.status, (429, 504))
                self.assertEqual(set(a.json()["error"]), {"message", "type", "param", "code"})
                self.assertLess(time.monotonic() - began, 5)
                self.assertEqual(sim.calls()["total"], 1)


class GoingAway(unittest.TestCase):
    def test_a_client_that_leaves_the_line_is_never_sent(self):
        with Sim("--ttft", "1ms", "--per-token", "5ms", "--output", "=100000") as sim:
            with Gateway(portfolio(sim, limits="{in_flight: 1}")) as gw:
                with Stream(gw, stream("first")) as first:
                    first.content(1)
                    waiting = [Wire(gw, raw_request("POST", CHAT, stream("gone"))) for _ in range(5)]
                    last = Wire(gw, raw_request("POST", CHAT, chat("last", max_tokens=1)))
                    until(lambda: gw.metric("caudal_waiting") == 6)
                    for w in waiting:
                        w.close()
                    until(lambda: gw.metric("caudal_waiting") == 1)
                self.assertEqual(last.answer().status, 200)
                last.close()
                self.assertEqual(sim.calls()["total"], 2)
                self.assertEqual(gw.metric("caudal_requests_total", code="499"), 6)

    def test_a_client_that_leaves_cancels_the_suppliers_call_at_once(self):
        with Sim("--ttft", "1ms", "--per-token", "5ms", "--output", "=100000") as sim, Gateway(portfolio(sim)) as gw:
            for leave in ("close", "shutdown", "reset"):
                s = Stream(gw, stream())
                s.content(2)
                cancelled = sim.calls()["cancelled"]
                began = time.monotonic()
                if leave == "shutdown":
                    s.socket.shutdown(socket.SHUT_RDWR)
                if leave == "reset":
                    s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                s.close()
                until(lambda: sim.calls()["cancelled"] == cancelled + 1)
                self.assertLess(time.monotonic() - began, 2)
            self.assertEqual((sim.calls()["streams_now"], sim.calls()["running"]), (0, 0))
            self.assertEqual(gw.metric("caudal_requests_total", code="499"), 3)
            self.assertEqual(gw.metric("caudal_streams_open"), 0)
            self.assertEqual(gw.metric("caudal_pool_in_flight"), 0)

    def test_a_client_that_leaves_before_content_cancels_as_well(self):
        with Sim("--ttft", "60s") as sim, Gateway(portfolio(sim)) as gw:
            for ask in (chat("x"), stream()):
                w = Wire(gw, raw_request("POST", CHAT, ask))
                until(lambda: sim.calls()["now"] == 1)
                w.close()
                until(lambda: sim.calls()["now"] == 0)
            self.assertEqual(sim.calls()["cancelled"], 2)
            self.assertEqual(sim.calls()["total"], 2)

    def test_a_client_that_leaves_in_the_middle_of_its_body_costs_nothing(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim)) as gw:
            for _ in range(5):
                w = Wire(gw, raw_request("POST", CHAT, headers={"Content-Length": 1000}) + b"{")
                until(lambda: gw.metric("caudal_requests_in_progress") == 1)
                w.close()
                until(lambda: gw.metric("caudal_requests_in_progress") == 0)
            self.assertEqual(sim.calls()["total"], 0)


class SlowReaders(unittest.TestCase):
    def test_a_slow_reader_stops_the_supplier_and_memory_stays_bounded(self):
        with Sim("--instant", "--output", "=100000", "--chunk-bytes", "1000") as sim, Gateway(portfolio(sim)) as gw:
            gw.post(CHAT, stream(max_tokens=100))
            before = gw.rss()
            with Stream(gw, stream()) as s:
                s.content(1)
                sent = [0]

                def stands_still():  # what the simulator has told so far changes no more
                    now = written(sim)
                    still, sent[0] = now == sent[0], now
                    return still
                until(stands_still)
                self.assertLess(gw.rss() - before, 8 * BIG)
                self.assertEqual(sim.calls()["streams_now"], 1)
                self.assertEqual(s.events()[-1], "data: [DONE]")  # and now it reads after all: 100 MB
            self.assertLess(gw.rss() - before, 8 * BIG)

    def test_a_reader_that_reads_nothing_is_left_after_a_time(self):
        with Sim("--instant", "--output", "=100000", "--chunk-bytes", "1000") as sim:
            with Gateway(portfolio(sim, serve="limits: {write_time: 300 ms}")) as gw:
                with Stream(gw, stream()) as s:
                    s.content(1)
                    until(lambda: sim.calls()["cancelled"] == 1)
                    until(lambda: gw.metric("caudal_requests_in_progress") == 0)

    def test_a_reader_that_is_slow_all_the_time_is_served(self):
        with Sim("--instant", "--output", "=20000", "--chunk-bytes", "1000") as sim:
            with Gateway(portfolio(sim, serve="limits: {write_time: 1 s, stream_buffer: 64 KiB}")) as gw:
                with Stream(gw, stream()) as s:
                    n = 0
                    while (event := s.event()) is not None:
                        n += 1
                        if n % 1000 == 0:
                            time.sleep(0.05)  # the reader's own slowness, not a wait for something
                        last = event
                self.assertEqual(last, "data: [DONE]")
                self.assertEqual(n, 20000 + 3)

    def test_asking_on_and_on_without_reading_answers_costs_no_memory(self):
        with Sim("--instant") as sim, Gateway(portfolio(sim, model="x" * 100)) as gw:
            before = gw.rss()
            with Wire(gw, raw_request("GET", "/metrics")) as w:
                page = len(w.answer().body)
                w.socket.setblocking(False)
                asks, sent = raw_request("GET", "/metrics") * 50, 0
                end = time.monotonic() + 5
                # Until the gateway takes no more, or far too much.
                while sent * page < (4 << 30) and time.monotonic() < end:
                    try:
                        sent += w.socket.send(asks) / 50
                    except BlockingIOError:
                        if sent:
                            break
                until(lambda: gw.get("/healthz").status == 200)
                self.assertLess(gw.rss() - before, 24 * BIG)

    def test_a_long_whole_answer_to_a_slow_reader_does_not_hold_the_supplier(self):
        with Sim("--instant", "--output", "=3000", "--chunk-bytes", "1000") as sim, Gateway(portfolio(sim)) as gw:
            with Wire(gw, raw_request("POST", CHAT, chat("x"))) as w:
                until(lambda: sim.calls()["finished"] == 1)
                until(lambda: gw.metric("caudal_pool_in_flight") == 0)
                self.assertGreater(len(w.answer().text()), 2900000)


def written(process):
    with open(f"/proc/{process.process.pid}/io") as f:
        return f.read()


class SlowSenders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.sim = Sim("--instant")
        cls.addClassCleanup(cls.sim.__exit__)

    def gateway(self, limits):
        gw = Gateway(portfolio(self.sim, serve=f"limits: {{{limits}}}"))
        self.addCleanup(gw.__exit__)
        return gw

    def test_a_head_that_takes_too_long_is_408(self):
        gw = self.gateway("head_time: 300 ms")
        for part in (b"G", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"):
            with Wire(gw, part) as w:
                began = time.monotonic()
                a = w.answer()
                self.assertEqual((a.status, a.headers["connection"]), (408, "close"))
                self.assertEqual(w.rest(), b"")
                self.assertLess(time.monotonic() - began, 3)

    def test_a_head_that_comes_byte_by_byte_has_no_more_time(self):
        gw = self.gateway("head_time: 300 ms")
        with Wire(gw, b"GET /") as w:
            w.socket.settimeout(0.02)
            began = time.monotonic()
            while time.monotonic() - began < 5:
                try:
                    w.send(b"a")
                    if w.socket.recv(1000).startswith(b"HTTP/1.1 408 "):
                        break
                except socket.timeout:
                    pass
            self.assertLess(time.monotonic() - began, 3)

    def test_a_body_that_takes_too_long_is_408(self):
        gw = self.gateway("body_time: 300 ms")
        for headers, part in (({"Content-Length": 100}, b"{"), ({"Transfer-Encoding": "chunked"}, b"5\r\n{")):
            with Wire(gw, raw_request("POST", CHAT, headers=headers) + part) as w:
                began = time.monotonic()
                a = w.answer()
                self.assertEqual((a.status, a.headers["connection"]), (408, "close"))
                self.assertEqual(set(a.json()["error"]), {"message", "type", "param", "code"})
                self.assertEqual(w.rest(), b"")
                self.assertLess(time.monotonic() - began, 3)
        until(lambda: gw.metric("caudal_requests_in_progress") == 0)
        self.assertEqual(self.sim.calls()["total"], 0)

    def test_a_connection_without_requests_is_closed(self):
        gw = self.gateway("idle: 300 ms")
        with Wire(gw) as w:
            self.assertEqual(w.rest(), b"")
        with Wire(gw, raw_request("GET", "/healthz")) as w:
            self.assertEqual(w.answer().status, 200)
            self.assertEqual(w.rest(), b"")

    def test_connections_have_a_number(self):
        gw = self.gateway("connections: 6, idle: 10 s")
        held = [Wire(gw) for _ in range(40)]
        most = 0
        # With all in use nobody else is let in, not even to ask how many they are; one that leaves
        # makes room for one that waits.
        for w in held:
            w.send(raw_request("GET", "/metrics"))
        while held:
            answered, _, _ = select.select([w.socket for w in held], [], [], 10)
            w = next(w for w in held if w.socket in answered)  # not always the first: each loop has a line
            page = w.answer().body.decode()
            most = max(most, float([x for x in page.splitlines() if x.startswith("caudal_clients ")][0].split()[1]))
            held.remove(w)
            w.close()
        self.assertLessEqual(most, 6)

    def test_connections_are_counted_over_all_loops(self):
        gw = Gateway(portfolio(self.sim, serve="limits: {connections: 8}"), "--threads", "4")
        self.addCleanup(gw.__exit__)
        ask = raw_request("GET", "/metrics")

        def clients(wire):
            page = wire.answer().body.decode()
            return int(re.search(r"^caudal_clients (\d+)", page, re.M).group(1))

        # Eight get in, whichever loops the kernel gives them to; a ninth waits for one that leaves.
        held = [Wire(gw, ask) for _ in range(8)]
        self.assertTrue(all(clients(w) <= 8 for w in held))
        for _ in range(20):
            held.append(Wire(gw, ask))
            held[0].send(ask)
            self.assertEqual(clients(held[0]), 8)
            held.pop(0).close()
            self.assertEqual(clients(held[-1]), 8)

    def test_a_long_head_is_431_and_a_long_target_414(self):
        gw = self.gateway("head: 4 KiB, headers: 20")
        for ask, status in ((raw_request("GET", "/healthz", headers={"X": "y" * 5000}), 431),
                            (raw_request("GET", "/" + "a" * 9000), 414),
                            (raw_request("GET", "/healthz", headers={f"X-{i}": "y" for i in range(20)}), 431),
                            (raw_request("GET", "/healthz", headers={"X": "y" * 3000}), 200),
                            (raw_request("GET", "/healthz", headers={f"X-{i}": "y" for i in range(19)}), 200)):
            with Wire(gw, ask) as w:
                self.assertEqual(w.answer().status, status)

    def test_an_answer_longer_than_its_limit_is_not_taken(self):
        gw = self.gateway("answer: 64 KiB")
        body = b'{"model":"m","choices":[],"x":"' + b"y" * 70000 + b'"}'
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        with Recorder(lambda r: answer) as there:
            with Gateway(portfolio(there, serve="limits: {answer: 64 KiB}")) as gw:
                self.assertEqual(gw.post(CHAT, chat("x")).status, 502)


class Many(unittest.TestCase):
    def test_many_streams_at_once_all_finish(self):
        with Sim("--pace", "20ms", "--output", "=10") as sim, Gateway(portfolio(sim)) as gw:
            streams = [Stream(gw, stream()) for _ in range(500)]
            for s in streams:
                self.assertEqual(s.events()[-1], "data: [DONE]")
                s.close()
            self.assertEqual(sim.calls()["finished"], 500)
            self.assertEqual(gw.metric("caudal_requests_total", code="200"), 500)
            until(lambda: gw.metric("caudal_clients") == 1)


if __name__ == "__main__":
    main()
