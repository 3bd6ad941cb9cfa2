#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "chat.h"
#include "peg-parser.h"

namespace shimmy {

// A parse of the model's output so far.
struct ParsedOutput {
    bool ok = false;       // false: the text contradicts the syntax, and more of it will not help
    bool partial = false;  // the syntax expects more
    common_chat_msg message;
    size_t end = 0;               // bytes of output that went into `message`
    size_t open_call = SIZE_MAX;  // where the last tool call begins, when it is not complete
};

// The dialect of one prompt's answer.
struct ChatSyntax {
    bool plain = false;  // all of the output is content; nothing else is used then
    common_chat_format format = COMMON_CHAT_FORMAT_CONTENT_ONLY;
    common_peg_arena parser;
    std::string generation_prompt;   // the syntax describes it too
    std::vector<std::string> marks;  // tags around reasoning

    ParsedOutput parse(std::string_view output) const;
};

}  // namespace shimmy
