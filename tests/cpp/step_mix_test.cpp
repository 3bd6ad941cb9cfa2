#include "engine/step_mix.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace shimmy;

namespace {

constexpr uint64_t many = 100000;

std::vector<RunningView> running(int n_decoding, AdapterSetId adapters = 0) {
    std::vector<RunningView> views(static_cast<size_t>(n_decoding), {1, true, adapters, 1});
    views.push_back({100, false, adapters, 0});
    return views;
}

// Plan a step of `views` as the batcher does, and note whom it served.
Serve step(const StepMix & mix, std::vector<RunningView> & views, uint64_t now) {
    const auto adapters = next_adapters(views);
    StepBudget budget{2048, 512};
    budget.serve = mix.next(views, adapters, many);
    const auto plan = plan_step(views, budget);
    REQUIRE(!plan.shares.empty());
    for (const auto & share : plan.shares) {
        views[share.index].last_step = now;
    }
    return budget.serve;
}

}  // namespace

TEST_CASE("few cells, nobody who decodes, or no cost known: steps are shared") {
    const StepMix mix(160);
    CHECK(mix.next(running(8), 0, 1000) == Serve::Both);
    CHECK(mix.next(running(0), 0, many) == Serve::Both);
    auto no_prompt = running(2);
    no_prompt.pop_back();
    CHECK(mix.next(no_prompt, 0, many) == Serve::Both);
    CHECK(StepMix(0).next(running(1), 0, many) == Serve::Both);
}

TEST_CASE("with cells of their own prompts and decodes take turns, but for prompts of one token") {
    const StepMix mix(0, true);
    auto views = running(4);
    for (uint64_t now = 2; now < 8; ++now) {
        CHECK(step(mix, views, now) == (now % 2 == 0 ? Serve::Prompts : Serve::Decodes));
    }
    CHECK(mix.next(running(0), 0, many) == Serve::Both);
    views = running(4);
    views.back().n_pending = 1;
    CHECK(mix.next(views, 0, many) == Serve::Both);
    views.push_back({2, false, 0, 0});
    CHECK(mix.next(views, 0, many) == Serve::Prompts);
}

TEST_CASE("from many cells on prompts and decodes take turns") {
    const StepMix mix(160);
    auto views = running(4);
    CHECK(mix.next(views, 0, 639) == Serve::Both);
    CHECK(mix.next(views, 0, 640) == Serve::Prompts);
    for (uint64_t now = 2; now < 8; ++now) {
        CHECK(step(mix, views, now) == (now % 2 == 0 ? Serve::Prompts : Serve::Decodes));
    }
}

TEST_CASE("a prompt that is done in its step does not keep those that decode from their turn") {
    const StepMix mix(160);
    auto views = running(4);
    views.back().last_step = 9;
    views.push_back({1, true, 0, 9});
    CHECK(mix.next(views, 0, many) == Serve::Decodes);
}

TEST_CASE("each adapter set has its own turns, and one with a single kind is served") {
    const StepMix mix(160);
    auto views = running(2, 1);
    const auto others = running(3, 2);
    views.insert(views.end(), others.begin(), others.end());
    views.push_back({1, true, 3, 0});
    for (uint64_t now = 2; now < 26; ++now) {
        step(mix, views, now);
        if (now >= 10) {
            CHECK(std::all_of(views.begin(), views.end(), [&](const auto & view) { return now - view.last_step < 8; }));
        }
    }
}
