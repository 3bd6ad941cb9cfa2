#include "llama/token_window.h"

namespace shimmy {

void TokenWindow::push(Token token) {
    if (width_ == 0) {
        return;
    }
    tokens_.push_back(token);
    ++counts_[token];
    if (tokens_.size() > width_) {
        const auto oldest = counts_.find(tokens_.front());
        if (--oldest->second == 0) {
            counts_.erase(oldest);
        }
        tokens_.pop_front();
    }
}

void TokenWindow::set(std::span<const Token> tokens) {
    clear();
    const auto latest = last_of(tokens, width_);
    tokens_.assign(latest.begin(), latest.end());
    for (const Token token : latest) {
        ++counts_[token];
    }
}

void TokenWindow::clear() {
    tokens_.clear();
    counts_.clear();
}

}  // namespace shimmy
