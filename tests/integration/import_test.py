"""`caudal import litellm`: configurations as people write them, and the portfolios they become."""

import hashlib
import json
import os
import subprocess
import tempfile
import unittest

from harness import CAUDAL, Gateway, Recorder, chat, json_answer, main

KEYS = ["OPENAI_API_KEY", "AZURE_KEY_EU", "AZURE_KEY_US", "ANTHROPIC_API_KEY", "GROQ_API_KEY", "GEMINI_API_KEY",
        "AWS_BEARER_TOKEN_BEDROCK", "MISTRAL_API_KEY"]


class Imported:
    """What `caudal import litellm` made of a text, and what `caudal check` says about that."""

    def __init__(self, text, env=None, args=()):
        self.folder = tempfile.TemporaryDirectory()
        self.config = os.path.join(self.folder.name, "config.yaml")
        self.file = os.path.join(self.folder.name, "portfolio.yaml")
        self.env = dict(os.environ, **{k: f"value-of-{k}" for k in KEYS}, **(env or {}))
        with open(self.config, "w") as f:
            f.write(text)
        self.run = subprocess.run([CAUDAL, "import", "--output", self.file, *args, "litellm", self.config],
                                  capture_output=True, text=True, env=self.env, timeout=60)
        self.text = ""
        if os.path.exists(self.file):
            with open(self.file) as f:
                self.text = f.read()
        self.notes = self.run.stderr.replace(self.config, "config.yaml")

    def check(self):
        run = subprocess.run([CAUDAL, "check", "--json", self.file], capture_output=True, text=True, env=self.env,
                             timeout=60)
        view = json.loads(run.stdout)
        assert run.returncode == 0, view["problems"]
        return view


def line(text, what):
    """The number of the first line with `what` in it."""
    return next(i for i, x in enumerate(text.splitlines(), 1) if what in x)


SMALL = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params:
      model: openai/gpt-4o-mini
      api_key: os.environ/OPENAI_API_KEY
"""

# A team with two Azure regions, a spare at OpenAI, fallbacks, limits and its own prices.
AZURE = """\
model_list:
  - model_name: gpt-4o
    litellm_params:
      model: azure/gpt-4o-eu
      api_base: https://contoso-eu.openai.azure.com/
      api_version: "2024-10-21"
      api_key: os.environ/AZURE_KEY_EU
      rpm: 600
      tpm: 120_000
      weight: 3
    model_info: &gpt4o
      max_input_tokens: 128000
      max_output_tokens: 16384
      input_cost_per_token: 2.5e-06
      output_cost_per_token: .00001
      cache_read_input_token_cost: 0.00000125
  - model_name: gpt-4o
    litellm_params:
      model: azure/chat/gpt-4o-us
      api_base: https://contoso-us.openai.azure.com/openai/deployments/gpt-4o-us/chat/completions?api-version=2024-02-01
      api_key: os.environ/AZURE_KEY_US
      weight: 1
    model_info:
      <<: *gpt4o
      max_output_tokens: 4096
  - model_name: gpt-4o-spare
    litellm_params: {model: gpt-4o-2024-11-20, api_key: os.environ/OPENAI_API_KEY, timeout: 30, stream_timeout: 7.5}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 2
  allowed_fails: 3
  cooldown_time: 90
  model_group_alias: {gpt-4: gpt-4o}
  fallbacks: [{gpt-4o: [gpt-4o-spare, gone]}]
general_settings:
  master_key: sk-1234
