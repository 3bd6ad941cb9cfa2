#include "llama/detokenizer.h"

#include <utility>

namespace shimmy {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";

struct Character {
    size_t length;  // bytes consumed, at least 1
    enum { Valid, Invalid, Unfinished } state;
};

// The first character of non-empty `bytes`, by table 3-7 of the Unicode standard (well-formed UTF-8 sequences).
Character first_character(std::string_view bytes) {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const unsigned char lead = at(0);
    if (lead < 0x80) {
        return {1, Character::Valid};
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return {1, Character::Invalid};
    }
    const size_t length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    for (size_t i = 1; i < length; ++i) {
        if (i == bytes.size()) {
            return {i, Character::Unfinished};
        }
        unsigned char low = 0x80;
        unsigned char high = 0xBF;
        if (i == 1) {
            low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
            high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
        }
        if (at(i) < low || at(i) > high) {
            return {i, Character::Invalid};
        }
    }
    return {length, Character::Valid};
}

}  // namespace

size_t complete_utf8(std::string_view bytes) {
    size_t done = 0;
    while (done < bytes.size()) {
        const auto character = first_character(bytes.substr(done));
        if (character.state == Character::Unfinished) {
            break;
        }
        done += character.length;
    }
    return done;
}

std::string valid_utf8(std::string_view bytes) {
    std::string text;
    text.reserve(bytes.size());
    while (!bytes.empty()) {
        const auto character = first_character(bytes);
        text += character.state == Character::Valid ? bytes.substr(0, character.length) : replacement;
        bytes.remove_prefix(character.length);
    }
    return text;
}

Detokenizer::Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, std::set<Token> preserved)
    : tokenizer_(std::move(tokenizer)), preserved_(std::move(preserved)) {
    for (const Token token : preserved_) {
        tokenizer_->check(token, "preserved");
    }
}

std::string Detokenizer::push(Token token) {
    pending_ += tokenizer_->piece(token, preserved_.count(token) > 0);
    const size_t done = complete_utf8(pending_);
    auto text = valid_utf8(std::string_view(pending_).substr(0, done));
    pending_.erase(0, done);
    return text;
}

std::string Detokenizer::flush() {
    return valid_utf8(std::exchange(pending_, {}));
}

}  // namespace shimmy
