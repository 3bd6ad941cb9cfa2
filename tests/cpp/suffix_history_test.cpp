#include "engine/suffix_history.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>

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

}  // namespace

TEST_CASE("a tenant's earlier outputs are proposed to it alone") {
    SuffixHistory history;
    history.append("a", Tokens{1, 2, 3, 4, 5});
    history.append("a", Tokens{6, 7, 8, 9});
    CHECK(history.propose("a", Tokens{0, 1, 2, 3}, 8).tokens == Tokens{4, 5});
    CHECK(history.propose("a", Tokens{6, 7, 8}, 8).n_match == 3);
    CHECK(history.propose("a", Tokens{3, 4, 5}, 8).tokens.empty());
    CHECK(history.propose("b", Tokens{1, 2, 3}, 8).tokens.empty());
}

TEST_CASE("the oldest tokens are given up") {
    SuffixHistory history(100);
    history.append("a", numbers(0, 40));
    history.append("a", numbers(1000, 40));
    CHECK(history.propose("a", numbers(0, 3), 1).tokens == Tokens{3});
    history.append("a", numbers(2000, 40));
    CHECK(history.propose("a", numbers(0, 3), 1).tokens.empty());
    CHECK(history.propose("a", numbers(2000, 3), 1).tokens == Tokens{2003});
}

TEST_CASE("of a document that is too long the end is kept") {
    SuffixHistory history(100);
    history.append("a", numbers(0, 1000));
    CHECK(history.propose("a", numbers(0, 3), 1).tokens.empty());
    CHECK(history.propose("a", numbers(990, 3), 2).tokens == Tokens{993, 994});
}

TEST_CASE("the longer match wins, wherever it is") {
    SuffixHistory history(40);
    history.append("a", Tokens{5, 6, 1, 2, 3, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23});
    history.append("a", Tokens{7, 1, 2, 3, 30});
    CHECK(history.propose("a", Tokens{5, 6, 1, 2, 3}, 1).tokens == Tokens{10});
    CHECK(history.propose("a", Tokens{8, 1, 2, 3}, 1).tokens == Tokens{30});
}

TEST_CASE("over the budget the tenants unused for longest are forgotten") {
    SuffixHistory history(1000, 9000);
    for (const char * name : {"a", "b", "c", "d", "e", "f"}) {
        history.append(name, numbers(0, 100));
        history.propose("a", numbers(0, 3), 1);
        CHECK(history.bytes() <= 9000);
    }
    CHECK(history.n_tenants() < 6);
    CHECK(history.propose("a", numbers(0, 3), 1).tokens == Tokens{3});
    CHECK(history.propose("b", numbers(0, 3), 1).tokens.empty());
    CHECK(history.propose("f", numbers(0, 3), 1).tokens == Tokens{3});
}

TEST_CASE("how drafting did is kept for each tenant, as long as what it said") {
    SuffixHistory history;
    const std::vector<int32_t> text{1, 2, 3, 4, 5, 6, 7, 8};
    DraftPolicy learned;
    learned.observe({0, 4, DraftSource::Own, 8, 0, 0}, 4, 4);
    history.set_policy("a", learned);
    CHECK(history.policy("a") == nullptr);
    history.append("a", text);
    CHECK(history.policy("a") == nullptr);
    history.set_policy("a", learned);
    REQUIRE(history.policy("a") != nullptr);
    CHECK(history.policy("a")->balance() == learned.balance());
    CHECK(history.policy("b") == nullptr);
    history.forget("a");
    CHECK(history.policy("a") == nullptr);
}

TEST_CASE("a forgotten tenant is gone, with its bytes") {
    SuffixHistory history;
    history.append("a", numbers(0, 100));
    history.forget("a");
    history.forget("nobody");
    CHECK(history.bytes() == 0);
    CHECK(history.n_tenants() == 0);
}

TEST_CASE("switched off, nothing is kept; a bad min_match is refused") {
    SuffixHistory history(0);
    history.append("a", numbers(0, 100));
    CHECK(history.n_tenants() == 0);
    CHECK_THROWS_AS(SuffixHistory(10, 10, 0), InvalidRequestError);
}

TEST_CASE("any use: bounded memory, and what is proposed was said by that tenant in one document") {
    std::mt19937 random(7);
    SuffixHistory history(200, 30000);
    std::map<std::string, std::vector<Tokens>> said;
    for (int i = 0; i < 2000; ++i) {
        const std::string tenant(1, static_cast<char>('a' + random() % 8));
        Tokens tokens;
        for (uint32_t n = random() % 30; n > 0; --n) {
            tokens.push_back(static_cast<int32_t>(random() % 4));
        }
        const auto proposal = history.propose(tenant, tokens, 6);
        if (!proposal.tokens.empty()) {
            Tokens wanted(tokens.end() - proposal.n_match, tokens.end());
            wanted.insert(wanted.end(), proposal.tokens.begin(), proposal.tokens.begin() + 1);
            const auto & documents = said[tenant];
            CHECK(std::any_of(documents.begin(), documents.end(), [&](const Tokens & document) {
                return std::search(document.begin(), document.end(), wanted.begin(), wanted.end()) != document.end();
            }));
        }
        history.append(tenant, tokens);
        said[tenant].push_back(tokens);
        CHECK(history.bytes() <= 30000);
    }
}
