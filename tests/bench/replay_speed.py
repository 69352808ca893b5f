#!/usr/bin/env python3
"""replay_speed.py [-n REQUESTS] [--pools N] [--policy A,B] [--keep DIR]: how fast is caudal replay?

Makes a fleet of N pools, of which 16 serve any one model, and a trace of REQUESTS for it at about
half of what the fleet can do, converts it to our own form, and replays it. Requests/s are those that
`caudal replay --stats` prints. CAUDAL is the program.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile

CAUDAL = os.environ.get("CAUDAL", "build/src/cli/caudal")
CANDIDATES, RATE_OF_POOL = 16, 60


def portfolio(pools):
    models = max(1, pools // CANDIDATES)
    text = """caudal: 1
serve: {policy: least-cost, region: us}
classes:
  chat:
    ttft: 1 s
    per_token: 50 ms
    time_value: {ttft: [[0 ms, 1 USD/h], [400 ms, 8 USD/h]], per_token: [[0 ms, 0.5 USD/h], [15 ms, 6 USD/h]]}
suppliers:
  s: {api: vllm, url: "http://127.0.0.1:8000/v1"}
sites:
  here: {region: us, power: 400 MW, pue: 1.2, energy: 62 USD/MWh, carbon: 402 g/kWh, round_trip: {us: 18 ms}}
chips:
  h100:
    memory: 80 GB
    bandwidth: 3.35 TB/s
    compute: 989 TFLOPS
    power: 700 W
    idle: 120 W
    points: [{chips: 2, batch: 32, per_user: 85 tok/s, throughput: 2600 tok/s, prefill: 14k tok/s, prompt: 2k tok, ttft: 160 ms, slots: 64, kv: 700k tok, power: 1250 W, basis: assumed}]
pools:
"""
    rng = random.Random(1)
    for i in range(pools):
        text += ("  p%d: {supplier: s, site: here, chip: h100, replicas: 8, serves: {m%d: {price: {input: %.3f USD/Mtok, "
                 "output: %.3f USD/Mtok}}}, limits: {in_flight: 512}}\n"
                 % (i, i % models, rng.uniform(.1, .3), rng.uniform(.4, .8)))
    return text, models


def write_trace(to, n, rate, models):
    rng = random.Random(2)
    t, lines = 0.0, ["t_us,prompt_tokens,output_tokens,model,class\n"]
    names = ["m%d,chat\n" % i for i in range(models)]
    for i in range(n):
        t += rng.expovariate(rate)
        u = rng.random()
        lines.append("%d,%d,%d,%s" % (t * 1e6, 50 + int(1500 * u * u), 20 + int(400 * rng.random() ** 2),
                                      names[int(rng.random() * models)]))
        if len(lines) > 50000:
            to.write("".join(lines))
            lines = []
    to.write("".join(lines))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-n", type=int, default=1000000)
    p.add_argument("--pools", type=int, default=64)
    p.add_argument("--policy", default="least-cost")
    p.add_argument("--keep", default=None)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = a.keep or folder
        os.makedirs(folder, exist_ok=True)
        text, models = portfolio(a.pools)
        yaml, trace = os.path.join(folder, "fleet.yaml"), os.path.join(folder, "speed.trace")
        with open(yaml, "w") as f:
            f.write(text)
        if not os.path.exists(trace):
            convert = subprocess.Popen([CAUDAL, "replay", "convert", "-", trace], stdin=subprocess.PIPE, text=True)
            write_trace(convert.stdin, a.n, RATE_OF_POOL * a.pools, models)
            convert.stdin.close()
            if convert.wait():
                return 1
        print("%d requests, %d bytes" % (a.n, os.path.getsize(trace)), file=sys.stderr)
        return subprocess.call([CAUDAL, "replay", yaml, "--trace", trace, "--policy", a.policy, "--stats"])


sys.exit(main())
