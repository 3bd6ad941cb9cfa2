#include "chat/chat_format.h"

#include <chrono>
#include <ctime>
#include <functional>
#include <optional>

#include "chat-auto-parser.h"
#include "chat/chat_syntax.h"
#include "chat/guarded_template.h"
#include "chat/json_limits.h"
#include "chat/message_reader.h"
#include "chat/render_budget.h"
#include "chat/template_text.h"
#include "deep_stack.h"
#include "errors.h"

namespace shimmy {

namespace {

using std::chrono::milliseconds;

constexpr milliseconds compile_time{3000};
constexpr milliseconds render_time{250};
constexpr milliseconds render_time_per_message{2};
constexpr size_t output_per_input = 8;
constexpr size_t output_floor = 64 << 10;

common_chat_tool_choice tool_choice_of(const std::string & name) {
    if (name == "auto") {
        return COMMON_CHAT_TOOL_CHOICE_AUTO;
    }
    if (name == "required") {
        return COMMON_CHAT_TOOL_CHOICE_REQUIRED;
    }
    if (name == "none") {
        return COMMON_CHAT_TOOL_CHOICE_NONE;
    }
    throw InvalidRequestError("tool_choice is '" + name + "'; known are auto, required and none", "tool_choice");
}

// Variables that templates of the Llama 3 and Functionary families read.
common_json dated_context() {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
#ifdef _WIN32
    localtime_s(&local, &now);
#else
    localtime_r(&now, &local);
#endif
    const auto format = [&](const char * pattern) {
        char text[32];
        return std::string(text, std::strftime(text, sizeof(text), pattern, &local));
    };
    common_json context = common_json::object();
    context["datetime"] = format("%b %d %Y");
    context["date_string"] = format("%d %b %Y");
    return context;
}

// Runs `work` on a big stack within a budget and turns everything that the template may throw into TemplateError.
void run_template(milliseconds cpu_time, size_t max_string, const std::function<void(RenderBudget &)> & work) {
    run_on_deep_stack(chat_stack_bytes, [&] {
        RenderBudget budget(cpu_time, max_string);
        try {
            work(budget);
        } catch (const Error &) {
            throw;
        } catch (const BudgetExceeded & error) {
            throw TemplateError(std::string("the chat template is refused: ") + error.what());
        } catch (const std::bad_alloc &) {
            throw TemplateError("the chat template is refused: it ran out of memory");
        } catch (const std::exception & error) {
            throw TemplateError(template_failure(error.what()));
        }
    });
}

GrammarTrigger to_trigger(const common_grammar_trigger & trigger) {
    switch (trigger.type) {
        case COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN:
            return {GrammarTrigger::Kind::Token, trigger.value};
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN:
            return {GrammarTrigger::Kind::Pattern, trigger.value};
        case COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL:
            return {GrammarTrigger::Kind::PatternFull, trigger.value};
        default:
            return {GrammarTrigger::Kind::Word, trigger.value};
    }
}

ChatPrompt to_prompt(common_chat_params && params, const std::string & bos_token, bool plain) {
    auto syntax = std::make_shared<ChatSyntax>();
    syntax->plain = plain;
    if (!plain) {
        syntax->format = params.format;
        syntax->parser.load(params.parser);
        syntax->generation_prompt = params.generation_prompt;
        syntax->marks = params.thinking_end_tags;
        if (!params.thinking_start_tag.empty()) {
            syntax->marks.push_back(params.thinking_start_tag);
        }
    }
    ChatPrompt prompt;
    prompt.starts_with_bos = !bos_token.empty() && params.prompt.starts_with(bos_token);
    prompt.prompt = std::move(params.prompt);
    prompt.stops = std::move(params.additional_stops);
    prompt.preserved_tokens = std::move(params.preserved_tokens);
    prompt.generation_prompt = std::move(params.generation_prompt);
    prompt.grammar = std::move(params.grammar);
    prompt.grammar_lazy = params.grammar_lazy;
    for (const auto & trigger : params.grammar_triggers) {
        prompt.triggers.push_back(to_trigger(trigger));
    }
    prompt.supports_thinking = params.supports_thinking;
    prompt.thinking_start = std::move(params.thinking_start_tag);
    prompt.thinking_ends = std::move(params.thinking_end_tags);
    prompt.syntax = std::move(syntax);
    return prompt;
}

}  // namespace

struct ChatFormat::Compiled {
    std::string source;
    std::string bos_token;
    std::unique_ptr<common_chat_template> tmpl;
    // The dialect found by comparing renderings. Without one (the comparison failed), answers are content only.
    std::optional<autoparser::autoparser> dialect;
    ChatCaps caps;

