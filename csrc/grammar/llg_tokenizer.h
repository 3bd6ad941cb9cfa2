#pragma once
// llguidance's view of a vocabulary, and text as tokens of it.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "grammar/grammar_vocab.h"
#include "grammar/llg_library.h"

namespace shimmy {

// Immutable and thread-safe after construction.
class LlgTokenizer {
  public:
    // `text_tokens` are special tokens that count as the text of their names (a tool call's <tool_call>).
    LlgTokenizer(std::shared_ptr<const LlgLibrary> library, std::shared_ptr<const GrammarVocab> vocab,
                 std::span<const int32_t> text_tokens);
    ~LlgTokenizer();

    LlgTokenizer(const LlgTokenizer &) = delete;
    LlgTokenizer & operator=(const LlgTokenizer &) = delete;

    const llg::Tokenizer * handle() const { return handle_; }
    const LlgLibrary & library() const { return *library_; }
    const GrammarVocab & vocab() const { return *vocab_; }

    bool is_text(int32_t token) const { return is_text_[static_cast<size_t>(token)]; }
    bool is_eog(int32_t token) const { return is_eog_[static_cast<size_t>(token)]; }
    bool knows(int32_t token) const { return token >= 0 && static_cast<size_t>(token) < is_text_.size(); }

    // What the token adds to the text: empty for special tokens that are no text.
    std::string_view text_of(int32_t token) const;

    // Some tokens whose texts make up `bytes`, the longest first; not the canonical ones. Empty when there are none.
    std::vector<uint32_t> spell(std::string_view bytes) const;

    // Canonical tokens whose texts make up `bytes`, or those of spell().
    std::vector<uint32_t> tokenize(std::string_view bytes) const;

  private:
    bool makes_up(std::span<const int32_t> tokens, std::string_view bytes) const;

    std::shared_ptr<const LlgLibrary> library_;
    std::shared_ptr<const GrammarVocab> vocab_;
    std::vector<bool> is_text_;
    std::vector<bool> is_eog_;
    bool parse_special_ = false;
    std::unordered_map<std::string_view, uint32_t> by_text_;  // views of vocab_->bytes
    size_t longest_ = 1;
    llg::Tokenizer * handle_ = nullptr;
};

}  // namespace shimmy
