#include "chat/chat_format.h"

#include <thread>

#include "chat_fixture.h"

using namespace shimmy;
using namespace shimmy::testing;

TEST_CASE("the demo model's template: system, turns and the generation prompt") {
    const ChatFormat format = open_format("demo");
    CHECK(format.caps().system_role);
    CHECK(format.caps().tools);
    CHECK(format.caps().tool_calls);
    CHECK(format.caps().parallel_tool_calls);
    CHECK_FALSE(format.caps().thinking);
    CHECK(format.source() == read_template("tools/demo_model/chat_template.jinja"));

    const std::string messages = R"([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": [{"type": "text", "text": "bye"}]}])";
    const ChatPrompt prompt = render(format, messages);
    CHECK(prompt.prompt ==
          "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n"
          "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nbye<|im_end|>\n<|im_start|>assistant\n");
    CHECK(prompt.generation_prompt == "<|im_start|>assistant\n");
    CHECK_FALSE(prompt.starts_with_bos);
    CHECK(prompt.grammar.empty());

    ChatInputs inputs;
    inputs.messages = R"([{"role": "developer", "content": "D"}, {"role": "user", "content": "U", "name": null}])";
    inputs.add_generation_prompt = false;
    CHECK(format.render(inputs).prompt == "<|im_start|>system\nD<|im_end|>\n<|im_start|>user\nU<|im_end|>\n");
}

TEST_CASE("the demo model's template: tools, calls and their results") {
    const ChatFormat format = open_format("demo");
    const std::string messages = R"([{"role": "user", "content": "weather?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Oslo\"}"}},
            {"id": "call_2", "type": "function", "function": {"name": "get", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        {"role": "tool", "tool_call_id": "call_2", "content": "ok"}])";
    const ChatPrompt prompt = render(format, messages, tools);
    CHECK(contains(prompt.prompt, "<tools>\n{\"type\": \"function\", \"function\": {\"name\": \"get_weather\", "));
    CHECK(contains(prompt.prompt, "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}"));
    CHECK(contains(prompt.prompt, "{\"name\": \"get\", \"arguments\": {}}"));
    CHECK(contains(prompt.prompt, "<|im_start|>user\n<tool_response>\nrain\n</tool_response>\n<tool_response>\nok\n"));
    CHECK(prompt.grammar_lazy);
    CHECK(contains(prompt.grammar, "root"));
    REQUIRE(prompt.triggers.size() == 1);
    CHECK(prompt.triggers[0].kind == GrammarTrigger::Kind::Word);
    CHECK(prompt.triggers[0].value.starts_with("<tool_call>"));

    ChatInputs required;
    required.messages = hello;
    required.tools = tools;
    required.tool_choice = "required";
    CHECK_FALSE(format.render(required).grammar_lazy);
    CHECK_FALSE(format.render(required).grammar.empty());
}

TEST_CASE("Hermes calls give the same message whole and in pieces") {
    for (const char * name : {"demo", "qwen3"}) {
        CAPTURE(name);
        const ChatFormat format = open_format(name);
        const ChatPrompt prompt = render(format, hello, tools);
        const std::string call =
            "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Z\u00fcrich \U0001F327\", \"days\": "
            "3}}"
            "\n</tool_call>";
        const Answer one = answer_any_cut(prompt, "Let me look.\n" + call);
        CHECK(contains(one.content, "Let me look."));
        REQUIRE(one.calls.size() == 1);
        CHECK(one.calls[0].name == "get_weather");
        CHECK(one.calls[0].arguments == "{\"city\": \"Z\u00fcrich \U0001F327\", \"days\": 3}");
        CHECK(one.calls[0].id.size() == 29);
        CHECK(one.calls[0].id.starts_with("call_"));
        CHECK(one.has_tool_calls);

        const Answer two =
            answer_any_cut(prompt, call + "\n<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>");
        REQUIRE(two.calls.size() == 2);
        CHECK(two.calls[1].name == "get");
        CHECK(two.calls[1].arguments == "{}");
        CHECK(two.calls[0].id != two.calls[1].id);
        CHECK(two.has_tool_calls);
    }
}

