#include "engine/schedule.h"

#include <algorithm>

namespace shimmy {
namespace {

// Prompts in the order in which they get a turn: served longest ago first.
std::vector<size_t> prompts_to_serve(std::span<const RunningView> running, AdapterSetId adapters, int32_t budget) {
    std::vector<size_t> prompts;
    for (size_t i = 0; i < running.size(); ++i) {
        if (!running[i].decoding && running[i].adapters == adapters) {
            prompts.push_back(i);
        }
    }
    std::stable_sort(prompts.begin(), prompts.end(),
                     [&](size_t a, size_t b) { return running[a].last_step < running[b].last_step; });
    const auto turns = static_cast<size_t>(std::max(1, budget / min_chunk));
    prompts.resize(std::min(prompts.size(), turns));
    return prompts;
}

}  // namespace

StepPlan plan_step(std::span<const RunningView> running, const StepBudget & budget) {
    StepPlan plan;
    if (running.empty()) {
        return plan;
    }
    const auto oldest = std::min_element(running.begin(), running.end(),
                                         [](const auto & a, const auto & b) { return a.last_step < b.last_step; });
    plan.adapters = oldest->adapters;

    int32_t left = budget.n_batch;
    bool decoding = false;
    for (size_t i = 0; i < running.size(); ++i) {
        decoding = decoding || running[i].decoding;
        if (running[i].decoding && running[i].adapters == plan.adapters && left > 0) {
            plan.shares.push_back({i, 1, true});
            --left;
        }
    }
    if (decoding) {
        left = std::min(left, budget.prefill_budget);
    }

    auto prompts = prompts_to_serve(running, plan.adapters, left);
    std::stable_sort(prompts.begin(), prompts.end(),
                     [&](size_t a, size_t b) { return running[a].n_pending < running[b].n_pending; });
    for (size_t k = 0; k < prompts.size() && left > 0; ++k) {
        const auto waiting = static_cast<int32_t>(prompts.size() - k);
        const int32_t pending = running[prompts[k]].n_pending;
        const int32_t n = std::min({pending, left, std::max(left / waiting, 1)});
        plan.shares.push_back({prompts[k], n, n == pending});
        left -= n;
    }
    return plan;
}

}  // namespace shimmy
