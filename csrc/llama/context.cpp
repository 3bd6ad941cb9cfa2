#include "llama/context.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <shared_mutex>
#include <string_view>
#include <utility>

#include "errors.h"
#include "llama/context_params.h"
#include "llama/log_sink.h"
#include "llama/lora_adapter.h"
#include "llama/native_abort.h"
#include "llama/state_frame.h"
#include "llama/weight_layouts.h"

namespace shimmy {
namespace {

std::string text(int64_t number) {
    return std::to_string(number);
}

}  // namespace

Context::Context(std::shared_ptr<Model> model, const ContextParams & params,
                 std::optional<BackendSampler::Where> sampler)
    : model_(std::move(model)), params_(params) {
    if (model_->params().vocab_only) {
        throw InvalidRequestError(model_->path() + " was loaded with vocab_only, so it has no weights to run");
    }
    auto native = native_context_params(*model_, params_);
    native.abort_callback = [](void * context) {
        const auto & self = *static_cast<Context *>(context);
        return self.abort_.load() && !self.moves_cells_.load();
    };
    native.abort_callback_data = this;
    n_threads_ = native.n_threads;
    n_threads_batch_ = native.n_threads_batch;
    max_threads_ = std::max(native.n_threads, native.n_threads_batch);

    LogCapture log;
    try {
        AbortGuard guard;
        const uint32_t n_outputs = native.n_outputs_max == 0 ? native.n_batch : native.n_outputs_max;
        if (const int32_t n_vocab = llama_vocab_n_tokens(model_->vocab());
            sampler && BackendSampler::fits(n_vocab, n_outputs)) {
            backend_sampler_.emplace(*sampler, n_vocab, native.n_seq_max);
            backend_sampler_->attach(native);
        }
        std::shared_lock adapters(model_->adapters_mutex());
        const auto layout = model_->layouts() ? model_->layouts()->use_repacked() : WeightLayouts::Use();
        ctx_ = llama_init_from_model(model_->get(), native);
    } catch (const std::exception & error) {
        throw ModelLoadError(model_->path() + ": no context with n_ctx " + text(native.n_ctx) + ": " +
                             told(log.text(), error.what()));
    }
    if (!ctx_) {
        throw ModelLoadError(model_->path() + ": no context with n_ctx " + text(native.n_ctx) + ": " +
                             told(log.text(), "llama.cpp gave no reason"));
    }
    n_outputs_max_ = params_.n_outputs_max == 0 ? n_batch() : params_.n_outputs_max;
    try {
        check_pooling();
        // What GPUs leave of a token one thread does; the others would spin from one token to the next.
        const bool leaves_little = params_.offload_kqv && model_->whole_on_gpus();
        threads_.emplace(native.n_threads, native.n_threads_batch, leaves_little ? 0 : params_.poll);
    } catch (...) {
        llama_free(ctx_);
        throw;
    }
    threads_->attach(ctx_, native.n_threads, native.n_threads_batch);
    kv_cache_ = KvCache(ctx_, model_->fingerprint(), params_.offload_kqv && model_->uses_gpu());
}

Context::~Context() {
    llama_free(ctx_);
}

uint32_t Context::n_ctx() const {
    return llama_n_ctx(ctx_);
}
uint32_t Context::n_ctx_seq() const {
    return llama_n_ctx_seq(ctx_);
}
uint32_t Context::n_batch() const {
    return llama_n_batch(ctx_);
}
uint32_t Context::n_ubatch() const {
    return llama_n_ubatch(ctx_);
}
uint32_t Context::n_seq_max() const {
    return llama_n_seq_max(ctx_);
}

void Context::set_n_threads(int32_t n_threads, int32_t n_threads_batch) {
    check_alive();
    const auto check = [](const char * name, int32_t value, int32_t most) {
        if (value < 1 || value > most) {
            throw InvalidRequestError(std::string(name) + " is " + text(value) + ", it must be between 1 and " +
                                          text(most) + ", what the context was made with",
                                      name);
        }
    };
    check("n_threads", n_threads, max_threads_);
    check("n_threads_batch", n_threads_batch, max_threads_);
    if (n_threads != n_threads_ || n_threads_batch != n_threads_batch_) {
        threads_->attach(ctx_, n_threads, n_threads_batch);
        n_threads_ = n_threads;
        n_threads_batch_ = n_threads_batch;
    }
}

std::string Context::pooling() const {
    switch (llama_pooling_type(ctx_)) {
        case LLAMA_POOLING_TYPE_MEAN:
            return "mean";
        case LLAMA_POOLING_TYPE_CLS:
            return "cls";
        case LLAMA_POOLING_TYPE_LAST:
            return "last";
        case LLAMA_POOLING_TYPE_RANK:
            return "rank";
        default:
            return "none";
    }
}

// Whether embeddings are pooled over what is computed at once, so that a sequence must not be cut.
bool Context::pools_at_once() const {
    const auto pooling = llama_pooling_type(ctx_);
    return params_.embeddings && pooling != LLAMA_POOLING_TYPE_NONE && pooling != LLAMA_POOLING_TYPE_LAST;
}

bool Context::has_cache() const {
    return llama_get_memory(ctx_) != nullptr;
}

bool Context::whole() const {
    return !has_cache() || !llama_get_causal_attn(ctx_) || pools_at_once();
}

void Context::check_pooling() const {
    if (pools_at_once() && llama_get_memory(ctx_) && n_ctx_seq() != n_ctx()) {
        throw InvalidRequestError(
            "pooling " + pooling() +
                " needs kv_unified: with a cache per sequence, sequences of different lengths are "
                "computed in pieces",
            "kv_unified");
    }
}

void Context::check_alive() const {
    if (!fatal_.empty()) {
        throw DecodeError("this context failed before and is of no further use: " + fatal_);
    }
}

void Context::check(Call call, const Batch & batch) const {
    check_alive();
    const bool has_memory = has_cache();
    if (call == Call::Encode && has_memory && !model_->has_encoder()) {
        throw InvalidRequestError("this model has no encoder: use decode");
    }
    if (call == Call::Decode && !has_memory) {
        throw InvalidRequestError("this model has no KV cache: use encode");
    }
    if (batch.n_tokens() == 0) {
        throw InvalidRequestError("the batch is empty", "batch");
    }
    const bool at_once = call == Call::Encode || whole();
    const uint32_t most = at_once ? n_ubatch() : n_batch();
    if (static_cast<uint32_t>(batch.n_tokens()) > most) {
        throw InvalidRequestError("the batch has " + text(batch.n_tokens()) + " tokens, " +
                                      (at_once ? "n_ubatch" : "n_batch") + " is " + text(most),
                                  "batch");
    }
    const int32_t n_outputs = params_.embeddings ? batch.n_tokens() : batch.n_outputs();
    if (call == Call::Decode && static_cast<uint32_t>(n_outputs) > n_outputs_max_) {
        throw InvalidRequestError(
            std::string(params_.embeddings ? "with embeddings every token is an output: the batch has "
                                           : "the batch asks for ") +
                text(n_outputs) + " outputs, n_outputs_max is " + text(n_outputs_max_),
            "batch");
    }
    const int32_t n_vocab = llama_vocab_n_tokens(model_->vocab());
    const int32_t n_seq_max = static_cast<int32_t>(llama_n_seq_max(ctx_));
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        const Token token = batch.tokens()[static_cast<size_t>(i)];
        if (token < 0 || token >= n_vocab) {
            throw InvalidRequestError("token " + text(i) + " of the batch is " + text(token) +
                                          ", the vocabulary has ids 0 to " + text(n_vocab - 1),
                                      "batch");
        }
        if (batch.positions()[static_cast<size_t>(i)] < 0) {
            throw InvalidRequestError("token " + text(i) + " of the batch has a negative position", "batch");
        }
        if (!has_memory && batch.positions()[static_cast<size_t>(i)] >= model_->n_ctx_train()) {
            throw InvalidRequestError("token " + text(i) + " of the batch is at position " +
                                          text(batch.positions()[static_cast<size_t>(i)]) + ", the model has " +
                                          text(model_->n_ctx_train()),
                                      "batch");
        }
        if (batch.n_seq_id(i) > 1 && n_ctx_seq() != n_ctx()) {
            throw InvalidRequestError(
                "token " + text(i) + " of the batch belongs to several sequences, which needs kv_unified", "batch");
        }
        for (int32_t s = 0; s < batch.n_seq_id(i); ++s) {
            const SeqId seq_id = batch.seq_ids(i)[s];
            if (seq_id < 0 || seq_id >= n_seq_max) {
                throw InvalidRequestError("token " + text(i) + " of the batch belongs to sequence " + text(seq_id) +
                                              ", the context has sequences 0 to " + text(n_seq_max - 1),
                                          "batch");
            }
        }
    }
}

