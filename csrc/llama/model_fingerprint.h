#pragma once
// What tells one model file from another.

#include <cstdint>
#include <string>

namespace shimmy {

// A hash of the size, the first 64 KiB and 64 samples of a file: fine-tunes of one base model differ by it. Throws
// ModelLoadError when the file cannot be read.
uint64_t model_fingerprint(const std::string & path);

}  // namespace shimmy
