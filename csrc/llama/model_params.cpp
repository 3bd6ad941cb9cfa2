#include "llama/model_params.h"

#include <ggml-backend.h>

#include <algorithm>
#include <regex>

#include "errors.h"
#include "in_range.h"
#include "llama/device.h"
#include "llama/rpc_servers.h"

namespace shimmy {
namespace {

constexpr int32_t most_layers = 1024;
constexpr size_t most_overrides = 256;
constexpr size_t longest_pattern = 512;
constexpr const char * experts = "\\.ffn_(up|down|gate|gate_up)_(ch|)exps";  // llama.cpp's names of expert weights

llama_split_mode split_mode_of(const std::string & name) {
    if (name == "none") {
        return LLAMA_SPLIT_MODE_NONE;
    }
    if (name == "layer") {
        return LLAMA_SPLIT_MODE_LAYER;
    }
    if (name == "row") {
        return LLAMA_SPLIT_MODE_ROW;
    }
    if (name == "tensor") {
        return LLAMA_SPLIT_MODE_TENSOR;
    }
    throw InvalidRequestError("split_mode is '" + name + "', it must be none, layer, row or tensor", "split_mode");
}

// The GPUs that layers may go to. `chosen` is null-terminated; empty: all.
std::vector<ggml_backend_device *> gpus_of(const std::vector<ggml_backend_device *> & chosen) {
    std::vector<ggml_backend_device *> gpus;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        auto * dev = ggml_backend_dev_get(i);
        const auto type = ggml_backend_dev_type(dev);
        const bool gpu = type == GGML_BACKEND_DEVICE_TYPE_GPU || type == GGML_BACKEND_DEVICE_TYPE_IGPU;
        if (gpu && (chosen.empty() || std::find(chosen.begin(), chosen.end(), dev) != chosen.end())) {
            gpus.push_back(dev);
        }
    }
    return gpus;
}

// The mode, where the GPUs can do it; without a GPU there is nothing to split. llama.cpp tells of rows only when the
// file is open, and as a failure of the file.
llama_split_mode split_mode_on(const std::vector<ggml_backend_device *> & gpus, llama_split_mode mode) {
    if (gpus.empty()) {
        return LLAMA_SPLIT_MODE_LAYER;
    }
    for (auto * dev : gpus) {
        auto * backend = ggml_backend_dev_backend_reg(dev);
        if (mode == LLAMA_SPLIT_MODE_ROW &&
            !ggml_backend_reg_get_proc_address(backend, "ggml_backend_split_buffer_type")) {
            throw InvalidRequestError(
                "split_mode is 'row', and the backend " + std::string(ggml_backend_reg_name(backend)) + " of " +
                    ggml_backend_dev_name(dev) + " cannot split matrices by rows: choose layer, tensor or none",
                "split_mode");
        }
    }
    return mode;
}

std::vector<float> tensor_split_of(const ModelParams & params) {
    const size_t n_devices = llama_max_devices();
    if (params.tensor_split.size() > n_devices) {
        throw InvalidRequestError("tensor_split has " + std::to_string(params.tensor_split.size()) +
                                      " shares, this build supports " + std::to_string(n_devices) + " devices",
                                  "tensor_split");
    }
    std::vector<float> split(n_devices, 0.0F);
    for (size_t i = 0; i < params.tensor_split.size(); ++i) {
        if (!(params.tensor_split[i] >= 0 && params.tensor_split[i] <= 1e6)) {
            throw InvalidRequestError("tensor_split holds a share that is not between 0 and 1,000,000", "tensor_split");
        }
        split[i] = static_cast<float>(params.tensor_split[i]);
    }
    return split;
}

ggml_backend_buffer_type_t buffer_type_of(const std::string & name) {
    std::string known;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        auto * dev = ggml_backend_dev_get(i);
        auto * type = ggml_backend_dev_buffer_type(dev);
        if (type && (name == ggml_backend_dev_name(dev) || name == ggml_backend_buft_name(type))) {
            return type;
        }
        known += (known.empty() ? "" : ", ") + std::string(ggml_backend_dev_name(dev));
    }
    throw InvalidRequestError("tensor_overrides names the buffer '" + name + "': this build and machine offer " + known,
                              "tensor_overrides");
}

}  // namespace

