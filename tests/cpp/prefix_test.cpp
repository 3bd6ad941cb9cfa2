#include "engine/prefix.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace shimmy;

namespace {

using Slots = std::vector<SlotView>;
using Donors = std::vector<Donor>;

SlotView kept(size_t n_tokens, uint64_t last_step = 1) {
    return {false, false, n_tokens, last_step};
}

SlotView running(size_t n_tokens) {
    return {true, false, n_tokens, 9};
}

SlotView pinned(size_t n_tokens) {
    return {false, true, n_tokens, 1};
}

const ReuseRules share{true, Fork::Share, 16};
const ReuseRules copy{true, Fork::Copy, 16};
const ReuseRules whole_only{false, Fork::None, 16};

}  // namespace

TEST_CASE("no free slot: no placement") {
    CHECK_FALSE(place_request(Slots{running(2), pinned(2)}, {}, share).has_value());
}

TEST_CASE("an empty slot goes first, then the one unused for longest") {
    CHECK(place_request(Slots{kept(3, 5), SlotView{}, kept(3, 2)}, {}, share)->slot == 1);
    CHECK(place_request(Slots{kept(3, 5), kept(3, 2)}, {}, share)->slot == 1);
}

TEST_CASE("in a crowd requests lie side by side, and others are given up for that") {
    ReuseRules rules = copy;
    rules.crowd = 2;
    const Slots slots{SlotView{}, kept(3, 2), running(3), kept(3, 7), running(3), kept(3, 1)};
    CHECK(place_request(slots, {}, rules)->slot == 3);
    CHECK(place_request(Slots{SlotView{}, kept(3, 2), running(3), running(3), kept(3, 1)}, {}, rules)->slot == 4);
    CHECK(place_request(Slots{SlotView{}, running(3), SlotView{}, SlotView{}, kept(3, 1)}, {}, rules)->slot == 0);
    CHECK(place_request(slots, {}, copy)->slot == 0);
    const Slots gap{SlotView{}, running(3), kept(3, 8), kept(3, 9), kept(3, 9), running(3), SlotView{}};
    CHECK(place_request(gap, {}, rules)->slot == 2);
}

TEST_CASE("a conversation is continued in its place") {
    const auto placement = place_request(Slots{SlotView{}, kept(4)}, Donors{{1, 4}}, share);
    CHECK(placement->slot == 1);
    CHECK_FALSE(placement->donor);
    CHECK(placement->n_reused == 4);
}

TEST_CASE("a partly shared prefix is forked, and the donor keeps its tokens") {
    for (const auto & rules : {share, copy}) {
        const auto placement = place_request(Slots{SlotView{}, kept(7)}, Donors{{1, 3}}, rules);
        CHECK(placement->slot == 0);
        CHECK(placement->donor == 1);
        CHECK(placement->n_reused == 3);
    }
}

TEST_CASE("the last slot to give is cut for its own prefix") {
    const auto placement = place_request(Slots{running(5), kept(7)}, Donors{{1, 3}}, share);
    CHECK(placement->slot == 1);
    CHECK_FALSE(placement->donor);
    CHECK(placement->n_reused == 3);
}

TEST_CASE("an older slot goes before a longer conversation is cut") {
    const auto placement = place_request(Slots{kept(7, 8), kept(2, 3)}, Donors{{0, 3}}, share);
    CHECK(placement->slot == 1);
    CHECK(placement->donor == 0);
}

TEST_CASE("running and pinned slots can be donors, and are never the place") {
    for (const auto & donor : {running(4), pinned(4)}) {
        const auto placement = place_request(Slots{donor, SlotView{}}, Donors{{0, 4}}, share);
        CHECK(placement->slot == 1);
        CHECK(placement->donor == 0);
        CHECK(placement->n_reused == 4);
    }
}

TEST_CASE("states that cannot be cut back are reused whole or not at all") {
    CHECK(place_request(Slots{kept(4), SlotView{}}, Donors{{0, 3}}, whole_only)->n_reused == 0);
    const auto placement = place_request(Slots{kept(3), SlotView{}}, Donors{{0, 3}}, whole_only);
    CHECK(placement->slot == 0);
    CHECK(placement->n_reused == 3);
    CHECK(place_request(Slots{running(3), SlotView{}}, Donors{{0, 3}}, whole_only)->n_reused == 0);
}

TEST_CASE("a long donor is not copied for a short prefix; a shorter one may be") {
    CHECK_FALSE(copy_pays(10, 1000, copy));
    CHECK(copy_pays(10, 160, copy));
    CHECK(place_request(Slots{kept(1000), SlotView{}}, Donors{{0, 10}}, copy)->n_reused == 0);
    CHECK(place_request(Slots{kept(1000), SlotView{}}, Donors{{0, 10}}, share)->n_reused == 10);
    const auto placement = place_request(Slots{kept(1000), SlotView{}, running(30)}, Donors{{0, 100}, {2, 20}}, copy);
    CHECK(placement->donor == 0);
    const auto shorter = place_request(Slots{kept(1000), SlotView{}, running(30)}, Donors{{0, 20}, {2, 20}}, copy);
    CHECK(shorter->donor == 2);
}

TEST_CASE("any state: the place is free, and the donor has what is taken") {
    std::mt19937 random(11);
    const auto below = [&](size_t n) { return random() % n; };
    for (int round = 0; round < 3000; ++round) {
        Slots slots;
        Donors donors;
        for (size_t i = 0, n = 1 + below(5); i < n; ++i) {
            slots.push_back({below(2) == 1, below(4) == 0, below(8), below(9)});
            if (slots.back().n_tokens > 0 && below(2) == 0) {
                donors.push_back({i, 1 + below(slots.back().n_tokens)});
            }
        }
        const ReuseRules rules{below(2) == 1, static_cast<Fork>(below(3)), 2};
        const auto placement = place_request(slots, donors, rules);
        if (!placement) {
            continue;
        }
        CHECK_FALSE(slots[placement->slot].running);
        CHECK_FALSE(slots[placement->slot].pinned);
        if (placement->n_reused == 0) {
            CHECK_FALSE(placement->donor);
            continue;
        }
        const size_t source = placement->donor.value_or(placement->slot);
        bool named = false;
        for (const auto & donor : donors) {
            named = named || (donor.slot == source && donor.n == placement->n_reused);
        }
        CHECK(named);
        CHECK((rules.partial || placement->n_reused == slots[source].n_tokens));
        CHECK((rules.fork != Fork::None || !placement->donor));
        CHECK(placement->donor != placement->slot);
    }
}
