#include "gguf/gguf_adapter.h"

#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace shimmy {
namespace {

struct LoraPair {
    const GgufTensor * a = nullptr;
    const GgufTensor * b = nullptr;
};

std::string quoted(const std::string & name) {
    return "tensor '" + name + "'";
}

std::optional<std::string> without_suffix(const std::string & name, std::string_view suffix) {
    return name.ends_with(suffix) ? std::optional(name.substr(0, name.size() - suffix.size())) : std::nullopt;
}

// The matrices by the name of the model's tensor that they change.
std::map<std::string, LoraPair> lora_pairs(const GgufFile & file) {
    std::map<std::string, LoraPair> pairs;
    for (const auto & tensor : file.tensors()) {
        if (const auto target = without_suffix(tensor.name, ".lora_a")) {
            pairs[*target].a = &tensor;
        } else if (const auto other = without_suffix(tensor.name, ".lora_b")) {
            pairs[*other].b = &tensor;
        } else if (!tensor.name.ends_with("_norm.weight")) {
            file.fail(quoted(tensor.name), "is neither '.lora_a' nor '.lora_b': convert the adapter again");
        }
    }
    return pairs;
}

// A token embedding's first matrix is looked up by row, so its ranks lie the other way around.
bool is_embedding(const std::string & target) {
    return target.ends_with("token_embd.weight");
}

void check_pair(const GgufFile & file, const std::string & target, const LoraPair & pair) {
    if (pair.a == nullptr || pair.b == nullptr) {
        file.fail(quoted(target), std::string("has no '.lora_") + (pair.a == nullptr ? "a" : "b") +
                                      "' in the adapter: convert the adapter again");
    }
    const auto & a = pair.a->shape;
    const auto & b = pair.b->shape;
    if ((is_embedding(target) ? a[0] : a[1]) != b[0]) {
        file.fail(quoted(target), "has matrices of ranks " + std::to_string(is_embedding(target) ? a[0] : a[1]) +
                                      " and " + std::to_string(b[0]) + ": convert the adapter again");
    }
    const bool has_experts = target.find("exps") != std::string::npos;
    if (a[3] != 1 || b[3] != 1 || a[2] != b[2] || (a[2] != 1 && !has_experts)) {
        file.fail(quoted(target), "has matrices of too many dimensions: convert the adapter again");
    }
}

}  // namespace

void check_adapter(const GgufFile & file) {
    const auto type = file.string("adapter.type");
    if (!type) {
        file.fail("adapter.type", "is missing: convert the adapter again");
    }
    if (*type != "lora") {
        file.fail("adapter.type", "is '" + type->substr(0, 80) + "' and only 'lora' can be loaded");
    }
    if (!file.string("general.architecture")) {
        file.fail("general.architecture", "is missing: convert the adapter again");
    }
    const auto * tokens = file.find("adapter.alora.invocation_tokens");
    if (tokens != nullptr && (tokens->type != GgufType::array || tokens->element != GgufType::u32)) {
        file.fail("adapter.alora.invocation_tokens", "must be an array of u32: convert the adapter again");
    }
    const auto pairs = lora_pairs(file);
    if (pairs.empty()) {
        file.fail("tensor count", "leaves no LoRA matrices: the adapter changes nothing, convert it again");
    }
    for (const auto & [target, pair] : pairs) {
        check_pair(file, target, pair);
    }
}

void check_adapter_fits(const GgufFile & file, const GgufFile & model, const ModelShapes & shapes) {
    const auto ours = file.string("general.architecture").value_or("");
    const auto theirs = model.string("general.architecture").value_or("");
    if (ours != theirs) {
        file.fail("general.architecture",
                  "is '" + ours + "' and the model's is '" + theirs + "': the adapter was made for another model");
    }
    for (const auto & [target, pair] : lora_pairs(file)) {
        const auto found = shapes.find(target);
        if (found == shapes.end()) {
            file.fail(quoted(target), "is not in " + model.name() + ": the adapter was made for another model");
        }
        const auto & shape = found->second;
        const auto & a = pair.a->shape;
        const auto & b = pair.b->shape;
        const uint64_t n_inputs = is_embedding(target) ? b[1] : a[0];
        const uint64_t n_outputs = is_embedding(target) ? a[1] : b[1];
        if (n_inputs != shape[0] || n_outputs != shape[1] || a[2] != shape[2]) {
            file.fail(quoted(target), "changes " + std::to_string(n_inputs) + " x " + std::to_string(n_outputs) +
                                          " x " + std::to_string(a[2]) + " elements and the model's has " +
                                          std::to_string(shape[0]) + " x " + std::to_string(shape[1]) + " x " +
                                          std::to_string(shape[2]) + ": the adapter was made for another model");
        }
    }
}

}  // namespace shimmy
