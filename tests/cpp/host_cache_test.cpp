#include "engine/host_cache.h"

#include <doctest/doctest.h>

using namespace shimmy;

namespace {

using Tokens = std::vector<int32_t>;

HostCache::State bytes(size_t n) {
    return std::make_shared<const std::vector<uint8_t>>(n);
}

const CacheSpace space{"a", 0};

}  // namespace

TEST_CASE("the longest unused goes when the budget is spent") {
    HostCache cache(100);
    CHECK(cache.accepts(50));
    CHECK_FALSE(cache.accepts(51));
    CHECK(cache.put(space, Tokens{1, 1}, 2, bytes(40), true).empty());
    CHECK(cache.put(space, Tokens{2, 2}, 2, bytes(40), true).empty());
    const auto used = cache.find(space, Tokens{1, 1, 1}, false);
    REQUIRE(used);
    CHECK(used->n == 2);
    cache.use(used->id);
    const auto lost = cache.put(space, Tokens{3, 3}, 2, bytes(40), true);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].tokens == Tokens{2, 2});
    CHECK(cache.bytes() == 80);
    CHECK_FALSE(cache.find(space, Tokens{2, 2}, false));
}

TEST_CASE("a longer state replaces those that it covers, if it can be cut") {
    for (const bool cuttable : {true, false}) {
        HostCache cache(100);
        cache.put(space, Tokens{1, 2}, 2, bytes(10), cuttable);
        cache.put(space, Tokens{1, 2, 3}, 3, bytes(10), cuttable);
        cache.put(space, Tokens{1, 2, 3}, 3, bytes(10), cuttable);
        CHECK(cache.size() == (cuttable ? 1 : 2));
        const auto whole = cache.find(space, Tokens{1, 2, 7}, true);
        CHECK(whole.has_value() == !cuttable);
        const auto part = cache.find(space, Tokens{1, 2, 7}, false);
        REQUIRE(part);
        CHECK(part->n == 2);
        CHECK(part->n_cells == (cuttable ? 3 : 2));
    }
}

TEST_CASE("without a budget nothing is kept") {
    CHECK_FALSE(HostCache(0).accepts(1));
}

TEST_CASE("other spaces find nothing") {
    HostCache cache(100);
    cache.put(space, Tokens{1, 2}, 2, bytes(10), true);
    CHECK_FALSE(cache.find({"b", 0}, Tokens{1, 2}, false));
    CHECK_FALSE(cache.find({"a", 1}, Tokens{1, 2}, false));
}

TEST_CASE("cleared, it has room for all again") {
    HostCache cache(100);
    cache.put(space, Tokens{1, 2}, 2, bytes(50), true);
    cache.put(space, Tokens{3, 4}, 2, bytes(50), true);
    cache.clear();
    CHECK(cache.size() == 0);
    CHECK(cache.bytes() == 0);
    CHECK_FALSE(cache.find(space, Tokens{1, 2}, false));
    CHECK(cache.put(space, Tokens{5, 6}, 2, bytes(50), true).empty());
}
