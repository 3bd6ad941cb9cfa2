#include "llama/model.h"

#include <llama-ext.h>
#include <llama.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <set>
#include <vector>

#include "errors.h"
#include "gguf/gguf_check.h"
#include "llama/device.h"
#include "llama/ggml_types.h"
#include "llama/log_sink.h"
#include "llama/model_fingerprint.h"
#include "llama/model_params.h"
#include "llama/native_abort.h"
#include "llama/weight_layouts.h"

namespace shimmy {
namespace {

struct Progress {
    const ProgressCallback & callback;
    bool stopped = false;
    std::exception_ptr error;

    static bool on_progress(float fraction, void * self_pointer) {
        auto & self = *static_cast<Progress *>(self_pointer);
        if (self.error || self.stopped) {
            return false;
        }
        try {
            self.stopped = self.callback && !self.callback(fraction);
        } catch (...) {
            self.error = std::current_exception();
        }
        return !self.stopped && !self.error;
    }
};

std::string reason_of(const std::string & log, const std::string & error) {
    return log.empty() ? error : log + "; " + error;
}

// What to know when weights found no room on a GPU; empty where none takes part.
std::string memory_left(const ModelParams & params) {
    std::vector<std::string> names = params.devices;
    for (const auto & device : devices()) {
        if (names.empty() && (device.type == "gpu" || device.type == "igpu")) {
            names.push_back(device.name);
        }
    }
    const auto text = params.n_gpu_layers == 0 ? std::string() : free_memory_text(names);
    return text.empty() ? "" : " (" + text + ")";
}

using MetaByIndex = int32_t (*)(const llama_model *, int32_t, char *, size_t);

std::string meta_by_index(const llama_model * model, MetaByIndex get, int32_t index) {
    std::string text(256, '\0');
    int32_t length = get(model, index, text.data(), text.size());
    if (length >= static_cast<int32_t>(text.size())) {
        text.resize(static_cast<size_t>(length) + 1);
        length = get(model, index, text.data(), text.size());
    }
    text.resize(static_cast<size_t>(length < 0 ? 0 : length));
    return text;
}

// Processors with AMX read mapped files, whose pages have 4 KiB, 10 to 15 % slower than the huge ones that ggml's own
// buffers have (csrc/ggml/huge_pages.h). `size`: bytes of the model's file.
bool is_faster_unmapped(uint64_t size) {
    const auto features = cpu_features();
    return std::find(features.begin(), features.end(), "AMX_INT8") != features.end() && has_only_cpus() &&
           size < host_memory().available / 2;
}

}  // namespace

std::shared_ptr<Model> Model::load(const std::string & path, const ModelParams & params,
                                   const ProgressCallback & progress) {
    return load(path, params, progress, Weights::Loaded);
}

std::shared_ptr<Model> Model::measured(const std::string & path, const ModelParams & params) {
    auto without_files = params;
    without_files.use_mmap = false;
    without_files.use_mlock = false;
    without_files.both_layouts = false;
    without_files.check_tensors = false;
    return load(path, without_files, {}, Weights::Measured);
}

std::shared_ptr<Model> Model::load(const std::string & path, const ModelParams & params,
                                   const ProgressCallback & progress, Weights weights) {
    NativeModelParams wanted(params);
    auto & native = wanted.native;
    native.no_alloc = weights == Weights::Measured;

    const auto summary = check_gguf_split(path);
    const auto fingerprint = model_fingerprint(path);
    if (summary.kind == GgufKind::Adapter) {
        throw ModelLoadError(path + " is a LoRA adapter, not a model: load its base model and add this file to it");
    }
    if (summary.kind == GgufKind::Projector) {
        throw ModelLoadError(path + " is a multimodal projector, not a language model: load the model it belongs to");
    }

    if (native.load_mode == LLAMA_LOAD_MODE_MMAP && summary.split_count == 0 &&
        is_faster_unmapped(summary.size_bytes)) {
        native.load_mode = LLAMA_LOAD_MODE_NONE;
    }

    Progress watch{progress, false, nullptr};
    native.progress_callback = Progress::on_progress;
    native.progress_callback_user_data = &watch;

    LogCapture log;
    llama_model * model = nullptr;
    try {
        AbortGuard guard;
        model = llama_model_load_from_file(path.c_str(), native);
    } catch (const std::exception & error) {
        throw ModelLoadError(path + ": " + reason_of(log.text(), error.what()) + memory_left(params));
    }
    if (watch.error) {
        llama_model_free(model);
        std::rethrow_exception(watch.error);
    }
    if (!model) {
        throw ModelLoadError(path + ": " +
                             (watch.stopped        ? "loading was stopped by the progress callback"
                              : log.text().empty() ? "llama.cpp could not load it"
                                                   : log.text() + memory_left(params)));
    }
    std::shared_ptr<Model> loaded(new Model(model, path, params, fingerprint));
    if (params.both_layouts && params.use_mmap && !params.vocab_only && !loaded->uses_gpu()) {
        loaded->layouts_ = WeightLayouts::map(model, path);
    }
    return loaded;
}

Model::Model(llama_model * model, std::string path, ModelParams params, uint64_t fingerprint)
    : model_(model), path_(std::move(path)), params_(std::move(params)), fingerprint_(fingerprint) {}

Model::~Model() {
    layouts_.reset();
    llama_model_free(model_);
}

std::string Model::architecture() const {
    return metadata_value("general.architecture").value_or("");
}

std::string Model::description() const {
    char text[256];
    llama_model_desc(model_, text, sizeof(text));
    return text;
}

std::map<std::string, std::string> Model::metadata() const {
    std::map<std::string, std::string> values;
    for (int32_t i = 0; i < llama_model_meta_count(model_); ++i) {
        values.emplace(meta_by_index(model_, llama_model_meta_key_by_index, i),
                       meta_by_index(model_, llama_model_meta_val_str_by_index, i));
    }
    return values;
}

std::optional<std::string> Model::metadata_value(const std::string & key) const {
    const auto values = metadata();
    const auto found = values.find(key);
    return found == values.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::string> Model::chat_template() const {
    const char * source = llama_model_chat_template(model_, nullptr);
    return source ? std::optional<std::string>(source) : std::nullopt;
}

std::optional<std::string> Model::rerank_template() const {
    const char * source = llama_model_chat_template(model_, "rerank");
    return source ? std::optional<std::string>(source) : std::nullopt;
}

int32_t Model::number(const char * key, int32_t (*native)(const llama_model *)) const {
    if (!params_.vocab_only) {
        return native(model_);
    }
    const auto text = metadata_value(architecture() + "." + key).value_or("");
    int32_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

uint64_t Model::size_bytes() const {
    return llama_model_size(model_);
}
uint64_t Model::n_params() const {
    return llama_model_n_params(model_);
}
int32_t Model::n_ctx_train() const {
    return number("context_length", llama_model_n_ctx_train);
}
int32_t Model::n_embd() const {
    return number("embedding_length", llama_model_n_embd);
}
int32_t Model::n_embd_out() const {
    return params_.vocab_only ? n_embd() : llama_model_n_embd_out(model_);
}
int32_t Model::n_cls_out() const {
    return static_cast<int32_t>(llama_model_n_cls_out(model_));
}
int32_t Model::n_layer() const {
    return number("block_count", llama_model_n_layer);
}
int32_t Model::n_head() const {
    return number("attention.head_count", llama_model_n_head);
}
int32_t Model::n_head_kv() const {
    return number("attention.head_count_kv", llama_model_n_head_kv);
}
int32_t Model::n_vocab() const {
    return llama_vocab_n_tokens(vocab());
}
int32_t Model::n_swa() const {
    return number("attention.sliding_window", llama_model_n_swa);
}
bool Model::has_encoder() const {
    return llama_model_has_encoder(model_);
}
bool Model::has_decoder() const {
    return llama_model_has_decoder(model_);
}
bool Model::can_generate() const {
    // What llama.cpp makes no cache for (llama_model::create_memory), besides diffusion models.
    static const std::set<std::string> cacheless = {
        "bert",        "eurobert", "gemma-embedding", "jina-bert-v2",   "jina-bert-v3",
        "modern-bert", "neo-bert", "nomic-bert",      "nomic-bert-moe", "wavtokenizer-dec"};
    return has_decoder() && !has_encoder() && !llama_model_is_diffusion(model_) && cacheless.count(architecture()) == 0;
}
bool Model::is_causal() const {
    return can_generate() && metadata_value(architecture() + ".attention.causal").value_or("true") != "false";
}
std::string Model::pooling() const {
    static const std::map<std::string, std::string> names = {
        {"0", "none"}, {"1", "mean"}, {"2", "cls"}, {"3", "last"}, {"4", "rank"}};  // enum llama_pooling_type
    const auto found = names.find(metadata_value(architecture() + ".pooling_type").value_or(""));
    return found == names.end() ? "" : found->second;
}
bool Model::is_recurrent() const {
    return llama_model_is_recurrent(model_) || llama_model_is_hybrid(model_);
}
std::vector<std::string> Model::devices() const {
    return devices_of(model_);
}
OffloadedLayers Model::offloaded_layers() const {
    return layers_on_devices(model_, params_.n_gpu_layers);
}
bool Model::uses_gpu() const {
    return params_.n_gpu_layers != 0 && !devices().empty();
}
bool Model::whole_on_gpus() const {
    const auto layers = offloaded_layers();
    return uses_gpu() && layers.total > n_layer() && layers.partial == 0;
}
bool Model::has_experts() const {
    return llama_model_n_expert(model_) > 0;
}
const llama_vocab * Model::vocab() const {
    return llama_model_get_vocab(model_);
}

uint64_t Model::head_size(const std::string & which) const {
    const auto text = metadata_value(architecture() + ".attention." + which);
    uint64_t value = 0;
    if (text && std::from_chars(text->data(), text->data() + text->size(), value).ec == std::errc()) {
        return value;
    }
    return n_head() > 0 ? static_cast<uint64_t>(n_embd() / n_head()) : 0;
}

uint64_t Model::key_length() const {
    return head_size("key_length");
}

uint64_t Model::kv_bytes_per_cell(const std::string & type_k, const std::string & type_v) const {
    const uint64_t heads = static_cast<uint64_t>(n_layer()) * static_cast<uint64_t>(n_head_kv());
    return ggml_row_size(kv_type("type_k", type_k), static_cast<int64_t>(heads * key_length())) +
           ggml_row_size(kv_type("type_v", type_v), static_cast<int64_t>(heads * head_size("value_length")));
}

}  // namespace shimmy
