#pragma once
// Text to tokens and back, for one model's vocabulary. Thread-safe.

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llama/model.h"
#include "llama/text_cuts.h"

namespace shimmy {

using Token = int32_t;

class Tokenizer {
  public:
    explicit Tokenizer(std::shared_ptr<const Model> model);

    // `add_special` adds BOS/EOS as the model asks; `parse_special` turns the text of control tokens into those tokens.
    // Bytes that are no UTF-8 are encoded as U+FFFD. A run of more than 32,768 characters without white space
    // (1,048,576 for pre-tokenizers that do not recurse) may be divided within a token, see text_cuts.h. Throws
    // InvalidRequestError over 64 MiB.
    std::vector<Token> encode(std::string_view bytes, bool add_special = true, bool parse_special = true) const;

    // The text of `tokens`; `unparse_special` writes control tokens out. Bytes that are no UTF-8 are kept.
    std::string decode(std::span<const Token> tokens, bool unparse_special = false) const;

    // The bytes of one token: a part of a character is possible. Empty for a control token unless `special`.
    std::string piece(Token token, bool special = false) const;

    int32_t n_vocab() const { return n_vocab_; }
    bool is_eog(Token token) const;      // ends a generation (EOS, EOT, ...)
    bool is_control(Token token) const;  // renders as nothing
    bool add_bos() const;
    bool add_eos() const;
    bool add_sep() const;  // between the two texts of a pair
    std::optional<Token> bos() const;
    std::optional<Token> eos() const;
    std::optional<Token> eot() const;
    std::optional<Token> sep() const;
    std::optional<Token> nl() const;
    std::optional<Token> pad() const;
    std::optional<Token> mask() const;
    std::optional<Token> fim_pre() const;
    std::optional<Token> fim_suf() const;
    std::optional<Token> fim_mid() const;
    std::vector<Token> eog_tokens() const;

    // Throws InvalidRequestError naming `param`, the token and the vocabulary size.
    void check(Token token, const char * param) const;

    const std::shared_ptr<const Model> & model() const { return model_; }

  private:
    // Without `key` in the file llama.cpp guesses a token by the kind of vocabulary, an ordinary one if it guesses
    // wrong.
    std::optional<Token> declared(Token token, const char * key) const;

    // Tokens of a piece of text, after those there are.
    void append(std::vector<Token> & tokens, std::string_view text, bool add_special, bool parse_special) const;

    // Goes over the vocabulary for what cut_text() needs, before the first text that is long enough for a cut.
    void prepare_cuts() const;

    std::shared_ptr<const Model> model_;
    const llama_vocab * vocab_;
    int32_t n_vocab_;
    mutable std::once_flag cuts_once_;
    mutable CutRules cut_rules_;
    mutable SpecialTexts special_texts_;
};

}  // namespace shimmy
