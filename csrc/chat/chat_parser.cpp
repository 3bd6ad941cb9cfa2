#include "chat/chat_parser.h"

#include <algorithm>
#include <random>

#include "chat/chat_syntax.h"
#include "chat/json_limits.h"
#include "chat/render_budget.h"
#include "chat/template_text.h"
#include "deep_stack.h"

namespace shimmy {

namespace {

// The syntax recurses per level of JSON: shallow answers are parsed in place, deep ones on a big stack, and answers
// deeper than that are content.
constexpr size_t max_shallow_depth = 32;
constexpr size_t max_depth = 512;

// Most bytes of syntax looked for after the last part of an answer, e.g. "}\n</tool_call>".
constexpr size_t max_closer_bytes = 64;

std::string random_call_id() {
    static constexpr std::string_view alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    thread_local std::mt19937_64 random{std::random_device{}()};
    std::uniform_int_distribution<size_t> pick(0, alphabet.size() - 1);
    std::string id = "call_";
    for (int i = 0; i < 24; ++i) {
        id += alphabet[pick(random)];
    }
    return id;
}

// Length of `text` without an unfinished UTF-8 character at its end.
size_t whole_characters(std::string_view text) {
    for (size_t back = 1; back <= std::min<size_t>(3, text.size()); ++back) {
        const auto byte = static_cast<unsigned char>(text[text.size() - back]);
        if (byte >= 0xC0) {
            const size_t length = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
            return length > back ? text.size() - back : text.size();
        }
        if (byte < 0x80) {
            break;
        }
    }
    return text.size();
}

// The part of `now` beyond `told`, and remembers it. A parse that takes back what was told adds nothing.
std::string advance(std::string & told, const std::string & now) {
    if (now.size() <= told.size() || !now.starts_with(told)) {
        return {};
    }
    std::string added = now.substr(told.size());
    told = now;
    return added;
}

}  // namespace

ChatParser::ChatParser(const ChatPrompt & prompt)
    : syntax_(prompt.syntax), plain_(prompt.syntax == nullptr || prompt.syntax->plain) {}

ChatDelta ChatParser::feed(std::string_view text, bool is_final) {
    ChatDelta delta;
    text_ += text;
    if (!plain_) {
        measure_depth(text);
        const auto work = [&] { parse(is_final, delta); };
        if (max_depth_ > max_shallow_depth) {
            run_on_deep_stack(chat_stack_bytes, work);
        } else {
            work();
        }
    }
    if (plain_) {
        const size_t end = is_final ? text_.size() : whole_characters(text_);
        delta.content += text_.substr(told_plain_, end - told_plain_);
        told_plain_ = end;
    }
    return delta;
}

// Brackets within strings count too: an answer may be taken for deeper than it is, never for shallower.
void ChatParser::measure_depth(std::string_view text) {
    const size_t before = text_.size() - text.size();
    for (size_t i = 0; i < text.size() && max_depth_ < max_depth; ++i) {
        if (text[i] == '[' || text[i] == '{') {
            max_depth_ = std::max(max_depth_, ++depth_);
            parsable_ = before + i;
        } else if (text[i] == ']' || text[i] == '}') {
            depth_ -= depth_ > 0;
        }
    }
    if (max_depth_ < max_depth) {
        parsable_ = text_.size();
    }
}

void ChatParser::parse(bool is_final, ChatDelta & delta) {
    if (parsable_ < text_.size()) {
        give_up(delta);
        return;
    }
    const std::string_view output =
        std::string_view(text_).substr(0, is_final ? text_.size() : whole_characters(text_));
    const ParsedOutput parsed = syntax_->parse(output);
    if (!parsed.ok) {
        give_up(delta);
        return;
    }
    n_good_ = output.size();
    delta.reasoning += advance(reasoning_, parsed.message.reasoning_content);
    delta.content += advance(content_, parsed.message.content);
    tell_calls(parsed, is_final, delta);
    if (is_final) {
        plain_ = true;  // whatever is fed after the end is content
        told_plain_ = text_.size();
        tell_tail(parsed, delta);
        finish_calls(parsed.open_call != SIZE_MAX);
    }
}

// The text contradicts the syntax: tell what its longest prefix says that does not, and the rest as content.
void ChatParser::give_up(ChatDelta & delta) {
    plain_ = true;
    const std::string_view text = std::string_view(text_).substr(0, parsable_);
    size_t good = n_good_;
    for (size_t bad = text.size() + 1; good + 1 < bad;) {
        const size_t middle = good + (bad - good) / 2;
        (syntax_->parse(text.substr(0, middle)).ok ? good : bad) = middle;
    }
    const ParsedOutput parsed = syntax_->parse(text.substr(0, good));
    if (!parsed.ok) {
        return;
    }
    const bool call_is_open = parsed.open_call != SIZE_MAX;
    delta.reasoning += advance(reasoning_, parsed.message.reasoning_content);
    delta.content += advance(content_, parsed.message.content);
    tell_calls(parsed, !call_is_open, delta);
    finish_calls(call_is_open);

    // What closes the last part is syntax, not content: skip to where the answer could have ended.
    told_plain_ = call_is_open ? parsed.open_call : parsed.end;
    for (size_t end = std::min(good, told_plain_ + max_closer_bytes); end > told_plain_; --end) {
        const ParsedOutput closed = syntax_->parse(text.substr(0, end));
        if (closed.ok && !closed.partial && closed.open_call == SIZE_MAX) {
            told_plain_ = end;
            break;
        }
    }
}

void ChatParser::tell_calls(const ParsedOutput & parsed, bool is_final, ChatDelta & delta) {
    const auto & found = parsed.message.tool_calls;
    for (size_t i = 0; i < found.size(); ++i) {
        if (i == calls_.size()) {
            calls_.emplace_back();
        }
        Call & call = calls_[i];
        // A name may still grow until its arguments begin. The opening brace alone does not count: the parser adds it.
        const bool settled = is_final || i + 1 < found.size() || found[i].arguments.size() > 1;
        if (!settled && !call.told) {
            continue;
        }
        ToolCallDelta part;
        part.index = i;
        if (!call.told) {
            call.told = true;
            call.name = part.name = found[i].name;
            call.id = part.id = found[i].id.empty() ? random_call_id() : found[i].id;
        }
        part.arguments = advance(call.arguments, found[i].arguments);
        if (is_final && call.arguments.empty()) {
            part.arguments = call.arguments = "{}";
        }
        if (!part.name.empty() || !part.arguments.empty()) {
            delta.tool_calls.push_back(std::move(part));
        }
    }
}

// The answer ended before what it had begun could be told from content, e.g. within "<tool_call>".
void ChatParser::tell_tail(const ParsedOutput & parsed, ChatDelta & delta) {
    if (!parsed.partial || !parsed.message.tool_calls.empty()) {
        return;
    }
    std::string tail = text_.substr(std::min({parsed.end, parsed.open_call, text_.size()}));
    for (const std::string & mark : syntax_->marks) {
        if (trimmed(tail).starts_with(mark)) {
            tail = tail.substr(tail.find(mark) + mark.size());
        }
    }
    if (trimmed(tail).empty()) {
        return;
    }
    const bool in_reasoning = content_.empty() && !reasoning_.empty();
    (in_reasoning ? delta.reasoning : delta.content) += tail;
}

void ChatParser::finish_calls(bool last_is_open) {
    n_complete_ = 0;
    for (size_t i = 0; i < calls_.size(); ++i) {
        const bool open = last_is_open && i + 1 == calls_.size();
        n_complete_ += calls_[i].told && (!open || is_json(calls_[i].arguments));
    }
}

}  // namespace shimmy
