// The providers of a LiteLLM configuration, by the prefix of `model`: where they are called, and
// by which dialect. Checked against litellm 1.106 (get_llm_provider, validate_environment).

#include "cli/import.h"

#define CHAT_ONLY "chat"
#define EMBEDDINGS_ONLY "embeddings"
#define OPENAI_URL "https://api.openai.com/v1"

static const char bedrock_note[] =
    "is called at Bedrock's OpenAI-compatible endpoint with a Bedrock API key; AWS credentials are "
    "not used, and models that are not offered there do not answer";
static const char plans_only[] =
    "caudal cannot call this dialect yet: the pool counts in plans only";
static const char claude_note[] =
    "is called at Anthropic's OpenAI-compatible endpoint, which has no prompt caching";
static const char azure_note[] = "is called at Azure's v1 endpoint, which needs no api_version";

static const struct import_provider providers[] = {
    {"openai", "openai", OPENAI_URL, "OPENAI_API_KEY", NULL, NULL, NULL},
    {"text-completion-openai", "openai", OPENAI_URL, "OPENAI_API_KEY", NULL, "completions", NULL},
    {"custom_openai", "openai", NULL, NULL, NULL, NULL, NULL},
    {"openai_like", "openai", NULL, NULL, NULL, NULL, NULL},
    {"litellm_proxy", "openai", NULL, "LITELLM_PROXY_API_KEY", NULL, NULL, NULL},
    {"azure", "azure", NULL, "AZURE_API_KEY", "/openai/v1", NULL, azure_note},
    {"azure_text", "azure", NULL, "AZURE_API_KEY", "/openai/v1", "completions", azure_note},
    {"azure_ai", "azure", NULL, "AZURE_AI_API_KEY", "/openai/v1", NULL, azure_note},
    {"anthropic", "openai", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", "/v1", CHAT_ONLY,
     claude_note},
    {"bedrock", "bedrock", NULL, "AWS_BEARER_TOKEN_BEDROCK", NULL, CHAT_ONLY, bedrock_note},
    {"vertex_ai", "vertex", NULL, NULL, NULL, NULL, plans_only},
    {"vertex_ai_beta", "vertex", NULL, NULL, NULL, NULL, plans_only},
    {"sagemaker", "sagemaker", NULL, NULL, NULL, NULL, plans_only},
    {"sagemaker_chat", "sagemaker", NULL, NULL, NULL, NULL, plans_only},
    {"gemini", "gemini", "https://generativelanguage.googleapis.com/v1beta/openai",
     "GEMINI_API_KEY", NULL, NULL, "is called at Gemini's OpenAI-compatible endpoint"},
    {"hosted_vllm", "vllm", NULL, NULL, NULL, NULL, NULL},
    {"vllm", "vllm", NULL, NULL, NULL, NULL, NULL},
    {"ollama", "openai", "http://localhost:11434/v1", NULL, "/v1", NULL, NULL},
    {"ollama_chat", "openai", "http://localhost:11434/v1", NULL, "/v1", NULL, NULL},
    {"lm_studio", "openai", NULL, NULL, NULL, NULL, NULL},
    {"llamafile", "llama.cpp", "http://127.0.0.1:8080/v1", NULL, NULL, NULL, NULL},
    {"xinference", "openai", NULL, NULL, NULL, NULL, NULL},
    {"docker_model_runner", "llama.cpp", "http://localhost:22088/engines/llama.cpp", NULL, NULL,
     NULL, NULL},
    {"nvidia_nim", "nim", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY", NULL, NULL,
     NULL},
    {"cerebras", "cerebras", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY", NULL, NULL, NULL},
    {"groq", "openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY", NULL, CHAT_ONLY, NULL},
    {"mistral", "openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", NULL, NULL, NULL},
    {"codestral", "openai", "https://codestral.mistral.ai/v1", "CODESTRAL_API_KEY", NULL, CHAT_ONLY,
     NULL},
    {"deepseek", "openai", "https://api.deepseek.com/beta", "DEEPSEEK_API_KEY", NULL, NULL, NULL},
    {"together_ai", "openai", "https://api.together.ai/v1", "TOGETHERAI_API_KEY", NULL, NULL, NULL},
    {"fireworks_ai", "openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY",
     NULL, NULL, NULL},
    {"openrouter", "openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", NULL, NULL,
     NULL},
    {"xai", "openai", "https://api.x.ai/v1", "XAI_API_KEY", NULL, NULL, NULL},
    {"perplexity", "openai", "https://api.perplexity.ai", "PERPLEXITYAI_API_KEY", NULL, CHAT_ONLY,
     NULL},
    {"sambanova", "openai", "https://api.sambanova.ai/v1", "SAMBANOVA_API_KEY", NULL, NULL, NULL},
    {"deepinfra", "openai", "https://api.deepinfra.com/v1/openai", "DEEPINFRA_API_KEY", NULL, NULL,
     NULL},
    {"github", "openai", "https://models.inference.ai.azure.com", "GITHUB_API_KEY", NULL, NULL,
     NULL},
    {"databricks", "openai", NULL, "DATABRICKS_API_KEY", NULL, NULL, NULL},
    {"moonshot", "openai", "https://api.moonshot.ai/v1", "MOONSHOT_API_KEY", NULL, CHAT_ONLY, NULL},
    {"dashscope", "openai", "https://dashscope.aliyuncs.com/compatible-mode/v1",
     "DASHSCOPE_API_KEY", NULL, NULL, NULL},
    {"hyperbolic", "openai", "https://api.hyperbolic.xyz/v1", "HYPERBOLIC_API_KEY", NULL, NULL,
     NULL},
    {"novita", "openai", "https://api.novita.ai/v3/openai", "NOVITA_API_KEY", NULL, NULL, NULL},
    {"nebius", "openai", "https://api.studio.nebius.ai/v1", "NEBIUS_API_KEY", NULL, NULL, NULL},
    {"lambda_ai", "openai", "https://api.lambda.ai/v1", "LAMBDA_API_KEY", NULL, NULL, NULL},
    {"baseten", "openai", "https://inference.baseten.co/v1", "BASETEN_API_KEY", NULL, NULL, NULL},
    {"featherless_ai", "openai", "https://api.featherless.ai/v1", "FEATHERLESS_AI_API_KEY", NULL,
     NULL, NULL},
    {"ai21_chat", "openai", "https://api.ai21.com/studio/v1", "AI21_API_KEY", NULL, CHAT_ONLY,
     NULL},
    {"volcengine", "openai", "https://ark.cn-beijing.volces.com/api/v3", "VOLCENGINE_API_KEY", NULL,
     NULL, NULL},
    {"zai", "openai", "https://api.z.ai/api/paas/v4", "ZAI_API_KEY", NULL, CHAT_ONLY, NULL},
    {"meta_llama", "openai", "https://api.llama.com/compat/v1", "LLAMA_API_KEY", NULL, CHAT_ONLY,
     NULL},
    {"v0", "openai", "https://api.v0.dev/v1", "V0_API_KEY", NULL, CHAT_ONLY, NULL},
    {"vercel_ai_gateway", "openai", "https://ai-gateway.vercel.sh/v1", "VERCEL_AI_GATEWAY_API_KEY",
     NULL, NULL, NULL},
    {"inception", "openai", "https://api.inceptionlabs.ai/v1", "INCEPTION_API_KEY", NULL, NULL,
     NULL},
    {"nscale", "openai", "https://inference.api.nscale.com/v1", "NSCALE_API_KEY", NULL, NULL, NULL},
    {"wandb", "openai", "https://api.inference.wandb.ai/v1", "WANDB_API_KEY", NULL, NULL, NULL},
    {"friendliai", "openai", "https://api.friendli.ai/serverless/v1", "FRIENDLI_TOKEN", NULL, NULL,
     NULL},
    {"poe", "openai", "https://api.poe.com/v1", "POE_API_KEY", NULL, CHAT_ONLY, NULL},
    {"publicai", "openai", "https://api.publicai.co/v1", "PUBLICAI_API_KEY", NULL, CHAT_ONLY, NULL},
    {"cohere", "openai", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", NULL, NULL,
     "is called at Cohere's OpenAI-compatible endpoint"},
    {"cohere_chat", "openai", "https://api.cohere.ai/compatibility/v1", "COHERE_API_KEY", NULL,
     CHAT_ONLY, "is called at Cohere's OpenAI-compatible endpoint"},
    {"voyage", "openai", "https://api.voyageai.com/v1", "VOYAGE_API_KEY", NULL, EMBEDDINGS_ONLY,
     NULL},
    {"jina_ai", "openai", "https://api.jina.ai/v1", "JINA_AI_API_KEY", NULL, EMBEDDINGS_ONLY, NULL},
};

// Names without a prefix. LiteLLM looks them up in its map of models; these are that map's
// families.
static const struct {
    const char *begins, *prefix;
} families[] = {
    {"gpt-3.5-turbo-instruct", "text-completion-openai"},
    {"davinci-", "text-completion-openai"},
    {"babbage-", "text-completion-openai"},
    {"gpt-oss", NULL},  // open weights: anybody's
    {"gpt-", "openai"},
    {"o1", "openai"},
    {"o3", "openai"},
    {"o4", "openai"},
    {"chatgpt-", "openai"},
    {"text-embedding-", "openai"},
    {"whisper-", "openai"},
    {"dall-e-", "openai"},
    {"tts-", "openai"},
    {"claude-", "anthropic"},
    {"gemini-", "vertex_ai"},
    {"command-", "cohere_chat"},
    {"amazon.", "bedrock"},
    {"anthropic.", "bedrock"},
    {"meta.", "bedrock"},
};

static const struct import_provider *by_prefix(struct str prefix)
{
    for (size_t i = 0; i < COUNTOF(providers); i++)
        if (str_eq(prefix, str_of(providers[i].prefix)))
            return &providers[i];
    return NULL;
}

// "bedrock/converse/ID" names the same model as "bedrock/ID"; so do Azure's routes.
static struct str without_route(const struct import_provider *p, struct str name)
{
    static const char *const routes[] = {"converse/", "invoke/", "converse_like/", "chat/",
                                         "responses/"};
    bool has = str_eq(str_of(p->api), STR("bedrock")) || str_eq(str_of(p->api), STR("azure")) ||
               str_eq(str_of(p->prefix), STR("openai"));
    for (size_t i = 0; has && i < COUNTOF(routes); i++)
        if (str_starts(name, str_of(routes[i])))
            return str_skip(name, strlen(routes[i]));
    return name;
}

const struct import_provider *import_provider_of(struct str model, struct str custom,
                                                 struct str *name)
{
    struct str rest = model, prefix;
    const struct import_provider *p = NULL;
    *name = model;
    if (custom.n) {
        p = by_prefix(custom);
        if (str_starts(model, custom) && model.n > custom.n && model.p[custom.n] == '/')
            *name = str_skip(model, custom.n + 1);
    } else if (str_cut(&rest, '/', &prefix) && rest.n) {
        p = by_prefix(prefix);
        *name = rest;
    } else {
        for (size_t i = 0; i < COUNTOF(families); i++)
            if (str_starts(model, str_of(families[i].begins))) {
                p = families[i].prefix ? by_prefix(str_of(families[i].prefix)) : NULL;
                break;
            }
    }
    if (p)
        *name = without_route(p, *name);
    return p;
}
