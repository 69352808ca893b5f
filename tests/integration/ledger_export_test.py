"""What leaves the ledger: rows with names, and a trace that replay reads."""

import csv
import io
import json
import os
import subprocess

from harness import CAUDAL, Gateway, Recorder, Sim, chat, json_answer, main, portfolio
from ledger_case import Case, ledger, rows, sums, table


def mixed(request):
    """An answer with every kind of token."""
    usage = {"prompt_tokens": 90, "completion_tokens": 70, "total_tokens": 160,
             "prompt_tokens_details": {"cached_tokens": 30}, "completion_tokens_details": {"reasoning_tokens": 40}}
    return json_answer({"id": "x", "object": "chat.completion", "model": "m", "usage": usage,
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}]})


class Export(Case):
    def test_rows_have_names_where_files_have_numbers(self):
        with Sim("--instant") as a:
            with self.gateway(a) as gw:
                a.faults("500,count=1")
                gw.post("/v1/chat/completions", chat("hello"))
                gw.post("/v1/embeddings", {"model": "m", "input": "hello"})
        attempts = rows(self.state)
        self.assertEqual([(r["fault"], r["surface"]) for r in attempts],
                         [("server", "chat"), ("", "chat"), ("", "embeddings")])
        self.assertEqual(len({r["bytes_up"] for r in attempts if r["surface"] == "chat"}), 1)
        self.assertTrue(all(r["bytes_up"] > 10 and r["bytes_down"] > 10 for r in attempts), attempts)
        self.assertFalse({"flags", "settled"} & set(attempts[0]))
        lines = [json.loads(line) for line in ledger("export", "--format", "jsonl", self.state).stdout.splitlines()]
        self.assertEqual([r["fault"] for r in lines], ["server", None, None])
        self.assertEqual(set(lines[0]), set(attempts[0]))
        for row, line in zip(attempts, lines):
            self.assertEqual({k: v if v is not None else "" for k, v in line.items() if k != "joules" and k != "drawn"},
                             {k: v for k, v in row.items() if k != "joules" and k != "drawn"})
        requests = rows(self.state, "requests")
        self.assertEqual([r["surface"] for r in requests], ["chat", "embeddings"])

    def test_every_kind_of_token_has_its_column(self):
        with Recorder(mixed) as a:
            with self.gateway(a) as gw:
                gw.post("/v1/chat/completions", chat("hello"))
        want = (90, 30, 70, 40)
        for row in rows(self.state) + rows(self.state, "requests"):
            self.assertEqual((row["prompt_tok"], row["cached_tok"], row["output_tok"], row["reasoning_tok"]), want)
        total = sums(self.state)["total"]
        self.assertEqual((total["prompt_tokens"], total["cached_tokens"], total["output_tokens"], total["reasoning_tokens"]), want)

    def test_a_trace_is_what_replay_reads(self):
        with Sim("--ttft", "2ms", "--per-token", "1ms", "--output", "20") as a:
            text = portfolio(a, serve=f"state: {self.state}", extra="classes:\n  chat: {ttft: 400 ms}\ntenants:\n  app: {}\n")
            with Gateway(text) as gw:
                for n in range(12):
                    gw.post("/v1/chat/completions", chat("hello " * (n + 1), stream=n % 2 == 0), {"x-caudal-class": "chat"})
                a.faults("500")
                gw.post("/v1/chat/completions", chat("nobody answers"))
        served = [r for r in rows(self.state, "requests") if r["status"] == 200]
        self.assertEqual(len(served), 12)
        said = ledger("export", "--format", "trace", self.state)
        self.assertIn("1 request without an answer is left out", said.stderr)
        trace = table(said.stdout)
        self.assertEqual([(r["prompt_tokens"], r["output_tokens"], r["model"], r["class"], r["tenant"]) for r in trace],
                         [(r["prompt_tok"], r["output_tok"], "m", "chat", "app") for r in served])
        paths = {name: os.path.join(self.state, name) for name in ("p.yaml", "day.csv")}
        for path, content in zip(paths.values(), (text, said.stdout)):
            with open(path, "w") as f:
                f.write(content)
        again = subprocess.run([CAUDAL, "replay", paths["p.yaml"], "--trace", paths["day.csv"], "--json"], capture_output=True, text=True)
        self.assertEqual(again.returncode, 0, again.stderr)
        report = json.loads(again.stdout)
        self.assertIn('"requests": 12', json.dumps(report))

    def test_an_export_of_nothing_and_wrong_words(self):
        with Sim("--instant") as a, self.gateway(a):
            pass
        self.assertEqual(ledger("export", "--format", "trace", self.state).stdout.count("\n"), 1)
        for wrong in (["export", "--format", "xml"], ["export", "--format", "trace", "--rows", "attempts"], ["--format", "trace"]):
            self.assertEqual(ledger(*wrong, self.state, ok=False).returncode, 2, wrong)


class Sums(Case):
    def test_any_keys_go_together_in_every_form(self):
        with Sim("--instant") as a, Sim("--instant") as b:
            a.faults("500,count=1")
            with self.gateway(a, b, extra="tenants:\n  app: {markup: 1.5}\n") as gw:
                for n in range(6):
                    gw.post("/v1/chat/completions", chat("hello " * n))
        total = sums(self.state)["total"]
        names = ["day", "pool", "tenant", "model", "contract"]
        for n in range(1, 32):
            keys = [k for i, k in enumerate(names) if n >> i & 1]
            by = ["--by", ",".join(keys)]
            said = sums(self.state, *by)
            self.assertEqual(said["total"], total, keys)
            for field in ("calls", "failed", "output_tokens", "list_usd", "marginal_usd", "charged_usd"):
                self.assertAlmostEqual(sum(r[field] for r in said["rows"]), total[field], 9, (keys, field))
            lines = list(csv.DictReader(io.StringIO(ledger("--csv", *by, self.state).stdout)))
            self.assertEqual([[r[k] for k in keys] for r in lines], [[r[k] for k in keys] for r in said["rows"]])
            self.assertEqual(sorted(lines, key=lambda r: [r[k] for k in keys]), lines)
            shown = ledger("--table", *by, self.state).stdout.splitlines()
            self.assertEqual(len(shown), 1 + len(lines) + (len(lines) > 1), shown)
        self.assertEqual(ledger("--by", "day,day", self.state, ok=False).returncode, 2)


if __name__ == "__main__":
    main()
