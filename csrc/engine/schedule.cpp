#include "engine/schedule.h"

#include <algorithm>

namespace shimmy {
namespace {

// Prompts in the order in which they get a turn: served longest ago first.
std::vector<size_t> prompts_to_serve(std::span<const RunningView> running, AdapterSetId adapters, int32_t budget,
                                     int32_t least_chunk) {
    std::vector<size_t> prompts;
    for (size_t i = 0; i < running.size(); ++i) {
        if (!running[i].decoding && running[i].adapters == adapters) {
            prompts.push_back(i);
        }
    }
    std::stable_sort(prompts.begin(), prompts.end(),
                     [&](size_t a, size_t b) { return running[a].last_step < running[b].last_step; });
    size_t n = 0;
    for (int32_t left = budget; n < prompts.size(); ++n) {
        left -= std::min(running[prompts[n]].n_pending, least_chunk);
        if (left < 0 && n > 0) {
            break;
        }
    }
    prompts.resize(n);
    return prompts;
}

const RunningView & served_longest_ago(std::span<const RunningView> running) {
    return *std::min_element(running.begin(), running.end(),
                             [](const auto & a, const auto & b) { return a.last_step < b.last_step; });
}

// A part of a prompt: `most` tokens at most, not past a change of adapters, as many outputs as it wants.
Share prompt_share(size_t index, const RunningView & view, int32_t most, int32_t outputs_left) {
    int32_t n = std::min(view.n_pending, most);
    if (view.n_before_switch > 0) {
        n = std::min(n, view.n_before_switch);
    }
    if (view.scores) {
        n = std::min(n, outputs_left);
    }
    const bool output = n == view.n_pending;
    return {index, n, output, 0, view.scores ? n : static_cast<int32_t>(output)};
}

// One request by itself, the same pieces whatever else runs.
StepPlan plan_alone(std::span<const RunningView> running, const StepBudget & budget) {
    const auto & view = served_longest_ago(running);
    const auto index = static_cast<size_t>(&view - running.data());
    const int32_t n_in_chunk = budget.fixed_chunk - view.n_done % budget.fixed_chunk;
    const int32_t most = view.decoding ? 1 : std::clamp(view.n_chunked - view.n_done, 1, n_in_chunk);
    return {view.adapters, {prompt_share(index, view, std::min(most, budget.n_batch), budget.n_outputs)}};
}

// Prompt tokens beside `n_decoding` tokens of others: a step of whole efficient chunks, because what is left over costs
// as much as a whole one.
int32_t beside(int32_t n_decoding, int32_t prefill_budget) {
    if (prefill_budget < efficient_chunk) {
        return prefill_budget;
    }
    const int32_t n = prefill_budget / efficient_chunk * efficient_chunk - n_decoding % efficient_chunk;
    return n < min_chunk ? std::min(n + efficient_chunk, prefill_budget) : n;
}

}  // namespace

AdapterSetId next_adapters(std::span<const RunningView> running) {
    return served_longest_ago(running).adapters;
}

StepPlan plan_step(std::span<const RunningView> running, const StepBudget & budget) {
    StepPlan plan;
    if (running.empty()) {
        return plan;
    }
    if (budget.fixed_chunk > 0) {
        return plan_alone(running, budget);
    }
    plan.adapters = budget.adapters.value_or(next_adapters(running));
    int32_t left = budget.n_batch;
    int32_t outputs = budget.n_outputs;
    int32_t drafts = outputs;  // outputs that decodes and prompts are sure not to need
    for (const auto & view : running) {
        drafts -= view.adapters == plan.adapters ? 1 : 0;
    }
    bool decoding = false;
    for (size_t i = 0; i < running.size(); ++i) {
        const auto & view = running[i];
        decoding = decoding || view.decoding;
        if (budget.serve == Serve::Prompts || !view.decoding || view.adapters != plan.adapters ||
            left < view.n_pending || outputs == 0) {
            continue;
        }
        const int32_t n_draft = std::max(0, std::min({view.n_draft, left - view.n_pending, drafts}));
        plan.shares.push_back({i, view.n_pending + n_draft, true, n_draft, 1 + n_draft});
        left -= view.n_pending + n_draft;
        outputs -= 1 + n_draft;
        drafts -= n_draft;
    }
    if (decoding) {
        left = std::min(left, beside(budget.n_batch - left, budget.prefill_budget));
    }

    if (budget.serve == Serve::Decodes) {
        return plan;
    }
    auto prompts = prompts_to_serve(running, plan.adapters, left, budget.least_chunk);
    std::stable_sort(prompts.begin(), prompts.end(),
                     [&](size_t a, size_t b) { return running[a].n_pending < running[b].n_pending; });
    for (size_t k = 0; k < prompts.size() && left > 0 && outputs > 0; ++k) {
        const auto waiting = static_cast<int32_t>(prompts.size() - k);
        const auto share = prompt_share(prompts[k], running[prompts[k]], std::min(left, std::max(left / waiting, 1)),
                                        std::max(outputs - waiting + 1, 1));
        plan.shares.push_back(share);
        left -= share.n_tokens;
        outputs -= share.n_outputs;
    }
    return plan;
}

}  // namespace shimmy
