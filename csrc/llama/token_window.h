#pragma once
// The latest tokens of a sequence and how often each occurs among them.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>

#include "llama/tokenizer.h"

namespace shimmy {

class TokenWindow {
  public:
    explicit TokenWindow(size_t width = 0) : width_(width) {}

    void push(Token token);  // what is older than `width` tokens drops out
    void set(std::span<const Token> tokens);
    void clear();

    const std::unordered_map<Token, int32_t> & counts() const { return counts_; }

  private:
    size_t width_;
    std::deque<Token> tokens_;
    std::unordered_map<Token, int32_t> counts_;
};

// The last of `tokens`, at most `count`.
inline std::span<const Token> last_of(std::span<const Token> tokens, size_t count) {
    return tokens.last(count < tokens.size() ? count : tokens.size());
}

}  // namespace shimmy
