"""What the tests with official clients stand on: caudal serve in front of caudal sim.

    with sim_fleet() as fleet:
        fleet.openai().chat.completions.create(model="m", messages=says("hello"))

The clients come from .cache/clients (tools/fetch-clients). Of what they are told only base_url is
caudal's; everything else is as their makers ship it.
"""

import os
import sys
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path[:0] = [os.path.join(ROOT, "tests", "integration"), os.path.join(ROOT, ".cache", "clients", "python")]
os.environ["NO_PROXY"] = "*"  # what they are told to call is on this machine
for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "ANTHROPIC_API_KEY",
             "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL"):
    os.environ.pop(name, None)

try:
    import anthropic
    import openai
    import prometheus_client.parser  # noqa: F401 (so that one message says what is missing)
except ImportError as e:
    sys.exit(f"the official clients are not there ({e}): run tools/fetch-clients")

from harness import Gateway, Sim, main, until  # noqa: E402, F401

SLASHED = "vendor/family-8b:free"  # a name as model hubs write them; its supplier calls it otherwise
SURFACES = "[chat, completions, embeddings, responses, messages]"


def says(text):
    return [{"role": "user", "content": text}]


def portfolio(*sims, serve="", supplier="", limits="", more=""):
    """Pools a, b, ... over the sims, with m (everywhere) and SLASHED (in a)."""
    lines = ["caudal: 1", f"serve: {{{serve}}}", "models: {m: {created: 2026-01-02}}", "pools:"]
    for name, sim in zip("abcdefgh", sims):
        slashed = f', "{SLASHED}": {{as: family-8b}}' if name == "a" else ""
        price = "{input: 1 USD/Mtok, output: 2 USD/Mtok}"
        lines.append(f"  {name}: {{api: openai, url: {sim.url}, surfaces: {SURFACES}, {supplier} limits: {{{limits}}}, "
                     f"serves: {{m: {{price: {price}}}{slashed}}}}}")
    if "tenants:" not in more:
        lines += ["tenants: {everyone: {expose: [decision]}}"]
    return "\n".join(lines) + "\n" + more


class Fleet:
    """Simulated suppliers `sims` behind a gateway `serve`, and clients that call it."""

    def __init__(self, sims, gateway):
        self.sims, self.sim, self.serve = sims, sims[0], gateway
        self.root = f"http://127.0.0.1:{gateway.port}"
        self.url = self.root + "/v1"

    def openai(self, **options):
        return openai.OpenAI(**{"base_url": self.url, "api_key": "none", **options})

    def openai_async(self, **options):
        return openai.AsyncOpenAI(**{"base_url": self.url, "api_key": "none", **options})

    def anthropic(self, **options):
        return anthropic.Anthropic(**{"base_url": self.root, "api_key": "none", **options})

    def last_body(self):
        """What the first supplier was asked last, as text."""
        return self.sim.last()["requests"][-1]["body"]

    def attempts(self):
        """How often the first supplier was asked for an answer."""
        return sum(n for path, n in self.sim.calls()["by_path"].items() if path != "/v1/models")

    def __enter__(self):
        return self

    def __exit__(self, *why):
        for p in (self.serve, *self.sims):
            p.__exit__(*why)
            p.log.close()


def sim_fleet(n=1, sim=("--instant", "--output", "=12"), env=None, **more):
    """A Fleet of n sims, all started alike."""
    sims = []
    try:
        for _ in range(n):
            sims.append(Sim(*sim))
        return Fleet(sims, Gateway(portfolio(*sims, **more), env=env))
    except BaseException:
        for s in sims:
            s.stop()
        raise


class Judge(unittest.TestCase):
    """One official client against one supplier that is well; `kind` is the Fleet's method that makes it."""

    kind = None

    @classmethod
    def setUpClass(cls):
        cls.fleet = sim_fleet()
        cls.client = getattr(cls.fleet, cls.kind)(max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.fleet.__exit__(None, None, None)

    def setUp(self):
        self.fleet.sim.post("/sim/reset", "")
