#pragma once
// The devices that the compiled-in (or loaded) backends offer.

#include <cstdint>
#include <string>
#include <vector>

struct ggml_backend_device;

namespace shimmy {

struct Device {
    std::string name;         // as ModelParams.devices takes it, for example "CPU" or "CUDA0"
    std::string description;  // the hardware's own name
    std::string type;         // cpu, gpu, igpu, accel or meta
    std::string backend;      // CPU, CUDA, Vulkan, ...
    uint64_t memory_free;     // bytes
    uint64_t memory_total;    // bytes
};

// Initialise the backends, once; every entry into llama.cpp goes through here first.
void init_backends();

std::vector<Device> devices();

bool has_only_cpus();  // among them

// Names of the backends: "CPU", "CUDA", ...
std::vector<std::string> backends();

// What backends complained about while they looked for devices: a driver that is missing or too old, for example.
const std::vector<std::string> & backend_errors();

// Device handles for llama_model_params, null-terminated; empty when `names` is, which means all GPUs. Those of the CPU
// are left out: it computes what no other device does. Throws InvalidRequestError naming an unknown device and those
// that exist.
std::vector<ggml_backend_device *> find_devices(const std::vector<std::string> & names);

// What the CPU backend was built for and found, for example {"AVX2", "AVX512", "FMA"}.
std::vector<std::string> cpu_features();

// Physical memory in bytes: what there is, and what can be taken without swapping (0: unknown).
struct HostMemory {
    uint64_t total;
    uint64_t available;
};
HostMemory host_memory();

// Logical CPUs that this process may run on, at least 1.
int32_t logical_cpus();

// Physical cores that this process may run on, at least 1.
int32_t physical_cores();

}  // namespace shimmy
