"""What is counted when a supplier does not say it: a cut stream, an answer without usage."""

import json

from harness import Recorder, chat, json_answer, main, until
from ledger_case import Case, ledger, rows, sums

WORD = "lorem "  # six bytes; three tokens of two bytes each, as this supplier counts


class Supplier(Recorder):
    """Answers 100 words, of which each delta holds five. `says`: with usage; `cut_after`: deltas."""

    def __init__(self):
        super().__init__(self.reply)
        self.says, self.cut_after, self.reasoning, self.cached = True, None, 0, 0

    def usage(self):
        return {"prompt_tokens": 500, "completion_tokens": 300 + self.reasoning, "total_tokens": 800,
                "prompt_tokens_details": {"cached_tokens": self.cached},
                "completion_tokens_details": {"reasoning_tokens": self.reasoning}}

    def reply(self, request):
        body = json.loads(request["body"])
        if not body.get("stream"):
            answer = {"id": "x", "object": "chat.completion", "model": "m", "choices": [
                {"index": 0, "message": {"role": "assistant", "content": WORD * 100}, "finish_reason": "stop"}]}
            return json_answer({**answer, **({"usage": self.usage()} if self.says else {})})
        return self.stream()

    def stream(self):
        def event(choices, **more):
            data = {"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": choices, **more}
            return f"data: {json.dumps(data)}\n\n".encode()

        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        for n in range(20):
            if n == self.cut_after:
                raise EOFError  # the connection is closed
            yield event([{"index": 0, "delta": {"content": WORD * 5}, "finish_reason": None}])
        yield event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
        if self.says:
            yield event([], usage=self.usage())
        yield b"data: [DONE]\n\n"


class Usage(Case):
    def setUp(self):
        super().setUp()
        self.supplier = Supplier()
        self.addCleanup(self.supplier.close)

    def ask(self, gw, stream):
        answer = gw.post("/v1/chat/completions", chat("hello " * 50, stream=stream), {"x-caudal-receipt": "1"})
        self.assertEqual(answer.status, 200)

    def last(self):
        return rows(self.state)[-1]

    def test_without_usage_bytes_and_what_was_learnt_of_the_model_count(self):
        for stream in (False, True):
            with self.subTest(stream=stream), self.gateway(self.supplier) as gw:
                self.supplier.says = True
                self.ask(gw, stream)  # 600 bytes are 300 tokens
                self.supplier.says = False
                self.ask(gw, stream)
        attempts = rows(self.state)
        self.assertEqual([(r["estimated"], r["output_tok"], r["cut"]) for r in attempts], [(0, 300, 0), (1, 300, 0)] * 2)
        for said, counted in zip(attempts[::2], attempts[1::2]):
            # The prompt likewise: what was learnt of one call is believed only so far.
            self.assertTrue(0 < counted["prompt_tok"] <= said["prompt_tok"], counted)
        self.assertEqual([r["estimated"] for r in rows(self.state, "requests")], [0, 1, 0, 1])
        self.assertEqual(sums(self.state)["total"]["estimated"], 2)
        self.assertIn("estimated: the tokens of 2 calls", ledger(self.state).stdout)

    def test_before_anything_was_learnt_a_delta_is_a_token_and_text_has_four_bytes_each(self):
        self.supplier.says = False
        with self.gateway(self.supplier) as gw:
            self.ask(gw, stream=True)
            self.ask(gw, stream=False)
        self.assertEqual([(r["estimated"], r["output_tok"]) for r in rows(self.state)], [(1, 20), (1, 150)])

    def test_a_cut_stream_is_counted_as_far_as_it_came(self):
        with self.gateway(self.supplier) as gw:
            self.ask(gw, stream=True)
            self.supplier.cut_after = 7
            self.ask(gw, stream=True)
        row = self.last()
        self.assertEqual((row["estimated"], row["cut"], row["output_tok"], row["fault"] != ""), (1, 1, 105, True))
        self.assertEqual(row["list_nusd"], row["prompt_tok"] * 1000 + 105 * 2000)
        request = rows(self.state, "requests")[-1]
        self.assertEqual((request["estimated"], request["cut"], request["output_tok"]), (1, 1, 105))

    def test_reasoning_and_cached_tokens_have_their_columns_and_teach_nothing_wrong(self):
        with self.gateway(self.supplier) as gw:
            self.ask(gw, stream=True)
            self.supplier.reasoning, self.supplier.cached = 900, 64
            self.ask(gw, stream=True)
            until(lambda: len(rows(self.state)) == 2)
            said = self.last()
            self.supplier.says = False
            self.ask(gw, stream=True)
        self.assertEqual((said["output_tok"], said["reasoning_tok"], said["cached_tok"], said["estimated"]), (1200, 900, 64, 0))
        counted = self.last()
        # What was not relayed cannot be counted, and does not make a shown token look short.
        self.assertEqual((counted["output_tok"], counted["reasoning_tok"], counted["cached_tok"], counted["estimated"]), (300, 0, 0, 1))
        total = sums(self.state)["total"]
        self.assertEqual((total["reasoning_tokens"], total["cached_tokens"], total["estimated"]), (900, 64, 1))


if __name__ == "__main__":
    main()
