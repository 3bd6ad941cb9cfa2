#pragma once
// Where the bytes of a model and its context are, as llama.cpp's own accounting says.

#include <cstdint>
#include <string>
#include <vector>

struct llama_context;
struct llama_model;

namespace shimmy {

// Of one device that layers were put on, or of the host ("CPU"). All in bytes.
struct DeviceMemory {
    std::string name;           // as in Device
    std::string description;    // the hardware's own name
    std::string type;           // cpu, gpu or igpu
    std::string backend;        // CPU, CUDA, Vulkan, ...
    uint64_t weights = 0;       // mapped from the file ones too
    uint64_t kv_cache = 0;      // and states of recurrent layers
    uint64_t compute = 0;       // buffers for what is computed
    uint64_t memory_free = 0;   // now, of the whole device; what was measured without allocating is not taken off
    uint64_t memory_total = 0;  // of the whole device; 0: it does not tell

    uint64_t used() const { return weights + kv_cache + compute; }
};

// The devices of the model in its order, then the host.
std::vector<DeviceMemory> memory_of(const llama_context * context);

// Names of the devices that the model's layers may be on; empty: the CPU only.
std::vector<std::string> devices_of(const llama_model * model);

// Layers on such devices, of Model::n_layer() + 1: the output layer counts as one.
struct OffloadedLayers {
    int32_t total = 0;
    int32_t partial = 0;  // of them, those with weights that stayed in the host's memory
};

// As the weights lie; in builds whose libllama does not list them (SHIMMY_PORTABLE), what llama.cpp was asked for.
OffloadedLayers layers_on_devices(const llama_model * model, int32_t n_gpu_layers);

// Free memory of the devices together, in bytes; 0 when one does not tell.
uint64_t free_memory_of(const std::vector<std::string> & devices);

// The same, for people: "CUDA0 has 512 of 8192 MiB free".
std::string free_memory_text(const std::vector<std::string> & devices);

}  // namespace shimmy
