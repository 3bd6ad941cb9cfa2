#pragma once
// Tells damaged bytes from whole ones.

#include <cstdint>
#include <span>

namespace shimmy {

// Detects damage, no defence against forgery. `hash` continues an earlier checksum.
uint64_t checksum(std::span<const uint8_t> bytes, uint64_t hash);

}  // namespace shimmy
