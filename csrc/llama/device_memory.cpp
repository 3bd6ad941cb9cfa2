#include "llama/device_memory.h"

#include <ggml-backend.h>
#include <llama-ext.h>
#include <llama.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <string_view>
#include <utility>

#include "llama/device.h"

// libllama has it for its tests; no public call lists a model's tensors.
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

namespace shimmy {
namespace {

void add(DeviceMemory & memory, const llama_memory_breakdown_data & bytes) {
    memory.weights += bytes.model;
    memory.kv_cache += bytes.context;
    memory.compute += bytes.compute;
}

// The names of those that split_mode tensor made one of ("Meta(CUDA0,CUDA1)"), or that name.
std::vector<std::string> parts_of(std::string_view name) {
    if (!name.starts_with("Meta(") || !name.ends_with(")")) {
        return {std::string(name)};
    }
    name = name.substr(5, name.size() - 6);
    std::vector<std::string> parts;
    for (size_t begin = 0; begin < name.size();) {
        const size_t end = std::min(name.find(',', begin), name.size());
        parts.emplace_back(name.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

DeviceMemory described(const std::string & name, const std::vector<Device> & all) {
    DeviceMemory memory;
    memory.name = name;
    const auto found = std::find_if(all.begin(), all.end(), [&](const Device & device) { return device.name == name; });
    if (found != all.end()) {
        memory.description = found->description;
        memory.type = found->type;
        memory.backend = found->backend;
        memory.memory_free = found->memory_free;
        memory.memory_total = found->memory_total;
    }
    return memory;
}

#ifdef SHIMMY_TENSOR_MAP
// "blk.7.attn_q.weight" -> 7; the output layer is the one after the last; -1: the input's.
int32_t layer_of(std::string_view name, int32_t n_layer) {
    int32_t layer = -1;
    if (name.starts_with("blk.")) {
        std::from_chars(name.data() + 4, name.data() + name.size(), layer);
    } else if (name.starts_with("output.")) {
        layer = n_layer;
    }
    return layer;
}

bool on_device(const ggml_tensor & tensor) {
    auto * buffer = tensor.view_src ? tensor.view_src->buffer : tensor.buffer;
    if (!buffer || ggml_backend_buffer_is_host(buffer)) {
        return false;
    }
    auto * dev = ggml_backend_buft_get_device(ggml_backend_buffer_get_type(buffer));
    return dev && ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_CPU &&
           ggml_backend_dev_type(dev) != GGML_BACKEND_DEVICE_TYPE_ACCEL;
}
#endif

}  // namespace

std::vector<std::string> devices_of(const llama_model * model) {
    std::vector<std::string> names;
    for (int32_t i = 0; i < llama_model_n_devices(model); ++i) {
        for (auto & name : parts_of(ggml_backend_dev_name(llama_model_get_device(model, i)))) {
            names.push_back(std::move(name));
        }
    }
    return names;
}

#ifdef SHIMMY_TENSOR_MAP

OffloadedLayers layers_on_devices(const llama_model * model, int32_t) {
    const int32_t n_layer = llama_model_n_layer(model);
    std::map<int32_t, std::pair<bool, bool>>
        layers;  // whether any of its weights are on a device, in the host's memory
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(model)) {
        int32_t layer = layer_of(name, n_layer);
        const bool moved = on_device(*tensor);
        if (layer < 0 && moved) {  // input weights that the output layer has too
            layer = n_layer;
        }
        if (layer >= 0) {
            auto & [device, host] = layers[layer];
            (moved ? device : host) = true;
        }
    }
    OffloadedLayers offloaded;
    for (const auto & [_, places] : layers) {
        offloaded.total += places.first ? 1 : 0;
        offloaded.partial += places.first && places.second ? 1 : 0;
    }
    return offloaded;
}

#else

OffloadedLayers layers_on_devices(const llama_model * model, int32_t n_gpu_layers) {
    const int32_t most = llama_model_n_devices(model) == 0 ? 0 : llama_model_n_layer(model) + 1;
    return {n_gpu_layers < 0 ? most : std::min(n_gpu_layers, most), 0};
}

#endif

std::vector<DeviceMemory> memory_of(const llama_context * context) {
    const auto * model = llama_get_model(context);
    const auto all = devices();
    std::vector<DeviceMemory> found;
    std::map<ggml_backend_device *, std::pair<size_t, size_t>> places;  // in `found`: from, to
    for (int32_t i = 0; i < llama_model_n_devices(model); ++i) {
        auto * dev = llama_model_get_device(model, i);
        const size_t from = found.size();
        for (const auto & name : parts_of(ggml_backend_dev_name(dev))) {
            found.push_back(described(name, all));
        }
        places[dev] = {from, found.size()};
    }
    found.push_back(described(ggml_backend_dev_name(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)), all));
    found.back().memory_free = host_memory().available;
    for (const auto & [type, bytes] : llama_get_memory_breakdown(context)) {
        const auto at =
            ggml_backend_buft_is_host(type) ? places.end() : places.find(ggml_backend_buft_get_device(type));
        const auto [from, to] = at == places.end() ? std::pair{found.size() - 1, found.size()} : at->second;
        for (size_t i = from; i < to; ++i) {  // of several as one llama.cpp tells what the fullest has
            add(found[i], bytes);
        }
    }
    return found;
}

uint64_t free_memory_of(const std::vector<std::string> & names) {
    uint64_t free = 0;
    for (const auto & device : devices()) {
        if (std::find(names.begin(), names.end(), device.name) != names.end()) {
            if (device.memory_total == 0) {
                return 0;
            }
            free += device.memory_free;
        }
    }
    return free;
}

std::string free_memory_text(const std::vector<std::string> & names) {
    std::string text;
    for (const auto & device : devices()) {
        if (std::find(names.begin(), names.end(), device.name) != names.end()) {
            text += (text.empty() ? "" : ", ") + device.name;
            text += device.memory_total == 0
                        ? " does not tell what is free: perhaps less than its driver takes for a process"
                        : " has " + std::to_string(device.memory_free >> 20) + " of " +
                              std::to_string(device.memory_total >> 20) + " MiB free";
        }
    }
    return text;
}

}  // namespace shimmy
