#pragma once

#include <memory>
#include <string>
#include <vector>

namespace shimmy {

struct ChatSyntax;  // how the model's answer is to be parsed

// What is asked of a chat template. `messages` and `tools` are JSON text in the shapes of OpenAI's chat completions
// API, `template_kwargs` is the JSON text of an object of variables for the template; empty text means none.
struct ChatInputs {
    std::string messages;
    std::string tools;
    std::string template_kwargs;
    std::string tool_choice = "auto";   // auto, required (the grammar enforces a call) or none (calls are not parsed)
    bool parallel_tool_calls = true;    // the grammar allows several calls in one answer
    bool add_generation_prompt = true;  // end with the opening of the assistant's turn
    bool enable_thinking = true;        // for templates that can switch it
};

// Where in the output a lazy grammar starts to apply.
struct GrammarTrigger {
    enum class Kind { Word, Token, Pattern, PatternFull };

    Kind kind;
    std::string value;
};

// A rendered conversation, ready to tokenize (special tokens in it are to be parsed).
struct ChatPrompt {
    std::string prompt;
    bool starts_with_bos = false;               // the template wrote BOS itself: do not add another
    std::vector<std::string> stops;             // stop strings of this template, beside the model's EOG tokens
    std::vector<std::string> preserved_tokens;  // special tokens whose text the parser has to see
    std::string generation_prompt;              // the part of `prompt` that opens the assistant's turn
    std::string grammar;                        // GBNF for tool calls; empty without tools
    bool grammar_lazy = false;                  // apply it from the first trigger on
    std::vector<GrammarTrigger> triggers;
    bool supports_thinking = false;
    std::string thinking_start;  // e.g. <think>; empty when there is none
    std::vector<std::string> thinking_ends;
    std::shared_ptr<const ChatSyntax> syntax;
};

}  // namespace shimmy
