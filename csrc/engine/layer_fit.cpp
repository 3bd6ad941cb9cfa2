#include "engine/layer_fit.h"

#include <algorithm>

namespace shimmy {
namespace {

constexpr uint32_t cells_step = 256;

bool fits(const std::vector<MemoryNeed> & needs) {
    return std::all_of(needs.begin(), needs.end(),
                       [](const MemoryNeed & need) { return need.needed <= need.available; });
}

// The last value between a good `low` and a bad `high` that is good.
template <typename Good>
int32_t last_good(int32_t low, int32_t high, Good good) {
    while (high - low > 1) {
        const int32_t middle = low + (high - low) / 2;
        (good(middle) ? low : high) = middle;
    }
    return low;
}

// The largest context between two that were measured: memory grows with it in proportion.
uint32_t largest_context(const LayerPlan & least, const std::vector<MemoryNeed> & at_least, uint32_t most,
                         const std::vector<MemoryNeed> & at_most) {
    double share = 1;  // of the way from least to most
    for (size_t i = 0; i < at_least.size() && i < at_most.size(); ++i) {
        const double growth = static_cast<double>(at_most[i].needed) - static_cast<double>(at_least[i].needed);
        const double room = static_cast<double>(at_least[i].available) - static_cast<double>(at_least[i].needed);
        share = growth > 0 ? std::min(share, room / growth) : share;
    }
    const auto cells = static_cast<uint32_t>(std::max(share, 0.0) * (most - least.n_ctx));
    return least.n_ctx + cells / cells_step * cells_step;
}

}  // namespace

LayerFit fit_layers(const FitQuestion & question, const MeasurePlan & measure) {
    const int32_t all = question.n_layer + 1;
    LayerPlan plan{all, question.n_cpu_moe, question.n_ctx > 0 ? question.n_ctx : question.n_ctx_most};
    const auto good = [&](const LayerPlan & candidate) { return fits(measure(candidate)); };
    const auto needs = measure(plan);
    if (fits(needs)) {
        return {plan, true};
    }
    if (question.n_ctx == 0 && question.n_ctx_least < plan.n_ctx) {
        const uint32_t most = plan.n_ctx;
        plan.n_ctx = question.n_ctx_least;
        const auto least_needs = measure(plan);
        if (fits(least_needs)) {
            auto larger = plan;
            larger.n_ctx = largest_context(plan, least_needs, most, needs);
            return {larger.n_ctx > plan.n_ctx && good(larger) ? larger : plan, true};
        }
    }
    if (question.has_experts) {
        auto dense = plan;
        dense.n_cpu_moe = -1;
        if (good(dense)) {
            const int32_t n_on_gpu = last_good(0, question.n_layer, [&](int32_t n) {
                auto candidate = plan;
                candidate.n_cpu_moe = question.n_layer - n;
                return good(candidate);
            });
            plan.n_cpu_moe = question.n_layer - n_on_gpu;
            return {plan, true};
        }
        plan = dense;
    }
    plan.n_gpu_layers = last_good(0, all, [&](int32_t n) {
        auto candidate = plan;
        candidate.n_gpu_layers = n;
        return good(candidate);
    });
    return {plan, plan.n_gpu_layers > 0};
}

}  // namespace shimmy
