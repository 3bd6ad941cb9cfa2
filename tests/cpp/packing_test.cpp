// Which inputs of an embedder are computed together.

#include "engine/packing.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

using namespace shimmy;

using Indices = std::vector<size_t>;

TEST_CASE("nothing waits: nothing is computed") {
    CHECK(pack_batch({}, {16, 4}).empty());
}

TEST_CASE("the oldest goes first, then the longest that fit") {
    const Indices lengths = {3, 2, 9, 4, 5, 1};
    CHECK(pack_batch(lengths, {13, 8}) == Indices{0, 2, 5});
    CHECK(pack_batch(lengths, {24, 8}) == Indices{0, 2, 4, 3, 1, 5});
}

TEST_CASE("equal inputs keep their order") {
    CHECK(pack_batch(Indices{2, 2, 2, 2}, {6, 8}) == Indices{0, 1, 2});
}

TEST_CASE("no more inputs than sequences") {
    CHECK(pack_batch(Indices{1, 1, 1, 1}, {100, 2}) == Indices{0, 1});
    CHECK(pack_batch(Indices{1, 1}, {100, 1}) == Indices{0});
}

TEST_CASE("an input that is longer than a batch goes alone, when it is the oldest") {
    CHECK(pack_batch(Indices{50, 1, 1}, {16, 8}) == Indices{0});
    CHECK(pack_batch(Indices{1, 50, 1}, {16, 8}) == Indices{0, 2});
}

TEST_CASE("every input is computed once, within the limits, whatever comes") {
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        const PackLimits limits{1 + random() % 64, 1 + random() % 8};
        Indices waiting(random() % 40);
        std::generate(waiting.begin(), waiting.end(), [&] { return 1 + random() % (limits.n_tokens + 3); });
        size_t n_steps = 0;
        const size_t n_inputs = waiting.size();
        while (!waiting.empty()) {
            const auto batch = pack_batch(waiting, limits);
            REQUIRE(!batch.empty());
            CHECK(batch.front() == 0);
            CHECK(batch.size() <= limits.n_seqs);
            size_t n_tokens = 0;
            for (const size_t index : batch) {
                n_tokens += std::exchange(waiting[index], 0);
            }
            CHECK((n_tokens <= limits.n_tokens || batch.size() == 1));
            std::erase(waiting, size_t{0});
            ++n_steps;
        }
        CHECK(n_steps <= n_inputs);
    }
}