DecodeStatus Context::decode(const Batch & batch) {
    return run(Call::Decode, batch);
}

DecodeStatus Context::encode(const Batch & batch) {
    return run(Call::Encode, batch);
}

DecodeStatus Context::run(Call call, const Batch & batch) {
    check(call, batch);
    has_outputs_ = false;
    if (abort_.exchange(false)) {
        return DecodeStatus::Aborted;
    }
    moves_cells_.store(!kv_cache_.settled());
    const auto n = static_cast<size_t>(batch.n_tokens());
    seq_id_pointers_.resize(n);
    n_seq_ids_.resize(n);
    for (size_t i = 0; i < n; ++i) {
        seq_id_pointers_[i] = const_cast<SeqId *>(batch.seq_ids(static_cast<int32_t>(i)));
        n_seq_ids_[i] = batch.n_seq_id(static_cast<int32_t>(i));
    }
    llama_batch native{};
    native.n_tokens = batch.n_tokens();
    native.token = const_cast<Token *>(batch.tokens().data());
    native.pos = const_cast<Pos *>(batch.positions().data());
    native.n_seq_id = n_seq_ids_.data();
    native.seq_id = seq_id_pointers_.data();
    native.logits = const_cast<int8_t *>(batch.outputs().data());

    LogCapture log(LogCapture::Lines::Hold);
    int32_t result = 0;
    try {
        AbortGuard guard;
        std::shared_lock adapters(model_->adapters_mutex(), std::defer_lock);
        if (std::exchange(reserves_, false)) {
            adapters.lock();
        }
        WeightLayouts::Use layout;
        if (auto * layouts = model_->layouts()) {
            layout = params_.switch_layout ? layouts->use_faster(batch.n_tokens()) : layouts->use_repacked();
        }
        if (backend_sampler_) {
            backend_sampler_->begin(batch);
        }
        result = call == Call::Decode ? llama_decode(ctx_, native) : llama_encode(ctx_, native);
        llama_synchronize(ctx_);
        if (backend_sampler_ && result == 0) {
            backend_sampler_->end(ctx_, batch);
        }
    } catch (const std::exception & error) {
        trouble_ = told(log.text(), "") + (log.text().empty() ? "" : "; ") + error.what();
        if (std::string_view(error.what()).starts_with("failed to allocate compute")) {
            reserve_again();
            return DecodeStatus::NoMemory;
        }
        fatal_ = trouble_;
        return DecodeStatus::Failed;
    }
    if (result == 2 || (result != 0 && abort_.load())) {
        abort_.store(false);
        log.excuse();
        return DecodeStatus::Aborted;
    }
    switch (result) {
        case 0:
            has_outputs_ = true;
            kv_cache_.settle();
            return DecodeStatus::Ok;
        case 1:
            kv_cache_.settle();
            log.excuse();
            return DecodeStatus::NoKvSlot;
        case -1:
            return DecodeStatus::Invalid;
        case -2:
            kv_cache_.settle();
            trouble_ = told(log.text(), "no memory to compute in");
            if (log.text().find("failed to allocate graph") != std::string::npos) {
                reserve_again();
            }
            return DecodeStatus::NoMemory;
        case -3:
            kv_cache_.settle();
            trouble_ = told(log.text(), "the backend failed");
            return DecodeStatus::Broken;
        default:
            fatal_ = trouble_ = told(log.text(), "llama.cpp returned " + text(result));
            return DecodeStatus::Failed;
    }
}

