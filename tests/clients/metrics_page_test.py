"""The page /metrics as the parser of Prometheus' own Python client reads it."""

import hashlib
import unittest

from clients import SLASHED, main, openai, says, sim_fleet, until

from prometheus_client.parser import text_string_to_metric_families


def page(fleet):
    """The families of the page by name. A name may come once only."""
    answer = fleet.serve.get("/metrics")
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4"), answer
    families = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.name not in families, family.name
        families[family.name] = family
    return families


def value(families, family, sample=None, **labels):
    """Sum of the samples of this family with these labels."""
    return sum(s.value for s in families[family].samples
               if s.name == (sample or s.name) and all(s.labels.get(k) == v for k, v in labels.items()))


def use(fleet, **options):
    """Two whole answers, a stream, a 404, a cut stream and one that its client left."""
    with fleet.openai(max_retries=0, **options) as client:
        ask = {"model": "m", "messages": says("x" * 400)}
        client.chat.completions.create(**ask)
        client.chat.completions.create(**{**ask, "model": SLASHED})
        list(client.chat.completions.create(**ask, stream=True))
        try:
            client.chat.completions.create(**{**ask, "model": "none"})
        except openai.NotFoundError:
            pass
        fleet.sim.faults("cut-after=3")
        try:
            list(client.chat.completions.create(**ask, stream=True))
        except openai.APIError:
            pass
        fleet.sim.faults("stall-after=3")
        with client.chat.completions.create(**ask, stream=True) as stream:
            next(iter(stream))
    fleet.sim.faults()
    until(lambda: fleet.serve.metric("caudal_requests_in_progress") == 0)


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = sim_fleet()
        use(cls.fleet)
        cls.families = page(cls.fleet)

    @classmethod
    def tearDownClass(cls):
        cls.fleet.__exit__(None, None, None)

    def test_every_family_says_what_it_is(self):
        self.assertGreater(len(self.families), 20)
        for name, family in self.families.items():
            self.assertIn(family.type, ("counter", "gauge", "histogram"), name)
            self.assertTrue(family.documentation.endswith("."), name)
            self.assertRegex(name, r"^(caudal|gen_ai)_[a-z_]+$")

    def test_no_series_comes_twice(self):
        seen = [(s.name, tuple(sorted(s.labels.items()))) for f in self.families.values() for s in f.samples]
        self.assertEqual(len(seen), len(set(seen)))

    def test_counters_are_named_and_whole(self):
        for name, family in self.families.items():
            for s in family.samples:
                if family.type == "counter":
                    self.assertTrue(s.name.endswith("_total"), s)
                    self.assertGreaterEqual(s.value, 0)

    def test_histograms_add_up(self):
        for name, family in self.families.items():
            if family.type != "histogram":
                continue
            series = {}
            for s in family.samples:
                key = tuple(sorted((k, v) for k, v in s.labels.items() if k != "le"))
                series.setdefault(key, []).append(s)
            for samples in series.values():
                buckets = [(float(s.labels["le"]), s.value) for s in samples if s.name.endswith("_bucket")]
                self.assertEqual(buckets, sorted(buckets), name)
                self.assertEqual([n for _, n in buckets], sorted(n for _, n in buckets), name)
                self.assertEqual(buckets[-1][0], float("inf"), name)
                counts = [s.value for s in samples if s.name.endswith("_count")]
                self.assertEqual(counts, [buckets[-1][1]], name)
                self.assertEqual(len([s for s in samples if s.name.endswith("_sum")]), 1, name)

    def test_what_was_asked_was_counted(self):
        f = self.families
        self.assertEqual(value(f, "caudal_requests"), 6)
        self.assertEqual(value(f, "caudal_requests", code="200", model="m"), 3)  # the cut one began as a 200
        self.assertEqual(value(f, "caudal_requests", code="200", model=SLASHED), 1)
        self.assertEqual(value(f, "caudal_requests", code="404"), 1)
        self.assertEqual(value(f, "caudal_requests", code="499"), 1)
        self.assertEqual(value(f, "caudal_streams_cut"), 1)
        self.assertEqual(value(f, "caudal_attempts", pool="a"), 5)
        self.assertEqual(value(f, "caudal_attempts", outcome="ok"), 3)
        self.assertEqual(value(f, "caudal_estimated_requests", pool="a"), 2)
        self.assertGreaterEqual(value(f, "caudal_tokens", type="output"), 3 * 12 + 3)
        self.assertGreater(value(f, "caudal_list_usd"), 0)
        for gauge in ("caudal_requests_in_progress", "caudal_streams_open", "caudal_waiting", "caudal_pool_in_flight"):
            self.assertEqual(value(f, gauge), 0, gauge)
        self.assertEqual(value(f, "caudal_pool_ready", pool="a"), 1)
        self.assertEqual(value(f, "gen_ai_server_request_duration_seconds",
                               "gen_ai_server_request_duration_seconds_count", gen_ai_request_model=SLASHED), 1)

    def test_labels_come_from_the_portfolio_only(self):
        """Nothing that a client chooses makes a new series."""
        before = {(s.name, tuple(s.labels.items())) for f in page(self.fleet).values() for s in f.samples}
        with self.fleet.openai(max_retries=0) as client:
            for i in range(20):
                with self.assertRaises(openai.NotFoundError):
                    client.chat.completions.create(model=f"made-up-{i}\"\\", messages=says("x"))
        after = {(s.name, tuple(s.labels.items())) for f in page(self.fleet).values() for s in f.samples}
        self.assertEqual(before, after)


class Names(unittest.TestCase):
    def test_any_name_of_a_portfolio_can_be_a_label(self):
        key = "sha256:" + hashlib.sha256(b"sk").hexdigest()
        more = f"tenants: {{'ü\"\\back': {{keys: ['{key}']}}}}"
        with sim_fleet(more=more) as fleet:
            use(fleet, api_key="sk")
            self.assertEqual(value(page(fleet), "caudal_requests", tenant='ü"\\back'), 6)


if __name__ == "__main__":
    main()
