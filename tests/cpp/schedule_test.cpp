#include "engine/schedule.h"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace shimmy;

namespace {

constexpr StepBudget budget{2048, 512};

RunningView decoding(uint64_t last_step = 1, AdapterSetId adapters = 0) {
    return {1, true, adapters, last_step};
}

RunningView prompt(int32_t n, uint64_t last_step = 0, AdapterSetId adapters = 0) {
    return {n, false, adapters, last_step};
}

int32_t tokens_of(const StepPlan & plan, size_t index) {
    int32_t n = 0;
    for (const auto & share : plan.shares) {
        n += share.index == index ? share.n_tokens : 0;
    }
    return n;
}

int32_t total(const StepPlan & plan) {
    int32_t n = 0;
    for (const auto & share : plan.shares) {
        n += share.n_tokens;
    }
    return n;
}

}  // namespace

TEST_CASE("nothing runs: nothing is planned") {
    CHECK(plan_step({}, budget).shares.empty());
}

TEST_CASE("a prompt alone may fill the whole batch") {
    const std::vector views{prompt(5000)};
    const auto plan = plan_step(views, budget);
    CHECK(tokens_of(plan, 0) == 2048);
    CHECK_FALSE(plan.shares[0].output);
}

TEST_CASE("the last chunk of a prompt asks for an output") {
    const std::vector views{prompt(100)};
    CHECK(plan_step(views, budget).shares[0].output);
}

TEST_CASE("while others decode, prompts get the prefill budget only, after all decodes") {
    const std::vector views{prompt(5000), decoding(), decoding()};
    const auto plan = plan_step(views, budget);
    CHECK(plan.shares[0].index == 1);
    CHECK(plan.shares[1].index == 2);
    CHECK(tokens_of(plan, 0) == 510);  // 512 rows in all
}

TEST_CASE("a short prompt does not wait for a long one, and leaves it what it does not need") {
    const std::vector views{prompt(5000), prompt(40), decoding()};
    const auto plan = plan_step(views, budget);
    CHECK(tokens_of(plan, 1) == 40);
    CHECK(tokens_of(plan, 0) == 471);
}

TEST_CASE("prompts take turns when their parts would be too small") {
    const StepBudget small{64, 64};
    std::vector<RunningView> views(5, prompt(1000));
    views[0].last_step = 3;
    views[1].last_step = 2;
    views[2].last_step = 4;
    views[3].last_step = 1;
    views[4].last_step = 5;
    const auto plan = plan_step(views, small);
    REQUIRE(plan.shares.size() == 2);
    CHECK(tokens_of(plan, 3) == 32);
    CHECK(tokens_of(plan, 1) == 32);
}

TEST_CASE("larger parts: fewer prompts in a step, the next ones after them") {
    std::vector<RunningView> views(6, prompt(128));
    views.push_back(decoding());
    StepBudget budget{2048, 512};
    budget.least_chunk = gpu_chunk;
    for (size_t begin = 0; begin < 6; begin += 3) {  // a fourth would not have 128 beside what decodes
        const auto plan = plan_step(views, budget);
        CHECK(total(plan) <= 512);
        for (size_t i = begin; i < begin + 3; ++i) {
            CHECK(tokens_of(plan, i) == 128);
            views[i] = decoding();
        }
    }
    views.assign(40, prompt(12));
    CHECK(plan_step(views, budget).shares.size() == 40);
}

TEST_CASE("a step has one adapter set, and no set starves") {
    std::vector<RunningView> views{decoding(1, 0), decoding(1, 7), decoding(1, 0), prompt(300, 0, 9)};
    std::map<AdapterSetId, int> served;
    for (uint64_t step = 2; step < 32; ++step) {
        const auto plan = plan_step(views, budget);
        for (const auto & share : plan.shares) {
            CHECK(views[share.index].adapters == plan.adapters);
            views[share.index].last_step = step;
        }
        ++served[plan.adapters];
    }
    CHECK(served[0] == 10);
    CHECK(served[7] == 10);
    CHECK(served[9] == 10);
}

TEST_CASE("the adapter set of the next step is known before its drafts are made") {
    const std::vector views{decoding(5, 1), decoding(3, 2), prompt(20, 4, 1)};
    CHECK(next_adapters(views) == 2);
    CHECK(plan_step(views, budget).adapters == 2);
}

TEST_CASE("more decodes than the batch holds: the batch is full, not exceeded") {
    const std::vector<RunningView> views(10, decoding());
    CHECK(total(plan_step(views, {4, 512})) == 4);
}

