#pragma once
// What libllama's graph of an architecture demands of its attention heads, found by reading it and by trying.

#include <cstdint>
#include <string_view>
#include <vector>

namespace shimmy {

struct ArchitectureRules {
    static constexpr uint32_t equal_heads = 1;      // keys and values have one length
    static constexpr uint32_t needs_heads = 2;      // every layer has heads, for queries and for keys
    static constexpr uint32_t rope = 4;             // keys are rotated
    static constexpr uint32_t whole_head_rope = 8;  // all of a key is
    static constexpr uint32_t swa_rope = 16;        // keys of sliding-window layers are rotated

    uint32_t bits = 0;

    bool has(uint32_t rule) const { return (bits & rule) != 0; }
};

// No rules for an architecture that demands nothing or is not known here.
ArchitectureRules architecture_rules(std::string_view architecture);

// Keys (without the architecture's prefix) that its loader or graph divides by or asserts to be above 0, or that are a
// default of 0 when they are missing.
std::vector<std::string_view> positive_keys(std::string_view architecture);

}  // namespace shimmy
