// What bad input meets before it reaches common's parsers: csrc/chat's limits.

#include <chrono>

#include "chat_fixture.h"

using namespace shimmy;
using namespace shimmy::testing;

TEST_CASE("inputs of the wrong shape are refused by the name of their field") {
    CHECK(messages_refusal("").param == "messages");
    CHECK(contains(messages_refusal("{").message, "messages is not valid JSON"));
    CHECK(contains(messages_refusal("\"\xff\"").message, "not valid JSON"));
    CHECK(contains(messages_refusal(R"([{"role": "user", "content": "\ud800"}])").message, "not valid JSON"));
    CHECK(messages_refusal("null").message == "messages must be a list, not null");
    CHECK(messages_refusal("[]").message == "messages must hold at least one message");
    CHECK(messages_refusal("[1]").message == "messages[0] must be an object, not a number");
    CHECK(messages_refusal(R"([{"content": "x"}])").param == "messages[0].role");
    CHECK(messages_refusal(R"([{"role": "robot", "content": "x"}])").param == "messages[0].role");
    CHECK(messages_refusal(R"([{"role": "user"}])").message == "messages[0].content is required");
    CHECK(messages_refusal(R"([{"role": "user", "content": 7}])").param == "messages[0].content");
    CHECK(messages_refusal(R"([{"role": "user", "content": [{"type": "image_url"}]}])").param ==
          "messages[0].content[0].type");
    CHECK(messages_refusal(R"([{"role": "assistant", "tool_calls": [{"function": {}}]}])").param ==
          "messages[0].tool_calls[0].function.name");
    CHECK(messages_refusal(R"([{"role": "assistant", "tool_calls": [{"type": "web"}]}])").param ==
          "messages[0].tool_calls[0].type");
    CHECK(messages_refusal(R"([{"role": "user", "content": "x", "tool_call_id": 1}])").param ==
          "messages[0].tool_call_id");
    CHECK(contains(messages_refusal("[" + repeat(R"({"role": "user", "content": "x"},)", 2048) +
                                    R"({"role": "user", "content": "x"}])")
                       .message,
                   "has 2049 items; at most 2048"));

    ChatInputs inputs;
    inputs.messages = hello;
    inputs.tool_choice = "sometimes";
    CHECK(refusal(inputs).param == "tool_choice");
    inputs.tool_choice = "required";
    CHECK(refusal(inputs).param == "tool_choice");
    inputs.tools = R"([{"type": "function", "function": {"name": ""}}])";
    CHECK(refusal(inputs).param == "tools[0].function.name");
    inputs.tools = R"([{"type": "function", "function": {"name": "a", "parameters": []}}])";
    CHECK(refusal(inputs).param == "tools[0].function.parameters");
    inputs.tools = R"([{"function": {"name": "a"}}, {"function": {"name": "a"}}])";
    CHECK(refusal(inputs).param == "tools[1].function.name");
    inputs.tools = "[]";
    inputs.tool_choice = "auto";
    CHECK(refusal(inputs).message == "no error");
    inputs.template_kwargs = R"({"messages": []})";
    CHECK(refusal(inputs).param == "template_kwargs.messages");
    inputs.template_kwargs = R"({"enable_thinking": "yes"})";
    CHECK(refusal(inputs).param == "template_kwargs.enable_thinking");
}

