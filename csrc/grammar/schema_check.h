#pragma once

#include <string>
#include <string_view>

namespace shimmy {

// Bounds on a JSON schema, checked on its text before anything that recurses or allocates by its content sees it.
inline constexpr size_t max_schema_bytes = 512U << 10;
inline constexpr size_t max_schema_depth = 64;
inline constexpr size_t max_schema_properties = 4096;
inline constexpr size_t max_enum_values = 16'384;
inline constexpr size_t max_pattern_bytes = 4096;

// Throws InvalidRequestError (param json_schema) that names the limit or the keyword and where it stands, also for
// keywords that the compiler would drop or cannot guarantee.
void check_schema(std::string_view text);

// The schema with llguidance's options put in: nothing lenient, and the blanks that are allowed. Checked before.
std::string schema_for_llg(std::string_view text, bool any_whitespace);

}  // namespace shimmy
