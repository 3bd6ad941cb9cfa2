#include "engine/suffix_index.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

#include "errors.h"

using namespace shimmy;

namespace {

using Tokens = std::vector<int32_t>;

Tokens numbers(int32_t first, int32_t n) {
    Tokens tokens;
    for (int32_t i = 0; i < n; ++i) {
        tokens.push_back(first + i);
    }
    return tokens;
}

// The contract of propose, searched for the slow way.
Proposal search(const Tokens & list, const Tokens & recent, size_t min_match, int32_t max_tokens, bool repeat) {
    const auto equal_to = [&](size_t end) {
        size_t n = 0;
        while (n < std::min({end, recent.size(), static_cast<size_t>(SuffixIndex::max_match)}) &&
               list[end - 1 - n] == recent[recent.size() - 1 - n]) {
            ++n;
        }
        return n;
    };
    std::vector<std::pair<size_t, size_t>> found;  // length, end
    int32_t seen = 0;
    for (size_t end = list.size(); end >= min_match && seen < SuffixIndex::max_candidates; --end) {
        if (equal_to(end) < min_match) {
            continue;
        }
        ++seen;
        if (end < list.size() && list[end] != SuffixIndex::document_end) {
            found.emplace_back(equal_to(end), end);
        }
    }
    size_t longest = 0;
    for (const auto & [length, end] : found) {
        longest = std::max(longest, length);
    }
    std::vector<Tokens> voters;  // what each would say, latest first
    for (const auto & [length, end] : found) {
        if (length == longest && voters.size() < static_cast<size_t>(SuffixIndex::max_voters)) {
            voters.push_back({static_cast<int32_t>(end)});
        }
    }
    Proposal proposal;
    for (int32_t i = 0; i < max_tokens && !voters.empty(); ++i) {
        Tokens text = list;
        if (repeat) {
            text.insert(text.end(), proposal.tokens.begin(), proposal.tokens.end());
        }
        std::map<int32_t, int> votes;
        const auto vote = [&](const Tokens & voter) {
            const auto at = static_cast<size_t>(voter[0] + i);
            return at < text.size() ? text[at] : SuffixIndex::document_end;
        };
        int most = 0;
        for (const auto & voter : voters) {
            most = vote(voter) == SuffixIndex::document_end ? most : std::max(most, ++votes[vote(voter)]);
        }
        const auto winner = std::find_if(voters.begin(), voters.end(), [&](const auto & voter) {
            return vote(voter) != SuffixIndex::document_end && votes[vote(voter)] == most;
        });
        if (winner == voters.end()) {
            break;
        }
        const int32_t token = vote(*winner);
        std::erase_if(voters, [&](const auto & voter) { return vote(voter) != token; });
        proposal.tokens.push_back(token);
    }
    proposal.n_match = proposal.tokens.empty() ? 0 : static_cast<int32_t>(longest);
    return proposal;
}

}  // namespace

TEST_CASE("what followed the same tokens before is proposed") {
    SuffixIndex index;
    index.append(Tokens{1, 2, 3, 4, 5, 6, 9, 1, 2, 3});
    const auto proposal = index.propose(4);
    CHECK(proposal.tokens == Tokens{4, 5, 6, 9});
    CHECK(proposal.n_match == 3);
    CHECK(index.propose(2).tokens == Tokens{4, 5});
    CHECK(index.propose(0).tokens.empty());
}

TEST_CASE("its own end is no earlier occurrence, and short matches do not count") {
    SuffixIndex index;
    CHECK(index.propose(4).tokens.empty());
    index.append(Tokens{1, 2});
    CHECK(index.propose(4).tokens.empty());
    index.append(Tokens{3, 7, 8, 2, 3});
    CHECK(index.propose(4).tokens.empty());
}

TEST_CASE("the longest match wins, among equals the latest") {
    SuffixIndex index(2);
    index.append(Tokens{5, 1, 2, 10, 1, 2, 20, 6, 1, 2, 30, 5, 1, 2});
    CHECK(index.propose(1).tokens == Tokens{10});
    CHECK(index.propose(Tokens{7, 1, 2}, 1).tokens == Tokens{30});
}

