#!/usr/bin/env python3
"""The local engine of the quickstart: llama.cpp's own HTTP server, in the foreground.

    llama_engine.py --port 9001 --model SmolLM2.gguf --alias smollm2-135m

It becomes the `llama-server` on the PATH when there is one ($LLAMA_SERVER names another; an empty
value means none); otherwise it is the server inside the Python package `xllamacpp`. fetch-engine
gets that and the model; a model's name without a folder is looked for where it puts them. Both answer the same paths: /health, /v1/models,
/v1/chat/completions, /v1/completions, /v1/responses, /v1/messages, /metrics; with --embedding only
/v1/embeddings of use (llama.cpp does one or the other in a process).

SIGTERM and SIGINT end it at once: a request in flight is caudal's to send elsewhere.
Exit status: 1 could not start, 2 wrong usage; otherwise it ends by the signal that stops it.
"""

import argparse
import os
import shutil
import signal
import socket
import sys

CACHE_MIB = 256  # memory for the prefixes of earlier prompts; llama.cpp's own default is 8 GiB
HERE = os.path.dirname(os.path.abspath(__file__))
# Where fetch-engine puts what it gets: beside the sources or the installation, or else the user's.
FETCHED = [os.path.join(HERE, "..", ".cache", "engine"),
           os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "caudal", "engine")]


def say(text):
    print("llama_engine: " + text, file=sys.stderr, flush=True)


def fail(text):
    say(text)
    sys.exit(1)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more, is %d" % number)
    return number


def read_arguments():
    p = argparse.ArgumentParser(description="llama.cpp's HTTP server on 127.0.0.1, for caudal")
    p.add_argument("--port", type=positive, required=True)
    p.add_argument("--model", required=True, metavar="FILE.gguf")
    p.add_argument("--alias", required=True, help="the model's name in answers")
    p.add_argument("--parallel", type=positive, default=4, help="answers at once (4)")
    p.add_argument("--context", type=positive, default=8192, help="tokens, divided among them (8192)")
    # One thread that does not poll: beside other work two polling threads were eight times slower.
    p.add_argument("--threads", type=positive, default=1, help="(1)")
    p.add_argument("--predict", type=positive, default=1024,
                   help="answer tokens when a request sets no max_tokens (1024)")
    p.add_argument("--temperature", type=float, default=0.2,
                   help="when a request sets none (0.2, as the card of SmolLM2 advises)")
    p.add_argument("--embedding", action="store_true", help="answer /v1/embeddings instead of chat")
    return p.parse_args()


def check(args):
    if os.sep not in args.model and not os.path.isfile(args.model):
        there = [os.path.join(d, args.model) for d in FETCHED]
        args.model = next(filter(os.path.isfile, there), args.model)
    if not os.path.isfile(args.model):
        fail("there is no model %s; fetch it with fetch-engine" % args.model)
    with open(args.model, "rb") as f:
        if f.read(4) != b"GGUF":
            fail("%s is not a GGUF model" % args.model)
    with socket.socket() as s:  # llama.cpp's own message does not name the port
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", args.port))
        except OSError as e:
            fail("cannot listen on 127.0.0.1:%d: %s" % (args.port, e.strerror))


def run_llama_server(program, args):
    argv = [program, "--host", "127.0.0.1", "--port", str(args.port), "--model", args.model,
            "--alias", args.alias, "--parallel", str(args.parallel),
            "--ctx-size", str(args.context), "--threads", str(args.threads), "--poll", "0",
            "--predict", str(args.predict), "--temp", str(args.temperature), "--metrics"]
    if args.embedding:
        argv += ["--embedding", "--pooling", "mean"]
    say("runs " + " ".join(argv))
    os.environ.setdefault("LLAMA_ARG_CACHE_RAM", str(CACHE_MIB))  # not a flag in older versions
    try:
        os.execv(program, argv)
    except OSError as e:
        fail("cannot run %s: %s" % (program, e.strerror))


def run_package(args):
    sys.path[:0] = [d for d in (os.path.join(d, "lib") for d in FETCHED) if os.path.isdir(d)]
    try:
        import xllamacpp
    except ImportError as e:
        fail("no llama-server on the PATH and the package xllamacpp cannot be loaded (%s); "
             "fetch it with fetch-engine" % e)

    p = xllamacpp.CommonParams()
    p.model.path = args.model
    p.model_alias = {args.alias}  # a set; a plain string would become its letters
    p.hostnames = ["127.0.0.1"]
    p.port = args.port
    p.n_parallel = args.parallel
    p.n_ctx = args.context
    p.n_predict = args.predict
    p.sampling.temp = args.temperature
    p.cache_ram_mib = CACHE_MIB
    for threads in (p.cpuparams, p.cpuparams_batch):
        threads.n_threads = args.threads
        threads.poll = 0
    p.endpoint_metrics = True
    p.ui = False
    if args.embedding:
        p.embedding = True
        p.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    try:
        server = xllamacpp.Server(p)
    except Exception as e:  # the package raises plain RuntimeErrors
        fail("the server did not start: %s" % e)
    say("%s answers at %s" % (args.alias, server.listening_address))
    return server  # it stops with its last reference


def die_by_signals():
    # The server's C++ threads know no way to stop, and Python's handlers wait while C++ loads.
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, signal.SIG_DFL)


def main():
    args = read_arguments()
    check(args)
    program = os.environ.get("LLAMA_SERVER", shutil.which("llama-server"))
    if program:
        run_llama_server(program, args)
    die_by_signals()
    server = run_package(args)
    die_by_signals()  # again: the server may have set handlers of its own
    while server:
        signal.pause()


main()
