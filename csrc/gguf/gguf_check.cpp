#include "gguf/gguf_check.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <unordered_set>

#include "errors.h"
#include "gguf/gguf_adapter.h"
#include "gguf/gguf_file.h"
#include "gguf/gguf_head.h"
#include "gguf/gguf_hparams.h"
#include "gguf/gguf_vocab.h"
#include "gguf/gguf_weights.h"

namespace shimmy {
namespace {

// The value where it is of the right type: a summary does not judge.
uint32_t u32_or_zero(const GgufFile & file, const std::string & key) {
    const auto * value = file.find(key);
    return value != nullptr && value->type == GgufType::u32 ? *file.u32(key) : 0;
}

std::string string_or_empty(const GgufFile & file, const std::string & key) {
    const auto * value = file.find(key);
    return value != nullptr && value->type == GgufType::string ? *file.string(key) : std::string();
}

GgufKind kind_of(const GgufFile & file, const std::string & architecture) {
    const auto type = string_or_empty(file, "general.type");
    if (type == "adapter") {
        return GgufKind::Adapter;
    }
    if (type == "mmproj" || architecture == "clip") {
        return GgufKind::Projector;
    }
    if (type == "imatrix") {
        return GgufKind::Importance;
    }
    if (architecture == "controlvector") {
        return GgufKind::ControlVector;
    }
    const auto * split_no = file.find("split.no");
    if (split_no != nullptr && split_no->type == GgufType::u16 && *file.u16("split.no") > 0) {
        return GgufKind::Shard;
    }
    if (file.tensors().empty() && file.find("tokenizer.ggml.model") != nullptr && file.find("split.count") == nullptr) {
        return GgufKind::VocabOnly;
    }
    return GgufKind::Model;
}

GgufSummary summarize(const GgufFile & file) {
    GgufSummary summary;
    summary.architecture = string_or_empty(file, "general.architecture");
    summary.name = string_or_empty(file, "general.name");
    summary.kind = kind_of(file, summary.architecture);
    summary.version = file.version();
    summary.n_tensors = file.tensors().size();
    summary.n_kv = file.keys().size();
    for (const auto & tensor : file.tensors()) {
        summary.n_parameters += tensor.shape[0] * tensor.shape[1] * tensor.shape[2] * tensor.shape[3];
    }
    summary.file_type = u32_or_zero(file, "general.file_type");
    summary.has_file_type = file.find("general.file_type") != nullptr;
    summary.alignment = file.alignment();
    summary.size_bytes = file.size_bytes();
    summary.context_length = u32_or_zero(file, summary.architecture + ".context_length");
    summary.embedding_length = u32_or_zero(file, summary.architecture + ".embedding_length");
    summary.block_count = u32_or_zero(file, summary.architecture + ".block_count");
    const auto * tokens = file.find("tokenizer.ggml.tokens");
    summary.n_vocab = tokens != nullptr && tokens->type == GgufType::array
                          ? tokens->count
                          : u32_or_zero(file, summary.architecture + ".vocab_size");
    for (const auto & [key, target] :
         {std::pair{"split.count", &summary.split_count}, {"split.no", &summary.split_no}}) {
        const auto * value = file.find(key);
        *target = value != nullptr && value->type == GgufType::u16 ? *file.u16(key) : 0;
    }
    summary.has_chat_template = !string_or_empty(file, "tokenizer.chat_template").empty();
    return summary;
}

// libllama reads these keys with a getter that asserts their type.
void check_key_types(const GgufFile & file) {
    for (const char * key : {"general.architecture", "general.type", "general.name", "adapter.type"}) {
        (void)file.string(key);
    }
    (void)file.f32("adapter.lora.alpha");
    (void)file.u16("split.count");
    (void)file.u16("split.no");
}

// Everything is held against every file, whatever it says it is: a caller may load it as something else.
void check(const GgufFile & file, const GgufSummary & summary) {
    check_key_types(file);
    if (summary.kind == GgufKind::Adapter) {
        check_adapter(file);
    }
    if (summary.kind == GgufKind::Model && summary.architecture.empty()) {
        file.fail("general.architecture", "is missing: the file is no model, convert it again");
    }
    if (!summary.architecture.empty() && summary.architecture != "clip") {
        check_hparams(file, summary.architecture);
        check_vocab(file, summary.architecture);
        check_weights(file);
        if (summary.kind == GgufKind::Model && summary.split_count <= 1) {
            check_head(file, summary.architecture);
        }
    }
}

std::string split_suffix(uint32_t number, uint32_t count) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "-%05u-of-%05u.gguf", number + 1, count);
    return text.data();
}

// What the name of the first part starts with.
std::string split_prefix(const GgufFile & file, const std::string & path, const GgufSummary & summary) {
    if (summary.split_no != 0) {
        file.fail("split.no", "says part " + std::to_string(summary.split_no + 1) + " of " +
                                  std::to_string(summary.split_count) + ": load the first part, '..." +
                                  split_suffix(0, summary.split_count) + "'");
    }
    const auto suffix = split_suffix(0, summary.split_count);
    if (path.size() <= suffix.size() || !path.ends_with(suffix)) {
        file.fail("split.count", "says that this is the first of " + std::to_string(summary.split_count) +
                                     " files, whose name must end in '" + suffix + "': rename the parts");
    }
    return path.substr(0, path.size() - suffix.size());
}