TEST_CASE("equally long matches vote") {
    SuffixIndex index;
    index.append(Tokens{1, 2, 3, 4, 70, 1, 2, 3, 4, 71, 1, 2, 3, 5, 72, 1, 2, 3});
    CHECK(index.propose(2).tokens == Tokens{4, 71});
}

TEST_CASE("a repetition is continued past the end") {
    SuffixIndex index;
    index.append(Tokens{8, 8, 8, 8});
    CHECK(index.propose(5).tokens == Tokens{8, 8, 8, 8, 8});
    index.append(Tokens{1, 2, 1, 2, 1, 2});
    CHECK(index.propose(5).tokens == Tokens{1, 2, 1, 2, 1});
}

TEST_CASE("nothing is proposed across the end of a document") {
    SuffixIndex index;
    index.append(Tokens{1, 2, 3, 4, SuffixIndex::document_end, 5, 1, 2, 3, SuffixIndex::document_end});
    CHECK(index.propose(Tokens{9, 1, 2, 3}, 4).tokens == Tokens{4});
    CHECK(index.propose(Tokens{2, 3, 4}, 4).tokens.empty());
}

TEST_CASE("matches count up to max_match tokens") {
    SuffixIndex index;
    index.append(numbers(0, 100));
    index.append(numbers(0, 50));
    CHECK(index.propose(1).tokens == Tokens{50});
    CHECK(index.propose(1).n_match == SuffixIndex::max_match);
}

TEST_CASE("min_match out of range is refused") {
    for (const int32_t wrong : {-1, 0, 17}) {
        CHECK_THROWS_AS(SuffixIndex{wrong}, InvalidRequestError);
    }
}

TEST_CASE("memory is bounded per token") {
    SuffixIndex index;
    std::mt19937 random(3);
    for (int i = 0; i < 50000; ++i) {
        index.append(Tokens{static_cast<int32_t>(random() % 1000)});
        if (i % 1000 == 999) {
            CHECK(index.bytes() <= SuffixIndex::max_bytes_per_token * index.size());
        }
    }
}

TEST_CASE("any list, grown and cut back: the same as a search of it") {
    std::mt19937 random(5);
    const auto below = [&](uint32_t n) { return static_cast<int32_t>(random() % n); };
    for (int round = 0; round < 60; ++round) {
        const auto min_match = 1 + below(4);
        const auto n_kinds = static_cast<uint32_t>(1 + below(5));
        SuffixIndex index(min_match);
        Tokens list;
        for (int i = 0; i < 40; ++i) {
            Tokens more;
            for (int32_t n = below(12); n > 0; --n) {
                more.push_back(below(12) == 0 ? SuffixIndex::document_end : below(n_kinds));
            }
            index.append(more);
            list.insert(list.end(), more.begin(), more.end());
            if (below(3) == 0) {
                const auto n = static_cast<size_t>(below(static_cast<uint32_t>(list.size()) + 3));
                const size_t kept = std::max(n, list.size() - std::min<size_t>(list.size(), 20));
                index.truncate(kept);
                list.resize(std::min(kept, list.size()));
            }
            REQUIRE(index.size() == list.size());
            const auto min = static_cast<size_t>(min_match);
            const auto n = below(9);
            const auto own = index.propose(n);
            const auto expected_own = search(list, list, min, n, true);
            CHECK(own.tokens == expected_own.tokens);
            CHECK(own.n_match == expected_own.n_match);
            Tokens recent;
            for (int32_t k = below(9); k > 0; --k) {
                recent.push_back(below(n_kinds));
            }
            const auto other = index.propose(recent, n);
            const auto expected_other = search(list, recent, min, n, false);
            CHECK(other.tokens == expected_other.tokens);
            CHECK(other.n_match == expected_other.n_match);
        }
    }
}
