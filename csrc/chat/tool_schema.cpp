#include "chat/tool_schema.h"

#include "errors.h"
#include "json-schema.h"

namespace shimmy {

namespace {

// 448 properties in one object, or 64 in each of 343; about a quarter of a second.
constexpr double max_cost = 9e7;

[[noreturn]] void refuse(const std::string & path, const std::string & why) {
    throw InvalidRequestError(path + " " + why, path);
}

}  // namespace

void ToolSchemaCheck::check(const common_json & schema, const std::string & path) {
    measure(schema, path);
    try {
        common_chat_schema_from_json(schema);
    } catch (const std::exception & error) {
        refuse(path, std::string("is no JSON schema that can be used: ") + error.what());
    }
}

void ToolSchemaCheck::measure(const common_json & value, const std::string & path) {
    if (value.is_array()) {
        for (const auto & item : value) {
            measure(item, path);
        }
        return;
    }
    if (!value.is_object()) {
        return;
    }
    for (const auto & [key, item] : value.items()) {
        if (key == "properties" && item.is_object()) {
            const auto n = double(item.size());
            cost_ += n * n * n;
            if (cost_ > max_cost) {
                refuse(path, "has too many properties, together with the tools before it; use fewer or split objects");
            }
        } else if (key == "enum" && item.is_array() && item.size() > max_enum_values) {
            refuse(path, "has an enum of " + std::to_string(item.size()) + " values; at most " +
                             std::to_string(max_enum_values) + " are allowed");
        }
        measure(item, path);
    }
}

}  // namespace shimmy
