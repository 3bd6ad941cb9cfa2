#pragma once
// What a file that is no GGUF is.

#include <cstdint>
#include <string>
#include <string_view>

namespace shimmy {

// Says what a file is and what to do, from its first bytes (64 are enough); empty when they say nothing.
std::string guess_format(std::string_view head, uint64_t size);

}  // namespace shimmy
