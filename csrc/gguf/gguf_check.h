#pragma once
// The pre-flight check of GGUF files: what libllama would abort, divide by zero or read out of bounds on is refused
// here first, with a message that names the file, the field and what to do.

#include <cstdint>
#include <functional>
#include <string>

#include "gguf/gguf_file.h"

namespace shimmy {

enum class GgufKind {
    Model,
    VocabOnly,  // a tokenizer without weights
    Adapter,    // LoRA
    Projector,  // multimodal encoder (mmproj)
    ControlVector,
    Importance,  // importance matrix for quantization
    Shard,       // second or later part of a split model: no metadata of its own
};

// "model", "vocab-only", "adapter", "projector", "control-vector", "imatrix", "shard"
std::string gguf_kind_name(GgufKind kind);

// What a header says. Numbers are 0 and texts empty where it says nothing.
struct GgufSummary {
    std::string architecture;
    std::string name;  // general.name
    GgufKind kind = GgufKind::Model;
    uint32_t version = 0;    // of GGUF: 2 or 3
    uint64_t n_tensors = 0;  // in this file
    uint64_t n_kv = 0;
    uint64_t n_parameters = 0;  // elements of all tensors in this file
    uint32_t file_type = 0;     // llama.cpp's number for the quantization mix
    bool has_file_type = false;
    uint64_t alignment = 0;   // bytes
    uint64_t size_bytes = 0;  // of this file
    uint32_t context_length = 0;
    uint32_t embedding_length = 0;
    uint32_t block_count = 0;
    uint64_t n_vocab = 0;      // tokens
    uint32_t split_count = 0;  // files the model is split into; 0: not split
    uint32_t split_no = 0;     // this file's place among them, from 0
    bool has_chat_template = false;
};

// The header of one file. Only its structure is checked, so files that no model can be loaded from have a summary too.
// Throws ModelLoadError when it is no well-formed, complete GGUF file.
GgufSummary read_gguf(const std::string & path);

// Throws ModelLoadError unless libllama can safely be given the file: structure, hyperparameters, vocabulary and, for
// an adapter, its tensor pairs. Of a split model only this one file is looked at. Architectures that are not known
// here pass; libllama refuses those itself.
GgufSummary check_gguf(const std::string & path);

// check_gguf of a model that may be split: every other part is found beside the first one, well-formed, in its place
// and complete. `path` is the first part. Throws ModelLoadError, naming a missing part.
GgufSummary check_gguf_split(const std::string & path);

// Calls back with every file of a model that check_gguf_split has passed.
void visit_gguf_parts(const std::string & path, const std::function<void(const GgufFile &)> & callback);

// check_gguf of a LoRA adapter, and that it fits the model, whose first (or only) part is `model_path`. Throws
// ModelLoadError.
void check_gguf_adapter(const std::string & path, const std::string & model_path);

}  // namespace shimmy
