"""Conversations stay with the pool that has read them, and tenants have nothing in common."""

import hashlib
import random
import re
import unittest

from harness import Gateway, Sim, main, portfolio

KEYS = {"t0": "key-of-t0", "t1": "key-of-t1"}
TENANTS = "classes: {chat: {time_value: {ttft: 4 USD/h}}}\ntenants:\n" + "".join(
    "  %s: {default_class: chat, expose: [decision], keys: ['sha256:%s']}\n" % (name, hashlib.sha256(key.encode()).hexdigest())
    for name, key in KEYS.items())
PRICE = "{input: 1 USD/Mtok, cached_input: 0.1 USD/Mtok, output: 2 USD/Mtok}"


def words(seed, n):
    chance = random.Random(seed)
    return " ".join(chance.choice(("river", "stone", "light", "under", "seven", "green")) for _ in range(n))


def turns(seed, n):
    """Bodies of a conversation, one for each turn; its first has some 6 KB of text."""
    messages = [{"role": "system", "content": words(seed, 1000)}]
    for i in range(n):
        messages = messages + [{"role": "user", "content": words(1000 * seed + i, 300)}]
        yield {"model": "m", "messages": messages}
        messages = messages + [{"role": "assistant", "content": "Yes."}]


def sim():
    return Sim("--instant", "--output", "=1", "--prefix-cache", "1Mtok")


class Affinity(unittest.TestCase):
    def gateway(self, *sims, policy="caudal"):
        serve = "policy: " + policy + ", admin: {listen: 127.0.0.1:0, keys: ['sha256:%s']}" % \
            hashlib.sha256(b"operator-key").hexdigest()
        return Gateway(portfolio(*sims, extra=TENANTS, price=PRICE, serve=serve))

    def ask(self, gw, body, tenant):
        answer = gw.post("/v1/chat/completions", body, {"Authorization": "Bearer " + KEYS[tenant]})
        self.assertEqual(answer.status, 200, answer)
        return re.search("pool=([a-z]+);", answer.headers["x-caudal-decision"]).group(1), answer.json()["usage"]

    def explained(self, gw, body, tenant):
        asked = {"Authorization": "Bearer operator-key", "x-caudal-explain": "1", "x-caudal-tenant": tenant}
        answer = gw.post("/v1/chat/completions", body, asked)
        self.assertEqual(answer.status, 200, answer)
        return {c["pool"]: c for c in answer.json()["candidates"]}

    def test_a_conversation_stays_where_it_is_warm(self):
        # By new tokens alone it is chance where a prompt goes that is warm nowhere.
        for policy in ("lmetric", "caudal"):
            with sim() as a, sim() as b, self.gateway(a, b, policy=policy) as gw:
                for seed in range(8):
                    talk = list(turns(seed, 4))
                    home, first = self.ask(gw, talk[0], "t0")
                    for body in talk[1:]:
                        pool, usage = self.ask(gw, body, "t0")
                        self.assertEqual(pool, home, "%s: conversation %d" % (policy, seed))
                        cached = usage["prompt_tokens_details"]["cached_tokens"]
                        self.assertGreater(cached, first["prompt_tokens"] // 2)

    def test_the_same_prompt_of_another_tenant_is_cold(self):
        with sim() as a, sim() as b, self.gateway(a, b) as gw:
            body = list(turns(1, 1))[0]
            home, usage = self.ask(gw, body, "t0")
            mine = self.explained(gw, body, "t0")
            self.assertGreater(mine[home]["warm_tok"], usage["prompt_tokens"] // 2)
            self.assertLess(mine[home]["usd"]["list"], mine["a" if home == "b" else "b"]["usd"]["list"])
            for pool in self.explained(gw, body, "t1").values():
                self.assertEqual((pool["warm_tok"], pool["cached_tok"]), (0, 0))

    def test_what_was_never_answered_is_not_warm(self):
        with sim() as a, sim() as b, self.gateway(a, b) as gw:
            for one in (a, b):
                one.faults("503")
            body = list(turns(2, 1))[0]
            answer = gw.post("/v1/chat/completions", body, {"Authorization": "Bearer " + KEYS["t0"]})
            self.assertIn(answer.status, (429, 503))
            for pool in self.explained(gw, body, "t0").values():
                self.assertEqual(pool["warm_tok"], 0)

    def test_a_cache_that_is_not_there_counts_as_cold(self):
        cold = lambda: Sim("--instant", "--output", "=1", "--prefix-cache", "0tok")
        with cold() as a, self.gateway(a) as gw:
            body = list(turns(3, 1))[0]
            for _ in range(30):
                self.ask(gw, body, "t0")
            found = self.explained(gw, body, "t0")["a"]
            self.assertGreater(found["warm_tok"], 0)
            self.assertLess(found["cached_tok"], found["warm_tok"] // 10)


if __name__ == "__main__":
    main()
