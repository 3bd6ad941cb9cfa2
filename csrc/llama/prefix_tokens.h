#pragma once
// The vocabulary sorted by bytes, for token healing: a prompt that ends inside of what the model would write as one
// token ("http:" before "//") is shortened, and the answer has to begin with the text that was cut off.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "llama/tokenizer.h"

namespace shimmy {

class PrefixTokens {
  public:
    // Takes tens of milliseconds for 150,000 tokens: make one per model, when it is first needed.
    explicit PrefixTokens(std::shared_ptr<const Tokenizer> tokenizer);

    // Every token with which text that begins with `required` can begin: its bytes are a part of `required` from the
    // start, or begin with it. In the order of ids, without control tokens; all others when `required` is empty.
    std::vector<Token> tokens_for(std::string_view required) const;

    struct HealingPlan {
        size_t n_dropped = 0;  // tokens to take off the prompt's end; 0: nothing to heal
        std::string required;  // their bytes, with which the answer has to begin

        bool operator==(const HealingPlan &) const = default;
    };

    // Drops the last token when some other token continues its bytes, and more while some token continues the bytes of
    // all that are dropped and these stay below 16. Never drops a control token or the first token. Throws
    // InvalidRequestError for a token that the vocabulary does not have.
    HealingPlan heal(std::span<const Token> prompt) const;

  private:
    struct Entry {
        uint64_t head;  // the first 8 bytes as a big-endian number, which sort like the bytes
        uint32_t offset;
        uint32_t size;
        Token token;
    };

    std::string_view bytes_of(const Entry & entry) const;
    std::span<const Entry> starting_with(std::string_view prefix) const;
    bool some_token_continues(std::string_view text) const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    std::string bytes_;  // of all tokens
    std::vector<Entry> entries_;
};

}  // namespace shimmy