    // Everything common knows for this template: by name if it is a known one, else from the dialect.
    common_chat_params apply(autoparser::generation_params & params, bool & plain) const {
        plain = false;
        if (auto known = common_chat_try_specialized_template(*tmpl, tmpl->source(), params)) {
            return std::move(*known);
        }
        if (!dialect) {
            plain = true;
            common_chat_params applied;
            applied.prompt = common_chat_template_direct_apply(*tmpl, params);
            return applied;
        }
        const bool parses_calls = !params.tools.is_null() && params.tool_choice != COMMON_CHAT_TOOL_CHOICE_NONE;
        common_chat_params applied = autoparser::peg_generator::generate_parser(*tmpl, params, *dialect);
        applied.supports_thinking = dialect->reasoning.mode != autoparser::reasoning_mode::NONE;
        if (applied.supports_thinking) {
            applied.thinking_start_tag = trimmed(dialect->reasoning.start);
            if (std::string end = trimmed(dialect->reasoning.end); !end.empty()) {
                applied.thinking_end_tags = {std::move(end)};
            }
        }
        plain = !parses_calls && !applied.supports_thinking && !dialect->content.is_always_wrapped();
        return applied;
    }

    void probe() {
        try {
            autoparser::autoparser found;
            found.analyze_template(*tmpl);
            // A template that names both tags is of a model that thinks, even if it never shows earlier reasoning.
            const std::string & text = tmpl->source();
            if (found.reasoning.mode == autoparser::reasoning_mode::NONE && text.find("<think>") != std::string::npos &&
                text.find("</think>") != std::string::npos) {
                found.reasoning.mode = autoparser::reasoning_mode::TAG_BASED;
                found.reasoning.start = "<think>";
                found.reasoning.end = "</think>";
            }
            dialect = std::move(found);
        } catch (const std::exception &) {
            dialect.reset();
        }
        const auto & found = tmpl->caps;
        caps.system_role = found.supports_system_role;
        caps.tools = found.supports_tools;
        caps.tool_calls = found.supports_tool_calls;
        caps.parallel_tool_calls = found.supports_parallel_tool_calls;
        caps.preserve_reasoning = found.supports_preserve_reasoning;
        caps.reasoning_effort = found.supports_reasoning_effort;
        caps.typed_content = found.supports_typed_content;
        try {
            common_chat_msg sample;
            sample.role = "user";
            sample.content = "test";
            autoparser::generation_params params = base_params({sample});
            params.add_generation_prompt = true;
            bool plain = false;
            caps.thinking = apply(params, plain).supports_thinking;
        } catch (const std::exception &) {
            caps.thinking = false;  // the template refuses a lone user message
        }
    }

    autoparser::generation_params base_params(const std::vector<common_chat_msg> & messages) const {
        autoparser::generation_params params;
        params.messages = messages_for_template(messages, tmpl->original_caps(), tmpl->source());
        params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
        params.extra_context = dated_context();
        return params;
    }
};

ChatFormat::ChatFormat(std::string template_source, std::string bos_token, std::string eos_token) {
    auto compiled = std::make_unique<Compiled>();
    const size_t max_string = output_floor + output_per_input * template_source.size();
    run_template(compile_time, max_string, [&](RenderBudget & budget) {
        compiled->tmpl = compile_guarded(template_source, bos_token, eos_token);
        compiled->probe();
        if (budget.timed_out()) {
            throw TemplateError("the chat template is refused: it runs for too long on a short conversation");
        }
    });
    compiled->source = std::move(template_source);
    compiled->bos_token = std::move(bos_token);
    compiled_ = std::move(compiled);
}

ChatFormat::~ChatFormat() = default;
ChatFormat::ChatFormat(ChatFormat &&) noexcept = default;
ChatFormat & ChatFormat::operator=(ChatFormat &&) noexcept = default;

const std::string & ChatFormat::source() const {
    return compiled_->source;
}

const ChatCaps & ChatFormat::caps() const {
    return compiled_->caps;
}

ChatPrompt ChatFormat::render(const ChatInputs & inputs) const {
    const common_chat_tool_choice tool_choice = tool_choice_of(inputs.tool_choice);
    const std::vector<common_chat_msg> messages = read_messages(inputs.messages);
    common_json tools = read_tools(inputs.tools);
    const common_json kwargs = read_template_kwargs(inputs.template_kwargs);
    if (tools.is_null() && tool_choice == COMMON_CHAT_TOOL_CHOICE_REQUIRED) {
        throw InvalidRequestError("tool_choice is 'required', but there are no tools", "tool_choice");
    }

    const size_t input_bytes =
        compiled_->source.size() + inputs.messages.size() + inputs.tools.size() + inputs.template_kwargs.size();
    const size_t max_output = output_floor + output_per_input * input_bytes;
    const milliseconds time = render_time + render_time_per_message * int64_t(messages.size() + tools.size());

    ChatPrompt prompt;
    run_template(time, max_output, [&](RenderBudget & budget) {
        autoparser::generation_params params = compiled_->base_params(messages);
        params.tools = std::move(tools);
        params.tool_choice = tool_choice;
        params.parallel_tool_calls = inputs.parallel_tool_calls;
        params.add_generation_prompt = inputs.add_generation_prompt;
        params.enable_thinking = kwargs.value("enable_thinking", inputs.enable_thinking);
        for (const auto & [name, value] : kwargs.items()) {
            params.extra_context[name] = value;
        }
        bool plain = false;
        common_chat_params applied = compiled_->apply(params, plain);
        budget.check_string(applied.prompt.size());
        prompt = to_prompt(std::move(applied), compiled_->bos_token, plain);
    });
    return prompt;
}

}  // namespace shimmy
