// The official OpenAI client for Node, with nothing but baseURL changed, as the judge of caudal.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { SLASHED, main, openai, says, test, together, until } from "./clients.mjs";

const ask = { model: "m", messages: says("hello") };
const long = { ...ask, max_tokens: 30, ignore_eos: true };
const tools = ["get_weather", "get_time"].map((name) => ({
  type: "function", function: { name, parameters: { type: "object", properties: {} } },
}));

async function all(stream) {
  const list = [];
  for await (const item of await stream) list.push(item);
  return list;
}

const textOf = (chunks) => chunks.map((c) => c.choices[0]?.delta.content ?? "").join("");

// The error of this class that `promise` must end with.
async function fails(kind, promise) {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof kind, `a ${kind.name} is expected, not ${e.stack}`);
    assert.ok(e.message);
    return e;
  }
  assert.fail(`a ${kind.name} is expected`);
}

// Streams an answer of this call and puts its pieces of text into `texts`.
async function read(client, call, texts) {
  if (call === "chat")
    for await (const c of await client.chat.completions.create({ ...ask, stream: true })) texts.push(c.choices[0].delta.content ?? "");
  else if (call === "completions")
    for await (const c of await client.completions.create({ model: "m", prompt: "x", stream: true })) texts.push(c.choices[0].text);
  else if (call === "responses") {
    for await (const e of await client.responses.create({ model: "m", input: "x", stream: true }))
      if (e.type === "response.output_text.delta") texts.push(e.delta);
  } else {
    const stream = client.chat.completions.stream(ask);
    stream.on("content", (piece) => texts.push(piece));
    await stream.finalChatCompletion();
  }
}
const calls = ["chat", "completions", "responses", "helper"];

