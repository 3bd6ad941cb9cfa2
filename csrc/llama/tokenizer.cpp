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
// llama.cpp's std::regex pre-tokenizers recurse once per character of a run: 8 MiB hold about 26,000 of them.
constexpr size_t shallow_text_bytes = 8192;
constexpr size_t stack_bytes_per_text_byte = 1024;
constexpr size_t max_stack_bytes = size_t{4} << 30;

std::optional<Token> present(Token token) {
    return token == LLAMA_TOKEN_NULL ? std::nullopt : std::optional(token);
}

}  // namespace

Tokenizer::Tokenizer(std::shared_ptr<const Model> model)
    : model_(std::move(model)), vocab_(model_->vocab()), n_vocab_(llama_vocab_n_tokens(vocab_)) {
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
    std::vector<Token> tokens(text.size() + 8);
    const auto run = [&] {
        AbortGuard guard;
        int32_t n = llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                                   static_cast<int32_t>(tokens.size()), add_special, parse_special);
        if (n < 0) {
            tokens.resize(static_cast<size_t>(-n));
            n = llama_tokenize(vocab_, text.data(), static_cast<int32_t>(text.size()), tokens.data(),
                               static_cast<int32_t>(tokens.size()), add_special, parse_special);
        }
        tokens.resize(static_cast<size_t>(std::max(n, 0)));
    };
    try {
        if (text.size() <= shallow_text_bytes) {
            run();
        } else {
            run_on_deep_stack(std::min(max_stack_bytes, (size_t{16} << 20) + text.size() * stack_bytes_per_text_byte),
                              run);
        }
    } catch (const std::out_of_range &) {
        throw InvalidRequestError("the model's vocabulary has no token for some byte of the text", "text");
    }
    return tokens;
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
