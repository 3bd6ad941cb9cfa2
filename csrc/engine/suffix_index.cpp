#include "engine/suffix_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <random>
#include <string>

#include "errors.h"

namespace shimmy {
namespace {

constexpr int32_t most_min_match = 16;

uint64_t random_seed() {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
}

}  // namespace

// The latest occurrences of the longest match, latest first: the list's length when each was complete.
struct SuffixIndex::Match {
    std::array<size_t, max_voters> ends{};
    size_t n_ends = 0;
    int32_t length = 0;
};

SuffixIndex::SuffixIndex(int32_t min_match) : min_match_(static_cast<size_t>(min_match)), seed_(random_seed()) {
    if (min_match < 1 || min_match > most_min_match) {
        throw InvalidRequestError("min_match is " + std::to_string(min_match) + ", it must be between 1 and " +
                                      std::to_string(most_min_match),
                                  "min_match");
    }
}

size_t SuffixIndex::slot_of(const int32_t * run) const {
    uint64_t hash = seed_;
    for (size_t i = 0; i < min_match_; ++i) {
        hash = (hash ^ static_cast<uint32_t>(run[i])) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 29;
    }
    const size_t mask = latest_.size() - 1;
    size_t slot = static_cast<size_t>(hash) & mask;
    while (latest_[slot] != 0 && !std::equal(run, run + min_match_, tokens_.data() + latest_[slot] - min_match_)) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

void SuffixIndex::insert(uint32_t end) {
    auto & latest = latest_[slot_of(tokens_.data() + end - min_match_)];
    earlier_[end - 1] = latest;
    latest = end;
}

void SuffixIndex::grow(size_t n_tokens) {
    if (2 * n_tokens <= latest_.size()) {
        return;
    }
    latest_.assign(std::bit_ceil(std::max<size_t>(2 * n_tokens, 32)), 0);
    for (size_t end = min_match_; end <= tokens_.size(); ++end) {
        insert(static_cast<uint32_t>(end));
    }
}

void SuffixIndex::append(std::span<const int32_t> tokens) {
    grow(tokens_.size() + tokens.size());
    for (const int32_t token : tokens) {
        tokens_.push_back(token);
        earlier_.push_back(0);
        if (tokens_.size() >= min_match_) {
            insert(static_cast<uint32_t>(tokens_.size()));
        }
    }
}

void SuffixIndex::truncate(size_t n_tokens) {
    while (tokens_.size() > n_tokens) {
        if (tokens_.size() >= min_match_) {
            // What was put in last is on nobody else's probe path, so that it can simply be taken out.
            latest_[slot_of(tokens_.data() + tokens_.size() - min_match_)] = earlier_.back();
        }
        tokens_.pop_back();
        earlier_.pop_back();
    }
}

int32_t SuffixIndex::match_length(std::span<const int32_t> recent, size_t end) const {
    const size_t most = std::min({recent.size(), end, static_cast<size_t>(max_match)});
    size_t n = min_match_;
    while (n < most && recent[recent.size() - 1 - n] == tokens_[end - 1 - n]) {
        ++n;
    }
    return static_cast<int32_t>(n);
}

SuffixIndex::Match SuffixIndex::find(std::span<const int32_t> recent) const {
    Match best;
    if (recent.size() < min_match_ || tokens_.empty()) {
        return best;
    }
    size_t end = latest_[slot_of(recent.data() + recent.size() - min_match_)];
    for (int32_t i = 0; i < max_candidates && end != 0; ++i, end = earlier_[end - 1]) {
        if (end == tokens_.size() || tokens_[end] == document_end) {
            continue;
        }
        const int32_t length = match_length(recent, end);
        if (length > best.length) {
            best.length = length;
            best.n_ends = 0;
        }
        if (length == best.length && best.n_ends < best.ends.size()) {
            best.ends[best.n_ends++] = end;
        }
        if (best.length == max_match && best.n_ends == best.ends.size()) {
            break;
        }
    }
    return best;
}

Proposal SuffixIndex::follow(const Match & match, int32_t max_tokens, bool repeat) const {
    Proposal proposal;
    proposal.n_match = match.length;
    proposal.source = match.ends[0];
    auto ends = match.ends;
    size_t n = match.n_ends;
    for (size_t i = 0; i < static_cast<size_t>(std::max(max_tokens, 0)) && n > 0; ++i) {
        const auto token_of = [&](size_t end) {
            const size_t at = end + i;
            if (at < tokens_.size()) {
                return tokens_[at];
            }
            return repeat ? proposal.tokens[at - tokens_.size()] : document_end;
        };
        std::array<int32_t, max_voters> votes{};
        for (size_t voter = 0; voter < n; ++voter) {
            votes[voter] = token_of(ends[voter]);
        }
        const auto last = votes.begin() + static_cast<std::ptrdiff_t>(n);
        int32_t winner = document_end;
        std::ptrdiff_t most = 0;
        for (auto vote = votes.begin(); vote != last; ++vote) {
            const auto count = *vote == document_end ? 0 : std::count(votes.begin(), last, *vote);
            if (count > most) {
                winner = *vote;
                most = count;
            }
        }
        if (winner == document_end) {
            break;
        }
        proposal.tokens.push_back(winner);
        size_t kept = 0;
        for (size_t voter = 0; voter < n; ++voter) {
            if (votes[voter] == winner) {
                ends[kept++] = ends[voter];
            }
        }
        n = kept;
    }
    if (proposal.tokens.empty()) {
        proposal.n_match = 0;
    }
    return proposal;
}

Proposal SuffixIndex::propose(std::span<const int32_t> recent, int32_t max_tokens) const {
    return follow(find(recent), max_tokens, false);
}

Proposal SuffixIndex::propose(int32_t max_tokens) const {
    return follow(find(tokens_), max_tokens, true);
}

size_t SuffixIndex::bytes() const {
    return tokens_.capacity() * sizeof(int32_t) + (earlier_.capacity() + latest_.capacity()) * sizeof(uint32_t);
}

}  // namespace shimmy
