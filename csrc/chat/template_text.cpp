#include "chat/template_text.h"

#include "chat/json_limits.h"

namespace shimmy {

namespace {

constexpr const char * space = " \t\r\n";

// A part list as one string, parts on lines of their own.
std::string joined(const common_json & content) {
    if (content.is_string()) {
        return content.get<std::string>();
    }
    std::string text;
    if (content.is_array()) {
        for (const auto & part : content) {
            text += text.empty() ? "" : "\n";
            text += part.value("text", "");
        }
    }
    return text;
}

common_json as_parts(const common_json & content) {
    if (!content.is_string()) {
        return content;
    }
    common_json part = common_json::object();
    part["type"] = "text";
    part["text"] = content.get<std::string>();
    common_json parts = common_json::array();
    parts.push_back(part);
    return parts;
}

// Arguments as an object. What is not JSON (a model's earlier mistake) stays the string that it is.
void parse_arguments(common_json & message) {
    if (!message.contains("tool_calls")) {
        return;
    }
    for (auto & call : message["tool_calls"]) {
        common_json & arguments = call["function"]["arguments"];
        const std::string text = arguments.get<std::string>();
        if (is_json(text)) {
            arguments = common_json::parse(text);
        }
    }
}

}  // namespace

common_json messages_for_template(const std::vector<common_chat_msg> & messages, const jinja::caps & caps,
                                  const std::string & source) {
    // gpt-oss (channels) tells developer from system; everyone else knows system only.
    const bool has_developer = source.find("<|channel|>") != std::string::npos;
    common_json list = common_json::array();
    std::string system;
    for (const common_chat_msg & message : messages) {
        common_json item = message.to_json_oaicompat();
        if (message.role == "developer" && !has_developer) {
            item["role"] = "system";
        }
        if (caps.supports_object_arguments) {
            parse_arguments(item);
        }
        if (!caps.supports_typed_content) {
            item["content"] = joined(item["content"]);
        } else if (!caps.supports_string_content) {
            item["content"] = as_parts(item["content"]);
        }
        if (!caps.supports_system_role && item["role"] == "system") {
            system += system.empty() ? "" : "\n";
            system += joined(item["content"]);
            continue;
        }
        if (!system.empty() && item["role"] == "user") {
            item["content"] = system + "\n" + joined(item["content"]);
            if (!caps.supports_string_content) {
                item["content"] = as_parts(item["content"]);
            }
            system.clear();
        }
        list.push_back(item);
    }
    return list;
}

std::string template_failure(const std::string & what) {
    static const std::string raised_prefix = "Jinja Exception: ";
    if (const size_t raised = what.rfind(raised_prefix); raised != std::string::npos) {
        return "the chat template refuses the messages: " + trimmed(what.substr(raised + raised_prefix.size()));
    }
    static const std::string error_prefix = "Error: ";
    const size_t error = what.rfind(error_prefix);
    if (error == std::string::npos) {
        return "the chat template failed: " + trimmed(what);
    }
    std::string place;
    if (const size_t line = what.find(" at line "); line != std::string::npos && line < error) {
        place = what.substr(line, what.find(" in source:", line) - line);
    }
    return "the chat template failed" + place + ": " + trimmed(what.substr(error + error_prefix.size()));
}

std::string trimmed(const std::string & text) {
    const size_t begin = text.find_first_not_of(space);
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

}  // namespace shimmy
