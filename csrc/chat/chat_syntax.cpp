#include "chat/chat_syntax.h"

#include <algorithm>
#include <memory>

#include "chat-peg-parser.h"

namespace shimmy {

namespace {

std::unique_ptr<common_chat_peg_mapper> make_mapper(common_chat_format format, common_chat_msg & message) {
    switch (format) {
        case COMMON_CHAT_FORMAT_PEG_GEMMA4:
            return std::make_unique<common_chat_peg_gemma4_mapper>(message);
        case COMMON_CHAT_FORMAT_PEG_MINIMAX_M3:
            return std::make_unique<common_chat_peg_minimax_m3_mapper>(message);
        default:
            return std::make_unique<common_chat_peg_mapper>(message);
    }
}

}  // namespace

ParsedOutput ChatSyntax::parse(std::string_view output) const {
    std::string text = generation_prompt;
    text += output;
    common_peg_parse_context context(text, COMMON_PEG_PARSE_FLAG_LENIENT);
    const common_peg_parse_result result = parser.parse(context);

    ParsedOutput parsed;
    if (result.fail()) {
        return parsed;
    }
    parsed.ok = true;
    parsed.partial = result.need_more_input();
    parsed.message.role = "assistant";
    make_mapper(format, parsed.message)->from_ast(context.ast, result);

    if (!parsed.message.reasoning_content.empty()) {
        std::string & content = parsed.message.content;
        content.erase(0, content.find_first_not_of("\r\n"));
    }

    size_t end = 0;
    context.ast.visit(result, [&](const common_peg_ast_node & node) {
        if (node.tag == common_chat_peg_builder::TOOL_OPEN) {
            parsed.open_call = end;
        } else if (node.tag == common_chat_peg_builder::TOOL_CLOSE && !node.is_partial) {
            parsed.open_call = SIZE_MAX;
        }
        // The tag of a whole call or reasoning block is visited before its parts.
        if (!node.tag.empty() && node.tag != common_chat_peg_builder::TOOL &&
            node.tag != common_chat_peg_builder::REASONING_BLOCK) {
            end = std::max(end, node.end);
        }
    });
    const size_t prefix = generation_prompt.size();
    parsed.end = std::max(end, prefix) - prefix;
    if (parsed.open_call != SIZE_MAX) {
        parsed.open_call = std::max(parsed.open_call, prefix) - prefix;
    }
    return parsed;
}

}  // namespace shimmy
