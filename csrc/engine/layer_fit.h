#pragma once
// Policy: how much of a model goes onto GPUs that may not hold all of it.

#include <cstdint>
#include <functional>
#include <vector>

namespace shimmy {

struct LayerPlan {
    int32_t n_gpu_layers = 0;  // of n_layer + 1: the output layer counts as one
    int32_t n_cpu_moe = 0;     // experts of so many layers stay with the CPU; -1: of all
    uint32_t n_ctx = 0;

    bool operator==(const LayerPlan &) const = default;
};

// Of one GPU, in bytes.
struct MemoryNeed {
    uint64_t needed = 0;
    uint64_t available = 0;
};

// What a plan takes of each GPU. It takes more of every one with more layers, fewer experts left out or more cells.
using MeasurePlan = std::function<std::vector<MemoryNeed>(const LayerPlan &)>;

struct FitQuestion {
    int32_t n_layer = 0;       // without the output layer
    bool has_experts = false;  // and where they lie is free to choose; n_cpu_moe below is kept otherwise
    int32_t n_cpu_moe = 0;
    uint32_t n_ctx = 0;  // asked for; 0: at most n_ctx_most, at least n_ctx_least where memory is short
    uint32_t n_ctx_most = 0;
    uint32_t n_ctx_least = 0;
};

struct LayerFit {
    LayerPlan plan;
    bool fits = false;  // false: not one layer does
};

// Everything when that fits. Else, where it is free to choose, a smaller context; then the experts of as few layers as
// possible left with the CPU, which computes few of them for a token; then as many layers as possible. Calls `measure`
// about 2 * log2(n_layer) times at most.
LayerFit fit_layers(const FitQuestion & question, const MeasurePlan & measure);

}  // namespace shimmy
