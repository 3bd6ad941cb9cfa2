#include "llama/checksum.h"

#include <cstring>

namespace shimmy {

// Eight bytes at a time through the finaliser of SplitMix64 (Steele et al. 2014).
uint64_t checksum(std::span<const uint8_t> bytes, uint64_t hash) {
    const auto mix = [](uint64_t x) {
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
        return x ^ (x >> 31);
    };
    size_t at = 0;
    for (; at + 8 <= bytes.size(); at += 8) {
        uint64_t word = 0;
        std::memcpy(&word, bytes.data() + at, 8);
        hash = mix(hash + 0x9E3779B97F4A7C15ULL + word);
    }
    uint64_t tail = 0;
    if (at < bytes.size()) {
        std::memcpy(&tail, bytes.data() + at, bytes.size() - at);
    }
    return mix(hash + 0x9E3779B97F4A7C15ULL + tail + (static_cast<uint64_t>(bytes.size()) << 32));
}

}  // namespace shimmy
