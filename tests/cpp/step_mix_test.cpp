#include "engine/step_mix.h"

#include <doctest/doctest.h>

using namespace shimmy;

namespace {

std::vector<RunningView> running(int n_decoding) {
    std::vector<RunningView> views(static_cast<size_t>(n_decoding), {1, true, 0, 1});
    views.push_back({100, false, 0, 0});
    return views;
}

}  // namespace

TEST_CASE("few cells, nobody who decodes, or no cost known: steps are shared") {
    const StepMix mix(160);
    CHECK(mix.next(running(8), 1000) == Serve::Both);
    CHECK(mix.next(running(0), 100000) == Serve::Both);
    auto no_prompt = running(2);
    no_prompt.pop_back();
    CHECK(mix.next(no_prompt, 100000) == Serve::Both);
    CHECK(StepMix(0).next(running(1), 100000) == Serve::Both);
}

TEST_CASE("from many cells on prompts and decodes take turns") {
    StepMix mix(160);
    const auto views = running(4);
    for (int round = 0; round < 6; ++round) {
        StepBudget budget{2048, 512};
        budget.serve = mix.next(views, 640);
        CHECK(budget.serve == (round % 2 == 0 ? Serve::Prompts : Serve::Decodes));
        mix.planned(plan_step(views, budget), views);
    }
}
