// What the tests with the official Node client stand on: caudal serve in front of caudal sim, and a
// list of named tests that are counted. Python's side of the same is clients.py.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");
const CAUDAL = process.env.CAUDAL ?? join(ROOT, "build", "src", "cli", "caudal");
const PATIENCE_MS = 30_000;
for (const name of ["OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"]) delete process.env[name];

function theClient() {
  try {
    return createRequire(join(ROOT, ".cache", "clients", "package.json"))("openai");
  } catch (e) {
    console.log(`the official client is not there (${e.message}): run tools/fetch-clients`);
    process.exit(1);
  }
}

export const openai = theClient();
export const SLASHED = "vendor/family-8b:free";
export const says = (text) => [{ role: "user", content: text }];

// Looks at `condition` again and again until it is true.
export async function until(condition, what) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `waited in vain for ${what}`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

// A caudal process; resolves when it has said where it listens.
function start(...args) {
  const child = spawn(CAUDAL, args, { stdio: ["ignore", "pipe", "pipe"] });
  let said = "", log = "";
  child.stderr.on("data", (bytes) => (log += bytes));
  const ended = new Promise((done) => child.on("exit", done));
  return new Promise((done, fail) => {
    child.on("error", fail);
    ended.then((code) => fail(new Error(`caudal ${args.join(" ")} ended with ${code}: ${said}${log}`)));
    child.stdout.on("data", (bytes) => {
      said += bytes;
      const found = /http:\/\/[^:\s]+:(\d+)/.exec(said);
      if (found) done({ url: `http://127.0.0.1:${found[1]}`, stop: () => (child.kill(), ended) });
    });
  });
}

class Sim {
  constructor(process) {
    Object.assign(this, process);
  }
  async page(path, body) {
    const answer = await fetch(this.url + path, body === undefined ? {} : { method: "POST", body });
    assert.equal(answer.status, 200, path);
    return answer.json();
  }
  faults = (...specs) => this.page("/sim/faults", specs.join("\n"));
  reset = () => this.page("/sim/reset", "");
  calls = () => this.page("/sim/calls");
  // How often it was asked for an answer.
  attempts = async () => Object.values((await this.calls()).by_path).reduce((sum, n) => sum + n, 0);
  // The last request's body, as it came.
  lastBody = async () => (await this.page("/sim/last")).requests.at(-1).body;
}

// One simulated supplier behind a gateway: {sim, url, client(options), stop()}.
export async function fleet({ sim = ["--instant", "--output", "=12"], serve = "", supplier = "", limits = "", tenants } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "caudal-node-"));
  const supply = new Sim(await start("sim", "--listen", "127.0.0.1:0", ...sim));
  const file = join(folder, "portfolio.yaml");
  writeFileSync(file, `caudal: 1
serve: {${serve}}
models: {m: {created: 2026-01-02}}
pools:
  a: {api: openai, url: "${supply.url}/v1", surfaces: [chat, completions, embeddings, responses, messages], ${supplier}
      limits: {${limits}}, serves: {m: {price: {input: 1 USD/Mtok, output: 2 USD/Mtok}}, "${SLASHED}": {as: family-8b}}}
tenants: ${tenants ?? "{everyone: {expose: [decision]}}"}
`);
  const gateway = await start("serve", file, "--listen", "127.0.0.1:0", "--threads", "2");
  return {
    sim: supply,
    url: gateway.url + "/v1",
    client: (options) => new openai.OpenAI({ baseURL: gateway.url + "/v1", apiKey: "none", maxRetries: 0, ...options }),
    async stop() {
      const codes = [await gateway.stop(), await supply.stop()];
      rmSync(folder, { recursive: true });
      assert.deepEqual(codes, [0, 0], "how the processes ended");
    },
  };
}

const tests = [];

// test("a fact", options of its fleet, async (fleet, client) => ...)
export function test(name, options, run) {
  tests.push({ name, options, run });
}

// Tests that share one fleet.
export function together(options, list) {
  tests.push({ options, list });
}

async function one(name, f, run) {
  const began = Date.now();
  try {
    await run(f, f.client());
    console.log(`ok   ${name} (${Date.now() - began} ms)`);
    return true;
  } catch (e) {
    console.log(`FAIL ${name}\n${e.stack}`);
    return false;
  }
}

export async function main(only = process.argv.slice(2)) {
  let passed = 0, failed = 0;
  const wanted = (name) => !only.length || only.some((word) => name.includes(word));
  for (const t of tests) {
    const list = (t.list ? Object.entries(t.list) : [[t.name, t.run]]).filter(([name]) => wanted(name));
    if (!list.length) continue;
    const f = await fleet(t.options);
    for (const [name, run] of list) (await one(name, f, run)) ? passed++ : failed++;
    await f.stop().catch((e) => (failed++, console.log(`FAIL end of ${list[0][0]}\n${e.stack}`)));
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed || !passed ? 1 : 0);
}
