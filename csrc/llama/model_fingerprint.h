#pragma once
// What tells one model file from another.

#include <cstdint>
#include <string>

namespace shimmy {

// A hash of the size, the first 64 KiB and 64 samples of a file: fine-tunes of one base model differ by it. Throws
// ModelLoadError when the file cannot be read.
uint64_t model_fingerprint(const std::string & path);

// A hash of a whole file, for adapters, which are small: an edit between samples changes what they compute too, and
// nothing else tells their versions apart once states outlive the process. Throws as model_fingerprint.
uint64_t adapter_fingerprint(const std::string & path);

}  // namespace shimmy
