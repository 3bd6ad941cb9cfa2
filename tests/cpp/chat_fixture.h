#pragma once
// What the tests of csrc/chat share: templates, a client that puts deltas together, and the errors of bad input.
// SHIMMY_SOURCE_DIR is set by the build: the root of the repository.

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "chat/chat_format.h"
#include "chat/chat_parser.h"
#include "errors.h"

namespace shimmy::testing {

inline std::string read_template(const std::string & path) {
    std::ifstream file(std::string(SHIMMY_SOURCE_DIR) + "/" + path);
    REQUIRE_MESSAGE(file.good(), path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

inline ChatFormat open_format(const std::string & name) {
    const std::string path =
        name == "demo" ? "tools/demo_model/chat_template.jinja" : "tests/data/chat_templates/" + name + ".jinja";
    return ChatFormat(read_template(path), "<s>", "</s>");
}

inline const std::string hello = R"([{"role": "user", "content": "hello"}])";
inline const std::string tools = R"([
    {"type": "function", "function": {"name": "get_weather", "description": "The weather.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"]}}},
    {"type": "function", "function": {"name": "get"}}])";

inline ChatPrompt render(const ChatFormat & format, const std::string & messages, const std::string & tools = "") {
    ChatInputs inputs;
    inputs.messages = messages;
    inputs.tools = tools;
    return format.render(inputs);
}

struct Answer {
    std::string content;
    std::string reasoning;
    std::vector<ToolCallDelta> calls;
    bool has_tool_calls = false;
};

// Feeds `output` in pieces of `step` bytes and puts the deltas together as a client does.
inline Answer answer(const ChatPrompt & prompt, const std::string & output, size_t step = SIZE_MAX) {
    ChatParser parser(prompt);
    Answer whole;
    const auto take = [&](const ChatDelta & delta) {
        whole.content += delta.content;
        whole.reasoning += delta.reasoning;
        for (const ToolCallDelta & part : delta.tool_calls) {
            if (part.index == whole.calls.size()) {
                CHECK_FALSE(part.name.empty());
                CHECK_FALSE(part.id.empty());
                whole.calls.push_back(part);
            } else {
                REQUIRE(part.index < whole.calls.size());
                CHECK(part.name.empty());
                CHECK(part.id.empty());
                whole.calls[part.index].arguments += part.arguments;
            }
        }
    };
    for (size_t i = 0; i < output.size(); i += std::min(step, output.size())) {
        take(parser.feed(std::string_view(output).substr(i, step), false));
    }
    take(parser.feed("", true));
    whole.has_tool_calls = parser.has_tool_calls();
    return whole;
}

// The same message results however the output is cut.
inline Answer answer_any_cut(const ChatPrompt & prompt, const std::string & output) {
    const Answer whole = answer(prompt, output);
    for (const size_t step : {1, 2, 3, 7, 16}) {
        CAPTURE(step);
        const Answer cut = answer(prompt, output, step);
        CHECK(cut.content == whole.content);
        CHECK(cut.reasoning == whole.reasoning);
        CHECK(cut.has_tool_calls == whole.has_tool_calls);
        REQUIRE(cut.calls.size() == whole.calls.size());
        for (size_t i = 0; i < cut.calls.size(); ++i) {
            CHECK(cut.calls[i].name == whole.calls[i].name);
            CHECK(cut.calls[i].arguments == whole.calls[i].arguments);
        }
    }
    return whole;
}

inline std::string repeat(const std::string & text, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) {
        all += text;
    }
    return all;
}

// Message of the TemplateError that `source` gives, when compiled or when it renders a greeting.
inline std::string template_error(const std::string & source) {
    try {
        render(ChatFormat(source, "", ""), hello);
    } catch (const TemplateError & error) {
        return error.what();
    }
    return "no error";
}

struct Refusal {
    std::string param;
    std::string message;
};

inline Refusal refusal(const ChatInputs & inputs) {
    static const ChatFormat format = open_format("demo");
    try {
        format.render(inputs);
    } catch (const InvalidRequestError & error) {
        return {error.param, error.what()};
    }
    return {"", "no error"};
}

inline Refusal messages_refusal(const std::string & messages) {
    ChatInputs inputs;
    inputs.messages = messages;
    return refusal(inputs);
}

inline bool contains(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

}  // namespace shimmy::testing