TEST_CASE("any mix: within budget, each request at most once, progress guaranteed") {
    std::mt19937 random(7);
    const auto below = [&](int32_t n) { return static_cast<int32_t>(random() % static_cast<uint32_t>(n)); };
    for (int round = 0; round < 2000; ++round) {
        std::vector<RunningView> views;
        for (int i = below(20); i >= 0; --i) {
            const auto adapters = static_cast<AdapterSetId>(below(3));
            const auto step = static_cast<uint64_t>(below(50));
            views.push_back(below(2) ? decoding(step, adapters) : prompt(1 + below(3000), step, adapters));
            views.back().n_draft = views.back().decoding ? below(10) : 0;
            views.back().scores = !views.back().decoding && below(5) == 0;
            views.back().n_before_switch = !views.back().decoding && below(5) == 0 ? 1 + below(100) : 0;
        }
        const StepBudget any{1 + below(600), 32 + below(600), 1 + below(100)};
        const auto plan = plan_step(views, any);
        CHECK(total(plan) >= 1);
        CHECK(total(plan) <= any.n_batch);
        bool any_decoding = false;
        for (const auto & view : views) {
            any_decoding = any_decoding || view.decoding;
        }
        int32_t prefill = 0;
        int32_t outputs = 0;
        std::map<size_t, int> times;
        for (const auto & share : plan.shares) {
            const auto & view = views[share.index];
            CHECK(++times[share.index] == 1);
            CHECK(share.n_tokens >= 1);
            CHECK(share.n_draft <= view.n_draft);
            const int32_t n_pending = share.n_tokens - share.n_draft;
            CHECK(n_pending <= view.n_pending);
            CHECK(share.output == (n_pending == view.n_pending));
            CHECK(share.n_outputs == (view.scores ? share.n_tokens : share.output ? 1 + share.n_draft : 0));
            outputs += share.n_outputs;
            if (view.n_before_switch > 0) {
                CHECK(share.n_tokens <= view.n_before_switch);
            }
            CHECK(view.adapters == plan.adapters);
            prefill += view.decoding ? 0 : share.n_tokens;
        }
        CHECK(outputs <= any.n_outputs);
        if (any_decoding) {
            CHECK(prefill <= any.prefill_budget);
        }
    }
}

TEST_CASE("drafts give way to what other requests are sure to need") {
    std::vector<RunningView> views{decoding(), decoding(), prompt(10, 1)};
    views[0].n_draft = 8;
    const auto plan = plan_step(views, {512, 512, 6});
    REQUIRE(plan.shares.size() == 3);
    CHECK(plan.shares[0].n_draft == 3);
    CHECK(plan.shares[1].n_outputs == 1);
    CHECK(plan.shares[2].output);
}

TEST_CASE("a prompt that is scored takes as many tokens as there are outputs") {
    std::vector<RunningView> views{prompt(100)};
    views[0].scores = true;
    const auto plan = plan_step(views, {512, 512, 16});
    CHECK(plan.shares[0].n_tokens == 16);
    CHECK(plan.shares[0].n_outputs == 16);
    CHECK_FALSE(plan.shares[0].output);
}

TEST_CASE("a chunk ends where the adapters change") {
    std::vector<RunningView> views{prompt(100)};
    views[0].n_before_switch = 30;
    const auto plan = plan_step(views, {512, 512});
    CHECK(plan.shares[0].n_tokens == 30);
    CHECK_FALSE(plan.shares[0].output);
}

TEST_CASE("with fixed chunks each request is served by itself, in the same pieces") {
    std::vector<RunningView> views{prompt(1000, 3), decoding(2), prompt(50, 4)};
    const StepBudget fixed{2048, 512, 1 << 30, 256};
    auto plan = plan_step(views, fixed);
    REQUIRE(plan.shares.size() == 1);
    CHECK(plan.shares[0].index == 1);
    CHECK(plan.shares[0].n_tokens == 1);
    views[1].last_step = 5;
    views[0].n_done = 100;
    plan = plan_step(views, fixed);
    REQUIRE(plan.shares.size() == 1);
    CHECK(plan.shares[0].index == 0);
    CHECK(plan.shares[0].n_tokens == 156);
}

TEST_CASE("steps of one kind: prompts get theirs whole") {
    const std::vector<RunningView> both{decoding(), prompt(700), decoding()};
    auto only = budget;
    only.serve = Serve::Decodes;
    CHECK(plan_step(both, only).shares.size() == 2);
    CHECK(tokens_of(plan_step(both, only), 1) == 0);
    only.serve = Serve::Prompts;
    const auto plan = plan_step(both, only);
    CHECK(plan.shares.size() == 1);
    CHECK(tokens_of(plan, 1) == 512);
}
