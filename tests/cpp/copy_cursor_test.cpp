#include "engine/copy_cursor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <vector>

using namespace shimmy;

namespace {

using Tokens = std::vector<int32_t>;

// A list whose first part was there before, and the cursor on it.
struct Copy {
    explicit Copy(Tokens source) : tokens(std::move(source)) { cursor.follow(tokens); }

    void place(size_t next, int32_t n_match = 3) { cursor.place(next, n_match); }

    void say(const Tokens & more) {
        for (const int32_t token : more) {
            tokens.push_back(token);
            cursor.follow(tokens);
        }
    }

    Tokens next(int32_t n) const { return cursor.propose(tokens, n).tokens; }

    Tokens tokens;
    CopyCursor cursor;
};

const Tokens code{1, 2, 50, 3, 4, 50, 5, 6, 7, 50, 8, 9, 10, 11, 12, 13};

}  // namespace

TEST_CASE("without a place nothing is proposed") {
    Copy copy(code);
    copy.say({1, 2});
    CHECK(copy.next(8).empty());
    CHECK(copy.cursor.n_match() == 0);
}

TEST_CASE("a copy word for word is followed") {
    Copy copy(code);
    copy.say({1});
    copy.place(1, 3);
    CHECK(copy.next(4) == Tokens{2, 50, 3, 4});
    copy.say({2, 50});
    CHECK(copy.next(3) == Tokens{3, 4, 50});
    CHECK(copy.cursor.n_match() == 5);
    CHECK(copy.next(0).empty());
    CHECK(copy.next(-1).empty());
}

TEST_CASE("a name that was changed once is expected to change again") {
    Copy copy(code);
    copy.say({1});
    copy.place(1);
    SUBCASE("one token for one: goes on at once") {
        copy.say({2, 60});
        CHECK(copy.next(2) == Tokens{3, 4});
        copy.say({3});
        CHECK(copy.next(8) == Tokens{4, 60, 5, 6, 7, 60, 8, 9});
        copy.say({4, 60, 5});
        CHECK(copy.next(3) == Tokens{6, 7, 60});
    }
    SUBCASE("two for one") {
        copy.say({2, 60, 61, 3});
        CHECK(copy.next(8) == Tokens{4, 60, 61, 5, 6, 7, 60, 61});
        copy.say({4, 60});
        CHECK(copy.next(3) == Tokens{61, 5, 6});
    }
    SUBCASE("no more, once it was not") {
        copy.say({2, 60, 3, 4, 50, 5});
        CHECK(copy.next(4) == Tokens{6, 7, 50, 8});
    }
}

TEST_CASE("the place is found again after words that are new or left out") {
    Copy copy(code);
    copy.say({1});
    copy.place(1);
    SUBCASE("new") {
        copy.say({2, 50, 70, 71, 3});
    }
    SUBCASE("left out") {
        copy.say({2, 50, 4, 50});
    }
    SUBCASE("lost for good") {
        copy.say({70, 71, 72, 73, 74, 75});
        CHECK(copy.next(4).empty());
        return;
    }
    const auto next = copy.next(2);
    REQUIRE(next.size() == 2);
    CHECK(next[0] == (copy.tokens.back() == 3 ? 4 : 5));
}

TEST_CASE("a repetition goes on beyond the list's end") {
    Copy copy({1, 2, 3, 1, 2, 3});
    copy.place(3, 3);
    CHECK(copy.next(7) == Tokens{1, 2, 3, 1, 2, 3, 1});
}

TEST_CASE("a list that became shorter has no place") {
    Copy copy(code);
    copy.place(4);
    copy.tokens.resize(6);
    copy.cursor.follow(copy.tokens);
    CHECK(copy.next(4).empty());
}

TEST_CASE("any use: within the list, at most what was asked for") {
    std::mt19937 random(5);
    const auto below = [&](size_t n) { return random() % n; };
    for (int round = 0; round < 300; ++round) {
        const size_t n_kinds = 2 + below(8);
        Tokens source(4 + below(40));
        std::generate(source.begin(), source.end(), [&] { return static_cast<int32_t>(below(n_kinds)); });
        Copy copy(source);
        for (int i = 0; i < 80; ++i) {
            if (below(6) == 0) {
                copy.place(1 + below(copy.tokens.size() - 1), static_cast<int32_t>(below(40)));
            }
            if (below(30) == 0) {
                const size_t n = copy.tokens.size();
                copy.tokens.resize(2 + below(n - 2));
                if (below(2) == 0) {
                    copy.tokens.resize(n + below(3), 1);  // and has grown again meanwhile
                }
                copy.cursor.follow(copy.tokens);
            }
            const auto most = static_cast<int32_t>(below(20));
            const auto proposal = copy.cursor.propose(copy.tokens, most);
            CHECK(proposal.tokens.size() <= static_cast<size_t>(most));
            CHECK(proposal.n_match <= SuffixIndex::max_match);
            CHECK(proposal.tokens.empty() == (proposal.n_match == 0));
            for (const int32_t token : proposal.tokens) {
                CHECK(token < static_cast<int32_t>(n_kinds));
            }
            copy.say(proposal.tokens.empty() || below(3) == 0 ? Tokens{static_cast<int32_t>(below(n_kinds))}
                                                              : Tokens{proposal.tokens.front()});
        }
    }
}
