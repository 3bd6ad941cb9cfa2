#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "json.h"

namespace shimmy {

// Bounds on JSON from outside, checked on the text: parsing and freeing recurse once per level.
inline constexpr size_t max_json_depth = 64;
inline constexpr size_t max_json_values = 200'000;

// Parse `text` within the limits. Throws InvalidRequestError that calls the text `name`.
common_json parse_json(std::string_view text, const std::string & name);

// Whether `text` is JSON within the limits.
bool is_json(std::string_view text);

}  // namespace shimmy