"""

# A laboratory: its own servers, several vendors, and much that has no place in a portfolio.
MIXED = """\
model_list:
  - model_name: local
    litellm_params:
      model: hosted_vllm/meta-llama/Llama-3.3-70B-Instruct
      api_base: http://127.0.0.1:8000/v1
      api_key: EMPTY
      max_parallel_requests: 16
  - model_name: llama3
    litellm_params: {model: "ollama/llama3:8b", api_base: "http://localhost:11434"}
  - model_name: sonnet
    litellm_params: {model: anthropic/claude-sonnet-4-5, api_key: os.environ/ANTHROPIC_API_KEY, temperature: 0.2}
  - model_name: My Model
    litellm_params: {model: groq/llama-3.3-70b-versatile, api_key: os.environ/GROQ_API_KEY}
  - model_name: embed
    litellm_params: {model: openai/text-embedding-3-small, api_key: sk-live-do-not-copy}
    model_info: {mode: embedding}
  - model_name: nova
    litellm_params: {model: "bedrock/converse/us.amazon.nova-pro-v1:0", aws_region_name: us-east-1,
                     aws_secret_access_key: aws-do-not-copy}
  - model_name: flash
    litellm_params: {model: gemini/gemini-2.5-flash}
  - model_name: pro
    litellm_params: {model: vertex_ai/gemini-2.5-pro, vertex_project: lab}
  - model_name: "mistral/*"
    litellm_params: {model: "mistral/*"}
  - model_name: ears
    litellm_params: {model: whisper-1}
    model_info: {mode: audio_transcription}
  - model_name: odd
    litellm_params: {model: replicate/some/thing}
litellm_settings:
  drop_params: true
  default_fallbacks: [llama3]
  content_policy_fallbacks: [{sonnet: [local]}]
  callbacks: [prometheus]
  json_logs: true
general_settings:
  master_key: os.environ/NOT_SET_ANYWHERE
  database_url: postgresql://user:db-do-not-copy@db/litellm
"""


class Portfolios(unittest.TestCase):
    def test_the_smallest_configuration(self):
        i = Imported(SMALL)
        self.assertEqual((i.run.returncode, i.run.stdout), (0, ""))
        self.assertIn('openai: {api: openai, url: "https://api.openai.com/v1", key: "${OPENAI_API_KEY}"}', i.text)
        self.assertIn("gpt-4o-mini: {as: gpt-4o-mini}  # line 2", i.text)
        self.assertIn("1 deployment; 0 things", i.notes)
        self.assertEqual([p["name"] for p in i.check()["pools"]], ["openai"])

    def test_regions_weights_limits_and_prices(self):
        i = Imported(AZURE)
        view = i.check()
        self.assertEqual({p["name"] for p in view["pools"]}, {"azure-contoso-eu", "azure-contoso-us", "openai"})
        self.assertIn('url: "https://contoso-eu.openai.azure.com/openai/v1", key: "${AZURE_KEY_EU}"', i.text)
        self.assertIn('url: "https://contoso-us.openai.azure.com/openai/v1", key: "${AZURE_KEY_US}"', i.text)
        self.assertIn("limits: {requests: 600/min, tokens: 120000/min}\n    weight: 3\n", i.text)
        self.assertIn("gpt-4o: {as: gpt-4o-eu, price: {input: 2.5 USD/Mtok, cached_input: 1.25 USD/Mtok, "
                      "output: 10 USD/Mtok}, context: 128000, output_max: 16384}", i.text)
        self.assertIn("gpt-4: {as: gpt-4o-us, price: {input: 2.5 USD/Mtok, cached_input: 1.25 USD/Mtok, "
                      "output: 10 USD/Mtok}, context: 128000, output_max: 4096}", i.text)
        self.assertIn("first_byte: 30 s, idle: 7.5 s", i.text)
        self.assertIn("policy: static-split", i.text)
        self.assertIn("attempts: {max: 5}", i.text)  # the first, two retries, two fallbacks
        self.assertIn("breaker: {failures: 4, open: 90 s, open_max: 90 s}", i.text)
        self.assertIn("for-gpt-4o: [gpt-4o, gpt-4o-spare]\n", i.text)
        self.assertIn(f"config.yaml:{line(AZURE, 'gone')}: fallbacks: from gpt-4o to gone", i.notes)
        self.assertIn("sha256:" + hashlib.sha256(b"sk-1234").hexdigest(), i.text)
        self.assertNotIn("sk-1234", i.text + i.notes)

    def test_what_has_no_place_is_listed_with_its_line(self):
        i = Imported(MIXED)
        i.env |= {"OPENAI_API_KEY_LINE_%d" % line(MIXED, "sk-live"): "x"}
        pools = {p["name"] for p in i.check()["pools"]}
        self.assertEqual(pools, {"hosted_vllm", "ollama", "anthropic", "groq", "openai", "bedrock", "gemini", "vertex_ai"})
        for what, why in [("temperature", "litellm_params.temperature: LiteLLM adds it"),
                          ("My Model", "model_name: has blanks"),
                          ("sk-live", "api_key: stands in the file itself"),
                          ("aws_secret", "litellm_params.aws_secret_access_key: "),
                          ("vertex_project", "litellm_params.vertex_project: "),
                          ('"mistral/*"', "mistral/*: is a wildcard"),
                          ("name: ears", "ears: is no model for chat"),
                          ("name: odd", "odd: comes from a provider that caudal does not know"),
                          ("drop_params", "litellm_settings.drop_params: "),
                          ("content_policy", "litellm_settings.content_policy_fallbacks: "),
                          ("callbacks:", "litellm_settings.callbacks: "),
                          ("master_key", "master_key: is not in this environment"),
                          ("database_url", "general_settings.database_url: ")]:
            n = line(MIXED, what)
            self.assertIn(f"config.yaml:{n}: {why}", i.notes)
            self.assertIn(f"#   line {n}, {why}", i.text)
        self.assertNotIn("do-not-copy", i.text + i.notes)
        self.assertIn("# It needs in its environment: ANTHROPIC_API_KEY GROQ_API_KEY ", i.text)
        self.assertIn('key: "${HOSTED_VLLM_API_KEY_LINE_6:-}"', i.text)
        self.assertIn('as: "llama3:8b"', i.text)
        self.assertIn('url: "http://localhost:11434/v1"', i.text)
        self.assertIn('url: "https://bedrock-runtime.us-east-1.amazonaws.com/openai/v1"', i.text)
        self.assertIn("for-sonnet: [sonnet, llama3]", i.text)
        self.assertIn("log: {format: json}", i.text)

    def test_shares_follow_rpm_where_there_are_no_weights(self):
        both = SMALL + ("      rpm: 100\n  - model_name: gpt-4o-mini\n    litellm_params: {model: azure/mini, rpm: 300, "
                        "api_base: 'https://a.openai.azure.com', api_key: os.environ/AZURE_KEY_EU}\n")
        i = Imported(both)
        self.assertEqual([x.strip() for x in i.text.splitlines() if "weight: " in x], ["weight: 100", "weight: 300"])
        i.check()
        i = Imported(both + "router_settings: {routing_strategy: least-busy}\n")
        self.assertNotIn("weight: ", i.text)
        self.assertIn("policy: least-in-flight", i.text)
        i.check()

    def test_orders_become_priorities(self):
        i = Imported("""\
