#include "llama/gguf_architecture.h"

#include <algorithm>
#include <array>

namespace shimmy {
namespace {

// Sorted. Keys and values of one length, all of it rotated.
constexpr std::array<std::string_view, 59> whole_head_rope = {
    "apertus",       "arcee",     "arctic",     "baichuan",    "chameleon",  "codeshell",    "cogvlm",
    "cohere2moe",    "dbrx",      "deci",       "deepseek",    "dots1",      "dream",        "ernie4_5",
    "ernie4_5-moe",  "exaone",    "exaone-moe", "exaone4",     "falcon",     "granite",      "granite_swa",
    "graniteswitch", "grok",      "grovemoe",   "hunyuan-moe", "hunyuan_vl", "hy_v3",        "internlm2",
    "jais2",         "llada",     "llada-moe",  "llama",       "llama4",     "maincoder",    "mellum",
    "mistral3",      "olmo",      "olmo2",      "olmoe",       "orion",      "paddleocr",    "pangu-embedded",
    "plamo",         "pockettts", "qwen2",      "qwen2moe",    "qwen2vl",    "qwen3",        "qwen3moe",
    "qwen3tts",      "qwen3vl",   "qwen3vlmoe", "rnd1",        "seed_oss",   "smallthinker", "smollm3",
    "starcoder2",    "talkie",    "xverse",
};

// Sorted. Keys and values of one length.
constexpr std::array<std::string_view, 43> equal_heads = {
    "afmoe",        "bailingmoe2", "bert",       "bitnet",        "bloom",          "chatglm",
    "cohere2",      "command-r",   "deepseek4",  "eurobert",      "gemma4",         "glm4",
    "glm4moe",      "gpt2",        "gptneox",    "granitehybrid", "jais",           "laguna",
    "maple",        "minimax-01",  "minimax-m2", "minimax-m3",    "modern-bert",    "mpt",
    "muse-glimmer", "nanbeige",    "nemotron",   "nemotron_h",    "nemotron_h_moe", "neo-bert",
    "openelm",      "phi2",        "phi3",       "qwen",          "qwen35",         "qwen35moe",
    "qwen3next",    "qwen4exp",    "refact",     "spark2_5",      "stablelm",       "starcoder",
    "t5",
};

// Sorted. Of the above: layers may do without attention.
constexpr std::array<std::string_view, 4> headless_layers = {
    "deci",
    "granitehybrid",
    "nemotron_h",
    "nemotron_h_moe",
};

template <size_t n>
bool contains(const std::array<std::string_view, n> & names, std::string_view name) {
    return std::binary_search(names.begin(), names.end(), name);
}

}  // namespace

ArchitectureRules architecture_rules(std::string_view architecture) {
    ArchitectureRules rules;
    rules.rotates_whole_head = contains(whole_head_rope, architecture);
    rules.equal_heads = rules.rotates_whole_head || contains(equal_heads, architecture);
    rules.needs_heads = rules.equal_heads && !contains(headless_layers, architecture);
    return rules;
}

}  // namespace shimmy