TEST_CASE("what is not a call stays content, all of it") {
    const ChatFormat format = open_format("demo");
    const ChatPrompt prompt = render(format, hello, tools);
    for (const std::string & text : {
             std::string("plain text, 1 < 2 and a [list] of {things}"),
             std::string("ends like a call <tool_"),
             std::string("ends within <tool_call>\n{\"na"),
             std::string("<tool_call>\nno JSON at all\n</tool_call> and more"),
             std::string("<tool_call>\n{\"name\": \"unknown_tool\", \"arguments\": {}}\n</tool_call>"),
             std::string("half a character \xE2\x82"),
         }) {
        CAPTURE(text);
        const Answer got = answer_any_cut(prompt, text);
        CHECK(got.content == text);
        CHECK_FALSE(got.has_tool_calls);
    }
    CHECK(answer(prompt, "").content.empty());
}

TEST_CASE("a call that goes wrong keeps its text and does not count") {
    const ChatFormat format = open_format("demo");
    const ChatPrompt prompt = render(format, hello, tools);
    const std::string broken =
        "Hi <tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": oops}}\n</tool_call> done";
    CHECK(answer_any_cut(prompt, broken).content == broken);
    CHECK_FALSE(answer(prompt, broken, 1).has_tool_calls);

    const std::string good = "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>";
    const Answer after = answer_any_cut(prompt, good + " and more");
    CHECK(after.content == "and more");
    CHECK(after.has_tool_calls);

    const Answer second = answer_any_cut(prompt, good + "\n<tool_call>\nnonsense");
    CHECK(second.content == "<tool_call>\nnonsense");
    CHECK(second.calls.size() == 1);
    CHECK(second.has_tool_calls);

    // Cut by max_tokens within the arguments: they end where the model did.
    const Answer cut = answer_any_cut(prompt, good.substr(0, 20) + "_weather\", \"arguments\": {\"city\": \"Os");
    CHECK_FALSE(cut.has_tool_calls);
}

TEST_CASE("text after the last piece is content") {
    const ChatFormat format = open_format("demo");
    ChatParser parser(render(format, hello, tools));
    CHECK(parser.feed("one", true).content == "one");
    CHECK(parser.feed("two", true).content == "two");
}

TEST_CASE("tool_choice none leaves calls in the text") {
    const ChatFormat format = open_format("demo");
    ChatInputs inputs;
    inputs.messages = hello;
    inputs.tools = tools;
    inputs.tool_choice = "none";
    const std::string text = "<tool_call>\n{\"name\": \"get\", \"arguments\": {}}\n</tool_call>";
    const Answer got = answer_any_cut(format.render(inputs), text);
    CHECK(got.content == text);
    CHECK(got.calls.empty());
}

TEST_CASE("reasoning is told from content") {
    SUBCASE("qwen3: the model opens <think> itself") {
        const ChatFormat format = open_format("qwen3");
        CHECK(format.caps().thinking);
        const ChatPrompt prompt = render(format, hello);
        CHECK(prompt.supports_thinking);
        CHECK(prompt.thinking_start == "<think>");
        CHECK(prompt.thinking_ends == std::vector<std::string>{"</think>"});
        const Answer got = answer_any_cut(prompt, "<think>\nHmm, 1 < 2 \u2713.\n</think>\n\nYes.");
        CHECK(contains(got.reasoning, "Hmm, 1 < 2 \u2713."));
        CHECK(got.content == "Yes.");
        CHECK(answer_any_cut(prompt, "No thoughts.").content == "No thoughts.");
        CHECK(answer_any_cut(prompt, "<think>\nnever ends").reasoning == "never ends");
        CHECK(answer_any_cut(prompt, "<think>\nnever ends").content.empty());

        const Answer call = answer_any_cut(render(format, hello, tools),
                                           "<think>\nA tool.\n</think>\n\n<tool_call>\n{\"name\": \"get\", "
                                           "\"arguments\": {}}\n</tool_call>");
        CHECK(contains(call.reasoning, "A tool."));
        CHECK(call.calls.size() == 1);
    }
    SUBCASE("qwen3: thinking switched off") {
        const ChatFormat format = open_format("qwen3");
        ChatInputs inputs;
        inputs.messages = hello;
        inputs.enable_thinking = false;
        CHECK(format.render(inputs).prompt.ends_with("<think>\n\n</think>\n\n"));
        CHECK(answer_any_cut(format.render(inputs), "Yes.").content == "Yes.");
        inputs.enable_thinking = true;
        inputs.template_kwargs = R"({"enable_thinking": false})";
        CHECK(format.render(inputs).prompt.ends_with("<think>\n\n</think>\n\n"));
    }
    SUBCASE("deepseek r1: the prompt opens <think>") {
        const ChatFormat format = open_format("deepseek_r1");
        CHECK(format.caps().thinking);
        CHECK_FALSE(format.caps().tools);
        const ChatPrompt prompt = render(format, hello);
        CHECK(prompt.prompt.ends_with("<\uff5cAssistant\uff5c><think>\n"));
        CHECK(prompt.starts_with_bos);
        const Answer got = answer_any_cut(prompt, "So...\n</think>\n\nForty-two.");
        CHECK(contains(got.reasoning, "So..."));
        CHECK(got.content == "Forty-two.");
    }
}

