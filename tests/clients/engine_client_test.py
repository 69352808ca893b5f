"""The official clients against a real model: llama.cpp with SmolLM2, started and watched by caudal."""

import asyncio
import json
import os
import struct
import tempfile
import unittest

from clients import ROOT, Fleet, anthropic, main, openai, says, until

from harness import Gateway
from pydantic import BaseModel

ENGINE = os.environ.get("ENGINE") or os.path.join(ROOT, "engine", "llama_engine.py")
MODEL = os.environ.get("MODEL") or os.path.join(ROOT, ".cache", "engine", "SmolLM2-135M-Instruct.Q4_1.gguf")
NAME = "smollm2-135m"

PORTFOLIO = """
caudal: 1
serve: {{state: {state}}}
suppliers:
  here: {{api: llama.cpp, run: [{engine}, --port, "${{PORT}}", --alias, {name}, --model, {model}],
         surfaces: [chat, completions, responses, messages]}}
  vectors: {{api: llama.cpp, run: [{engine}, --port, "${{PORT}}", --alias, {name}, --model, {model}, --embedding],
            surfaces: [embeddings]}}
pools:
  here: {{supplier: here, serves: [{name}], limits: {{in_flight: 4}}}}
  vectors: {{supplier: vectors, serves: [{name}]}}
tenants: {{everyone: {{expose: [decision]}}}}
"""


class Person(BaseModel):
    name: str
    age: int


class RealModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists(MODEL):
            raise AssertionError(f"there is no model at {MODEL}: run tools/fetch-engine")
        cls.state = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.state.cleanup)
        cls.gateway = Gateway(PORTFOLIO.format(engine=ENGINE, model=MODEL, name=NAME, state=cls.state.name))
        cls.addClassCleanup(cls.gateway.log.close)
        cls.addClassCleanup(cls.gateway.__exit__)
        cls.fleet = Fleet([None], cls.gateway)
        cls.client = cls.fleet.openai(max_retries=0, timeout=60)
        cls.addClassCleanup(cls.client.close)
        until(lambda: all(cls.gateway.metric("caudal_pool_ready", pool=p) for p in ("here", "vectors")),
              "the engines to be ready")

    def chat(self, text="What is a river?", **more):
        return self.client.chat.completions.create(**{
            "model": NAME, "messages": says(text), "max_tokens": 16, "temperature": 0, "seed": 1, **more})

    def test_a_whole_answer(self):
        answer = self.chat()
        self.assertEqual(answer.model, NAME)
        self.assertTrue(answer.choices[0].message.content.strip())
        self.assertGreater(answer.usage.prompt_tokens, 4)
        self.assertLessEqual(answer.usage.completion_tokens, 16)
        self.assertTrue(answer._request_id)

    def test_a_stream_says_the_same(self):
        whole = self.chat("Say hello.")
        *chunks, last = self.chat("Say hello.", stream=True, stream_options={"include_usage": True})
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), whole.choices[0].message.content)
        self.assertEqual(chunks[-1].choices[0].finish_reason, whole.choices[0].finish_reason)
        self.assertEqual((last.choices, last.usage.completion_tokens), ([], whole.usage.completion_tokens))
        self.assertEqual({c.model for c in chunks}, {NAME})

    def test_usage_is_in_a_stream_only_when_asked_for(self):
        for c in self.chat(stream=True):
            self.assertNotIn("usage", c.model_fields_set)
            self.assertEqual(len(c.choices), 1)

    def test_the_stream_helper(self):
        # Not get_final_completion(): it raises where so small a model talks on to the limit.
        with self.client.chat.completions.stream(model=NAME, messages=says("Count to three."), temperature=0, seed=1,
                                                 max_tokens=60) as stream:
            for _ in stream:
                pass
            choice = stream.current_completion_snapshot.choices[0]
            self.assertTrue(choice.message.content)
            self.assertIn(choice.finish_reason, ("stop", "length"))

    def test_structured_output(self):
        answer = self.client.chat.completions.parse(
            model=NAME, messages=says("Anna is 30 years old. Who is it?"), response_format=Person, temperature=0,
            max_tokens=200)
        self.assertIsInstance(answer.choices[0].message.parsed, Person)

    def test_completions(self):
        ask = {"model": NAME, "prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
        whole = self.client.completions.create(**ask)
        chunks = list(self.client.completions.create(**ask, stream=True))
        self.assertEqual("".join(c.choices[0].text for c in chunks), whole.choices[0].text)
        self.assertIn("Paris", whole.choices[0].text)

    def test_responses(self):
        answer = self.client.responses.create(model=NAME, input="Say hello.", max_output_tokens=16)
        self.assertTrue(answer.output_text)
        # Not the stream helper: llama.cpp's events have no content_index, which it stumbles over.
        events = list(self.client.responses.create(model=NAME, input="Say hello.", max_output_tokens=16, stream=True))
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        self.assertTrue(text)
        self.assertEqual((events[0].type, events[-1].type), ("response.created", "response.completed"))
        self.assertEqual(events[-1].response.output_text, text)
        self.assertGreater(events[-1].response.usage.output_tokens, 0)

    def test_messages(self):
        with self.fleet.anthropic(max_retries=0, timeout=60) as client:
            ask = {"model": NAME, "max_tokens": 16, "messages": says("Say hello.")}
            self.assertTrue(client.messages.create(**ask).content[0].text)
            with client.messages.stream(**ask) as stream:
                text = "".join(stream.text_stream)
                self.assertEqual(stream.get_final_message().content[0].text, text)
            with self.assertRaises(anthropic.NotFoundError):
                client.messages.create(**{**ask, "model": "none"})

    def test_embeddings_in_base64_are_those_in_floats(self):
        ask = {"model": NAME, "input": ["one river", "two rivers"]}
        packed = self.client.embeddings.create(**ask)
        floats = self.client.embeddings.create(**ask, encoding_format="float")
        self.assertEqual(len(packed.data), 2)
        for a, b in zip(packed.data, floats.data):
            n = len(a.embedding)
            self.assertEqual((n, len(b.embedding)), (576, 576))
            for x, y in zip(struct.unpack(f"<{n}f", struct.pack(f"<{n}f", *a.embedding)), b.embedding):
                self.assertAlmostEqual(x, y, delta=1e-4)

    def test_too_long_a_prompt_is_the_clients_error(self):
        with self.assertRaises(openai.BadRequestError) as e:
            self.chat("river " * 9000)
        self.assertEqual(e.exception.code, "context_length_exceeded")

    def test_many_at_once_with_a_line_before_the_engine(self):
        async def one(client, i):
            stream = await client.chat.completions.create(model=NAME, messages=says(f"Write about the number {i}."),
                                                          max_tokens=12, stream=True)
            return [c async for c in stream][-1].choices[0].finish_reason

        async def all_of_them():
            async with self.fleet.openai_async(max_retries=0, timeout=90) as client:
                return await asyncio.gather(*(one(client, i) for i in range(10)))

        self.assertLessEqual(set(asyncio.run(all_of_them())), {"length", "stop"})

    def test_the_receipt(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model=NAME, messages=says("Hi."), max_tokens=4, extra_headers={"x-caudal-receipt": "1"})
        self.assertEqual(json.loads(raw.headers["x-caudal-receipt"])["pool"], "here")


if __name__ == "__main__":
    main()
