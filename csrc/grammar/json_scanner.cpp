#include "grammar/json_scanner.h"

#include <algorithm>
#include <cstdlib>

#include "errors.h"

namespace shimmy {

JsonScanner::JsonScanner(std::string_view text, size_t max_depth, std::string param)
    : text_(text), max_depth_(max_depth), param_(std::move(param)) {}

void JsonScanner::fail(const std::string & what) const {
    const auto line = 1 + std::count(text_.begin(), text_.begin() + static_cast<std::ptrdiff_t>(at_), '\n');
    throw InvalidRequestError(
        param_ + " " + what + " (line " + std::to_string(line) + ", byte " + std::to_string(at_) + ")", param_);
}

void JsonScanner::skip_blanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t' || text_[at_] == '\r')) {
        ++at_;
    }
}

unsigned JsonScanner::read_hex() {
    unsigned value = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
        const char c = at_ < text_.size() ? text_[at_] : '\0';
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            fail("is not valid JSON: \\u needs four hexadecimal digits");
        }
        value = value * 16 + static_cast<unsigned>(digit);
    }
    return value;
}

void JsonScanner::append_code_point(unsigned code) {
    if (code < 0x80) {
        string_ += static_cast<char>(code);
    } else if (code < 0x800) {
        string_ += static_cast<char>(0xC0 | code >> 6);
        string_ += static_cast<char>(0x80 | (code & 0x3F));
    } else {
        string_ += static_cast<char>(0xE0 | code >> 12);
        string_ += static_cast<char>(0x80 | (code >> 6 & 0x3F));
        string_ += static_cast<char>(0x80 | (code & 0x3F));
    }
}

void JsonScanner::read_string() {
    string_.clear();
    for (++at_; at_ < text_.size(); ++at_) {
        const char c = text_[at_];
        if (c == '"') {
            ++at_;
            return;
        }
        if (static_cast<unsigned char>(c) < 0x20) {
            fail("is not valid JSON: a control character in a string");
        }
        if (c != '\\') {
            string_ += c;
            continue;
        }
        const char escape = ++at_ < text_.size() ? text_[at_] : '\0';
        static constexpr std::string_view from = "\"\\/bfnrt";
        static constexpr std::string_view to = "\"\\/\b\f\n\r\t";
        if (escape == 'u') {
            ++at_;
            append_code_point(read_hex());  // halves of a surrogate pair stay two: good enough to count and compare
            --at_;
        } else if (const auto index = from.find(escape); escape != '\0' && index != std::string_view::npos) {
            string_ += to[index];
        } else {
            fail("is not valid JSON: an unknown escape in a string");
        }
    }
    fail("is not valid JSON: a string does not end");
}

void JsonScanner::read_number() {
    const size_t start = at_;
    while (at_ < text_.size() && (std::string_view("+-.eE0123456789").find(text_[at_]) != std::string_view::npos)) {
        ++at_;
    }
    const std::string digits(text_.substr(start, at_ - start));
    char * end = nullptr;
    number_ = std::strtod(digits.c_str(), &end);
    if (digits.empty() || end != digits.c_str() + digits.size()) {
        fail("is not valid JSON");
    }
}

void JsonScanner::read_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) {
        fail("is not valid JSON");
    }
    at_ += word.size();
}

void JsonScanner::value_done() {
    expect_ = open_.empty() ? Expect::Nothing : Expect::CommaOrEnd;
}

JsonScanner::Event JsonScanner::open(char kind) {
    if (open_.size() >= max_depth_) {
        fail("is nested more than " + std::to_string(max_depth_) + " levels deep");
    }
    ++at_;
    open_ += kind;
    expect_ = kind == '{' ? Expect::KeyOrEnd : Expect::ValueOrEnd;
    return kind == '{' ? Event::BeginObject : Event::BeginArray;
}

JsonScanner::Event JsonScanner::close() {
    const char kind = open_.back();
    ++at_;
    open_.pop_back();
    value_done();
    return kind == '{' ? Event::EndObject : Event::EndArray;
}

JsonScanner::Event JsonScanner::next() {
    skip_blanks();
    if (expect_ == Expect::Nothing) {
        if (at_ < text_.size()) {
            fail("is not valid JSON: text after its end");
        }
        return Event::End;
    }
    if (at_ >= text_.size()) {
        fail("is not valid JSON: it ends too early");
    }
    const char c = text_[at_];
    const bool closes = !open_.empty() && c == (open_.back() == '{' ? '}' : ']');
    if (expect_ == Expect::CommaOrEnd) {
        if (closes) {
            return close();
        }
        if (c != ',') {
            fail("is not valid JSON");
        }
        ++at_;
        expect_ = open_.back() == '{' ? Expect::Key : Expect::Value;
        return next();
    }
    if (closes && (expect_ == Expect::KeyOrEnd || expect_ == Expect::ValueOrEnd)) {
        return close();
    }
    if (expect_ == Expect::Key || expect_ == Expect::KeyOrEnd) {
        if (c != '"') {
            fail("is not valid JSON: a name is missing");
        }
        read_string();
        skip_blanks();
        if (at_ >= text_.size() || text_[at_] != ':') {
            fail("is not valid JSON: a colon is missing");
        }
        ++at_;
        expect_ = Expect::Value;
        return Event::Key;
    }
    switch (c) {
        case '{':
        case '[':
            return open(c);
        case '"':
            read_string();
            value_done();
            return Event::String;
        case 't':
            read_word("true");
            value_done();
            return Event::True;
        case 'f':
            read_word("false");
            value_done();
            return Event::False;
        case 'n':
            read_word("null");
            value_done();
            return Event::Null;
        default:
            read_number();
            value_done();
            return Event::Number;
    }
}

}  // namespace shimmy
