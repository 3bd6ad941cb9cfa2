#include "engine/banned_strings.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "errors.h"

namespace shimmy {

BannedStrings::BannedStrings(std::vector<std::string> strings, bool ignore_case) : ignore_case_(ignore_case) {
    if (strings.size() > max_strings) {
        throw InvalidRequestError("banned_strings has " + std::to_string(strings.size()) + " strings, at most " +
                                      std::to_string(max_strings) + " are allowed",
                                  "banned_strings");
    }
    for (auto & bytes : strings) {
        if (bytes.empty() || bytes.size() > max_string_bytes) {
            throw InvalidRequestError("a string of banned_strings has " + std::to_string(bytes.size()) +
                                          " bytes, it must have 1 to " + std::to_string(max_string_bytes),
                                      "banned_strings");
        }
        std::transform(bytes.begin(), bytes.end(), bytes.begin(), [&](char byte) { return fold(byte); });
        Pattern pattern{std::move(bytes), {0, 0}};
        for (size_t n = 1; n < pattern.bytes.size(); ++n) {
            pattern.border.push_back(static_cast<uint16_t>(follow(pattern, pattern.border[n], pattern.bytes[n])));
        }
        longest_ = std::max(longest_, pattern.bytes.size());
        patterns_.push_back(std::move(pattern));
    }
    matched_.assign(patterns_.size(), 0);
}

char BannedStrings::fold(char byte) const {
    return ignore_case_ && byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : byte;
}

// How many bytes of the pattern end here when `matched` ended before `byte` (Knuth, Morris, Pratt).
size_t BannedStrings::follow(const Pattern & pattern, size_t matched, char byte) const {
    while (matched > 0 && (matched == pattern.bytes.size() || pattern.bytes[matched] != byte)) {
        matched = pattern.border[matched];
    }
    return pattern.bytes[matched] == byte ? matched + 1 : 0;
}

// The unreleased tokens from the one that holds the byte at `start` on; all, when that is released.
size_t BannedStrings::tokens_from(size_t start) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), start);
    const auto count = static_cast<size_t>(starts_.end() - after);
    return after == starts_.begin() ? count : count + 1;
}

// The unreleased tokens from the start of the longest unfinished match on.
size_t BannedStrings::n_held() const {
    size_t longest = 0;
    for (size_t i = 0; i < patterns_.size(); ++i) {
        const bool whole = matched_[i] == patterns_[i].bytes.size();
        longest = std::max<size_t>(longest, whole ? patterns_[i].border[matched_[i]] : matched_[i]);
    }
    return longest == 0 ? 0 : tokens_from(text_.size() - longest);
}

// Forgets the starts of all but `n_kept` tokens, and the text that no match can reach back to.
void BannedStrings::release(size_t n_kept) {
    starts_.erase(starts_.begin(), starts_.end() - static_cast<std::ptrdiff_t>(n_kept));
    const size_t unreleased = starts_.empty() ? text_.size() : starts_.front();
    if (unreleased > 2 * longest_) {
        const size_t dropped = unreleased - longest_;
        text_.erase(0, dropped);
        for (auto & start : starts_) {
            start -= dropped;
        }
    }
}

BannedStrings::Verdict BannedStrings::push(std::string_view text) {
    if (patterns_.empty()) {
        return {Status::Clear, 0};
    }
    release(n_held());
    starts_.push_back(text_.size());
    bool hit = false;
    size_t hit_start = 0;
    for (const char raw : text) {
        const char byte = fold(raw);
        text_ += byte;
        for (size_t i = 0; i < patterns_.size(); ++i) {
            matched_[i] = follow(patterns_[i], matched_[i], byte);
            if (matched_[i] == patterns_[i].bytes.size()) {
                hit = true;
                hit_start = std::max(hit_start, text_.size() - matched_[i]);
            }
        }
    }
    if (hit) {
        return {Status::Hit, tokens_from(hit_start) - 1};
    }
    const size_t held = n_held();
    return {held > 0 ? Status::Hold : Status::Clear, held};
}

size_t BannedStrings::rewind(size_t n_tokens) {
    if (n_tokens > starts_.size()) {
        throw std::logic_error("rewind: these tokens are released");
    }
    if (n_tokens == 0) {
        return starts_.size();
    }
    text_.resize(starts_[starts_.size() - n_tokens]);
    starts_.erase(starts_.end() - static_cast<std::ptrdiff_t>(n_tokens), starts_.end());
    std::fill(matched_.begin(), matched_.end(), 0);
    for (size_t at = text_.size() - std::min(text_.size(), longest_); at < text_.size(); ++at) {
        for (size_t i = 0; i < patterns_.size(); ++i) {
            matched_[i] = follow(patterns_[i], matched_[i], text_[at]);
        }
    }
    return n_held();
}

}  // namespace shimmy