// llama.cpp takes buffers that it could not allocate for those of a graph of the same shape: have it start afresh.
void Context::reserve_again() {
    llama_set_adapter_cvec(ctx_, nullptr, 0, 0, 0, 0);
    reserves_ = true;
}

// With numbers where a GPU is used: its memory is what most often runs out.
std::string Context::told(const std::string & log, const std::string & otherwise) const {
    const auto memory = model_->uses_gpu() ? free_memory_text(model_->devices()) : std::string();
    return (log.empty() ? otherwise : log) + (memory.empty() ? "" : " (" + memory + ")");
}

std::vector<DeviceMemory> Context::memory() const {
    return memory_of(ctx_);
}

std::span<const float> Context::logits(int32_t i) const {
    check_alive();
    const bool sampled = backend_sampler_ && backend_sampler_->attached();
    const auto get = sampled ? llama_get_sampled_logits_ith : llama_get_logits_ith;
    const float * row = has_outputs_ ? get(ctx_, i) : nullptr;
    if (!row) {
        throw InvalidRequestError("token " + text(i) +
                                      " of the last batch has no logits: it asked for no output, or "
                                      "the last call was no successful decode",
                                  "i");
    }
    return {row, static_cast<size_t>(llama_vocab_n_tokens(model_->vocab()))};
}

