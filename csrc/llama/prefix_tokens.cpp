#include "llama/prefix_tokens.h"

#include <algorithm>
#include <utility>

namespace shimmy {
namespace {

constexpr size_t max_healed_bytes = 15;

uint64_t head_of(std::string_view bytes) {
    uint64_t head = 0;
    for (size_t i = 0; i < sizeof head; ++i) {
        head = head << 8U | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U);
    }
    return head;
}

}  // namespace

PrefixTokens::PrefixTokens(std::shared_ptr<const Tokenizer> tokenizer) : tokenizer_(std::move(tokenizer)) {
    for (Token token = 0; token < tokenizer_->n_vocab(); ++token) {
        if (tokenizer_->is_control(token)) {
            continue;
        }
        const std::string piece = tokenizer_->piece(token);
        if (!piece.empty()) {
            entries_.push_back(
                {head_of(piece), static_cast<uint32_t>(bytes_.size()), static_cast<uint32_t>(piece.size()), token});
            bytes_ += piece;
        }
    }
    std::sort(entries_.begin(), entries_.end(), [this](const Entry & a, const Entry & b) {
        if (a.head != b.head) {
            return a.head < b.head;
        }
        const int order = bytes_of(a).compare(bytes_of(b));
        return order != 0 ? order < 0 : a.token < b.token;
    });
}

std::string_view PrefixTokens::bytes_of(const Entry & entry) const {
    return std::string_view(bytes_).substr(entry.offset, entry.size);
}

std::span<const PrefixTokens::Entry> PrefixTokens::starting_with(std::string_view prefix) const {
    const auto first = std::partition_point(entries_.begin(), entries_.end(),
                                            [&](const Entry & entry) { return bytes_of(entry) < prefix; });
    const auto last = std::partition_point(first, entries_.end(),
                                           [&](const Entry & entry) { return bytes_of(entry).starts_with(prefix); });
    return {first, last};
}

bool PrefixTokens::some_token_continues(std::string_view text) const {
    const auto found = starting_with(text);
    return !found.empty() && found.back().size > text.size();  // the longer ones follow the equal ones
}

std::vector<Token> PrefixTokens::tokens_for(std::string_view required) const {
    std::vector<Token> tokens;
    for (size_t n = 1; n < required.size(); ++n) {
        for (const auto & entry : starting_with(required.substr(0, n))) {
            if (entry.size > n) {
                break;
            }
            tokens.push_back(entry.token);
        }
    }
    for (const auto & entry : starting_with(required)) {
        tokens.push_back(entry.token);
    }
    std::sort(tokens.begin(), tokens.end());
    return tokens;
}

PrefixTokens::HealingPlan PrefixTokens::heal(std::span<const Token> prompt) const {
    for (const Token token : prompt) {
        tokenizer_->check(token, "prompt");
    }
    HealingPlan plan;
    while (plan.n_dropped + 1 < prompt.size()) {
        const Token last = prompt[prompt.size() - 1 - plan.n_dropped];
        std::string required = tokenizer_->is_control(last) ? std::string() : tokenizer_->piece(last);
        if (required.empty()) {
            break;
        }
        required += plan.required;
        if ((plan.n_dropped > 0 && required.size() > max_healed_bytes) || !some_token_continues(required)) {
            break;
        }
        plan = {plan.n_dropped + 1, std::move(required)};
    }
    return plan;
}

}  // namespace shimmy
