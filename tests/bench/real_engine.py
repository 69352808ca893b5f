#!/usr/bin/env python3
"""How well a real engine is foretold: `caudal bench` measures llama.cpp at some loads and lengths, `caudal bench fit`
makes a chip of it, and `caudal replay` plays a trace of other lengths that comes at its own times, which the engine is then
sent as well.

    tests/bench/real_engine.py [--build FOLDER] [--rounds N] [--threads N] [--sim US]

Wants a machine that does nothing else, and the engine (tools/fetch-engine). A round is about five minutes and has an
engine of its own; it is measured before the trace and behind it, so that a machine that grows slower by the same all the time
is foretold as it was in the middle. With --sim a supplier of known speed takes the engine's place, whose prompts cost 4 ms a
token, and those who are being answered US of it: a check of the method, which no other work on the machine disturbs much. Prints predicted, measured and the error of time to first token, time per token and
whole answer.
"""

import argparse
import csv
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
MODEL, SLOTS = "smollm2-135m", 4
USERS, PROMPTS, ANSWER, REQUESTS = "1,2,4", (64, 192), 24, 6  # what is measured
# What is foretold: neither the load, which is so many answers under way in the mean if each were alone, nor the lengths
# were measured.
LOAD, ASKED, PROMPT, OUTPUT = 0.4, 24, (80, 160), (32, 64)
FIGURES = ("ttft", "per token", "whole")
SIMULATED = f"""caudal: 1
models: {{{MODEL}: {{}}}}
chips:
  c:
    points:
      - {{model: {MODEL}, step: 12 ms, step_per_sequence: 3 ms, prefill: 250 tok/s, prefill_start: 20 ms, slots: {SLOTS},
         step_per_prompt: "${{JOIN}} us"}}
pools: {{here: {{api: openai, url: 'http://127.0.0.1:9/v1', key: k, chip: c, serves: [{MODEL}]}}}}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_engine(threads):
    port = free_port()
    engine = subprocess.Popen([sys.executable, os.path.join(ROOT, "engine", "llama_engine.py"), "--port", str(port),
                               "--model", "SmolLM2-135M-Instruct.Q4_1.gguf", "--alias", MODEL, "--parallel", str(SLOTS),
                               "--threads", str(threads)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
            return engine, f"http://127.0.0.1:{port}/v1"
        except (urllib.error.URLError, OSError):
            if engine.poll() is not None or time.monotonic() > until:
                sys.exit("real_engine: the engine did not start; tools/fetch-engine gets it")
            time.sleep(0.2)


def start_sim(caudal, folder, join_us):
    portfolio = os.path.join(folder, "sim.yaml")
    with open(portfolio, "w") as f:
        f.write(SIMULATED)
    sim = subprocess.Popen([caudal, "sim", "--listen", "127.0.0.1:0", "--portfolio", portfolio, "--pool", "here",
                            "--prefix-cache", "0tok"], stdout=subprocess.PIPE, text=True, env={**os.environ, "JOIN": str(join_us)})
    return sim, sim.stdout.readline().split()[-1]


class Round:
    def __init__(self, build, folder, seed):
        self.caudal = os.environ.get("CAUDAL", os.path.join(build, "src", "cli", "caudal"))
        self.load = os.path.join(build, "tests", "bench", "bench_twin_load")
        self.folder, self.seed, self.tables = folder, seed, []

    def run(self, *args, stdin=None):
        done = subprocess.run(args, capture_output=True, text=True, timeout=900, stdin=stdin)
        if done.returncode:
            sys.exit(f"real_engine: {' '.join(args[:3])}: {done.stderr}")
        return done.stdout

    def path(self, name):
        return os.path.join(self.folder, name)

    def measure(self, url):
        for prompt in PROMPTS:
            self.tables.append(self.path(f"table{len(self.tables)}.csv"))
            self.run(self.caudal, "bench", url, "--model", MODEL, "--whole", "--seed", str(self.seed + len(self.tables)),
                     "--users", USERS, "--prompt", str(prompt), "--output", str(ANSWER), "--vary", "--requests", str(REQUESTS),
                     "--table", self.tables[-1], "--json")
            # More users give this engine no more tokens at all, which bench calls saturated. But as they are no more than
            # it has slots, nobody waits for one, and what a token takes is the engine's.
            with open(self.tables[-1]) as f:
                text = f.read()
            with open(self.tables[-1], "w") as f:
                f.write(text.replace(",saturated,", ",,"))

    def fit(self):
        """A portfolio of one pool, with the chip that was fitted to what was measured."""
        chips, out = self.path("chips.yaml"), self.path("p.yaml")
        self.run(self.caudal, "bench", "fit", "--out", chips, *self.tables)
        with open(chips) as f:
            text = f.read().replace("pools: {}  # yours, in another file\n", "")
        chip = text.split("chips:\n  ")[1].split("\n")[0].rpartition(":")[0]  # in quotes, as it is there
        with open(out, "w") as f:
            f.write(f"{text}pools:\n  here: {{api: openai, url: 'http://x/v1', key: k, chip: {chip}, serves: [{MODEL}]}}\n")
        return out

    def trace(self, name, requests):
        with open(self.path(name), "w") as f:
            f.write("t_us,prompt_tokens,output_tokens\n")
            f.writelines(f"{t:.0f},{prompt:.0f},{output:.0f}\n" for t, prompt, output in requests)
        return self.path(name)

    def replay(self, portfolio, trace):
        """Medians, in us."""
        run = json.loads(self.run(self.caudal, "replay", portfolio, "--trace", trace, "--policy", "round-robin", "--json"))
        times = run["runs"][0]["pools"][0]
        return {f: times[key]["p50"] for f, key in zip(FIGURES, ("ttft_us", "per_token_us", "total_us"))}

    def send(self, url, trace):
        with open(trace) as f:
            rows = list(csv.DictReader(self.run(self.load, url, MODEL, "", "told", stdin=f).splitlines()))
        return [{k: v if k == "why" else float(v) for k, v in row.items()} for row in rows]


def median(rows, of):
    return statistics.median(of(r) for r in rows)


def one_round(args, seed, folder):
    r, chance = Round(args.build, folder, seed), random.Random(seed)
    lengths = [(chance.uniform(*PROMPT), chance.uniform(*OUTPUT)) for _ in range(ASKED)]
    gaps = [chance.expovariate(1) for _ in range(ASKED)]
    engine, url = start_engine(args.threads) if args.sim is None else start_sim(r.caudal, folder, args.sim)
    try:
        r.measure(url)
        alone = r.replay(r.fit(), r.trace("one.csv", [(0, sum(PROMPT) / 2, sum(OUTPUT) / 2)]))["whole"]
        at = [alone / LOAD * sum(gaps[:i]) for i in range(ASKED)]
        rows = r.send(url, r.trace("asked.csv", [(t, *both) for t, both in zip(at, lengths)]))
        r.measure(url)
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait()
    good = [x for x in rows if not x["why"]]
    if len(good) < len(rows):
        sys.exit(f"real_engine: {len(rows) - len(good)} of {len(rows)} requests failed: {rows}")
    # As the engine counted them: a template is in front of each prompt, and some of it in its cache.
    sent = [(x["due_us"], x["prompt_tok"] - x["cached_tok"], x["output_tok"]) for x in rows]
    said = r.replay(r.fit(), r.trace("sent.csv", sent))
    seen = {"ttft": median(good, lambda x: x["ttft_us"]), "whole": median(good, lambda x: x["total_us"]),
            "per token": median(good, lambda x: (x["total_us"] - x["ttft_us"]) / (x["output_tok"] - 1))}
    print(f"round {seed}: {LOAD / alone * 1e6:.2f}/s, {median(sent, lambda x: x[1]):.0f} tokens of prompt that no cache had, "
          f"{median(sent, lambda x: x[2]):.0f} of answer, {len(good)} requests")
    for f in FIGURES:
        print(f"  {f:10} foretold {said[f] / 1e3:8.1f} ms  measured {seen[f] / 1e3:8.1f} ms  {100 * (said[f] / seen[f] - 1):+6.1f} %",
              flush=True)
    if args.keep:
        for name in os.listdir(folder):
            os.replace(os.path.join(folder, name), os.path.join(args.keep, f"{seed}-{name}"))
        with open(os.path.join(args.keep, f"{seed}-rows.json"), "w") as f:
            json.dump(rows, f)
    return {f: said[f] / seen[f] - 1 for f in FIGURES}


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", default=os.path.join(ROOT, "build"))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=1, help="of the engine (1)")
    p.add_argument("--sim", type=int, metavar="US", help="of a simulated supplier instead, see above")
    p.add_argument("--keep", metavar="FOLDER", help="leave tables, chips, traces and what was measured there")
    args = p.parse_args()
    errors = []
    for i in range(args.rounds):
        with tempfile.TemporaryDirectory() as folder:
            errors.append(one_round(args, i + 1, folder))
    for f in FIGURES:
        e = [x[f] for x in errors]
        print(f"{f:10} median {100 * statistics.median(e):+.1f} % [{100 * min(e):+.1f} to {100 * max(e):+.1f}]")


if __name__ == "__main__":
    main()
