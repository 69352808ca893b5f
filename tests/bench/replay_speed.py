#!/usr/bin/env python3
"""replay_speed.py [-n REQUESTS] [--pools N] [--scale K] [--policy A,B] [--keep DIR] [--grow]: how fast is
caudal replay?

Makes a fleet of N pools, of which at most 16 serve any one model, and a trace of REQUESTS for it at about
half of what the fleet can do, converts it to our own form, and replays it. --scale makes each pool and the
traffic K times as large, and so the requests in flight. --grow goes through both. Requests/s are of the
program's CPU time, start and report included; instructions and cache misses are counted where the machine
gives them (perf_event_open). CAUDAL is the program.
"""

import argparse
import ctypes
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

CAUDAL = os.environ.get("CAUDAL", "build/src/cli/caudal")
CANDIDATES, RATE_OF_POOL, REPLICAS, IN_FLIGHT = 16, 60, 8, 512
POOLS, SCALES = (1, 4, 16, 64, 256, 1024), (0.125, 1, 16, 128)
PERF_EVENT_OPEN = {"x86_64": 298, "aarch64": 241}
INSTRUCTIONS, CACHE_MISSES = 1, 3
INHERIT, EXCLUDE_KERNEL = 1 << 1, 1 << 5


class Counter:
    """Of this process's children that begin from now on; None where the machine does not count."""

    def __init__(self, config):
        # struct perf_event_attr of linux/perf_event.h, as far as its first version goes
        attr = struct.pack("=IIQQQQQIIQ", 0, 64, config, 0, 0, 0, INHERIT | EXCLUDE_KERNEL, 0, 0, 0)
        number = PERF_EVENT_OPEN.get(os.uname().machine)
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.syscall(number, attr, 0, -1, -1, 0) if number else -1

    def read(self):
        if self.fd < 0:
            return None
        value = struct.unpack("=Q", os.read(self.fd, 8))[0]
        os.close(self.fd)
        return value


def portfolio(pools, scale):
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
        text += ("  p%d: {supplier: s, site: here, chip: h100, replicas: %d, serves: {m%d: {price: {input: %.3f USD/Mtok, "
                 "output: %.3f USD/Mtok}}}, limits: {in_flight: %d}}\n"
                 % (i, max(1, REPLICAS * scale), i % models, rng.uniform(.1, .3), rng.uniform(.4, .8),
                    max(1, IN_FLIGHT * scale)))
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


def replay(folder, n, pools, scale, policy):
    """(its standard error, report, CPU seconds, KiB at most, instructions, cache misses)"""
    text, models = portfolio(pools, scale)
    yaml, trace = os.path.join(folder, "fleet.yaml"), os.path.join(folder, "speed.trace")
    with open(yaml, "w") as f:
        f.write(text)
    if not os.path.exists(trace):
        convert = subprocess.Popen([CAUDAL, "replay", "convert", "-", trace], stdin=subprocess.PIPE, text=True)
        write_trace(convert.stdin, n, RATE_OF_POOL * pools * scale, models)
        convert.stdin.close()
        if convert.wait():
            raise SystemExit(1)
    counters = [Counter(INSTRUCTIONS), Counter(CACHE_MISSES)]
    report, said = os.path.join(folder, "report.json"), os.path.join(folder, "said")
    with open(report, "w") as out, open(said, "w") as err:
        child = subprocess.Popen([CAUDAL, "replay", yaml, "--trace", trace, "--policy", policy, "--stats", "--json"],
                                 stdout=out, stderr=err)
        _, status, used = os.wait4(child.pid, 0)
    with open(report) as out, open(said) as err:
        lines = err.read()
        if status:
            raise SystemExit(lines)
        return (lines, json.load(out), used.ru_utime + used.ru_stime, used.ru_maxrss, [c.read() for c in counters])


def row(n, pools, scale, policy):
    with tempfile.TemporaryDirectory() as folder:
        _, report, cpu_s, kib, counts = replay(folder, n, pools, scale, policy)
    most = report["runs"][0]["under_way_most"]
    per = ["%.0f" % (c / n) if c is not None else "not counted" for c in counts]
    print("| %s | %s | %s | %.2f M | %s | %s | %.0f MiB |" % (
        "{:,}".format(pools), "{:,}".format(min(CANDIDATES, pools)), "{:,}".format(most), n / cpu_s / 1e6, per[0],
        per[1], kib / 1024), flush=True)


def grow(n, policy):
    print("| pools | candidates | in flight at most | requests/s of CPU | instructions | cache misses | memory |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for pools in POOLS:
        row(n, pools, 1, policy)
    for scale in SCALES:
        row(n, 64, scale, policy)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("-n", type=int, default=1000000)
    p.add_argument("--pools", type=int, default=64)
    p.add_argument("--scale", type=float, default=1)
    p.add_argument("--policy", default="caudal")
    p.add_argument("--keep", default=None)
    p.add_argument("--grow", action="store_true")
    a = p.parse_args()
    if a.grow:
        return grow(a.n, a.policy)
    with tempfile.TemporaryDirectory() as folder:
        folder = a.keep or folder
        os.makedirs(folder, exist_ok=True)
        lines, _, _, kib, counts = replay(folder, a.n, a.pools, a.scale, a.policy)
        print(lines, end="")
        print("%.0f MiB at most; a request: %s instructions, %s cache misses" % (
            kib / 1024, *("%.0f" % (c / a.n) if c is not None else "not counted" for c in counts)))
    return 0


sys.exit(main())
