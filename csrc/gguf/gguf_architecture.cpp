#include "gguf/gguf_architecture.h"

#include <algorithm>
#include <array>

namespace shimmy {
namespace {

constexpr uint32_t equal_heads = ArchitectureRules::equal_heads;
constexpr uint32_t needs_heads = ArchitectureRules::needs_heads;
constexpr uint32_t rope = ArchitectureRules::rope;
constexpr uint32_t swa_rope = ArchitectureRules::swa_rope;
constexpr uint32_t whole_head_rope = equal_heads | rope | ArchitectureRules::whole_head_rope;

struct Row {
    std::string_view name;
    uint32_t rules;
};

// Sorted by name.
constexpr std::array<Row, 113> rows = {{
    {"afmoe", equal_heads | needs_heads | swa_rope},
    {"apertus", whole_head_rope | needs_heads},
    {"arcee", whole_head_rope | needs_heads},
    {"arctic", whole_head_rope | needs_heads},
    {"baichuan", whole_head_rope | needs_heads},
    {"bailingmoe2", equal_heads | needs_heads | rope},
    {"bert", equal_heads | needs_heads},
    {"bitnet", equal_heads | needs_heads},
    {"bloom", equal_heads | needs_heads},
    {"chameleon", whole_head_rope | needs_heads},
    {"chatglm", equal_heads | needs_heads | rope},
    {"codeshell", whole_head_rope | needs_heads},
    {"cogvlm", whole_head_rope | needs_heads},
    {"cohere2", equal_heads | needs_heads | swa_rope},
    {"cohere2moe", whole_head_rope | needs_heads},
    {"command-r", equal_heads | needs_heads | rope},
    {"dbrx", whole_head_rope | needs_heads},
    {"deci", whole_head_rope},
    {"deepseek", whole_head_rope | needs_heads},
    {"deepseek4", equal_heads | needs_heads | rope | swa_rope},
    {"dots1", whole_head_rope | needs_heads},
    {"dream", whole_head_rope | needs_heads},
    {"ernie4_5", whole_head_rope | needs_heads},
    {"ernie4_5-moe", whole_head_rope | needs_heads},
    {"eurobert", equal_heads | needs_heads},
    {"exaone", whole_head_rope | needs_heads},
    {"exaone-moe", whole_head_rope | needs_heads},
    {"exaone4", whole_head_rope | needs_heads},
    {"falcon", whole_head_rope | needs_heads},
    {"gemma", rope},
    {"gemma-embedding", swa_rope},
    {"gemma2", equal_heads | needs_heads | swa_rope},
    {"gemma3", equal_heads | needs_heads | swa_rope},
    {"gemma4", equal_heads | needs_heads},
    {"glm4", equal_heads | needs_heads | rope},
    {"glm4moe", equal_heads | needs_heads | rope},
    {"gpt2", equal_heads | needs_heads},
    {"gptneox", equal_heads | needs_heads | rope},
    {"granite", whole_head_rope | needs_heads},
    {"granite_swa", whole_head_rope | needs_heads},
    {"granitehybrid", equal_heads},
    {"graniteswitch", whole_head_rope | needs_heads},
    {"grok", whole_head_rope | needs_heads},
    {"grovemoe", whole_head_rope | needs_heads},
    {"hrm_text", rope},
    {"hunyuan-moe", whole_head_rope | needs_heads},
    {"hunyuan_vl", whole_head_rope | needs_heads},
    {"hy_v3", whole_head_rope | needs_heads},
    {"internlm2", whole_head_rope | needs_heads},
    {"jais", equal_heads | needs_heads},
    {"jais2", whole_head_rope | needs_heads},
    {"laguna", equal_heads | needs_heads | rope | swa_rope},
    {"lfm2", swa_rope},
    {"lfm2moe", rope},
    {"llada", whole_head_rope | needs_heads},
    {"llada-moe", whole_head_rope | needs_heads},
    {"llama", whole_head_rope | needs_heads},
    {"llama4", whole_head_rope | needs_heads},
    {"maincoder", whole_head_rope | needs_heads},
    {"maple", equal_heads | needs_heads | swa_rope},
    {"mellum", whole_head_rope | needs_heads},
    {"mimo2", rope},
    {"minimax-01", equal_heads | needs_heads | rope},
    {"minimax-m2", equal_heads | needs_heads | rope},
    {"minimax-m3", equal_heads | needs_heads | rope},
    {"mistral3", whole_head_rope | needs_heads},
    {"modern-bert", equal_heads | needs_heads},
    {"mpt", equal_heads | needs_heads},
    {"muse-glimmer", equal_heads | needs_heads | rope},
    {"nanbeige", equal_heads | needs_heads | rope},
    {"nemotron", equal_heads | needs_heads | rope},
    {"nemotron_h", equal_heads},
    {"nemotron_h_moe", equal_heads},
    {"neo-bert", equal_heads | needs_heads},
    {"olmo", whole_head_rope | needs_heads},
    {"olmo2", whole_head_rope | needs_heads},
    {"olmoe", whole_head_rope | needs_heads},
    {"openelm", equal_heads | needs_heads | rope},
    {"orion", whole_head_rope | needs_heads},
    {"paddleocr", whole_head_rope | needs_heads},
    {"pangu-embedded", whole_head_rope | needs_heads},
    {"phi2", equal_heads | needs_heads | rope},
    {"phi3", equal_heads | needs_heads | rope},
    {"phimoe", equal_heads | needs_heads | rope},
    {"plamo", whole_head_rope | needs_heads},
    {"plamo2", rope},
    {"plamo3", swa_rope},
    {"pockettts", whole_head_rope | needs_heads},
    {"qwen", equal_heads | needs_heads | rope},
    {"qwen2", whole_head_rope | needs_heads},
    {"qwen2moe", whole_head_rope | needs_heads},
    {"qwen2vl", whole_head_rope | needs_heads},
    {"qwen3", whole_head_rope | needs_heads},
    {"qwen35", equal_heads | needs_heads | rope},
    {"qwen35moe", equal_heads | needs_heads | rope},
    {"qwen3moe", whole_head_rope | needs_heads},
    {"qwen3next", equal_heads | needs_heads | rope},
    {"qwen3tts", whole_head_rope | needs_heads},
    {"qwen3vl", whole_head_rope | needs_heads},
    {"qwen3vlmoe", whole_head_rope | needs_heads},
    {"qwen4exp", equal_heads | needs_heads | rope | swa_rope},
    {"refact", equal_heads | needs_heads},
    {"rnd1", whole_head_rope | needs_heads},
    {"seed_oss", whole_head_rope | needs_heads},
    {"smallthinker", whole_head_rope | needs_heads},
    {"smollm3", whole_head_rope | needs_heads},
    {"spark2_5", equal_heads | needs_heads | rope | swa_rope},
    {"stablelm", equal_heads | needs_heads | rope},
    {"starcoder", equal_heads | needs_heads},
    {"starcoder2", whole_head_rope | needs_heads},
    {"t5", equal_heads | needs_heads},
    {"talkie", whole_head_rope | needs_heads},
    {"xverse", whole_head_rope | needs_heads},
}};

struct PositiveKey {
    std::string_view key;
    std::vector<std::string_view> architectures;
};

const std::vector<PositiveKey> & all_positive_keys() {
    static const std::vector<std::string_view> grouped_ssm = {"falcon-h1",  "granitehybrid",  "mamba2",
                                                              "nemotron_h", "nemotron_h_moe", "qwen3next",
                                                              "qwen35",     "qwen35moe",      "qwen4exp"};
    static const std::vector<std::string_view> rwkv = {"arwkv7", "rwkv6", "rwkv6qwen2", "rwkv7"};
    static const std::vector<std::string_view> experts = {"bailingmoe2", "glm4moe",   "grovemoe", "lfm2moe",
                                                          "llada-moe",   "qwen35moe", "qwen4exp", "smallthinker"};
    static const std::vector<PositiveKey> keys = {
        {"attention.indexer.block_size", {"minimax-m3"}},
        {"attention.output_group_count", {"deepseek4"}},
        {"attention.sliding_window", {"afmoe"}},
        {"expert_count", experts},
        {"experts_per_group", {"grovemoe"}},
        {"hrm.h_cycles", {"hrm_text"}},
        {"hrm.l_cycles", {"hrm_text"}},
        {"hrm.layers_per_stack", {"hrm_text"}},
        {"interleave_moe_layer_step", {"ernie4_5-moe"}},
        {"ssm.group_count", grouped_ssm},
        {"ssm.inner_size", grouped_ssm},
        {"ssm.time_step_rank", grouped_ssm},
        {"wkv.head_size", rwkv},
    };
    return keys;
}

}  // namespace

ArchitectureRules architecture_rules(std::string_view architecture) {
    const auto * row = std::lower_bound(rows.begin(), rows.end(), architecture,
                                        [](const Row & one, std::string_view name) { return one.name < name; });
    return {row != rows.end() && row->name == architecture ? row->rules : 0};
}

std::vector<std::string_view> positive_keys(std::string_view architecture) {
    std::vector<std::string_view> keys;
    for (const auto & [key, architectures] : all_positive_keys()) {
        if (std::find(architectures.begin(), architectures.end(), architecture) != architectures.end()) {
            keys.push_back(key);
        }
    }
    return keys;
}

}  // namespace shimmy