together({}, {
  "models are listed": async (f, client) => {
    const models = await all(client.models.list());
    assert.deepEqual(models.map((m) => m.id).sort(), ["m", SLASHED]);
    assert.equal(models.find((m) => m.id === "m").created, 1767312000);
  },
  "a model is found by a name with slash and colon": async (f, client) => {
    assert.equal((await client.models.retrieve(SLASHED)).id, SLASHED);
    const e = await fails(openai.NotFoundError, client.models.retrieve("vendor/nothing"));
    assert.equal(e.code, "model_not_found");
  },
  "chat": async (f, client) => {
    const answer = await client.chat.completions.create(ask);
    assert.match(answer.choices[0].message.content, /simulated/);
    assert.deepEqual([answer.model, answer.choices[0].finish_reason, answer.usage.completion_tokens], ["m", "stop", 12]);
  },
  "a stream says what the whole answer says": async (f, client) => {
    await f.sim.reset();
    const whole = await client.chat.completions.create(long);
    await f.sim.reset();
    const chunks = await all(client.chat.completions.create({ ...long, stream: true }));
    assert.equal(textOf(chunks), whole.choices[0].message.content);
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "length");
    assert.ok(chunks.slice(0, -1).every((c) => c.choices[0].finish_reason === null && c.model === "m"));
  },
  "usage is in a stream only when asked for": async (f, client) => {
    for (const c of await all(client.chat.completions.create({ ...ask, stream: true })))
      assert.ok(!("usage" in c) && c.choices.length === 1);
    const chunks = await all(client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } }));
    const last = chunks.pop();
    assert.deepEqual([last.choices, last.usage.completion_tokens], [[], 12]);
    assert.ok(chunks.every((c) => c.usage === null));
  },
  "the stream helper": async (f, client) => {
    const stream = client.chat.completions.stream({ ...ask, stream_options: { include_usage: true } });
    let text = "";
    stream.on("content", (piece) => (text += piece));
    const final = await stream.finalChatCompletion();
    assert.equal(final.choices[0].message.content, text);
    assert.equal(await stream.finalContent(), text);
    assert.equal((await stream.totalUsage()).completion_tokens, 12);
  },
  "a stream as a web stream": async (f, client) => {
    const lines = [];
    for await (const bytes of client.chat.completions.stream(ask).toReadableStream()) lines.push(Buffer.from(bytes).toString());
    assert.match(lines.join(""), /"finish_reason":"stop"/);
  },
  "a tool call": async (f, client) => {
    const answer = await client.chat.completions.create({ ...ask, tools, tool_choice: "required" });
    const call = answer.choices[0].message.tool_calls[0];
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ["get_weather", {}]);
    assert.equal(answer.choices[0].finish_reason, "tool_calls");
  },
  "a tool call in a stream": async (f, client) => {
    const named = { type: "function", function: { name: "get_time" } };
    const message = await client.chat.completions.stream({ ...ask, tools, tool_choice: named }).finalMessage();
    assert.deepEqual(message.tool_calls.map((c) => [c.function.name, c.function.arguments]), [["get_time", "{}"]]);
  },
  "what caudal does not know reaches the supplier": async (f, client) => {
    await client.chat.completions.create({ ...ask, top_k: 40, x: { deep: [1, null, 2.5, "ü"] }, seed: 7, metadata: { a: "b" } });
    const sent = JSON.parse(await f.sim.lastBody());
    assert.deepEqual([sent.top_k, sent.x, sent.seed, sent.metadata], [40, { deep: [1, null, 2.5, "ü"] }, 7, { a: "b" }]);
  },
  "a supplier that has another name for the model": async (f, client) => {
    const chunks = await all(client.chat.completions.create({ ...ask, model: SLASHED, stream: true }));
    assert.ok(chunks.every((c) => c.model === SLASHED));
    assert.equal(JSON.parse(await f.sim.lastBody()).model, "family-8b");
  },
  "completions": async (f, client) => {
    const once = { model: "m", prompt: "once upon", max_tokens: 30, ignore_eos: true };
    await f.sim.reset();
    const whole = await client.completions.create(once);
    await f.sim.reset();
    const chunks = await all(client.completions.create({ ...once, stream: true }));
    assert.equal(chunks.map((c) => c.choices[0].text).join(""), whole.choices[0].text);
    assert.ok(chunks.every((c) => !("usage" in c)));
  },
  "embeddings in base64 are those in floats": async (f, client) => {
    const input = { model: "m", input: ["one", "two"], dimensions: 96 };
    const packed = await client.embeddings.create(input); // the client asks for base64 and decodes it
    assert.equal(JSON.parse(await f.sim.lastBody()).encoding_format, "base64");
    const floats = await client.embeddings.create({ ...input, encoding_format: "float" });
    for (const [i, d] of packed.data.entries())
      assert.deepEqual([...d.embedding], floats.data[i].embedding.map((x) => Math.fround(x)));
    assert.equal(packed.data[1].embedding.length, 96);
  },
  "responses": async (f, client) => {
    const answer = await client.responses.create({ model: "m", input: "hello" });
    assert.match(answer.output_text, /simulated/);
    assert.deepEqual([answer.status, answer.usage.output_tokens], ["completed", 12]);
  },
  "responses in a stream": async (f, client) => {
    const events = await all(client.responses.create({ model: SLASHED, input: "hello", stream: true }));
    assert.deepEqual(events.map((e) => e.sequence_number), events.map((_, i) => i));
    assert.equal(events[0].type, "response.created");
    assert.equal(events.at(-1).type, "response.completed");
    assert.deepEqual(new Set(events.filter((e) => e.response).map((e) => e.response.model)), new Set([SLASHED]));
    const stream = client.responses.stream({ model: "m", input: "hello" });
    let text = "";
    stream.on("response.output_text.delta", (e) => (text += e.delta));
    const final = await stream.finalResponse();
    assert.deepEqual([final.output_text, final.usage.output_tokens], [text, 12]);
  },
  "the request id is shown": async (f, client) => {
    const { data, response, request_id } = await client.chat.completions.create(ask).withResponse();
    assert.match(request_id, /^req_/);
    assert.deepEqual([data._request_id, response.headers.get("x-request-id")], [request_id, request_id]);
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.match(response.headers.get("x-caudal-decision"), /a/);
    const raw = await client.chat.completions.create({ ...ask, stream: true }).asResponse();
    assert.match(raw.headers.get("content-type"), /^text\/event-stream/);
    assert.match(await raw.text(), /data: \[DONE\]\n\n$/);
  },
  "a receipt does not disturb a stream": async (f, client) => {
    const chunks = await all(client.chat.completions.create({ ...ask, stream: true }, { headers: { "x-caudal-receipt": "1" } }));
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
  },
  "requests that are wrong": async (f, client) => {
    const e = await fails(openai.NotFoundError, client.chat.completions.create({ ...ask, model: "vendor/family-8b:fre" }));
    assert.deepEqual([e.status, e.code, e.param, e.type], [404, "model_not_found", "model", "invalid_request_error"]);
    assert.ok(e.message.includes(SLASHED) && e.requestID);
    for (const [param, more] of [["messages", { messages: "hello" }], ["model", { model: 7 }], ["stream", { stream: "yes" }]]) {
      const e = await fails(openai.BadRequestError, client.chat.completions.create({ ...ask, ...more }));
      assert.equal(e.param, param);
    }
    assert.equal((await fails(openai.NotFoundError, client.moderations.create({ input: "x" }))).code, "unknown_url");
    await fails(openai.NotFoundError, client.responses.create({ model: "none", input: "x", stream: true }));
    await fails(openai.NotFoundError, client.embeddings.create({ model: "none", input: "x" }));
  },
  "what a supplier refuses is the client's error": async (f, client) => {
    for (const [fault, code] of [["context-length", "context_length_exceeded"], ["content-filter", "content_filter"]]) {
      await f.sim.faults(fault + ",count=1");
      assert.equal((await fails(openai.BadRequestError, client.chat.completions.create(ask))).code, code);
    }
    await f.sim.faults("status=422,count=1");
    await fails(openai.UnprocessableEntityError, client.chat.completions.create(ask));
    await f.sim.faults();
  },
  "two hundred streams at once": async (f, client) => {
    const texts = async (stream) => new Map(await Promise.all(Array.from({ length: 200 }, async () => {
      if (!stream) return client.chat.completions.create(long).then((a) => [a.id, a.choices[0].message.content]);
      const chunks = await all(client.chat.completions.create({ ...long, stream: true }));
      return [chunks[0].id, textOf(chunks)];
    })));
    await f.sim.reset();
    const streamed = await texts(true);
    await f.sim.reset();
    assert.deepEqual([...streamed].sort(), [...(await texts(false))].sort());
    assert.equal(streamed.size, 200);
  },
});

