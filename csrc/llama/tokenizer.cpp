#include "llama/tokenizer.h"

#include <llama.h>

#include <algorithm>
#include <stdexcept>

#include "deep_stack.h"
#include "errors.h"
#include "llama/detokenizer.h"
#include "llama/native_abort.h"

namespace shimmy {
namespace {

constexpr size_t max_text_bytes = 64U << 20;
// llama.cpp's std::regex pre-tokenizers recurse once per character of a match: 8 MiB hold about 26,000 of them.
constexpr size_t shallow_stretch = 256;
constexpr size_t stack_bytes_per_character = 2048;
constexpr size_t least_stack_bytes = size_t{16} << 20;

// `text` as vocabularies spell it: byte-level ones have another character for the newline.
bool has_letter_before_newline(std::string_view text) {
    for (const std::string_view newline : {"\n", "\xC4\x8A"}) {
        for (size_t at = text.find(newline, 1); at != std::string_view::npos; at = text.find(newline, at + 1)) {
            const char before = text[at - 1];
            if ((before >= 'a' && before <= 'z') || (before >= 'A' && before <= 'Z')) {
                return true;
            }
        }
    }
    return false;
}

std::optional<Token> present(Token token) {
    return token == LLAMA_TOKEN_NULL ? std::nullopt : std::optional(token);
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Model> model)
    : model_(std::move(model)), vocab_(model_->vocab()), n_vocab_(llama_vocab_n_tokens(vocab_)) {
    const auto value = [this](const char * key) { return model_->metadata_value(key).value_or(""); };
    cut_rules_ = cut_rules(value("tokenizer.ggml.model"), value("tokenizer.ggml.pre"));
    if (llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_NONE) {
        throw InvalidRequestError(model_->path() + " has no vocabulary, so text cannot be tokenized for it");
    }
}

std::vector<Token> Tokenizer::encode(std::string_view bytes, bool add_special, bool parse_special) const {
    if (bytes.size() > max_text_bytes) {
        throw InvalidRequestError("the text has " + std::to_string(bytes.size()) + " bytes, at most " +
                                      std::to_string(max_text_bytes) + " can be tokenized at once",
                                  "text");
    }
    const std::string text = valid_utf8(bytes);  // llama.cpp throws for some of what is not
    std::vector<TextPiece> pieces{{text, text.size()}};
    if (text.size() > shallow_stretch) {
        std::call_once(cuts_once_, [this] { prepare_cuts(); });
        pieces = cut_text(text, cut_rules_, special_texts_, parse_special);
    }
    size_t stretch = 0;
    for (const auto & piece : pieces) {
        stretch = std::max(stretch, piece.longest_stretch);
    }
    std::vector<Token> tokens;
    const auto run = [&] {
        AbortGuard guard;
        if (pieces.size() == 1) {
            append(tokens, pieces.front().text, add_special, parse_special);
            return;
        }
        std::vector<Token> ends;
        if (add_special) {
            append(ends, "", true, false);
        }
        const bool has_start = llama_vocab_get_add_bos(vocab_) || llama_vocab_type(vocab_) == LLAMA_VOCAB_TYPE_WPM;
        const auto end = ends.begin() + (has_start && !ends.empty() ? 1 : 0);
        tokens.assign(ends.begin(), end);
        for (const auto & piece : pieces) {
            append(tokens, piece.text, false, parse_special);
        }
        tokens.insert(tokens.end(), end, ends.end());
    };
    try {
        if (stretch <= shallow_stretch) {
            run();
        } else {
            run_on_deep_stack(least_stack_bytes + 2 * stretch * stack_bytes_per_character, run);
        }
    } catch (const std::out_of_range &) {
        throw InvalidRequestError("the model's vocabulary has no token for some byte of the text", "text");
    }
    return tokens;
}

void Tokenizer::append(std::vector<Token> & tokens, std::string_view text, bool add_special, bool parse_special) const {
    const size_t before = tokens.size();
    const auto run = [&](size_t room) {
        tokens.resize(before + room);
        return llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data() + before,
                              static_cast<int32_t>(room), add_special, parse_special);
    };
    int32_t n = run(text.size() + 8);
    if (n < 0) {
        n = run(static_cast<size_t>(-n));
    }
    tokens.resize(before + static_cast<size_t>(std::max(n, 0)));
}

void Tokenizer::prepare_cuts() const {
    for (Token token = 0; token < n_vocab_; ++token) {
        const auto attributes = llama_vocab_get_attr(vocab_, token);
        const std::string_view text = llama_vocab_get_text(vocab_, token);
        if ((attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN | LLAMA_TOKEN_ATTR_USER_DEFINED)) != 0) {
            special_texts_.add(text, (attributes & (LLAMA_TOKEN_ATTR_CONTROL | LLAMA_TOKEN_ATTR_UNKNOWN)) != 0);
        }
        if ((attributes & (LLAMA_TOKEN_ATTR_LSTRIP | LLAMA_TOKEN_ATTR_RSTRIP)) != 0) {
            cut_rules_.at_specials = false;
        }
        if (cut_rules_.at_newlines && has_letter_before_newline(text)) {
            cut_rules_.at_newlines = false;
        }
    }
}

