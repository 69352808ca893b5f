"""The official OpenAI client for Python, with nothing but base_url changed, as the judge of caudal.

What it makes of failures is in python_failures_test.py.
"""

import asyncio
import hashlib
import json
import struct
import unittest

from clients import Judge, SLASHED, main, openai, says, sim_fleet, until

TOOLS = [{"type": "function", "function": {"name": name, "parameters": {"type": "object", "properties": {}}}}
         for name in ("get_weather", "get_time")]
LONG = {"max_tokens": 30, "extra_body": {"ignore_eos": True}}


class Answers(Judge):
    """Every call that answers."""

    kind = "openai"

    def again(self):
        """The supplier's next answer has the text of its first one."""
        self.fleet.sim.post("/sim/reset", "")

    def chat(self, text="hello", **more):
        return self.client.chat.completions.create(**{"model": "m", "messages": says(text), **more})

    # --- models ---

    def test_models_are_listed(self):
        models = list(self.client.models.list())
        self.assertEqual({m.id for m in models}, {"m", SLASHED})
        self.assertTrue(all(m.object == "model" and m.owned_by for m in models))
        self.assertEqual({m.id: m.created for m in models}["m"], 1767312000)

    def test_a_model_is_found_by_a_name_with_slash_and_colon(self):
        self.assertEqual(self.client.models.retrieve(SLASHED).id, SLASHED)
        self.assertEqual(self.client.models.retrieve("m").id, "m")

    def test_an_unknown_model_is_not_found(self):
        with self.assertRaises(openai.NotFoundError) as e:
            self.client.models.retrieve("vendor/nothing")
        self.assertEqual((e.exception.code, e.exception.param), ("model_not_found", "model"))

    # --- chat ---

    def test_chat(self):
        answer = self.chat()
        choice = answer.choices[0]
        self.assertEqual((answer.model, answer.object, choice.message.role), ("m", "chat.completion", "assistant"))
        self.assertIn("simulated", choice.message.content)
        self.assertEqual(choice.finish_reason, "stop")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)
        self.assertEqual(answer.usage.completion_tokens, 12)

    def test_a_stream_says_what_the_whole_answer_says(self):
        whole = self.chat("the same", **LONG)
        self.again()
        with self.chat("the same", stream=True, **LONG) as stream:
            chunks = list(stream)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks), whole.choices[0].message.content)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")
        self.assertEqual([c.choices[0].finish_reason for c in chunks], [None] * (len(chunks) - 1) + ["length"])
        self.assertEqual({(c.id, c.model, c.object) for c in chunks},
                         {(chunks[0].id, "m", "chat.completion.chunk")})

    def test_usage_is_in_a_stream_only_when_asked_for(self):
        for c in self.chat(stream=True):
            self.assertNotIn("usage", c.model_fields_set)
            self.assertTrue(c.choices)
        *chunks, last = self.chat(stream=True, stream_options={"include_usage": True})
        self.assertEqual((last.choices, last.usage.completion_tokens), ([], 12))
        self.assertTrue(all(c.usage is None and c.choices for c in chunks))
        *chunks, last = self.chat(stream=True, stream_options={"include_usage": False})
        self.assertTrue(last.choices and last.usage is None)

    def test_the_stream_helper(self):
        with self.client.chat.completions.stream(model="m", messages=says("x"),
                                                 stream_options={"include_usage": True}) as stream:
            events = list(stream)
            final = stream.get_final_completion()
        text = "".join(e.delta for e in events if e.type == "content.delta")
        self.assertEqual(final.choices[0].message.content, text)
        self.assertEqual([e.content for e in events if e.type == "content.done"], [text])
        self.assertEqual((final.usage.completion_tokens, final.choices[0].finish_reason), (12, "stop"))

    def test_choices_have_each_their_text(self):
        whole = self.chat(n=3, **LONG)
        self.again()
        texts = ["", "", ""]
        for c in self.chat(n=3, stream=True, **LONG):
            for choice in c.choices:
                texts[choice.index] += choice.delta.content or ""
        self.assertEqual(texts, [c.message.content for c in whole.choices])
        self.assertEqual(len(set(texts)), 3)

    def test_a_tool_call(self):
        answer = self.chat(tools=TOOLS, tool_choice="required")
        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual((call.type, call.function.name, json.loads(call.function.arguments)),
                         ("function", "get_weather", {}))
        self.assertEqual(answer.choices[0].finish_reason, "tool_calls")
        self.assertIsNone(answer.choices[0].message.content)

    def test_a_tool_call_in_a_stream(self):
        named = {"type": "function", "function": {"name": "get_time"}}
        with self.client.chat.completions.stream(model="m", messages=says("x"), tools=TOOLS,
                                                 tool_choice=named) as stream:
            kinds = [e.type for e in stream]
            message = stream.get_final_completion().choices[0].message
        self.assertIn("tool_calls.function.arguments.done", kinds)
        self.assertEqual([(c.function.name, c.function.arguments) for c in message.tool_calls], [("get_time", "{}")])

    def test_a_conversation_with_all_kinds_of_messages(self):
        answer = self.client.chat.completions.create(model="m", messages=[
            {"role": "system", "content": "Be brief."}, {"role": "developer", "content": [{"type": "text", "text": "x"}]},
            {"role": "user", "content": [{"type": "text", "text": "ü \U0001f600 \u2028"},
                                         {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "42"}])
        self.assertTrue(answer.choices[0].message.content)
        sent = json.loads(self.fleet.last_body())["messages"]
        self.assertEqual(sent[2]["content"][0]["text"], "ü \U0001f600 \u2028")
        self.assertEqual(sent[3]["tool_calls"][0]["id"], "c1")

    def test_what_caudal_does_not_know_reaches_the_supplier(self):
        extra = {"top_k": 40, "x": {"deep": [1, None, 2.5, "ü"]}, "guided_json": {"type": "object"}}
        self.chat(temperature=0.1, seed=7, logit_bias={"50256": -100}, stop=["\n\n"], user="someone",
                  response_format={"type": "json_object"}, metadata={"a": "b"}, extra_body=extra)
        sent = json.loads(self.fleet.last_body())
        for key, value in {**extra, "temperature": 0.1, "seed": 7, "logit_bias": {"50256": -100}, "stop": ["\n\n"],
                           "response_format": {"type": "json_object"}, "metadata": {"a": "b"}}.items():
            self.assertEqual(sent[key], value, key)

    def test_a_supplier_that_has_another_name_for_the_model(self):
        answer = self.chat(model=SLASHED)
        self.assertEqual((answer.model, json.loads(self.fleet.last_body())["model"]), (SLASHED, "family-8b"))
        self.assertEqual({c.model for c in self.chat(model=SLASHED, stream=True)}, {SLASHED})

    # --- the other surfaces ---

    def test_completions(self):
        ask = {"model": "m", "prompt": "once upon", **LONG}
        whole = self.client.completions.create(**ask)
        self.again()
        self.assertEqual((whole.object, whole.model, whole.usage.completion_tokens), ("text_completion", "m", 30))
        chunks = list(self.client.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
        self.assertEqual("".join(c.choices[0].text for c in chunks if c.choices), whole.choices[0].text)
        self.assertEqual((chunks[-1].choices, chunks[-1].usage.completion_tokens), ([], 30))
        several = self.client.completions.create(model="m", prompt=["a", "b"])
        self.assertEqual([c.index for c in several.choices], [0, 1])

    def test_embeddings_in_base64_are_those_in_floats(self):
        ask = {"model": "m", "input": ["one", "two"], "dimensions": 96}
        packed = self.client.embeddings.create(**ask)  # the client asks for base64 and decodes it
        self.assertEqual(json.loads(self.fleet.last_body())["encoding_format"], "base64")
        floats = self.client.embeddings.create(**ask, encoding_format="float")
        self.assertEqual([d.index for d in packed.data], [0, 1])
        for a, b in zip(packed.data, floats.data):
            self.assertEqual(len(a.embedding), 96)
            for x, y in zip(a.embedding, b.embedding):
                self.assertAlmostEqual(x, y, delta=1e-6)
            self.assertEqual(struct.pack("<96f", *a.embedding), struct.pack("<96f", *b.embedding))
        self.assertTrue(packed.usage.prompt_tokens)
        self.assertEqual(packed.model, "m")

    def test_responses(self):
        answer = self.client.responses.create(model="m", input="hello", instructions="Be brief.")
        self.assertEqual((answer.status, answer.model), ("completed", "m"))
        self.assertIn("simulated", answer.output_text)
        self.assertEqual(answer.usage.output_tokens, 12)

    def test_responses_stream(self):
        whole = self.client.responses.create(model=SLASHED, input="hello")
        self.again()
        events = list(self.client.responses.create(model=SLASHED, input="hello", stream=True))
        self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
        kinds = [e.type for e in events]
        self.assertEqual(kinds[:4], ["response.created", "response.in_progress", "response.output_item.added",
                                     "response.content_part.added"])
        self.assertEqual(kinds[-4:], ["response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.completed"])
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        self.assertEqual((text, events[-1].response.output_text), (whole.output_text, whole.output_text))
        self.assertEqual({e.response.model for e in events if hasattr(e, "response")}, {SLASHED})

    def test_the_responses_stream_helper(self):
        with self.client.responses.stream(model="m", input="hello") as stream:
            text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
            final = stream.get_final_response()
        self.assertEqual((final.output_text, final.status, final.usage.output_tokens), (text, "completed", 12))

    # --- heads ---

    def test_the_request_id_is_shown(self):
        raw = self.client.chat.completions.with_raw_response.create(model="m", messages=says("x"))
        answer = raw.parse()
        self.assertTrue(raw.headers["x-request-id"].startswith("req_"))
        self.assertEqual(answer._request_id, raw.headers["x-request-id"])
        self.assertEqual(raw.request_id, answer._request_id)
        self.assertEqual(raw.headers["content-type"], "application/json")
        self.assertNotEqual(self.chat()._request_id, answer._request_id)
        self.assertTrue(self.client.models.list()._request_id)

    def test_the_request_id_is_in_the_supplier_call(self):
        answer = self.chat()
        self.assertIn(["x-client-request-id", answer._request_id], self.fleet.sim.last()["requests"][-1]["headers"])

    def test_decision_and_receipt(self):
        raw = self.client.chat.completions.with_raw_response.create(
            model="m", messages=says("x"), extra_headers={"x-caudal-receipt": "1"})
        self.assertIn("a", raw.headers["x-caudal-decision"])
        receipt = json.loads(raw.headers["x-caudal-receipt"])
        self.assertEqual(receipt["pool"], "a")

    def test_a_receipt_does_not_disturb_a_stream(self):
        chunks = list(self.chat(stream=True, extra_headers={"x-caudal-receipt": "1"}))
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_streaming_as_bytes_and_lines(self):
        with self.client.chat.completions.with_streaming_response.create(
                model="m", messages=says("x"), stream=True) as raw:
            self.assertTrue(raw.headers["content-type"].startswith("text/event-stream"))
            self.assertTrue(raw.headers["x-request-id"])
            lines = [line for line in raw.iter_lines() if line]
        self.assertEqual(lines[-1], "data: [DONE]")
        self.assertTrue(all(line.startswith("data: ") for line in lines))

    def test_one_connection_is_used_again(self):
        with sim_fleet() as fleet, fleet.openai(max_retries=0) as client:
            for i in range(5):
                client.chat.completions.create(model="m", messages=says("x"))
                list(client.chat.completions.create(model="m", messages=says("x"), stream=True))
                with self.assertRaises(openai.NotFoundError):
                    client.chat.completions.create(model="none", messages=says("x"))
            self.assertEqual(fleet.attempts(), 10)
            until(lambda: fleet.serve.metric("caudal_clients") == 2, "the client and who looks")
            # Who looks, and the gateway: a second one where a stream's last bytes were still under way.
            until(lambda: fleet.sim.calls()["connections"]["now"] <= 3, "the gateway's calls to share connections")

    # --- requests that are wrong ---

    def refused(self, kind, **ask):
        with self.assertRaises(kind) as e:
            self.chat(**ask)
        self.assertTrue(e.exception.request_id)
        self.assertTrue(e.exception.message)
        return e.exception

    def test_a_model_that_is_not_there(self):
        e = self.refused(openai.NotFoundError, model="vendor/family-8b:fre")
        self.assertEqual((e.code, e.param, e.type), ("model_not_found", "model", "invalid_request_error"))
        self.assertIn(SLASHED, e.message)
        for kind in (lambda: self.client.embeddings.create(model="none", input="x"),
                     lambda: self.client.responses.create(model="none", input="x"),
                     lambda: self.client.completions.create(model="none", prompt="x"),
                     lambda: self.chat(model="none", stream=True)):
            with self.assertRaises(openai.NotFoundError) as e:
                kind()
            self.assertEqual(e.exception.code, "model_not_found")

    def test_wrong_types_are_named(self):
        for param, body in (("messages", {"messages": "hello"}), ("model", {"model": 7}), ("stream", {"stream": "yes"}),
                            ("max_tokens", {"max_tokens": "many"})):
            e = self.refused(openai.BadRequestError, extra_body=body)
            self.assertEqual(e.param, param, e)
            self.assertEqual(e.type, "invalid_request_error")

    def test_a_path_that_is_not_there(self):
        for call in (lambda: self.client.moderations.create(input="x"), lambda: self.client.files.list(),
                     lambda: self.client.images.generate(model="m", prompt="x")):
            with self.assertRaises(openai.NotFoundError) as e:
                call()
            self.assertEqual(e.exception.code, "unknown_url")

    def test_what_a_supplier_refuses_is_the_clients_error(self):
        for fault, code in (("context-length", "context_length_exceeded"), ("content-filter", "content_filter"),
                            ("400,code=mine", "mine")):
            self.fleet.sim.faults(fault + ",count=1")
            self.addCleanup(self.fleet.sim.faults)
            self.assertEqual(self.refused(openai.BadRequestError).code, code)

    def test_a_supplier_that_asks_for_422(self):
        self.fleet.sim.faults("status=422,count=1")
        self.addCleanup(self.fleet.sim.faults)
        self.refused(openai.UnprocessableEntityError)


class Large(unittest.TestCase):
    def test_a_body_over_the_limit_is_refused_and_one_under_it_is_not(self):
        with sim_fleet(serve="limits: {body: 256 KiB}") as fleet, fleet.openai(max_retries=0) as client:
            with self.assertRaises(openai.APIStatusError) as e:
                client.chat.completions.create(model="m", messages=says("x" * 300_000))
            self.assertEqual(e.exception.status_code, 413)
            text = "x" * 200_000
            client.chat.completions.create(model="m", messages=says(text))


class Keys(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        keys = {name: "sha256:" + hashlib.sha256(f"sk-{name}".encode()).hexdigest() for name in ("app", "lab")}
        cls.fleet = sim_fleet(more=f"tenants: {{app: {{keys: ['{keys['app']}']}}, "
                                   f"lab: {{keys: ['{keys['lab']}'], models: ['{SLASHED}']}}}}")

    @classmethod
    def tearDownClass(cls):
        cls.fleet.__exit__(None, None, None)

    def test_a_wrong_key(self):
        for call in (lambda c: c.models.list(), lambda c: c.models.retrieve("m"),
                     lambda c: c.chat.completions.create(model="m", messages=says("x")),
                     lambda c: c.chat.completions.create(model="m", messages=says("x"), stream=True)):
            for key in ("sk-other", "sk-ap", "sk-app "[:6] + "p"):
                with self.fleet.openai(api_key=key) as c, self.assertRaises(openai.AuthenticationError) as e:
                    call(c)
                self.assertEqual(e.exception.code, "invalid_api_key")
                self.assertEqual(e.exception.status_code, 401)

    def test_a_tenant_sees_and_gets_its_models_only(self):
        with self.fleet.openai(api_key="sk-app") as app, self.fleet.openai(api_key="sk-lab") as lab:
            self.assertEqual({m.id for m in app.models.list()}, {"m", SLASHED})
            self.assertEqual({m.id for m in lab.models.list()}, {SLASHED})
            self.assertTrue(lab.chat.completions.create(model=SLASHED, messages=says("x")).choices)
            for call in (lambda: lab.models.retrieve("m"),
                         lambda: lab.chat.completions.create(model="m", messages=says("x"))):
                with self.assertRaises(openai.NotFoundError) as e:
                    call()
                self.assertEqual(e.exception.code, "model_not_found")

    def test_the_key_does_not_reach_the_supplier(self):
        with self.fleet.openai(api_key="sk-app") as app:
            app.chat.completions.create(model="m", messages=says("x"))
        self.assertNotIn("sk-app", json.dumps(self.fleet.sim.last()))


class Async(unittest.TestCase):
    def test_the_async_client(self):
        async def calls(fleet):
            async with fleet.openai_async(max_retries=0) as client:
                answer = await client.chat.completions.create(model="m", messages=says("x"))
                texts = []
                fleet.sim.post("/sim/reset", "")
                async for c in await client.chat.completions.create(model="m", messages=says("x"), stream=True):
                    texts.append(c.choices[0].delta.content or "")
                self.assertEqual("".join(texts), answer.choices[0].message.content)
                async with client.responses.stream(model="m", input="x") as stream:
                    async for _ in stream:
                        pass
                    self.assertEqual((await stream.get_final_response()).status, "completed")
                self.assertEqual(len([m async for m in client.models.list()]), 2)
                self.assertEqual(len((await client.embeddings.create(model="m", input="x")).data[0].embedding), 256)
                with self.assertRaises(openai.NotFoundError):
                    await client.chat.completions.create(model="none", messages=says("x"))

        with sim_fleet() as fleet:
            asyncio.run(calls(fleet))

    def test_two_hundred_streams_at_once(self):
        """Each gets what the supplier said to it, whole: the id says which answer that is."""
        async def ask(client, i, stream):
            more = {"model": "m", "messages": says(f"number {i}"), "max_tokens": 40, "extra_body": {"ignore_eos": True}}
            if not stream:
                whole = await client.chat.completions.create(**more)
                return whole.id, whole.choices[0].message.content
            text, chunks = "", [c async for c in await client.chat.completions.create(**more, stream=True)]
            for c in chunks:
                text += c.choices[0].delta.content or ""
            self.assertEqual((chunks[-1].choices[0].finish_reason, len({c.id for c in chunks})), ("length", 1))
            return chunks[0].id, text

        async def all_of_them(fleet, stream):
            async with fleet.openai_async(max_retries=0) as client:
                return dict(await asyncio.gather(*(ask(client, i, stream) for i in range(200))))

        with sim_fleet(sim=("--pace", "20ms")) as fleet:
            streamed = asyncio.run(all_of_them(fleet, True))
            self.assertGreater(fleet.sim.calls()["streams_most"], 150)
            fleet.sim.post("/sim/reset", "")
            whole = asyncio.run(all_of_them(fleet, False))
        self.assertEqual(len(streamed), 200)
        self.assertEqual(streamed, whole)

    def test_many_that_leave(self):
        async def leave(client, i):
            tokens = 100_000 if i % 2 else 30
            stream = await client.chat.completions.create(model="m", messages=says(str(i)), stream=True,
                                                          max_tokens=tokens, extra_body={"ignore_eos": True})
            async for _ in stream:
                if i % 2:
                    await stream.close()
                    return

        async def all_of_them(fleet):
            async with fleet.openai_async(max_retries=0) as client:
                await asyncio.gather(*(leave(client, i) for i in range(100)))

        with sim_fleet(sim=("--pace", "10ms")) as fleet:
            asyncio.run(all_of_them(fleet))
            until(lambda: fleet.sim.calls()["now"] == 0)
            calls = fleet.sim.calls()
            self.assertEqual((calls["finished"], calls["cancelled"]), (50, 50))


if __name__ == "__main__":
    main()
