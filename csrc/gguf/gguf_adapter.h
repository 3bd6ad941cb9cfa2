#pragma once
// The tensors of a LoRA adapter.

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "gguf/gguf_file.h"

namespace shimmy {

// The shapes of all tensors of a model, by name.
using ModelShapes = std::unordered_map<std::string, std::array<uint64_t, 4>>;

// Throws ModelLoadError unless the file is a well-formed LoRA adapter.
void check_adapter(const GgufFile & file);

// Throws ModelLoadError unless a checked adapter changes only tensors that the model has, in their shapes.
// `model` is its first file.
void check_adapter_fits(const GgufFile & file, const GgufFile & model, const ModelShapes & shapes);

}  // namespace shimmy
