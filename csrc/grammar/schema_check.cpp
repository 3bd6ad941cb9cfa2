#include "grammar/schema_check.h"

#include <array>
#include <set>
#include <vector>

#include "errors.h"
#include "grammar/json_scanner.h"

namespace shimmy {
namespace {

constexpr const char * param = "json_schema";

// What the members of an object or array are.
enum class Role { Schema, NamedSchemas, Data };

struct Level {
    Role role;
    bool is_object;
    std::string keyword;  // that this stands under
    std::string key;      // the member that is read
    size_t index = 0;
    double min_properties = 0;
    size_t n_required = 0;
    std::set<std::string> keys;
};

template <size_t n>
bool is_one_of(const std::string & key, const std::array<const char *, n> & names) {
    for (const char * name : names) {
        if (key == name) {
            return true;
        }
    }
    return false;
}

constexpr std::array named_schemas = {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"};
constexpr std::array schemas = {"items",
                                "additionalItems",
                                "additionalProperties",
                                "anyOf",
                                "oneOf",
                                "allOf",
                                "prefixItems",
                                "not",
                                "if",
                                "then",
                                "else",
                                "contains",
                                "propertyNames",
                                "unevaluatedItems",
                                "unevaluatedProperties"};
// Keywords of some draft that constrain values and that llguidance would take for annotations or not enforce.
constexpr std::array refused = {"x-guidance",
                                "dependencies",
                                "$recursiveRef",
                                "$dynamicRef",
                                "uniqueItems",
                                "contains",
                                "minContains",
                                "maxContains",
                                "not",
                                "if",
                                "then",
                                "else",
                                "propertyNames",
                                "dependentRequired",
                                "dependentSchemas",
                                "divisibleBy",
                                "disallow",
                                "extends",
                                "unevaluatedProperties",
                                "unevaluatedItems"};

class SchemaCheck {
  public:
    explicit SchemaCheck(std::string_view text) : scanner_(text, max_schema_depth, param) {}

    void run() {
        using Event = JsonScanner::Event;
        for (;;) {
            const Event event = scanner_.next();
            if (event == Event::End) {
                return;
            }
            if (levels_.empty() && event != Event::BeginObject) {
                throw InvalidRequestError("json_schema must be an object", param);
            }
            switch (event) {
                case Event::BeginObject:
                case Event::BeginArray:
                    begin(event == Event::BeginObject);
                    break;
                case Event::EndObject:
                case Event::EndArray:
                    end();
                    break;
                case Event::Key:
                    key();
                    break;
                default:
                    scalar(event);
            }
        }
    }

  private:
    std::string path() const {
        std::string text = "#";
        for (const Level & level : levels_) {
            const std::string part = level.is_object ? level.key : std::to_string(level.index - (level.index > 0));
            if (!part.empty() && text.size() < 300) {
                text += "/" + part.substr(0, 80);
            }
        }
        return text;
    }

    [[noreturn]] void refuse(const std::string & what) const {
        throw InvalidRequestError(what + ", at " + path(), param);
    }

    // A value begins in the innermost container: counts it and says whether it is an element of an enum.
    void count_value() {
        if (levels_.empty()) {
            return;
        }
        Level & level = levels_.back();
        level.index += !level.is_object;
        if (!level.is_object && level.keyword == "enum" && ++n_enum_ > max_enum_values) {
            refuse("json_schema lists more than " + std::to_string(max_enum_values) + " enum values");
        }
        if (!level.is_object && level.keyword == "required" && levels_.size() > 1) {
            ++levels_[levels_.size() - 2].n_required;
        }
    }

    void begin(bool is_object) {
        count_value();
        Level next{Role::Schema, is_object, "", "", 0, 0, 0, {}};
        if (!levels_.empty()) {
            const Level & level = levels_.back();
            if (level.role == Role::NamedSchemas) {
                next.role = Role::Schema;
            } else if (level.role == Role::Data) {
                next.role = Role::Data;
            } else if (!level.is_object) {
                next.role = Role::Schema;  // an element of anyOf and the like
            } else {
                next.keyword = level.key;
                next.role = is_one_of(level.key, named_schemas) ? Role::NamedSchemas
                            : is_one_of(level.key, schemas)     ? Role::Schema
                                                                : Role::Data;
            }
        }
        levels_.push_back(std::move(next));
    }

    void end() {
        const Level level = std::move(levels_.back());
        levels_.pop_back();
        if (level.role == Role::Schema && level.is_object && level.min_properties > 1 &&
            level.min_properties > static_cast<double>(level.n_required)) {
            refuse("the keyword minProperties over 1 is supported up to the number of required properties only");
        }
    }

    void key() {
        Level & level = levels_.back();
        level.key = scanner_.string();
        if (level.role == Role::Data) {
            return;
        }
        if (!level.keys.insert(level.key).second) {
            refuse("json_schema has the name \"" + level.key.substr(0, 80) + "\" twice in one object");
        }
        if (level.role == Role::NamedSchemas) {
            if (++n_properties_ > max_schema_properties) {
                refuse("json_schema has more than " + std::to_string(max_schema_properties) + " properties");
            }
            if (level.keyword == "patternProperties") {
                check_pattern(level.key);
            }
        } else if (is_one_of(level.key, refused)) {
            refuse("the keyword " + level.key + " of JSON schema is not supported");
        }
    }

    void check_pattern(const std::string & pattern) const {
        if (pattern.size() > max_pattern_bytes) {
            refuse("json_schema has a pattern of more than " + std::to_string(max_pattern_bytes) + " bytes");
        }
    }

    void scalar(JsonScanner::Event event) {
        count_value();
        Level & level = levels_.back();
        if (level.role != Role::Schema || !level.is_object) {
            return;
        }
        if (event == JsonScanner::Event::String && level.key == "pattern") {
            check_pattern(scanner_.string());
        }
        if (event == JsonScanner::Event::Number && level.key == "minProperties") {
            level.min_properties = scanner_.number();
        }
    }

    JsonScanner scanner_;
    std::vector<Level> levels_;
    size_t n_properties_ = 0;
    size_t n_enum_ = 0;
};

}  // namespace

void check_schema(std::string_view text) {
    if (text.size() > max_schema_bytes) {
        throw InvalidRequestError("json_schema has " + std::to_string(text.size()) + " bytes, at most " +
                                      std::to_string(max_schema_bytes) + " are allowed",
                                  param);
    }
    SchemaCheck(text).run();
}

std::string schema_for_llg(std::string_view text, bool any_whitespace) {
    const size_t brace = text.find('{');
    const size_t next = text.find_first_not_of(" \t\r\n", brace + 1);
    std::string options = R"("x-guidance":{"lenient":false,"coerce_one_of":false,"whitespace_flexible":false)";
    if (any_whitespace) {
        options += R"x(,"whitespace_pattern":"\\x20|\\x0A(\\x20{0,20}|\\x09{0,20})")x";
    }
    options += text[next] == '}' ? "}" : "},";
    return std::string(text.substr(0, brace + 1)) + options + std::string(text.substr(brace + 1));
}

}  // namespace shimmy
