"""The official Anthropic client for Python as the judge of /v1/messages."""

import asyncio
import hashlib
import json
import time
import unittest

from clients import Judge, SLASHED, anthropic, main, says, sim_fleet, until

ASK = {"model": "m", "max_tokens": 20, "messages": says("hello")}
TOOL = {"name": "get_weather", "description": "x", "input_schema": {"type": "object", "properties": {}}}


class Answers(Judge):
    kind = "anthropic"

    def test_a_message(self):
        answer = self.client.messages.create(**ASK, system="Be brief.", extra_body={"x": 1})
        self.assertEqual((answer.type, answer.role, answer.model), ("message", "assistant", "m"))
        self.assertIn("simulated", answer.content[0].text)
        self.assertEqual((answer.stop_reason, answer.usage.output_tokens), ("end_turn", 12))
        sent = json.loads(self.fleet.last_body())
        self.assertEqual((sent["system"], sent["x"], sent["max_tokens"]), ("Be brief.", 1, 20))

    def test_the_version_header_reaches_the_supplier(self):
        self.client.messages.create(**ASK)
        names = {name.lower() for name, _ in self.fleet.sim.last()["requests"][-1]["headers"]}
        self.assertIn("anthropic-version", names)
        self.assertNotIn("x-api-key", names)

    def test_a_stream_says_what_the_whole_answer_says(self):
        whole = self.client.messages.create(**ASK)
        self.fleet.sim.post("/sim/reset", "")
        events = list(self.client.messages.create(**ASK, stream=True))
        kinds = [e.type for e in events]
        self.assertEqual(kinds[:2], ["message_start", "content_block_start"])
        self.assertEqual(kinds[-3:], ["content_block_stop", "message_delta", "message_stop"])
        text = "".join(e.delta.text for e in events if e.type == "content_block_delta")
        self.assertEqual(text, whole.content[0].text)
        self.assertEqual(events[0].message.model, "m")
        self.assertEqual((events[-2].delta.stop_reason, events[-2].usage.output_tokens), ("end_turn", 12))

    def test_the_stream_helper(self):
        with self.client.messages.stream(**{**ASK, "model": SLASHED}) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual((final.content[0].text, final.model), (text, SLASHED))
        self.assertEqual((final.usage.output_tokens, final.stop_reason), (12, "end_turn"))
        self.assertEqual(json.loads(self.fleet.last_body())["model"], "family-8b")

    def test_a_tool_call(self):
        ask = {**ASK, "tools": [TOOL], "tool_choice": {"type": "any"}}
        answer = self.client.messages.create(**ask)
        self.assertEqual((answer.content[-1].name, answer.stop_reason), ("get_weather", "tool_use"))
        with self.client.messages.stream(**ask) as stream:
            final = stream.get_final_message()
        self.assertEqual((final.content[-1].type, final.content[-1].input), ("tool_use", {}))

    def test_the_request_id_is_shown(self):
        raw = self.client.messages.with_raw_response.create(**ASK)
        self.assertTrue(raw.headers["x-request-id"].startswith("req_"))

    def test_models(self):
        self.assertEqual({m.id for m in self.client.models.list()}, {"m", SLASHED})
        self.assertEqual(self.client.models.retrieve(SLASHED).id, SLASHED)

    def test_errors_have_their_classes(self):
        for kind, more in ((anthropic.NotFoundError, {"model": "none"}),
                           (anthropic.BadRequestError, {"extra_body": {"messages": 7}}),
                           (anthropic.BadRequestError, {"extra_body": {"model": ""}})):
            for stream in (False, True):
                with self.assertRaises(kind) as e:
                    self.client.messages.create(**{**ASK, **more, "stream": stream})
                self.assertIn("error", e.exception.body)
                self.assertTrue(e.exception.body["error"]["message"])
                self.assertEqual(e.exception.body["type"], "error")  # as this dialect has it
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.count_tokens(model="m", messages=says("x"))


class Failures(unittest.TestCase):
    def test_one_500_is_hidden(self):
        with sim_fleet() as fleet, fleet.anthropic(max_retries=0) as client:
            fleet.sim.faults("500,count=1")
            self.assertTrue(client.messages.create(**ASK).content)

    def test_nobody_answers(self):
        with sim_fleet() as fleet, fleet.anthropic(max_retries=0) as client:
            fleet.sim.faults("500")
            with self.assertRaises(anthropic.InternalServerError):
                client.messages.create(**ASK)
            fleet.sim.faults("429:retry-after=300s")
        with sim_fleet() as fleet, fleet.anthropic(max_retries=0) as client:
            fleet.sim.faults("429:retry-after=300s")
            with self.assertRaises(anthropic.RateLimitError):
                client.messages.create(**ASK)

    def test_a_cut_stream_is_an_error_after_what_came(self):
        for fault in ("cut-after=5", "error-event=server_error,after=5", "stall-after=5"):
            with self.subTest(fault), sim_fleet(supplier="idle: 1 s,") as fleet, \
                    fleet.anthropic(max_retries=0) as client:
                fleet.sim.faults(fault)
                texts = []
                with self.assertRaises(anthropic.APIError), client.messages.stream(**ASK) as stream:
                    for text in stream.text_stream:
                        texts.append(text)
                self.assertEqual(len(texts), 5)

    def test_long_silence(self):
        with sim_fleet(serve="attempts: {silence: 400 ms}", supplier="first_byte: 2 s,") as fleet, \
                fleet.anthropic(max_retries=0) as client:
            fleet.sim.faults("delay=1s")
            with client.messages.stream(**ASK) as stream:
                self.assertIn("simulated", "".join(stream.text_stream))
            fleet.sim.faults("stall-before")
            with self.assertRaises(anthropic.APIError), client.messages.stream(**ASK) as stream:
                stream.get_final_message()

    def test_a_timeout(self):
        with sim_fleet() as fleet, fleet.anthropic(max_retries=0, timeout=1) as client:
            fleet.sim.faults("stall-before")
            began = time.monotonic()
            with self.assertRaises((anthropic.APITimeoutError, anthropic.InternalServerError)):
                client.messages.create(**ASK)
            self.assertLess(time.monotonic() - began, 5)
            until(lambda: fleet.sim.calls()["now"] == 0, "the supplier's call to be cancelled")

    def test_a_wrong_key(self):
        key = "sha256:" + hashlib.sha256(b"sk-app").hexdigest()
        with sim_fleet(more=f"tenants: {{app: {{keys: ['{key}']}}}}") as fleet:
            with fleet.anthropic(api_key="sk-app") as client:  # sent as x-api-key
                self.assertTrue(client.messages.create(**ASK).content)
            with fleet.anthropic(api_key="sk-other") as client, self.assertRaises(anthropic.AuthenticationError):
                client.messages.create(**ASK)

    def test_many_at_once(self):
        async def one(client):
            async with client.messages.stream(**ASK) as stream:
                return await stream.get_final_text()

        async def all_of_them(fleet):
            async with anthropic.AsyncAnthropic(base_url=fleet.root, api_key="none", max_retries=0) as client:
                return await asyncio.gather(*(one(client) for _ in range(50)))

        with sim_fleet(sim=("--pace", "10ms", "--output", "=12")) as fleet:
            self.assertTrue(all("simulated" in text for text in asyncio.run(all_of_them(fleet))))


if __name__ == "__main__":
    main()
