#pragma once
// The vocabulary of a model.

#include <string>

#include "gguf/gguf_file.h"

namespace shimmy {

// Throws ModelLoadError, naming the field. Keys that are missing are left to libllama, which refuses them itself.
void check_vocab(const GgufFile & file, const std::string & architecture);

}  // namespace shimmy
