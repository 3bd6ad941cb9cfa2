#include "chat/message_reader.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "chat/json_limits.h"
#include "chat/tool_schema.h"
#include "errors.h"

namespace shimmy {

namespace {

[[noreturn]] void refuse(const std::string & path, const std::string & why) {
    throw InvalidRequestError(path + " " + why, path);
}

std::string at(const std::string & path, size_t index) {
    return path + "[" + std::to_string(index) + "]";
}

const char * type_name(const common_json & value) {
    return value.is_null()      ? "null"
           : value.is_object()  ? "an object"
           : value.is_array()   ? "a list"
           : value.is_string()  ? "a string"
           : value.is_boolean() ? "a boolean"
                                : "a number";
}

// A field of an object; null and absent are the same: nullptr.
const common_json * find(const common_json & object, const char * key) {
    if (!object.contains(key)) {
        return nullptr;
    }
    const common_json & value = object.at(key);
    return value.is_null() ? nullptr : &value;
}

void expect_object(const common_json & value, const std::string & path) {
    if (!value.is_object()) {
        refuse(path, std::string("must be an object, not ") + type_name(value));
    }
}

void expect_list(const common_json & value, const std::string & path, size_t most) {
    if (!value.is_array()) {
        refuse(path, std::string("must be a list, not ") + type_name(value));
    }
    if (value.size() > most) {
        refuse(path,
               "has " + std::to_string(value.size()) + " items; at most " + std::to_string(most) + " are allowed");
    }
}

std::string read_string(const common_json & object, const char * key, const std::string & path) {
    const common_json * value = find(object, key);
    if (value == nullptr) {
        return {};
    }
    if (!value->is_string()) {
        refuse(path + "." + key, std::string("must be a string, not ") + type_name(*value));
    }
    return value->get<std::string>();
}

std::string require_string(const common_json & object, const char * key, const std::string & path) {
    std::string value = read_string(object, key, path);
    if (value.empty()) {
        refuse(path + "." + key, "is required and must be a string that is not empty");
    }
    return value;
}

void expect_function_type(const common_json & object, const std::string & path) {
    const std::string type = read_string(object, "type", path);
    if (!type.empty() && type != "function") {
        refuse(path + ".type", "is '" + type + "'; only 'function' is supported");
    }
}

const common_json & require_function(const common_json & object, const std::string & path) {
    const common_json * function = find(object, "function");
    if (function == nullptr) {
        refuse(path + ".function", "is required");
    }
    expect_object(*function, path + ".function");
    return *function;
}

common_chat_tool_call read_tool_call(const common_json & call, const std::string & path) {
    expect_object(call, path);
    expect_function_type(call, path);
    const common_json & function = require_function(call, path);
    common_chat_tool_call read;
    read.id = read_string(call, "id", path);
    read.name = require_string(function, "name", path + ".function");
    const common_json * arguments = find(function, "arguments");
    if (arguments != nullptr && arguments->is_object()) {
        read.arguments = arguments->dump();
    } else {
        read.arguments = read_string(function, "arguments", path + ".function");
    }
    if (read.arguments.empty()) {
        read.arguments = "{}";
    }
    return read;
}

void read_content(const common_json & content, const std::string & path, common_chat_msg & message) {
    if (content.is_string()) {
        message.content = content.get<std::string>();
        return;
    }
    if (!content.is_array()) {
        refuse(path, std::string("must be a string, a list of parts or null, not ") + type_name(content));
    }
    for (size_t i = 0; i < content.size(); ++i) {
        const std::string part_path = at(path, i);
        const common_json & part = content.at(i);
        expect_object(part, part_path);
        const std::string type = require_string(part, "type", part_path);
        if (type == "refusal") {
            message.content_parts.push_back({"text", read_string(part, "refusal", part_path)});
        } else if (type == "text") {
            message.content_parts.push_back({"text", read_string(part, "text", part_path)});
        } else {
            refuse(part_path + ".type", "is '" + type + "'; this model takes parts of type 'text' only");
        }
    }
}

common_chat_msg read_message(const common_json & object, const std::string & path) {
    expect_object(object, path);
    common_chat_msg message;
    message.role = require_string(object, "role", path);
    if (message.role == "function") {
        message.role = "tool";  // its name before tools
    }
    static constexpr std::array<std::string_view, 5> roles = {"system", "developer", "user", "assistant", "tool"};
    if (std::find(roles.begin(), roles.end(), message.role) == roles.end()) {
        refuse(path + ".role", "is '" + message.role + "'; known are system, developer, user, assistant and tool");
    }
    if (const common_json * content = find(object, "content")) {
        read_content(*content, path + ".content", message);
    }
    if (const common_json * calls = find(object, "tool_calls")) {
        expect_list(*calls, path + ".tool_calls", max_tools);
        for (size_t i = 0; i < calls->size(); ++i) {
            message.tool_calls.push_back(read_tool_call(calls->at(i), at(path + ".tool_calls", i)));
        }
    }
    if (find(object, "content") == nullptr && message.tool_calls.empty() && message.role != "assistant") {
        refuse(path + ".content", "is required");
    }
    message.reasoning_content = read_string(object, "reasoning_content", path);
    message.tool_name = read_string(object, "name", path);
    message.tool_call_id = read_string(object, "tool_call_id", path);
    return message;
}

}  // namespace

std::vector<common_chat_msg> read_messages(const std::string & text) {
    const common_json list = parse_json(text, "messages");
    expect_list(list, "messages", max_messages);
    if (list.empty()) {
        refuse("messages", "must hold at least one message");
    }
    std::vector<common_chat_msg> messages;
    messages.reserve(list.size());
    for (size_t i = 0; i < list.size(); ++i) {
        messages.push_back(read_message(list.at(i), at("messages", i)));
    }
    return messages;
}

common_json read_tools(const std::string & text) {
    if (text.empty()) {
        return {};
    }
    common_json tools = parse_json(text, "tools");
    if (tools.is_null()) {
        return {};
    }
    expect_list(tools, "tools", max_tools);
    if (tools.empty()) {
        return {};
    }
    std::set<std::string> names;
    ToolSchemaCheck schemas;
    for (size_t i = 0; i < tools.size(); ++i) {
        const std::string path = at("tools", i);
        common_json & tool = tools.at(i);
        expect_object(tool, path);
        expect_function_type(tool, path);
        tool["type"] = "function";
        require_function(tool, path);
        common_json & function = tool.at("function");
        const std::string name = require_string(function, "name", path + ".function");
        if (name.size() > 256) {
            refuse(path + ".function.name", "is longer than 256 bytes");
        }
        if (!names.insert(name).second) {
            refuse(path + ".function.name", "is '" + name + "', which an earlier tool has already");
        }
        read_string(function, "description", path + ".function");
        for (const char * optional : {"description", "strict"}) {
            if (function.contains(optional) && function.at(optional).is_null()) {
                function.erase(optional);
            }
        }
        const common_json * parameters = find(function, "parameters");
        if (parameters == nullptr) {
            function["parameters"] = common_chat_tool_parameters(function);
        } else {
            expect_object(*parameters, path + ".function.parameters");
            schemas.check(*parameters, path + ".function.parameters");
        }
    }
    return tools;
}

common_json read_template_kwargs(const std::string & text) {
    if (text.empty()) {
        return common_json::object();
    }
    common_json kwargs = parse_json(text, "template_kwargs");
    if (kwargs.is_null()) {
        return common_json::object();
    }
    expect_object(kwargs, "template_kwargs");
    for (const char * name : {"messages", "tools", "bos_token", "eos_token", "add_generation_prompt"}) {
        if (kwargs.contains(name)) {
            refuse(std::string("template_kwargs.") + name, "cannot be set: the request has a field for it");
        }
    }
    if (kwargs.contains("enable_thinking") && !kwargs.at("enable_thinking").is_boolean()) {
        refuse("template_kwargs.enable_thinking",
               std::string("must be a boolean, not ") + type_name(kwargs.at("enable_thinking")));
    }
    return kwargs;
}

}  // namespace shimmy