std::string Tokenizer::decode(std::span<const Token> tokens, bool unparse_special) const {
    for (const auto token : tokens) {
        check(token, "tokens");
    }
    std::string text(tokens.size() * 8 + 16, '\0');
    const auto run = [&] {
        return llama_detokenize(vocab_, tokens.data(), static_cast<int32_t>(tokens.size()), text.data(),
                                static_cast<int32_t>(text.size()), false, unparse_special);
    };
    int32_t n = run();
    if (n < 0) {
        text.resize(static_cast<size_t>(-n));
        n = run();
    }
    text.resize(static_cast<size_t>(std::max(n, 0)));
    return text;
}

std::string Tokenizer::piece(Token token, bool special) const {
    check(token, "token");
    std::string bytes(32, '\0');
    int32_t n = llama_token_to_piece(vocab_, token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, special);
    if (n < 0) {
        bytes.resize(static_cast<size_t>(-n));
        n = llama_token_to_piece(vocab_, token, bytes.data(), static_cast<int32_t>(bytes.size()), 0, special);
    }
    bytes.resize(static_cast<size_t>(std::max(n, 0)));
    return bytes;
}

bool Tokenizer::is_eog(Token token) const {
    check(token, "token");
    return llama_vocab_is_eog(vocab_, token);
}

bool Tokenizer::is_control(Token token) const {
    check(token, "token");
    return llama_vocab_is_control(vocab_, token);
}

bool Tokenizer::add_bos() const {
    return llama_vocab_get_add_bos(vocab_);
}
bool Tokenizer::add_eos() const {
    return llama_vocab_get_add_eos(vocab_);
}
bool Tokenizer::add_sep() const {
    return llama_vocab_get_add_sep(vocab_);
}
std::optional<Token> Tokenizer::declared(Token token, const char * key) const {
    const bool guessed =
        token != LLAMA_TOKEN_NULL && !llama_vocab_is_control(vocab_, token) && !model_->metadata_value(key);
    return guessed ? std::nullopt : present(token);
}

std::optional<Token> Tokenizer::bos() const {
    return declared(llama_vocab_bos(vocab_), "tokenizer.ggml.bos_token_id");
}
std::optional<Token> Tokenizer::eos() const {
    return declared(llama_vocab_eos(vocab_), "tokenizer.ggml.eos_token_id");
}
std::optional<Token> Tokenizer::eot() const {
    return present(llama_vocab_eot(vocab_));
}
std::optional<Token> Tokenizer::sep() const {
    return present(llama_vocab_sep(vocab_));
}
std::optional<Token> Tokenizer::nl() const {
    return present(llama_vocab_nl(vocab_));
}
std::optional<Token> Tokenizer::pad() const {
    return present(llama_vocab_pad(vocab_));
}
std::optional<Token> Tokenizer::mask() const {
    return present(llama_vocab_mask(vocab_));
}
std::optional<Token> Tokenizer::fim_pre() const {
    return present(llama_vocab_fim_pre(vocab_));
}
std::optional<Token> Tokenizer::fim_suf() const {
    return present(llama_vocab_fim_suf(vocab_));
}
std::optional<Token> Tokenizer::fim_mid() const {
    return present(llama_vocab_fim_mid(vocab_));
}

std::vector<Token> Tokenizer::eog_tokens() const {
    std::vector<Token> tokens;
    for (Token token = 0; token < n_vocab_; ++token) {
        if (llama_vocab_is_eog(vocab_, token)) {
            tokens.push_back(token);
        }
    }
    return tokens;
}

void Tokenizer::check(Token token, const char * param) const {
    if (token < 0 || token >= n_vocab_) {
        throw InvalidRequestError(std::string(param) + " holds token " + std::to_string(token) +
                                      ", the vocabulary has ids 0 to " + std::to_string(n_vocab_ - 1),
                                  param);
    }
}

}  // namespace shimmy
