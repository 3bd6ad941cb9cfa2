#include "llama/weight_layouts.h"

#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <string_view>
#include <unordered_map>

#include "errors.h"
#include "gguf/gguf_check.h"
#include "llama/device.h"
#include "llama/mapped_file.h"

// libllama has it for its tests; no public call lists a model's tensors.
const std::vector<std::pair<std::string, ggml_tensor *>> & llama_internal_get_tensor_map(const llama_model * model);

namespace shimmy {
namespace {

constexpr int32_t min_tokens = 32;  // from which the file's layout is faster

}  // namespace

void WeightLayouts::BufferDeleter::operator()(ggml_backend_buffer * buffer) const {
    ggml_backend_buffer_free(buffer);
}

#ifndef SHIMMY_BOTH_LAYOUTS

std::unique_ptr<WeightLayouts> WeightLayouts::map(const llama_model *, const std::string &) {
    return nullptr;
}

#else

namespace {

// Not those of experts, of which each sees a few of the tokens only.
bool has_faster_file_layout(const ggml_tensor & tensor) {
    return ggml_n_dims(&tensor) == 2 && (tensor.type == GGML_TYPE_Q4_K || tensor.type == GGML_TYPE_Q2_K) &&
           tensor.view_src == nullptr && tensor.extra != nullptr && tensor.buffer != nullptr &&
           std::string_view(ggml_backend_buffer_name(tensor.buffer)) == "CPU_REPACK";
}

}  // namespace

std::unique_ptr<WeightLayouts> WeightLayouts::map(const llama_model * model, const std::string & path) {
    if (!MappedFile::supported || !has_only_cpus() || ggml_cpu_has_avx512_vnni() == 0) {
        return nullptr;
    }
    std::unordered_multimap<std::string, ggml_tensor *> repacked;
    uint64_t n_bytes = 0;
    for (const auto & [name, tensor] : llama_internal_get_tensor_map(model)) {
        if (has_faster_file_layout(*tensor)) {
            repacked.emplace(name, tensor);
            n_bytes += ggml_nbytes(tensor);
        }
    }
    if (repacked.empty() || host_memory().available / 2 < n_bytes) {
        return nullptr;
    }
    std::unique_ptr<WeightLayouts> layouts(new WeightLayouts());
    const auto add_part = [&](const GgufFile & part) {
        auto & file = layouts->files_.emplace_back();
        file.bytes = std::make_unique<MappedFile>(part.path());
        file.buffer.reset(ggml_backend_cpu_buffer_from_ptr(file.bytes->data(), file.bytes->size()));
        ggml_backend_buffer_set_usage(file.buffer.get(), GGML_BACKEND_BUFFER_USAGE_WEIGHTS);
        for (const auto & stored : part.tensors()) {
            void * data = file.bytes->at(part.data_offset() + stored.offset, stored.size_bytes);
            const auto [first, last] = repacked.equal_range(stored.name);
            for (auto it = first; it != last && data != nullptr; ++it) {
                auto & tensor = *it->second;
                if (stored.type == static_cast<uint32_t>(tensor.type) && stored.size_bytes == ggml_nbytes(&tensor)) {
                    layouts->bytes_ += stored.size_bytes;
                    layouts->weights_.push_back(
                        {&tensor, {tensor.buffer, tensor.data, tensor.extra}, {file.buffer.get(), data, nullptr}});
                }
            }
        }
    };
    try {
        visit_gguf_parts(path, add_part);
    } catch (const ModelLoadError &) {
        return nullptr;  // the model is loaded, and works as it is
    }
    return layouts->weights_.empty() ? nullptr : std::move(layouts);
}

#endif

WeightLayouts::~WeightLayouts() {
    point_at(Layout::Repacked);
}

WeightLayouts::Use::~Use() {
    if (layouts_ == nullptr) {
        return;
    }
    const std::lock_guard lock(layouts_->mutex_);
    if (--layouts_->n_users_ == 0) {
        layouts_->changed_.notify_all();
    }
}

WeightLayouts::Use WeightLayouts::use_faster(int32_t n_tokens) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return n_waiting_ == 0; });
    if (n_users_ == 0) {
        point_at(n_tokens < min_tokens ? Layout::Repacked : Layout::AsInFile);
    }
    ++n_users_;
    return Use(*this);
}

WeightLayouts::Use WeightLayouts::use_repacked() {
    std::unique_lock lock(mutex_);
    ++n_waiting_;
    changed_.wait(lock, [&] { return n_users_ == 0 || layout_ == Layout::Repacked; });
    --n_waiting_;
    point_at(Layout::Repacked);
    ++n_users_;
    changed_.notify_all();
    return Use(*this);
}

void WeightLayouts::point_at(Layout layout) {
    if (layout == layout_) {
        return;
    }
    layout_ = layout;
    for (const auto & weight : weights_) {
        const auto & place = layout == Layout::Repacked ? weight.repacked : weight.as_in_file;
        weight.tensor->buffer = place.buffer;
        weight.tensor->data = place.data;
        weight.tensor->extra = place.extra;
    }
}

}  // namespace shimmy
