#include "engine/alora.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace shimmy;

using Tokens = std::vector<int32_t>;

TEST_CASE("an adapter is activated by the last occurrence of its invocation, from its first token on") {
    CHECK(activation_start(Tokens{1, 2, 3, 1, 2, 4}, Tokens{1, 2}) == 3);
    CHECK(activation_start(Tokens{1, 2}, Tokens{1, 2}) == 0);
    CHECK(activation_start(Tokens{5, 7}, Tokens{7}) == 1);
}

TEST_CASE("occurrences may overlap each other and false starts") {
    CHECK(activation_start(Tokens{1, 1, 1, 1}, Tokens{1, 1}) == 2);
    CHECK(activation_start(Tokens{9, 1, 2, 2}, Tokens{1, 2}) == 1);
    CHECK(activation_start(Tokens{1, 2, 1, 2, 1, 3}, Tokens{1, 2, 1, 3}) == 2);
}

TEST_CASE("without its invocation an adapter is not activated") {
    CHECK_FALSE(activation_start(Tokens{1, 2, 3}, Tokens{2, 1}));
    CHECK_FALSE(activation_start(Tokens{1, 2}, Tokens{1, 2, 3}));
    CHECK_FALSE(activation_start(Tokens{}, Tokens{1}));
    CHECK_FALSE(activation_start(Tokens{1, 2}, Tokens{}));
    CHECK_FALSE(activation_start(Tokens{}, Tokens{}));
}

TEST_CASE("any prompt: the answer of a plain search") {
    std::mt19937 random(3);
    for (int round = 0; round < 2000; ++round) {
        Tokens prompt(random() % 20);
        Tokens invocation(1 + random() % 4);
        for (auto * tokens : {&prompt, &invocation}) {
            for (auto & token : *tokens) {
                token = static_cast<int32_t>(random() % 3);
            }
        }
        std::optional<size_t> expected;
        for (size_t i = 0; i + invocation.size() <= prompt.size(); ++i) {
            if (std::equal(invocation.begin(), invocation.end(), prompt.begin() + static_cast<ptrdiff_t>(i))) {
                expected = i;
            }
        }
        CHECK(activation_start(prompt, invocation) == expected);
    }
}