const sha256 = (key) => "sha256:" + createHash("sha256").update(key).digest("hex");

test("keys", { tenants: `{app: {keys: ["${sha256("sk-app")}"]}, lab: {keys: ["${sha256("sk-lab")}"], models: ["${SLASHED}"]}}` }, async (f) => {
  for (const apiKey of ["sk-other", "sk-ap"]) {
    const client = f.client({ apiKey });
    for (const call of [() => client.models.list(), () => client.chat.completions.create({ ...ask, stream: true })])
      assert.equal((await fails(openai.AuthenticationError, call())).code, "invalid_api_key");
  }
  assert.ok(await f.client({ apiKey: "sk-app" }).chat.completions.create(ask));
  const lab = f.client({ apiKey: "sk-lab" });
  assert.deepEqual((await all(lab.models.list())).map((m) => m.id), [SLASHED]);
  await fails(openai.NotFoundError, lab.chat.completions.create(ask));
});

test("one 500 is hidden", {}, async (f, client) => {
  await f.sim.faults("500,count=1");
  assert.ok((await client.chat.completions.create(ask)).choices);
  assert.equal(await f.sim.attempts(), 2);
});

for (const [fault, status] of [["500", 502], ["refuse", 502], ["garbage", 502], ["quota", 503]])
  test(`nobody answers: ${fault}`, {}, async (f, client) => {
    await f.sim.faults(fault);
    for (const stream of [false, true]) {
      const e = await fails(openai.InternalServerError, client.chat.completions.create({ ...ask, stream }));
      assert.ok([status, 503].includes(e.status) && e.code && e.requestID, e);
    }
  });

