#!/usr/bin/env python3
"""How well a real engine is foretold: `caudal bench` measures llama.cpp at some loads and lengths, `caudal bench fit`
makes a chip of it, `caudal replay` plays another load of other lengths, and `caudal bench` then measures that.

    CAUDAL=build/src/cli/caudal tests/bench/real_engine.py [--rounds N]

Wants a machine that does nothing else, and the engine (tools/fetch-engine). A round is about a minute and a half; each
has an engine of its own. Prints predicted, measured and the error of time to first token, time per token and whole answer.
"""

import argparse
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
CAUDAL = os.environ.get("CAUDAL", os.path.join(ROOT, "build", "src", "cli", "caudal"))
MODEL, SLOTS = "smollm2-135m", 4
SEEN = ["--users", "1,2,4", "--prompt", "64,384", "--output", "32", "--requests", "10"]
RATE, PROMPT, OUTPUT, ASKED = 0.7, 160, 56, 24  # what is foretold: neither load nor lengths were seen
REPLAYED = 4000


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start_engine():
    port = free_port()
    engine = subprocess.Popen([sys.executable, os.path.join(ROOT, "engine", "llama_engine.py"), "--port", str(port),
                               "--model", "SmolLM2-135M-Instruct.Q4_1.gguf", "--alias", MODEL, "--parallel", str(SLOTS)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
            return engine, f"http://127.0.0.1:{port}/v1"
        except (urllib.error.URLError, OSError):
            if engine.poll() is not None or time.monotonic() > until:
                sys.exit("real_engine: the engine did not start; tools/fetch-engine gets it")
            time.sleep(0.2)


def caudal(*args):
    done = subprocess.run([CAUDAL, *args], capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"real_engine: caudal {args[0]}: {done.stderr}")
    return done.stdout


def bench(url, seed, *args):
    return json.loads(caudal("bench", url, "--model", MODEL, "--whole", "--seed", str(seed), "--json", *args))


def fit(folder, table):
    """A portfolio of one pool, with the chip that was fitted to the table."""
    chips = os.path.join(folder, "chips.yaml")
    caudal("bench", "fit", "--out", chips, table)
    with open(chips) as f:
        text = f.read().replace("pools: {}  # yours, in another file\n", "")
    name = text.split("chips:\n  ")[1].split("\n")[0].rpartition(":")[0]  # in quotes, as it is there
    model = text.split("models:\n  ")[1].split("\n")[0].rpartition(":")[0]
    path = os.path.join(folder, "p.yaml")
    with open(path, "w") as f:
        f.write(text + f"pools:\n  here: {{api: openai, url: 'http://x/v1', key: k, chip: {name}, "
                       f"serves: [{model}]}}\n")
    return path


def foretell(folder, portfolio, rate, prompt, output, seed):
    r, at, trace = random.Random(seed), 0.0, os.path.join(folder, "trace.csv")
    with open(trace, "w") as f:
        f.write("t_us,prompt_tokens,output_tokens\n")
        for _ in range(REPLAYED):
            at += r.expovariate(rate)
            f.write(f"{at * 1e6:.0f},{prompt:.0f},{output:.0f}\n")
    run = json.loads(caudal("replay", portfolio, "--trace", trace, "--policy", "round-robin", "--json"))["runs"][0]
    times = run["pools"][0]
    return {"ttft": times["ttft_us"]["p50"], "per token": times["per_token_us"]["p50"], "whole": times["total_us"]["p50"]}


def one_round(seed, folder):
    engine, url = start_engine()
    try:
        table = os.path.join(folder, "table.csv")
        caudal("bench", url, "--model", MODEL, "--whole", "--seed", str(seed), "--table", table, *SEEN)
        row = bench(url, seed + 1000, "--users", "0", "--rates", f"{RATE}/s", "--prompt", str(PROMPT), "--output",
                    str(OUTPUT), "--requests", str(ASKED))["suppliers"][0]["rows"][0]
    finally:
        engine.send_signal(signal.SIGTERM)
        engine.wait()
    said = foretell(folder, fit(folder, table), RATE, row["prompt_tok"], row["output_tok"], seed)
    seen = {"ttft": row["ttft_us"]["value"], "per token": row["per_token_us"]["value"], "whole": row["total_p50_us"]}
    return {k: (said[k], seen[k]) for k in said}, row


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--rounds", type=int, default=3)
    rounds = p.parse_args().rounds
    errors = {}
    for i in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            result, row = one_round(i + 1, folder)
        print(f"round {i + 1}: {RATE}/s, prompts of {row['prompt_tok']:.0f} tokens, answers of {row['output_tok']:.0f}, "
              f"{row['requests']} requests, {row['errors']} errors", flush=True)
        for name, (said, seen) in result.items():
            errors.setdefault(name, []).append(said / seen - 1)
            print(f"  {name:10} foretold {said / 1e3:8.1f} ms  measured {seen / 1e3:8.1f} ms  {100 * (said / seen - 1):+6.1f} %",
                  flush=True)
    for name, e in errors.items():
        print(f"{name:10} median {100 * statistics.median(e):+.1f} % [{100 * min(e):+.1f} to {100 * max(e):+.1f}]")


if __name__ == "__main__":
    main()
