#pragma once

#include <string_view>

namespace shimmy {

inline constexpr size_t max_grammar_nesting = 256;
inline constexpr size_t max_grammar_rules = 20'000;

// Bounds on a grammar in llguidance's Lark dialect: nesting of brackets and rules. Throws InvalidRequestError (param
// lark) naming the limit and the line.
void check_lark(std::string_view text);

}  // namespace shimmy
