#pragma once

#include <cstddef>
#include <string>

#include "jinja/lexer.h"

namespace shimmy {

// Bounds on a template's source. The jinja parser and interpreter recurse once per level of brackets and blocks, once
// per branch of an if, and up to once per token of an expression; within these bounds they fit into a big stack.
inline constexpr size_t max_template_bytes = 256 << 10;
inline constexpr size_t max_template_depth = 64;
inline constexpr size_t max_tag_tokens = 2048;
inline constexpr size_t max_if_branches = 256;

// Tokens of a template that is within the limits. Throws TemplateError naming the limit and the line.
jinja::lexer_result tokenize_template(const std::string & source);

}  // namespace shimmy
