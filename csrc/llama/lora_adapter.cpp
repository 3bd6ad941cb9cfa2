#include "llama/lora_adapter.h"

#include <llama.h>

#include <algorithm>
#include <mutex>

#include "errors.h"
#include "gguf/gguf_check.h"
#include "llama/log_sink.h"
#include "llama/model_fingerprint.h"
#include "llama/native_abort.h"
#include "llama/weight_layouts.h"

namespace shimmy {
namespace {

using MetaByIndex = int32_t (*)(const llama_adapter_lora *, int32_t, char *, size_t);

std::string meta_by_index(const llama_adapter_lora * adapter, MetaByIndex get, int32_t index) {
    std::string text(256, '\0');
    int32_t length = get(adapter, index, text.data(), text.size());
    if (length >= static_cast<int32_t>(text.size())) {
        text.resize(static_cast<size_t>(length) + 1);
        length = get(adapter, index, text.data(), text.size());
    }
    text.resize(static_cast<size_t>(std::max(length, 0)));
    return text;
}

}  // namespace

std::shared_ptr<LoraAdapter> LoraAdapter::load(std::shared_ptr<Model> model, const std::string & path) {
    if (model->params().vocab_only) {
        throw InvalidRequestError(model->path() + " was loaded with vocab_only, so no adapter can be added");
    }
    check_gguf_adapter(path, model->path());
    const uint64_t fingerprint = adapter_fingerprint(path);
    LogCapture log;
    llama_adapter_lora * adapter = nullptr;
    try {
        AbortGuard guard;
        std::lock_guard lock(model->adapters_mutex());
        const auto layout = model->layouts() ? model->layouts()->use_repacked() : WeightLayouts::Use();
        adapter = llama_adapter_lora_init(model->get(), path.c_str());
    } catch (const std::exception & error) {
        throw ModelLoadError(path + ": " + error.what());
    }
    if (!adapter) {
        throw ModelLoadError(path + ": " + (log.text().empty() ? "llama.cpp could not load it" : log.text()));
    }
    const std::shared_ptr<LoraAdapter> loaded(new LoraAdapter(std::move(model), path, fingerprint, adapter));
    const int32_t n_vocab = loaded->model_->n_vocab();
    for (const Token token : loaded->invocation_tokens()) {
        if (token < 0 || token >= n_vocab) {
            throw ModelLoadError(path + ": adapter.alora.invocation_tokens holds token " +
                                 std::to_string(static_cast<uint32_t>(token)) + " and the vocabulary of " +
                                 loaded->model_->path() + " has ids 0 to " + std::to_string(n_vocab - 1));
        }
    }
    return loaded;
}

LoraAdapter::LoraAdapter(std::shared_ptr<Model> model, std::string path, uint64_t fingerprint,
                         llama_adapter_lora * adapter)
    : model_(std::move(model)), path_(std::move(path)), fingerprint_(fingerprint), adapter_(adapter) {}

LoraAdapter::~LoraAdapter() {
    std::lock_guard lock(model_->adapters_mutex());
    llama_adapter_lora_free(adapter_);
}

std::map<std::string, std::string> LoraAdapter::metadata() const {
    std::map<std::string, std::string> values;
    for (int32_t i = 0; i < llama_adapter_meta_count(adapter_); ++i) {
        values.emplace(meta_by_index(adapter_, llama_adapter_meta_key_by_index, i),
                       meta_by_index(adapter_, llama_adapter_meta_val_str_by_index, i));
    }
    return values;
}

std::vector<Token> LoraAdapter::invocation_tokens() const {
    const auto n = llama_adapter_get_alora_n_invocation_tokens(adapter_);
    const auto * tokens = llama_adapter_get_alora_invocation_tokens(adapter_);
    return {tokens, tokens + n};
}

}  // namespace shimmy
