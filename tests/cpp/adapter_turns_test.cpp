#include "engine/adapter_turns.h"

#include <doctest/doctest.h>

#include <random>
#include <vector>

using namespace shimmy;
using namespace std::chrono_literals;

namespace {

RunningView of_set(AdapterSetId adapters, uint64_t last_step = 1) {
    return {1, true, adapters, last_step};
}

AdapterTurns::Clock::time_point at(std::chrono::milliseconds time) {
    return AdapterTurns::Clock::time_point{} + 1h + time;
}

}  // namespace

TEST_CASE("a set keeps its turn, then the next one has it") {
    AdapterTurns turns;
    const std::vector views{of_set(3, 5), of_set(7, 4), of_set(3, 6)};
    CHECK(turns.next(views, at(0ms)) == 7);  // served longest ago
    CHECK(turns.next(views, at(19ms)) == 7);
    CHECK(turns.next(views, at(20ms)) == 3);
    CHECK(turns.next(views, at(39ms)) == 3);
    CHECK(turns.next(views, at(45ms)) == 7);
}

TEST_CASE("a turn ends with the set's last request, and a set alone keeps it") {
    AdapterTurns turns;
    const std::vector both{of_set(1), of_set(2)};
    const auto first = turns.next(both, at(0ms));
    const auto other = AdapterSetId{3} - first;
    CHECK(turns.next(std::vector{of_set(other)}, at(1ms)) == other);
    CHECK(turns.next(std::vector{of_set(other)}, at(500ms)) == other);
    CHECK(turns.next(both, at(501ms)) == other);  // its turn began anew
    CHECK(turns.next(both, at(520ms)) == first);
}

TEST_CASE("steps longer than a turn: the sets change at every step") {
    AdapterTurns turns;
    const std::vector views{of_set(1), of_set(2)};
    const auto first = turns.next(views, at(0ms));
    CHECK(turns.next(views, at(50ms)) != first);
    CHECK(turns.next(views, at(100ms)) == first);
}

TEST_CASE("new requests of the others keep no set from its turn") {
    std::mt19937 random(2);
    AdapterTurns turns;
    auto now = at(0ms);
    auto served = now;
    auto longest = now - served;
    for (uint64_t step = 1; step < 2000; ++step) {
        std::vector<RunningView> views{of_set(9, 1)};  // never served since
        for (AdapterSetId adapters = 0; adapters < 5; ++adapters) {
            if (random() % 4 != 0) {
                views.push_back(of_set(adapters, random() % 2 == 0 ? 0 : step));
            }
        }
        if (turns.next(views, now) == 9) {
            served = now;
        }
        longest = std::max(longest, now - served);
        now += 7ms;
    }
    CHECK(longest <= 6 * (AdapterTurns::duration + 7ms));
}
