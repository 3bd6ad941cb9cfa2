#pragma once
// Text and character classes in the syntax of Rust's regex crate, which is safe between the slashes of Lark too.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace shimmy {

struct CodeRange {
    uint32_t first;
    uint32_t last;  // inclusive

    bool operator==(const CodeRange &) const = default;
};

// Matches `text` and nothing else. Bytes that are no UTF-8 match nothing.
std::string regex_of_literal(std::string_view text);

// Matches one code point of the ranges.
std::string regex_of_class(std::span<const CodeRange> ranges);

// The code point at `at`, which is moved behind it; 0xFFFFFFFF for what is no UTF-8.
uint32_t next_code_point(std::string_view text, size_t & at);

}  // namespace shimmy
