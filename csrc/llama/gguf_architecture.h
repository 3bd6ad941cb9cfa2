#pragma once
// What libllama's graph of an architecture asserts of its attention heads.

#include <string_view>

namespace shimmy {

struct ArchitectureRules {
    bool equal_heads = false;         // keys and values have the same length
    bool rotates_whole_head = false;  // rope covers the whole key
    bool needs_heads = false;         // every layer has heads, for queries and for keys
};

// All false for an architecture that asserts nothing or is not known here.
ArchitectureRules architecture_rules(std::string_view architecture);

}  // namespace shimmy