NativeModelParams::NativeModelParams(const ModelParams & params) : native(llama_model_default_params()) {
    init_backends();
    add_rpc_servers(params.rpc_servers);
    devices_ = find_devices(params.devices);
    split_ = tensor_split_of(params);
    native.devices = devices_.empty() ? nullptr : devices_.data();
    native.n_gpu_layers = in_range("n_gpu_layers", params.n_gpu_layers, -2, most_layers);
    native.split_mode = split_mode_on(gpus_of(devices_), split_mode_of(params.split_mode));
    native.main_gpu = params.main_gpu;
    native.tensor_split = params.tensor_split.empty() ? nullptr : split_.data();
    native.load_mode = params.use_mmap ? (params.use_mlock ? LLAMA_LOAD_MODE_MMAP_MLOCK : LLAMA_LOAD_MODE_MMAP)
                                       : (params.use_mlock ? LLAMA_LOAD_MODE_MLOCK : LLAMA_LOAD_MODE_NONE);
    native.use_extra_bufts = params.use_extra_bufts;
    native.check_tensors = params.check_tensors;
    native.vocab_only = params.vocab_only;
    check_main_gpu(params);
    add_overrides(params);
}

// Which of the devices is meant; llama.cpp only looks with split_mode none and takes negative ones for "no GPU".
void NativeModelParams::check_main_gpu(const ModelParams & params) const {
    const auto n_given = static_cast<int32_t>(devices_.empty() ? 0 : devices_.size() - 1);
    in_range("main_gpu", params.main_gpu, 0, static_cast<int32_t>(llama_max_devices()) - 1);
    if (n_given > 0 && params.main_gpu >= n_given) {
        throw InvalidRequestError("main_gpu is " + std::to_string(params.main_gpu) + " and devices names " +
                                      std::to_string(n_given) + " GPUs, counted from 0",
                                  "main_gpu");
    }
}

void NativeModelParams::add_overrides(const ModelParams & params) {
    if (params.tensor_overrides.size() > most_overrides) {
        throw InvalidRequestError("tensor_overrides has more than " + std::to_string(most_overrides) + " entries",
                                  "tensor_overrides");
    }
    const auto add = [&](std::string pattern, ggml_backend_buffer_type_t type) {
        patterns_.push_back(std::move(pattern));
        overrides_.push_back({patterns_.back().c_str(), type});
    };
    for (const auto & entry : params.tensor_overrides) {  // the first match wins, so these come before the experts
        const auto equals = entry.rfind('=');
        if (equals == std::string::npos || equals == 0 || equals > longest_pattern) {
            throw InvalidRequestError("tensor_overrides holds '" + entry.substr(0, 80) +
                                          "', it must be PATTERN=BUFFER: a regular expression of at most " +
                                          std::to_string(longest_pattern) + " characters and a device, such as CPU",
                                      "tensor_overrides");
        }
        auto pattern = entry.substr(0, equals);
        try {
            static_cast<void>(std::regex(pattern));
        } catch (const std::regex_error & error) {
            throw InvalidRequestError(
                "tensor_overrides holds '" + pattern + "', which is no regular expression: " + error.what(),
                "tensor_overrides");
        }
        add(std::move(pattern), buffer_type_of(entry.substr(equals + 1)));
    }
    in_range("n_cpu_moe", params.n_cpu_moe, -1, most_layers);
    if (params.n_cpu_moe < 0) {
        add(experts, ggml_backend_cpu_buffer_type());
    }
    for (int32_t i = 0; i < params.n_cpu_moe; ++i) {
        add("blk\\." + std::to_string(i) + experts, ggml_backend_cpu_buffer_type());
    }
    if (!overrides_.empty()) {
        overrides_.push_back({nullptr, nullptr});
        native.tensor_buft_overrides = overrides_.data();
    }
}

}  // namespace shimmy