std::string missing_parts(const std::string & prefix, uint32_t count) {
    std::string first;
    uint32_t n_missing = 0;
    for (uint32_t i = 1; i < count; i++) {
        const auto path = prefix + split_suffix(i, count);
        const std::filesystem::path part(std::u8string(path.begin(), path.end()));
        if (!std::filesystem::exists(part)) {
            if (n_missing++ == 0) {
                const auto name = part.filename().u8string();
                first.assign(name.begin(), name.end());
            }
        }
    }
    if (n_missing == 0) {
        return {};
    }
    return "'" + first + "'" + (n_missing > 1 ? " and " + std::to_string(n_missing - 1) + " more" : std::string());
}

// Calls back with the first file and then with every other part of a split model, each found and in its place.
template <typename Callback>
void for_each_part(const GgufFile & file, const std::string & path, Callback callback) {
    callback(file);
    const uint32_t count = file.u16("split.count").value_or(0);
    if (count <= 1) {
        return;
    }
    const auto prefix = split_prefix(file, path, summarize(file));
    if (const auto missing = missing_parts(prefix, count); !missing.empty()) {
        file.fail("split.count", "says " + std::to_string(count) + " parts and " + missing +
                                     " is not beside it: download all parts into one folder");
    }
    for (uint32_t i = 1; i < count; i++) {
        const GgufFile part(prefix + split_suffix(i, count));
        if (const auto number = part.u16("split.no"); number != i) {
            part.fail("split.no", (number ? "is " + std::to_string(*number) : std::string("is missing")) +
                                      " and must be " + std::to_string(i) + ": get this part again");
        }
        if (const auto theirs = part.u16("split.count"); theirs && *theirs != count) {
            part.fail("split.count", "is " + std::to_string(*theirs) + " and the first part says " +
                                         std::to_string(count) + ": the parts are of two models");
        }
        callback(part);
    }
}

}  // namespace

std::string gguf_kind_name(GgufKind kind) {
    switch (kind) {
        case GgufKind::Model:
            return "model";
        case GgufKind::VocabOnly:
            return "vocab-only";
        case GgufKind::Adapter:
            return "adapter";
        case GgufKind::Projector:
            return "projector";
        case GgufKind::ControlVector:
            return "control-vector";
        case GgufKind::Importance:
            return "imatrix";
        case GgufKind::Shard:
            return "shard";
    }
    return {};
}

GgufSummary read_gguf(const std::string & path) {
    return summarize(GgufFile(path));
}

GgufSummary check_gguf(const std::string & path) {
    const GgufFile file(path);
    const auto summary = summarize(file);
    check(file, summary);
    return summary;
}

void visit_gguf_parts(const std::string & path, const std::function<void(const GgufFile &)> & callback) {
    for_each_part(GgufFile(path), path, callback);
}

GgufSummary check_gguf_split(const std::string & path) {
    const GgufFile file(path);
    auto summary = summarize(file);
    std::unordered_set<std::string> names;
    for_each_part(file, path, [&](const GgufFile & part) {
        for (const auto & tensor : part.tensors()) {
            if (!names.insert(tensor.name).second) {
                part.fail("tensor '" + tensor.name + "'", "is in another part too: the parts are of two models");
            }
        }
        if (&part != &file) {
            check_weights(part);
            summary.n_parameters += summarize(part).n_parameters;
            summary.size_bytes += part.size_bytes();
        }
    });
    if (summary.split_count > 1) {
        const auto * total = file.find("split.tensors.count");
        if (total == nullptr || total->type != GgufType::i32) {
            file.fail("split.tensors.count", "is missing or no i32: split the model again");
        }
        const auto expected = file.integers(*total).front();
        if (expected != static_cast<int64_t>(names.size())) {
            file.fail("split.tensors.count", "is " + std::to_string(expected) + " and the parts hold " +
                                                 std::to_string(names.size()) + " tensors: get the parts again");
        }
        summary.n_tensors = names.size();
    }
    check(file, summary);
    return summary;
}

void check_gguf_adapter(const std::string & path, const std::string & model_path) {
    const GgufFile file(path);
    check_key_types(file);
    const auto summary = summarize(file);
    if (summary.kind != GgufKind::Adapter) {
        file.fail("general.type", "says that this is no LoRA adapter but a " + gguf_kind_name(summary.kind) +
                                      ": give the adapter's file");
    }
    check(file, summary);
    const GgufFile model(model_path);
    ModelShapes shapes;
    for_each_part(model, model_path, [&](const GgufFile & part) {
        for (const auto & tensor : part.tensors()) {
            shapes.emplace(tensor.name, tensor.shape);
        }
    });
    check_adapter_fits(file, model, shapes);
}

}  // namespace shimmy
