#pragma once
// The classification head of a reranker: libllama takes what a file without one computes for scores.

#include <string>

#include "gguf/gguf_file.h"

namespace shimmy {

// Throws ModelLoadError when a whole model says that it pools by rank and holds no head for its labels.
void check_head(const GgufFile & file, const std::string & architecture);

}  // namespace shimmy
