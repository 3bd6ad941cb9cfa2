#pragma once

#include <string>

#include "json.h"

namespace shimmy {

inline constexpr size_t max_enum_values = 16'384;

// Checks the parameters schemas of one request's tools before common makes a grammar and a parser of them, which takes
// time that grows with the cube of an object's properties.
class ToolSchemaCheck {
  public:
    // Throws InvalidRequestError that names `path` when the schema is none that common can read, or when it and those
    // checked before are too large.
    void check(const common_json & schema, const std::string & path);

  private:
    void measure(const common_json & value, const std::string & path);

    double cost_ = 0;
};

}  // namespace shimmy
