#include "engine/layer_fit.h"

#include <doctest/doctest.h>

#include <algorithm>

using namespace shimmy;

namespace {

// A model of 32 layers: 100 bytes each and 50 of the output layer, of which experts are 80; one byte for 16 cells; 40
// for what is computed.
struct Machine {
    std::vector<uint64_t> free;
    int n_measured = 0;

    std::vector<MemoryNeed> operator()(const LayerPlan & plan) {
        ++n_measured;
        const int32_t moved = plan.n_cpu_moe < 0 ? 32 : plan.n_cpu_moe;
        const int32_t repeating = std::min(plan.n_gpu_layers, 32);
        // Layers are taken from the last to the first, experts left out from the first to the last.
        const int32_t dense = std::max(0, moved - (32 - repeating));
        const uint64_t weights = static_cast<uint64_t>(repeating) * 100 - static_cast<uint64_t>(dense) * 80 +
                                 (plan.n_gpu_layers > 32 ? 50 : 0);
        const uint64_t cells = plan.n_ctx / 16 * static_cast<uint64_t>(repeating) / 32;
        std::vector<MemoryNeed> needs;
        for (const auto bytes : free) {
            needs.push_back({(weights + cells) / free.size() + 40, bytes});
        }
        return needs;
    }
};

LayerFit fit(Machine & machine, FitQuestion question) {
    return fit_layers(question, [&](const LayerPlan & plan) { return machine(plan); });
}

constexpr FitQuestion dense{32, false, 0, 1600, 1600, 1600};
constexpr FitQuestion sparse{32, true, 0, 1600, 1600, 1600};

}  // namespace

TEST_CASE("what fits whole is measured once") {
    Machine machine{{3390}};
    const auto found = fit(machine, dense);
    CHECK(found.fits);
    CHECK(found.plan == LayerPlan{33, 0, 1600});
    CHECK(machine.n_measured == 1);
}

TEST_CASE("as many layers as fit, and not one more") {
    for (uint64_t free = 0; free < 3500; free += 97) {
        Machine machine{{free}};
        const auto found = fit(machine, dense);
        CHECK(machine.n_measured <= 8);
        Machine check{{free}};
        if (found.plan.n_gpu_layers > 0) {
            CHECK(check(found.plan).front().needed <= free);
        }
        if (found.plan.n_gpu_layers < 33) {
            auto more = found.plan;
            ++more.n_gpu_layers;
            CHECK(check(more).front().needed > free);
        }
        CHECK(found.fits == (found.plan.n_gpu_layers > 0));
    }
}

TEST_CASE("the fullest of several devices decides") {
    Machine machine{{3000, 500}};
    const auto found = fit(machine, dense);
    CHECK(found.plan.n_gpu_layers > 0);
    CHECK(found.plan.n_gpu_layers < 33);
    CHECK(machine(found.plan)[1].needed <= 500);
}

TEST_CASE("a context that nobody asked for gives way before layers do") {
    const FitQuestion open{32, false, 0, 0, 32768, 4096};
    Machine machine{{4290}};  // 3290 and 1000 bytes, which are 16,000 cells
    auto found = fit(machine, open);
    CHECK(found.plan.n_gpu_layers == 33);
    CHECK(found.plan.n_ctx == 15872);
    CHECK(found.plan.n_ctx % 256 == 0);
    Machine small{{2000}};
    found = fit(small, open);
    CHECK(found.plan.n_ctx == 4096);
    CHECK(found.plan.n_gpu_layers < 33);
    CHECK(found.plan.n_gpu_layers > 0);
    Machine asked{{4290}};
    found = fit(asked, {32, false, 0, 32768, 32768, 4096});
    CHECK(found.plan.n_ctx == 32768);
    CHECK(found.plan.n_gpu_layers < 33);
}

TEST_CASE("experts stay with the CPU before layers do") {
    Machine machine{{2000}};
    auto found = fit(machine, sparse);
    CHECK(found.plan.n_gpu_layers == 33);
    CHECK(found.plan.n_cpu_moe == 18);  // 3390 - 18 * 80 = 1950
    Machine tight{{600}};               // not even without experts: 3390 - 32 * 80 = 830
    found = fit(tight, sparse);
    CHECK(found.plan.n_cpu_moe == -1);
    CHECK(found.plan.n_gpu_layers > 0);
    CHECK(found.plan.n_gpu_layers < 33);
    Machine given{{2000}};
    auto fixed = dense;
    fixed.n_cpu_moe = 4;
    found = fit(given, fixed);
    CHECK(found.plan.n_cpu_moe == 4);
    CHECK(found.plan.n_gpu_layers < 33);
}

TEST_CASE("nothing fits into nothing") {
    Machine machine{{10}};
    const auto found = fit(machine, sparse);
    CHECK_FALSE(found.fits);
    CHECK(found.plan.n_gpu_layers == 0);
}
