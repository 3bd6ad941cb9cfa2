#include "engine/prefix_tree.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>

using namespace shimmy;

namespace {

using Tokens = std::vector<int32_t>;
using Holders = std::vector<PrefixTree::Holder>;

const CacheSpace mine{"mine", 0};

// What the tree stands for, without any cleverness.
struct NaiveTree {
    struct List {
        CacheSpace space;
        Tokens tokens;
    };
    std::map<PrefixTree::Holder, List> lists;

    static size_t common(const Tokens & a, const Tokens & b) {
        size_t n = 0;
        while (n < a.size() && n < b.size() && a[n] == b[n]) {
            ++n;
        }
        return n;
    }

    void check(const PrefixTree & tree, const CacheSpace & space, const Tokens & prompt) const {
        size_t longest = 0;
        size_t other = 0;
        bool any = false;
        for (const auto & [holder, list] : lists) {
            const size_t n = common(list.tokens, prompt);
            if (list.space == space) {
                longest = std::max(longest, n);
                any = any || !list.tokens.empty();
            } else if (list.space.tenant == space.tenant) {
                other = std::max(other, n);
            }
        }
        Holders holders;
        std::vector<std::pair<size_t, PrefixTree::Holder>> ends;
        for (const auto & [holder, list] : lists) {
            if (list.space != space || list.tokens.empty()) {
                continue;
            }
            const size_t n = common(list.tokens, prompt);
            if (longest > 0 && n == longest) {
                holders.push_back(holder);
            }
            if (n == list.tokens.size()) {
                ends.emplace_back(n, holder);
            }
        }
        std::sort(ends.begin(), ends.end());
        const auto match = tree.match(space, prompt);
        REQUIRE(match.n == longest);
        REQUIRE(match.holders == holders);
        REQUIRE(match.ends.size() == ends.size());
        for (size_t i = 0; i < ends.size(); ++i) {
            REQUIRE(match.ends[i].n == ends[i].first);
            REQUIRE(match.ends[i].holder == ends[i].second);
        }
        REQUIRE(tree.match_other_adapters(space, prompt) == other);
        REQUIRE(tree.has(space) == any);
    }
};

}  // namespace

TEST_CASE("the longest common prefix, and who has it") {
    PrefixTree tree;
    tree.set(1, mine, Tokens{1, 2, 3, 4});
    tree.set(2, mine, Tokens{1, 2, 9});
    tree.set(3, mine, Tokens{1, 2});
    const auto match = tree.match(mine, Tokens{1, 2, 3, 7});
    CHECK(match.n == 3);
    CHECK(match.holders == Holders{1});
    REQUIRE(match.ends.size() == 1);
    CHECK(match.ends[0].holder == 3);
    CHECK(match.ends[0].n == 2);
    CHECK(tree.match(mine, Tokens{1, 2, 5}).holders == Holders{1, 2, 3});
    CHECK(tree.match(mine, Tokens{7}).holders.empty());
}

TEST_CASE("spaces share nothing") {
    PrefixTree tree;
    tree.set(1, {"a", 0}, Tokens{1, 2, 3});
    tree.set(2, {"a", 5}, Tokens{1, 2});
    tree.set(3, {"b", 0}, Tokens{1, 2, 3, 4});
    CHECK(tree.match({"a", 0}, Tokens{1, 2, 3, 4}).n == 3);
    CHECK(tree.match({"c", 0}, Tokens{1, 2}).n == 0);
    CHECK(tree.match_other_adapters({"a", 0}, Tokens{1, 2, 3, 4}) == 2);
    CHECK(tree.match_other_adapters({"c", 0}, Tokens{1, 2, 3, 4}) == 0);
}

TEST_CASE("a decoding sequence grows, also along another's tokens and away from them") {
    PrefixTree tree;
    tree.set(1, mine, Tokens{1, 2, 3, 4});
    tree.set(2, mine, Tokens{});
    CHECK(tree.contains(2));
    for (const int32_t token : {1, 2, 3, 8, 9}) {
        tree.append(2, Tokens{token});
    }
    CHECK(tree.tokens(2) == Tokens{1, 2, 3, 8, 9});
    CHECK(tree.tokens(1) == Tokens{1, 2, 3, 4});
    tree.truncate(2, 3);
    CHECK(tree.match(mine, Tokens{1, 2, 3, 8}).n == 3);
    tree.erase(1);
    CHECK(tree.match(mine, Tokens{1, 2, 3, 4}).n == 3);
    tree.erase(2);
    tree.erase(2);
    CHECK_FALSE(tree.has(mine));
}

TEST_CASE("any operations: as if every list were compared") {
    std::mt19937 random(5);
    const auto below = [&](size_t n) { return random() % n; };
    const std::vector<CacheSpace> spaces{{"a", 0}, {"a", 1}, {"b", 0}};
    for (int round = 0; round < 60; ++round) {
        PrefixTree tree;
        NaiveTree naive;
        const auto draw = [&](size_t most) {
            Tokens tokens(below(most + 1));
            for (auto & token : tokens) {
                token = static_cast<int32_t>(below(2));
            }
            return tokens;
        };
        for (int i = 0; i < 120; ++i) {
            const auto holder = static_cast<PrefixTree::Holder>(below(8));
            const bool known = naive.lists.contains(holder);
            switch (below(known ? 6 : 1)) {
                case 0: {
                    const auto & space = spaces[below(spaces.size())];
                    const auto tokens = draw(12);
                    tree.set(holder, space, tokens);
                    naive.lists[holder] = {space, tokens};
                    break;
                }
                case 1:
                    tree.erase(holder);
                    naive.lists.erase(holder);
                    break;
                case 2: {
                    const size_t n = below(12);
                    tree.truncate(holder, n);
                    auto & tokens = naive.lists[holder].tokens;
                    tokens.resize(std::min(n, tokens.size()));
                    break;
                }
                default: {
                    const auto more = draw(3);
                    tree.append(holder, more);
                    auto & tokens = naive.lists[holder].tokens;
                    tokens.insert(tokens.end(), more.begin(), more.end());
                }
            }
            for (const auto & [id, list] : naive.lists) {
                REQUIRE(tree.tokens(id) == list.tokens);
                REQUIRE(tree.size(id) == list.tokens.size());
            }
            naive.check(tree, spaces[below(spaces.size())], draw(14));
        }
    }
}
