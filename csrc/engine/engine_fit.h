#pragma once
// How much of a model an engine can put onto GPUs, found by measuring what llama.cpp would take of them.

#include <string>
#include <vector>

#include "llama/device_memory.h"
#include "params.h"

namespace shimmy {

struct EngineFit {
    int32_t n_gpu_layers = 0;  // for ModelParams; of n_layer + 1
    int32_t n_cpu_moe = 0;     // for ModelParams
    uint32_t n_ctx = 0;        // for ContextParams
    int32_t n_layer = 0;
    bool fits = false;                 // false: not one layer does, so n_gpu_layers is 0
    std::vector<DeviceMemory> memory;  // as it would be taken; empty without a GPU
};

// For n_gpu_layers -1; layers that were asked for are taken as they are and nothing is measured, as without a GPU. It
// leaves gpu_margin_mib of each GPU free. Takes about as long as reading the vocabulary some times over. Throws as
// Model::load and Context.
EngineFit fit_engine(const std::string & path, const ModelParams & model, const ContextParams & context,
                     const EngineParams & engine);

}  // namespace shimmy