OutputRow Context::row(int32_t i) const {
    if (has_outputs_ && backend_sampler_ && backend_sampler_->found(i)) {
        return {{}, backend_sampler_->token(i)};
    }
    return {logits(i)};
}

std::span<const float> Context::embeddings(int32_t i) const {
    check_alive();
    if (!params_.embeddings) {
        throw InvalidRequestError("the context was made with embeddings=False", "i");
    }
    if (llama_pooling_type(ctx_) != LLAMA_POOLING_TYPE_NONE) {
        throw InvalidRequestError("the context pools embeddings (" + pooling() + "): use embeddings_seq", "i");
    }
    const float * row = has_outputs_ ? llama_get_embeddings_ith(ctx_, i) : nullptr;
    if (!row) {
        throw InvalidRequestError(
            "token " + text(i) + " of the last batch has no embedding, or the last call was no successful decode", "i");
    }
    return {row, static_cast<size_t>(llama_model_n_embd_out(model_->get()))};
}

std::span<const float> Context::embeddings_seq(SeqId seq_id) const {
    check_alive();
    const auto pooling = llama_pooling_type(ctx_);
    const float * row = has_outputs_ && params_.embeddings && pooling != LLAMA_POOLING_TYPE_NONE
                            ? llama_get_embeddings_seq(ctx_, seq_id)
                            : nullptr;
    if (!row) {
        throw InvalidRequestError("sequence " + text(seq_id) +
                                      " has no pooled embedding: the context needs "
                                      "embeddings=True and a pooling, and the sequence must be in the last batch",
                                  "seq_id");
    }
    const auto n = pooling == LLAMA_POOLING_TYPE_RANK ? static_cast<int64_t>(llama_model_n_cls_out(model_->get()))
                                                      : llama_model_n_embd_out(model_->get());
    return {row, static_cast<size_t>(n)};
}

void Context::set_adapters(const std::vector<std::pair<std::shared_ptr<LoraAdapter>, double>> & adapters) {
    check_alive();
    std::vector<llama_adapter_lora *> handles;
    std::vector<float> scales;
    for (const auto & [adapter, scale] : adapters) {
        if (!adapter) {
            throw InvalidRequestError("adapters holds None", "adapters");
        }
        if (adapter->model() != model_) {
            throw InvalidRequestError(adapter->path() + " was loaded for another model object", "adapters");
        }
        if (!(std::abs(scale) <= std::numeric_limits<float>::max())) {
            throw InvalidRequestError("the scale of " + adapter->path() + " is not a finite number", "adapters");
        }
        if (std::find(handles.begin(), handles.end(), adapter->get()) != handles.end()) {
            throw InvalidRequestError(adapter->path() + " is named twice", "adapters");
        }
        handles.push_back(adapter->get());
        scales.push_back(static_cast<float>(scale));
    }
    llama_set_adapters_lora(ctx_, handles.data(), handles.size(), scales.data());
    adapters_ = adapters;
    reserves_ = true;
}

std::vector<uint8_t> Context::save_state() const {
    check_alive();
    kv_cache_.check_settled();
    AbortGuard guard;
    std::vector<uint8_t> data(llama_state_get_size(ctx_));
    data.resize(llama_state_get_data(ctx_, data.data(), data.size()));
    return frame_state(StateKind::Context, model_->fingerprint(), {}, {data});
}

void Context::load_state(std::span<const uint8_t> state) {
    check_alive();
    kv_cache_.check_settled();
    const auto frame = unframe_state(StateKind::Context, model_->fingerprint(), state);
    AbortGuard guard;
    if (llama_state_set_data(ctx_, frame.data.data(), frame.data.size()) == 0) {
        llama_memory_clear(llama_get_memory(ctx_), false);
        throw InvalidRequestError("the state does not fit this context: it was saved with other settings", "state");
    }
}

}  // namespace shimmy