TEST_CASE("llama3: bare JSON calls, and the template's own refusal") {
    const ChatFormat format = open_format("llama3");
    CHECK_FALSE(format.caps().parallel_tool_calls);
    const ChatPrompt prompt = render(format, hello, tools);
    CHECK(prompt.starts_with_bos);
    const Answer got = answer_any_cut(prompt, R"({"name": "get_weather", "parameters": {"city": "Oslo"}})");
    REQUIRE(got.calls.size() == 1);
    CHECK(got.calls[0].arguments == R"({"city": "Oslo"})");
    CHECK(answer_any_cut(prompt, "It rains.").content == "It rains.");

    const std::string call = R"({"id": "c", "type": "function", "function": {"name": "get", "arguments": "{}"}})";
    CHECK_THROWS_WITH_AS(render(format, R"([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [)" +
                                            call + "," + call + "]}]"),
                         "the chat template refuses the messages: This model makes one tool call at a time",
                         TemplateError);
}

TEST_CASE("mistral: a JSON list of calls, and turns that must alternate") {
    const ChatFormat format = open_format("mistral");
    const ChatPrompt prompt =
        render(format, R"([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])", tools);
    CHECK(contains(prompt.prompt, "[INST] S\n\nU[/INST]"));
    const Answer got = answer_any_cut(
        prompt, R"([TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Oslo"}, "id": "abcdefghi"}])");
    REQUIRE(got.calls.size() == 1);
    CHECK(got.calls[0].arguments == R"({"city": "Oslo"})");
    CHECK_THROWS_WITH_AS(render(format, R"([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}])"),
                         "the chat template refuses the messages: user and assistant must take turns", TemplateError);
}

TEST_CASE("a template without a system role gets the system message with the first user turn") {
    const ChatFormat format(
        "{% for m in messages %}{% if m.role == 'user' %}U:{{ m.content }}\n{% elif m.role == 'assistant' %}"
        "A:{{ m.content }}\n{% endif %}{% endfor %}{% if add_generation_prompt %}A:{% endif %}",
        "", "");
    CHECK_FALSE(format.caps().system_role);
    CHECK(render(format, R"([{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}])").prompt ==
          "U:S\nhi\nA:");
}

TEST_CASE("one format serves many threads") {
    const ChatFormat format = open_format("qwen3");
    const std::string expected = render(format, hello, tools).prompt;
    std::vector<std::string> got(4);
    std::vector<std::thread> threads;
    for (std::string & prompt : got) {
        threads.emplace_back([&] {
            for (int i = 0; i < 10; ++i) {
                prompt = render(format, hello, tools).prompt;
            }
        });
    }
    for (std::thread & thread : threads) {
        thread.join();
    }
    for (const std::string & prompt : got) {
        CHECK(prompt == expected);
    }
}