model_list:
  - {model_name: m, litellm_params: {model: groq/m}}
  - {model_name: m, litellm_params: {model: openai/m, order: 1}}
  - {model_name: m, litellm_params: {model: mistral/m, order: 2}}
router_settings: {routing_strategy: simple-shuffle}
""")
        i.check()
        self.assertIn("policy: priority-spill", i.text)
        self.assertEqual([x.strip() for x in i.text.splitlines() if "priority: " in x],
                         ["priority: 3", "priority: 1", "priority: 2"])

    def test_latency_based_routing_prices_waiting(self):
        i = Imported(SMALL + "router_settings: {routing_strategy: latency-based-routing}\n")
        self.assertIn("default_class: fast", i.text)
        self.assertIn("is an assumption", i.notes)
        i.check()

    def test_credentials_are_found_by_name(self):
        i = Imported("""\
credential_list:
  - credential_name: eu
    credential_values: {api_base: "https://eu.openai.azure.com", api_key: os.environ/AZURE_KEY_EU}
model_list:
  - {model_name: m, litellm_params: {model: azure/dep, litellm_credential_name: eu}}
  - {model_name: n, litellm_params: {model: azure/dep2, litellm_credential_name: us}}
""")
        self.assertIn('url: "https://eu.openai.azure.com/openai/v1", key: "${AZURE_KEY_EU}"', i.text)
        self.assertIn("config.yaml:6: litellm_credential_name: is not in credential_list", i.notes)

    def test_names_and_urls_that_yaml_would_read_otherwise(self):
        i = Imported("""\
