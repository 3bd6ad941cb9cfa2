#pragma once
// The hyperparameters of a model: what libllama asserts, divides by or indexes with.

#include <string>

#include "gguf/gguf_file.h"

namespace shimmy {

// Throws ModelLoadError, naming the field. Keys that are missing are left to libllama, which refuses them itself.
void check_hparams(const GgufFile & file, const std::string & architecture);

}  // namespace shimmy
