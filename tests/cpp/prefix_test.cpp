#include "engine/prefix.h"

#include <doctest/doctest.h>

#include <random>

using namespace shimmy;

namespace {

using Tokens = std::vector<int32_t>;

SlotView kept(const Tokens & tokens, uint64_t last_step = 1, AdapterSetId adapters = 0) {
    return {false, adapters, tokens, last_step};
}

SlotView running(const Tokens & tokens, AdapterSetId adapters = 0) {
    return {true, adapters, tokens, 9};
}

const Tokens prompt{1, 2, 3, 4, 5, 6};

}  // namespace

TEST_CASE("no free slot: no placement") {
    const Tokens tokens{1, 2};
    const std::vector slots{running(tokens), running(tokens)};
    CHECK_FALSE(place_request(prompt, 0, slots, {}).has_value());
}

TEST_CASE("an empty slot goes first, then the one unused for longest") {
    const Tokens other{9, 9, 9};
    const std::vector one{kept(other, 5), SlotView{}, kept(other, 2)};
    CHECK(place_request(prompt, 0, one, {})->slot == 1);
    const std::vector two{kept(other, 5), kept(other, 2)};
    CHECK(place_request(prompt, 0, two, {})->slot == 1);
}

TEST_CASE("a conversation is continued in its place") {
    const Tokens before{1, 2, 3, 4};
    const std::vector slots{SlotView{}, kept(before)};
    const auto placement = place_request(prompt, 0, slots, {});
    CHECK(placement->slot == 1);
    CHECK_FALSE(placement->donor);
    CHECK(placement->n_reused == 4);
}

TEST_CASE("the last prompt token is always computed") {
    const std::vector slots{SlotView{}, kept(prompt)};
    CHECK(place_request(prompt, 0, slots, {})->n_reused == 5);
}

TEST_CASE("a partly shared prefix is forked, and the donor keeps its tokens") {
    const Tokens longer{1, 2, 3, 9, 9, 9, 9};
    const std::vector slots{SlotView{}, kept(longer)};
    const auto placement = place_request(prompt, 0, slots, {});
    CHECK(placement->slot == 0);
    CHECK(placement->donor == 1);
    CHECK(placement->n_reused == 3);
}

TEST_CASE("a running request can be the donor, and is never the place") {
    const Tokens busy{1, 2, 3, 4};
    const std::vector slots{running(busy), SlotView{}};
    const auto placement = place_request(prompt, 0, slots, {});
    CHECK(placement->slot == 1);
    CHECK(placement->donor == 0);
    CHECK(placement->n_reused == 4);
}

TEST_CASE("other adapters share nothing") {
    const std::vector slots{kept(prompt, 1, 3), SlotView{}};
    CHECK(place_request(prompt, 0, slots, {})->n_reused == 0);
    CHECK(place_request(prompt, 3, slots, {})->n_reused == 5);
}

TEST_CASE("states that cannot be cut back are reused whole or not at all") {
    const ReuseRules whole_only{true, false, false};
    const Tokens longer{1, 2, 3, 9};
    const Tokens shorter{1, 2, 3};
    const std::vector partly{kept(longer), SlotView{}};
    CHECK(place_request(prompt, 0, partly, whole_only)->n_reused == 0);
    const std::vector wholly{kept(shorter), SlotView{}};
    CHECK(place_request(prompt, 0, wholly, whole_only)->n_reused == 3);
    CHECK(place_request(prompt, 0, wholly, whole_only)->slot == 0);
}

TEST_CASE("without forking a shared prefix is taken in place") {
    const ReuseRules no_fork{true, true, false};
    const Tokens longer{1, 2, 3, 9, 9};
    const std::vector slots{SlotView{}, kept(longer)};
    const auto placement = place_request(prompt, 0, slots, no_fork);
    CHECK(placement->slot == 1);
    CHECK_FALSE(placement->donor);
    CHECK(placement->n_reused == 3);
}

TEST_CASE("switched off, nothing is reused") {
    const std::vector slots{kept(prompt), SlotView{}};
    CHECK(place_request(prompt, 0, slots, {false, true, true})->n_reused == 0);
}

TEST_CASE("any state: what is reused is really held by the source") {
    std::mt19937 random(11);
    const auto below = [&](uint32_t n) { return static_cast<int32_t>(random() % n); };
    for (int round = 0; round < 3000; ++round) {
        const auto draw = [&] {
            Tokens tokens;
            for (int32_t i = below(8); i > 0; --i) {
                tokens.push_back(below(2));
            }
            return tokens;
        };
        std::vector<Tokens> held(static_cast<size_t>(1 + below(5)));
        std::vector<SlotView> slots;
        for (auto & tokens : held) {
            tokens = draw();
            slots.push_back(
                {below(2) == 1, static_cast<AdapterSetId>(below(2)), tokens, static_cast<uint64_t>(below(9))});
        }
        auto wanted = draw();
        wanted.push_back(1);
        const ReuseRules rules{below(5) > 0, below(2) == 1, below(2) == 1};
        const auto placement = place_request(wanted, 0, slots, rules);
        if (!placement) {
            continue;
        }
        CHECK_FALSE(slots[placement->slot].running);
        CHECK(placement->n_reused < static_cast<int32_t>(wanted.size()));
        if (placement->n_reused > 0) {
            const auto & source = slots[placement->donor.value_or(placement->slot)];
            const auto n = static_cast<size_t>(placement->n_reused);
            CHECK(source.adapters == 0);
            CHECK(common_prefix(wanted, source.tokens) >= n);
            CHECK((rules.partial || n == source.tokens.size()));
            CHECK((rules.fork || !placement->donor));
            CHECK(placement->donor != placement->slot);
        }
    }
}