test("a limit of the supplier is a rate limit and is not retried", {}, async (f) => {
  await f.sim.faults("429:retry-after=300s");
  const e = await fails(openai.RateLimitError, f.client({ maxRetries: 3 }).chat.completions.create(ask));
  assert.deepEqual([e.status, e.code, e.headers.get("x-should-retry")], [429, "rate_limit_exceeded", "false"]);
  assert.equal(await f.sim.attempts(), 1);
});

test("a retry of the client comes when it was told", { serve: "attempts: {max: 1}" }, async (f) => {
  await f.sim.faults("429:retry-after=1500ms,count=1");
  const began = Date.now();
  await f.client({ maxRetries: 2 }).chat.completions.create(ask);
  const took = Date.now() - began;
  assert.equal(await f.sim.attempts(), 2);
  assert.ok(took > 1400 && took < 5000, `${took} ms`); // left alone it tries again within half a second
});

test("a timeout", {}, async (f) => {
  await f.sim.faults("stall-before");
  for (const stream of [false, true]) {
    const began = Date.now();
    const e = await fails(openai.APIError, f.client({ timeout: 1000 }).chat.completions.create({ ...ask, stream }));
    assert.ok(e instanceof openai.APIConnectionTimeoutError || e.status === 504, e);
    assert.ok(Date.now() - began < 5000);
    await until(async () => (await f.sim.calls()).now === 0, "the supplier's call to be cancelled");
  }
});

test("the deadline of the gateway", { serve: "attempts: {deadline: 1 s}" }, async (f, client) => {
  await f.sim.faults("stall-before");
  const e = await fails(openai.InternalServerError, client.chat.completions.create(ask));
  assert.deepEqual([e.status, e.code], [504, "timeout"]);
});

for (const fault of ["cut-after=5", "error-event=server_error,after=5", "stall-after=5"])
  for (const call of calls)
    test(`a cut stream is an error after what came: ${fault}, ${call}`, { supplier: "idle: 1 s," }, async (f, client) => {
      await f.sim.faults(fault);
      const texts = [];
      const e = await fails(openai.APIError, read(client, call, texts));
      assert.equal(texts.filter((t) => t).length, 5);
      assert.ok(!(e instanceof openai.APIConnectionError) && e.status === undefined, e);
    });

test("long silence breaks no client", { serve: "attempts: {silence: 300 ms}", supplier: "first_byte: 1600 ms," }, async (f, client) => {
  await f.sim.faults("delay=800ms");
  for (const call of calls) {
    const texts = [];
    await read(client, call, texts);
    assert.match(texts.join(""), /simulated/, call);
  }
  await f.sim.faults("stall-before");
  for (const call of calls) await fails(openai.APIError, read(client, call, []));
});

test("a client that leaves ends the supplier's work", { sim: ["--pace", "20ms", "--output", "=10000"] }, async (f, client) => {
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  let n = 0;
  for await (const c of stream) if (++n === 5) break;
  await until(async () => (await f.sim.calls()).cancelled === 1, "the stream that was left");
  const whole = new AbortController();
  const answer = client.chat.completions.create(ask, { signal: whole.signal });
  await until(async () => (await f.sim.calls()).now === 1, "the call");
  whole.abort();
  await fails(openai.APIUserAbortError, answer);
  await until(async () => (await f.sim.calls()).cancelled === 2, "the call that was left");
});

await main();
