#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "chat/chat_delta.h"
#include "chat/chat_prompt.h"

namespace shimmy {

struct ParsedOutput;

// Takes one answer of the model apart, while it is being written, into content, reasoning and tool calls.
//
// Never throws on what the model wrote and never loses any of it but white space around its parts: text that
// contradicts the dialect becomes content.
// The fragments of a call's arguments make up JSON text ("{}" when the model wrote none) unless the answer was cut
// short or went wrong within the call.
class ChatParser {
  public:
    explicit ChatParser(const ChatPrompt & prompt);

    // Add a piece of output, of any length and cut anywhere; `is_final` says that it is the last. Returns what it adds
    // to the message.
    ChatDelta feed(std::string_view text, bool is_final);

    // After the last piece: whether the answer holds at least one complete tool call.
    bool has_tool_calls() const { return n_complete_ > 0; }

  private:
    struct Call {
        std::string id;
        std::string name;
        std::string arguments;  // as far as told
        bool told = false;      // id and name were
    };

    void measure_depth(std::string_view text);
    void parse(bool is_final, ChatDelta & delta);
    void give_up(ChatDelta & delta);
    void tell_calls(const ParsedOutput & parsed, bool is_final, ChatDelta & delta);
    void tell_tail(const ParsedOutput & parsed, ChatDelta & delta);
    void finish_calls(bool last_is_open);

    std::shared_ptr<const ChatSyntax> syntax_;
    std::string text_;       // everything fed
    bool plain_;             // no (longer any) syntax: text is content
    size_t told_plain_ = 0;  // bytes of text_ that are told, when `plain_`
    size_t n_good_ = 0;      // bytes of text_ that are known to follow the syntax
    size_t depth_ = 0;       // of open brackets in text_, and the most there were
    size_t max_depth_ = 0;
    size_t parsable_ = 0;  // bytes of text_ before it nests too deep to be parsed
    std::string content_;  // told so far
    std::string reasoning_;
    std::vector<Call> calls_;
    size_t n_complete_ = 0;
};

}  // namespace shimmy
