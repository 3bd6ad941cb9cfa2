#pragma once

#include <memory>
#include <string>

#include "chat/chat_prompt.h"

namespace shimmy {

// What a template makes of its inputs, found by rendering samples.
struct ChatCaps {
    bool system_role = false;
    bool tools = false;  // describes tools to the model
    bool tool_calls = false;
    bool parallel_tool_calls = false;
    bool thinking = false;            // the model's reasoning can be told from its answer
    bool preserve_reasoning = false;  // shows earlier reasoning to the model
    bool reasoning_effort = false;
    bool typed_content = false;  // takes content as a list of parts
};

// One chat template with the dialect that its model answers in. Immutable: any thread may use it.
//
// Templates are run inside limits (source size, nesting, time, size of strings and values, depth of recursion), so
// that neither a template nor its input can crash or hang the process. Not bounded beforehand is the memory of one
// builtin such as replace or join: its result is refused afterwards, and the runner's own memory limit is the last
// line.
class ChatFormat {
  public:
    // `bos_token` and `eos_token` are those tokens' texts, empty when the model has none. Throws TemplateError when the
    // template does not parse or is over a limit. About 5 ms: make one per model.
    ChatFormat(std::string template_source, std::string bos_token, std::string eos_token);
    ~ChatFormat();
    ChatFormat(ChatFormat &&) noexcept;
    ChatFormat & operator=(ChatFormat &&) noexcept;

    const std::string & source() const;
    const ChatCaps & caps() const;

    // Throws InvalidRequestError naming the field when inputs have the wrong shape, TemplateError when the template
    // refuses them or runs over a limit.
    ChatPrompt render(const ChatInputs & inputs) const;

  private:
    struct Compiled;
    std::unique_ptr<const Compiled> compiled_;
};

}  // namespace shimmy