TEST_CASE("hostile JSON is refused before it is parsed") {
    CHECK(contains(messages_refusal(repeat("[", 50'000)).message, "nested more than 64 levels"));
    CHECK(contains(messages_refusal("[" + repeat("1,", 200'001) + "1]").message, "more than 200000 values"));
    ChatInputs inputs;
    inputs.messages = hello;
    inputs.tools =
        R"([{"function": {"name": "a", "parameters": )" + repeat("{\"a\":", 20'000) + "1" + repeat("}", 20'000) + "}}]";
    CHECK(contains(refusal(inputs).message, "tools is nested more than 64 levels"));
    // Arguments of an earlier call are JSON within JSON: what is too deep stays text.
    inputs.tools = "";
    inputs.messages = R"([{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": ")" +
                      repeat("[", 50'000) + R"("}}]}, {"role": "user", "content": "x"}])";
    CHECK(refusal(inputs).message == "no error");
}

TEST_CASE("templates that do not parse or are too large") {
    CHECK(contains(template_error("{% if %}"), "does not parse"));
    CHECK(contains(template_error("{{ 'open"), "does not parse"));
    CHECK(contains(template_error("{% for x in y %}"), "does not parse"));
    CHECK(contains(template_error(std::string((256 << 10) + 1, 'x')), "at most 262144 are allowed"));
    CHECK(contains(template_error("{{ 1 | no_such_filter }}"), "the chat template failed"));
}

TEST_CASE("templates that would overflow the stack") {
    const auto refused = [](const std::string & source) {
        const std::string message = template_error(source);
        CAPTURE(message);
        CHECK(contains(message, "refused"));
    };
    refused("{{ " + repeat("(", 50'000) + "1" + repeat(")", 50'000) + " }}");
    refused("{{ " + repeat("[", 50'000) + repeat("]", 50'000) + " }}");
    refused("{{ " + repeat("{'a':", 50'000) + " }}");
    refused(repeat("{% if true %}", 15'000) + repeat("{% endif %}", 100));
    refused("{% if a %}" + repeat("{% elif b %}", 10'000) + "{% endif %}");
    refused(repeat("{% set f(a=1) %}", 15'000));
    refused("{{ 1" + repeat("+1", 100'000) + " }}");
    refused("{{ a" + repeat(".b", 100'000) + " }}");
    refused("{{ " + repeat("not ", 60'000) + "1 }}");
    refused("{{ a" + repeat("|e", 100'000) + " }}");
    refused("{{ a" + repeat("()", 100'000) + " }}");
    refused("{{ 1" + repeat(" if 1 else 1", 20'000) + " }}");
    refused("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}");
    refused("{% macro f() %}{% call f() %}{{ caller() }}{% endcall %}{% endmacro %}{{ f() }}");
    refused("{% set ns = namespace(x=1) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}");
    refused("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns | tojson }}");
    refused("{% set x = [] %}{{ x.append(x) }}{{ x | tojson }}");
    // The deepest that is allowed runs.
    CHECK(template_error("{{ " + repeat("(", 60) + "1" + repeat(")", 60) + " }}") == "no error");
    CHECK(template_error("{{ 1" + repeat("+1", 1000) + " }}") == "no error");
    CHECK(template_error(repeat("{% if true %}", 60) + "x" + repeat("{% endif %}", 60)) == "no error");
}

TEST_CASE("templates that would run for ever or fill the memory") {
    const auto refused = [](const std::string & source) {
        const auto start = std::chrono::steady_clock::now();
        const std::string message = template_error(source);
        CAPTURE(message);
        CHECK(contains(message, "refused"));
        CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(60));
    };
    refused("{% for i in range(1000000000) %}x{% endfor %}");
    refused("{% set r = range %}{{ r(0, 1000000000, 3) }}");
    refused("{{ range(1000000000, 0, -1) }}");
    const std::string loop = "{% for i in range(99999) %}";
    refused(loop + loop + loop + "{% endfor %}{% endfor %}{% endfor %}");
    refused("{{ 'x' * 1000000000 }}");
    refused("{% set ns = namespace(x='x') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}");
    refused("{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}");
    refused(
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}");
}

TEST_CASE("deep model output neither overflows the stack nor gets lost") {
    const ChatFormat format = open_format("demo");
    const ChatPrompt prompt = render(format, hello, tools);
    const std::string head = "<tool_call>\n{\"name\": \"get\", \"arguments\": {\"a\": ";
    const Answer deep = answer(prompt, head + repeat("[", 100'000));
    CHECK(deep.content.size() == head.size() + 100'000);
    CHECK_FALSE(deep.has_tool_calls);
    const Answer shallow = answer(prompt, head + repeat("[", 400) + repeat("]", 400) + "}}\n</tool_call>");
    CHECK(shallow.has_tool_calls);
}

TEST_CASE("tool schemas that would take for ever or that are none") {
    const auto tools_with = [](const std::string & schema) {
        ChatInputs inputs;
        inputs.messages = hello;
        inputs.tools = R"([{"function": {"name": "a", "parameters": )" + schema + "}}]";
        return refusal(inputs);
    };
    std::string properties;
    for (int i = 0; i < 1000; ++i) {
        properties += (i > 0 ? ",\"p" : "\"p") + std::to_string(i) + "\": {\"type\": \"string\"}";
    }
    CHECK(contains(tools_with(R"({"type": "object", "properties": {)" + properties + "}}").message,
                   "tools[0].function.parameters has too many properties"));
    CHECK(contains(
        tools_with(R"({"type": "object", "properties": {"a": {"enum": ["x")" + repeat(",\"x\"", 16'384) + "]}}}")
            .message,
        "an enum of 16385 values"));
    for (const char * schema : {R"({"type": "nonsense"})", R"({"properties": [1]})", R"({"$ref": "http://x/y"})"}) {
        CAPTURE(schema);
        CHECK(tools_with(schema).param == "tools[0].function.parameters");
    }
    CHECK(tools_with(R"({"type": "object", "properties": {"a": {"type": "string", "pattern": "[("}}})").message ==
          "no error");
    CHECK(tools_with(R"({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"})").message != "");
}
