#pragma once
// Turns a stream of tokens into text that never ends inside a UTF-8 character.

#include <memory>
#include <set>
#include <string>

#include "llama/tokenizer.h"

namespace shimmy {

// The longest prefix of `bytes` that ends on a character boundary; an invalid byte counts as a character of its own.
size_t complete_utf8(std::string_view bytes);

// `bytes` with every maximal invalid part replaced by U+FFFD.
std::string valid_utf8(std::string_view bytes);

class Detokenizer {
  public:
    // Control tokens render as nothing, except those in `preserved`.
    explicit Detokenizer(std::shared_ptr<const Tokenizer> tokenizer, std::set<Token> preserved = {});

    // The text that `token` completes: valid UTF-8, possibly empty.
    std::string push(Token token);

    // What is still held back, an unfinished character as U+FFFD. Starts anew.
    std::string flush();

  private:
    std::shared_ptr<const Tokenizer> tokenizer_;
    std::set<Token> preserved_;
    std::string pending_;
};

}  // namespace shimmy