model_list:
  - {model_name: "null", litellm_params: {model: "openai_like/a: b # ${c}", api_base: "http://localhost:1/v1"}}
  - {model_name: "1.5", litellm_params: {model: openai_like/yes, api_base: "http://localhost:1/v1"}}
""")
        self.assertEqual({m["name"] for m in i.check()["models"]}, {"null", "1.5"})

    def test_the_master_key_of_the_environment_is_hashed(self):
        i = Imported(SMALL + "general_settings: {master_key: os.environ/THE_MASTER}\n", env={"THE_MASTER": "sk-deep"})
        self.assertIn("sha256:" + hashlib.sha256(b"sk-deep").hexdigest(), i.text)
        i.check()


class Serving(unittest.TestCase):
    def test_the_portfolio_serves_the_clients_of_the_old_gateway(self):
        """Same model names, same key; the supplier is asked for its own name with its own key."""
        answer = json_answer({"id": "x", "object": "chat.completion", "model": "there", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}]})
        with Recorder(lambda _: answer) as there:
            i = Imported(f"""\
model_list:
  - model_name: team-model
    litellm_params: {{model: openai/there, api_base: "{there.url}", api_key: os.environ/OPENAI_API_KEY, rpm: 60}}
router_settings: {{model_group_alias: {{old-name: team-model}}}}
general_settings: {{master_key: sk-master}}
""")
            text = i.text.replace("serve:\n  listen: 127.0.0.1:8080", "serve: {listen: 127.0.0.1:8080}")
            with Gateway(text, env=i.env) as gw:  # which puts keys of its own into `serve: {`
                for model in ("team-model", "old-name"):
                    a = gw.post("/v1/chat/completions", chat("hi", model=model), {"Authorization": "Bearer sk-master"})
                    self.assertEqual((a.status, a.text()), (200, "hello"), a)
                self.assertEqual(gw.post("/v1/chat/completions", chat("hi", model="team-model")).status, 401)
            self.assertEqual([r["model"] for r in there.requests], ["there", "there"])
            self.assertEqual({r["headers"]["authorization"] for r in there.requests}, {"Bearer value-of-OPENAI_API_KEY"})


class Faults(unittest.TestCase):
    def test_wrong_input_says_where(self):
        for text, why in [("model_list: [", "config.yaml:2:1: not YAML"), ("- a\n- b\n", "not one map"),
                          ("model_list: []\n", "has no model that caudal can serve"), ("", "not one map")]:
            i = Imported(text)
            self.assertEqual(i.run.returncode, 1, text)
            self.assertIn(why, i.notes)
            self.assertEqual(i.text, "")

    def test_a_file_that_is_there_is_kept_unless_forced(self):
        i = Imported(SMALL)
        again = [CAUDAL, "import", "-o", i.file, "litellm", i.config]
        run = subprocess.run(again, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("--force replaces it", run.stderr)
        self.assertEqual(subprocess.run(again + ["--force"], capture_output=True, timeout=60).returncode, 0)

    def test_a_file_that_is_there_is_said_before_anything_else(self):
        with tempfile.NamedTemporaryFile() as there:
            run = subprocess.run([CAUDAL, "import", "-o", there.name, "litellm", "/nowhere.yaml"], capture_output=True, text=True, timeout=60)
        self.assertEqual((run.returncode, run.stderr), (1, f"caudal import: {there.name} is there already; --force replaces it\n"))

    def test_wrong_usage(self):
        for words in ([], ["litellm"], ["portkey", "x"], ["litellm", "x", "y"], ["--wrong", "litellm", "x"]):
            self.assertEqual(subprocess.run([CAUDAL, "import", *words], capture_output=True, timeout=60).returncode, 2)

    def test_standard_input_to_standard_output(self):
        run = subprocess.run([CAUDAL, "import", "litellm", "-"], input=SMALL, capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 0)
        self.assertIn("caudal: 1\n", run.stdout)


if __name__ == "__main__":
    main()
