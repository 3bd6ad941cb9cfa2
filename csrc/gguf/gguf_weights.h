#pragma once
// The types of a model's tensors: libllama computes with whatever type a file gives, defined or not.

#include <string>

#include "gguf/gguf_file.h"

namespace shimmy {

// Throws ModelLoadError, naming the tensor, where an operation would be undefined for its type.
void check_weights(const GgufFile & file);

}  // namespace shimmy
