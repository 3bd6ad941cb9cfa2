#include "grammar/regex_text.h"

#include <cstdio>

namespace shimmy {
namespace {

void append_code_point(std::string & regex, uint32_t code) {
    const bool plain =
        (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code == '_';
    if (plain) {
        regex += static_cast<char>(code);
        return;
    }
    char text[16];
    std::snprintf(text, sizeof(text), "\\x{%X}", static_cast<unsigned>(code));
    regex += text;
}

}  // namespace

uint32_t next_code_point(std::string_view text, size_t & at) {
    const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(at++);
    const int n_more = lead < 0x80 ? 0 : lead >= 0xC2 && lead < 0xE0 ? 1 : lead >= 0xE0 && lead < 0xF0 ? 2 : 3;
    if (lead >= 0x80 && (lead < 0xC2 || lead > 0xF4)) {
        return UINT32_MAX;
    }
    uint32_t code = n_more == 0 ? lead : lead & (0x3FU >> n_more);
    for (int i = 0; i < n_more; ++i) {
        if (at >= text.size() || (byte(at) & 0xC0) != 0x80) {
            return UINT32_MAX;
        }
        code = code << 6 | (byte(at++) & 0x3FU);
    }
    const bool overlong = (n_more == 2 && code < 0x800) || (n_more == 3 && (code < 0x10000 || code > 0x10FFFF));
    return overlong || (code >= 0xD800 && code < 0xE000) ? UINT32_MAX : code;
}

std::string regex_of_literal(std::string_view text) {
    std::string regex;
    for (size_t at = 0; at < text.size();) {
        const uint32_t code = next_code_point(text, at);
        if (code == UINT32_MAX) {
            return "[a&&b]";
        }
        append_code_point(regex, code);
    }
    return regex;
}

std::string regex_of_class(std::span<const CodeRange> ranges) {
    if (ranges.size() == 1 && ranges[0].first == ranges[0].last) {
        std::string regex;
        append_code_point(regex, ranges[0].first);
        return regex;
    }
    std::string regex = "[";
    for (const auto & [first, last] : ranges) {
        append_code_point(regex, first);
        if (last != first) {
            regex += '-';
            append_code_point(regex, last);
        }
    }
    return regex + "]";
}

}  // namespace shimmy
