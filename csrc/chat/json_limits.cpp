#include "chat/json_limits.h"

#include <algorithm>

#include "errors.h"

namespace shimmy {

namespace {

struct Extent {
    size_t depth = 0;
    size_t values = 0;  // at least as many as the text holds
};

Extent measure(std::string_view text) {
    Extent extent{0, 1};
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            extent.depth = std::max(extent.depth, ++depth);
            ++extent.values;
        } else if (c == ']' || c == '}') {
            depth -= depth > 0;
        } else if (c == ',') {
            ++extent.values;
        }
    }
    return extent;
}

}  // namespace

common_json parse_json(std::string_view text, const std::string & name) {
    const Extent extent = measure(text);
    if (extent.depth > max_json_depth) {
        throw InvalidRequestError(name + " is nested more than " + std::to_string(max_json_depth) + " levels deep",
                                  name);
    }
    if (extent.values > max_json_values) {
        throw InvalidRequestError(name + " holds more than " + std::to_string(max_json_values) + " values", name);
    }
    try {
        return common_json::parse(std::string(text));
    } catch (const common_json_error & error) {
        throw InvalidRequestError(name + " is not valid JSON: " + error.what(), name);
    }
}

bool is_json(std::string_view text) {
    const Extent extent = measure(text);
    return extent.depth <= max_json_depth && extent.values <= max_json_values &&
           !common_json::parse_no_throw(std::string(text)).is_discarded();
}

}  // namespace shimmy
