#include "chat/chat_format.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <string>
#include <vector>

#include "bindings/bind.h"
#include "bindings/text.h"
#include "chat/chat_parser.h"

namespace shimmy::bindings {
namespace {

py::typing::List<py::str> list_of(const std::vector<std::string> & strings) {
    py::typing::List<py::str> list;
    for (const std::string & string : strings) {
        list.append(str_of(string));
    }
    return list;
}

py::object str_or_none(const std::string & bytes) {
    return bytes.empty() ? py::object(py::none()) : str_of(bytes);
}

const char * kind_name(GrammarTrigger::Kind kind) {
    switch (kind) {
        case GrammarTrigger::Kind::Token:
            return "token";
        case GrammarTrigger::Kind::Pattern:
            return "pattern";
        case GrammarTrigger::Kind::PatternFull:
            return "pattern_full";
        case GrammarTrigger::Kind::Word:
            break;
    }
    return "word";
}

py::typing::List<py::typing::Tuple<py::str, py::str>> triggers(const ChatPrompt & prompt) {
    py::typing::List<py::typing::Tuple<py::str, py::str>> list;
    for (const GrammarTrigger & trigger : prompt.triggers) {
        list.append(py::make_tuple(kind_name(trigger.kind), str_of(trigger.value)));
    }
    return list;
}

ChatPrompt render(const ChatFormat & format, const py::object & messages, const py::object & tools,
                  const std::string & tool_choice, bool parallel_tool_calls, bool add_generation_prompt,
                  bool enable_thinking, const py::object & template_kwargs) {
    ChatInputs inputs;
    inputs.messages = utf8_of(messages);
    inputs.tools = utf8_of(tools);
    inputs.template_kwargs = utf8_of(template_kwargs);
    inputs.tool_choice = tool_choice;
    inputs.parallel_tool_calls = parallel_tool_calls;
    inputs.add_generation_prompt = add_generation_prompt;
    inputs.enable_thinking = enable_thinking;
    const py::gil_scoped_release released;
    return format.render(inputs);
}

ChatDelta feed(ChatParser & parser, const py::object & text, bool is_final) {
    const std::string bytes = utf8_of(text);
    const py::gil_scoped_release released;
    return parser.feed(bytes, is_final);
}

py::typing::Dict<py::str, bool> caps(const ChatFormat & format) {
    const ChatCaps & found = format.caps();
    py::typing::Dict<py::str, bool> dict;
    dict["system_role"] = found.system_role;
    dict["tools"] = found.tools;
    dict["tool_calls"] = found.tool_calls;
    dict["parallel_tool_calls"] = found.parallel_tool_calls;
    dict["thinking"] = found.thinking;
    dict["preserve_reasoning"] = found.preserve_reasoning;
    dict["reasoning_effort"] = found.reasoning_effort;
    dict["typed_content"] = found.typed_content;
    return dict;
}

}  // namespace

void bind_chat_format(py::module_ & m) {
    const ChatInputs defaults;

    py::class_<ToolCallDelta>(m, "ToolCallDelta", "A part of a tool call.")
        .def_readonly("index", &ToolCallDelta::index, "Which call of the answer, from 0.")
        .def_property_readonly(
            "id", [](const ToolCallDelta & part) { return str_or_none(part.id); },
            "str in the first part of a call, None later.")
        .def_property_readonly(
            "name", [](const ToolCallDelta & part) { return str_or_none(part.name); },
            "The function's name in the first part of a call, None later.")
        .def_property_readonly(
            "arguments", [](const ToolCallDelta & part) { return str_of(part.arguments); },
            "A fragment of JSON text; all fragments of a complete call make up an object.");

    py::class_<ChatDelta>(m, "ChatDelta", "What one piece of the model's output adds to its message.")
        .def_property_readonly(
            "content", [](const ChatDelta & delta) { return str_of(delta.content); }, "Text of the answer.")
        .def_property_readonly(
            "reasoning", [](const ChatDelta & delta) { return str_of(delta.reasoning); }, "Text of the reasoning.")
        .def_readonly("tool_calls", &ChatDelta::tool_calls, "list[ToolCallDelta].")
        .def("__bool__", [](const ChatDelta & delta) { return !delta.empty(); }, "Whether it adds anything.");

    py::class_<ChatPrompt>(m, "RenderedChat", "A conversation as its template renders it.")
        .def_property_readonly(
            "prompt", [](const ChatPrompt & prompt) { return str_of(prompt.prompt); },
            "The text to tokenize; special tokens in it are to be parsed.")
        .def_readonly("starts_with_bos", &ChatPrompt::starts_with_bos,
                      "Whether the template wrote BOS itself, so that none is to be added.")
        .def_property_readonly(
            "stops", [](const ChatPrompt & prompt) { return list_of(prompt.stops); },
            "Stop strings of this template, beside the model's end-of-generation tokens.")
        .def_property_readonly(
            "preserved_tokens", [](const ChatPrompt & prompt) { return list_of(prompt.preserved_tokens); },
            "Special tokens whose text the parser has to see.")
        .def_property_readonly(
            "generation_prompt", [](const ChatPrompt & prompt) { return str_of(prompt.generation_prompt); },
            "The part of the prompt that opens the assistant's turn.")
        .def_property_readonly(
            "grammar", [](const ChatPrompt & prompt) { return str_of(prompt.grammar); },
            "GBNF grammar of the tool calls, empty without tools.")
        .def_readonly("grammar_lazy", &ChatPrompt::grammar_lazy, "Whether the grammar applies from a trigger on only.")
        .def_property_readonly(
            "triggers", &triggers,
            "list[tuple[str, str]]: kind (word, token, pattern, pattern_full) and value of what starts a lazy grammar.")
        .def_readonly("supports_thinking", &ChatPrompt::supports_thinking, "Whether reasoning is told from content.")
        .def_property_readonly(
            "thinking_start", [](const ChatPrompt & prompt) { return str_of(prompt.thinking_start); },
            "The tag that opens reasoning, empty when there is none.")
        .def_property_readonly(
            "thinking_ends", [](const ChatPrompt & prompt) { return list_of(prompt.thinking_ends); },
            "The tags that close reasoning.");

    py::class_<ChatFormat>(m, "ChatFormat", "A chat template with the dialect that its model answers in. Immutable.")
        .def(py::init([](std::string source, std::string bos_token, std::string eos_token) {
                 py::gil_scoped_release unlocked;
                 return std::make_unique<ChatFormat>(std::move(source), std::move(bos_token), std::move(eos_token));
             }),
             py::arg("template_source"), py::arg("bos_token") = "", py::arg("eos_token") = "",
             "Compile a Jinja template. The tokens are their texts. Takes some milliseconds: make one per model.\n\n"
             "Raises TemplateError when the template does not parse or is over a limit.")
        .def_property_readonly(
            "source", [](const ChatFormat & format) { return str_of(format.source()); }, "The template.")
        .def_property_readonly("caps", &caps,
                               "dict[str, bool]: system_role, tools, tool_calls, parallel_tool_calls, thinking, "
                               "preserve_reasoning, reasoning_effort, typed_content.")
        .def("render", &render, py::arg("messages"), py::kw_only(), py::arg("tools") = defaults.tools,
             py::arg("tool_choice") = defaults.tool_choice,
             py::arg("parallel_tool_calls").noconvert() = defaults.parallel_tool_calls,
             py::arg("add_generation_prompt").noconvert() = defaults.add_generation_prompt,
             py::arg("enable_thinking").noconvert() = defaults.enable_thinking,
             py::arg("template_kwargs") = defaults.template_kwargs,
             "Render a conversation. `messages`, `tools` and `template_kwargs` are JSON text (str or UTF-8 bytes) in "
             "the shapes of OpenAI's chat completions; `tool_choice` is auto, required or none.\n\n"
             "Raises InvalidRequestError naming the field that has the wrong shape, TemplateError when the template "
             "refuses the messages or runs over a limit.");

    py::class_<ChatParser>(m, "ChatParser",
                           "Takes one answer of the model apart, while it is written, into content, reasoning and tool "
                           "calls. For one thread at a time.")
        .def(py::init<const ChatPrompt &>(), py::arg("prompt"))
        .def("feed", &feed, py::arg("text"), py::arg("is_final").noconvert() = false,
             "Add a piece of output (str or bytes, cut anywhere); `is_final` says that it is the last. Returns what it "
             "adds to the message. Never raises on what the model wrote: text that is no valid call is content.")
        .def_property_readonly("has_tool_calls", &ChatParser::has_tool_calls,
                               "After the last piece: whether there is a complete tool call.");
}

}  // namespace shimmy::bindings
