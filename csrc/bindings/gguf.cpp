#include "gguf/gguf_check.h"

#include "bindings/bind.h"
#include "bindings/file_path.h"

namespace shimmy::bindings {

void bind_gguf(py::module_ & m) {
    py::class_<GgufSummary>(m, "GgufSummary", "What the header of a GGUF file says; 0 and empty where it says nothing.")
        .def_readonly("architecture", &GgufSummary::architecture)
        .def_readonly("name", &GgufSummary::name, "general.name")
        .def_property_readonly(
            "kind", [](const GgufSummary & s) { return gguf_kind_name(s.kind); },
            "model, vocab-only, adapter, projector, control-vector, imatrix or shard.")
        .def_readonly("version", &GgufSummary::version, "Of the format: 2 or 3.")
        .def_readonly("n_tensors", &GgufSummary::n_tensors, "In this file.")
        .def_readonly("n_kv", &GgufSummary::n_kv, "Metadata entries.")
        .def_readonly("n_parameters", &GgufSummary::n_parameters, "Elements of all tensors in this file.")
        .def_readonly("file_type", &GgufSummary::file_type, "llama.cpp's number for the quantisation mix.")
        .def_readonly("alignment", &GgufSummary::alignment, "Bytes.")
        .def_readonly("size_bytes", &GgufSummary::size_bytes, "Of this file.")
        .def_readonly("context_length", &GgufSummary::context_length, "Tokens it was trained with.")
        .def_readonly("embedding_length", &GgufSummary::embedding_length)
        .def_readonly("block_count", &GgufSummary::block_count, "Layers.")
        .def_readonly("n_vocab", &GgufSummary::n_vocab, "Tokens.")
        .def_readonly("split_count", &GgufSummary::split_count, "Files the model is split into; 0: not split.")
        .def_readonly("split_no", &GgufSummary::split_no, "This file's place among them, from 0.")
        .def_readonly("has_chat_template", &GgufSummary::has_chat_template);

    m.def(
        "read_gguf", [](const FilePath & path) { return read_gguf(path.bytes); }, py::arg("path"), ReleaseGil(),
        "Read the header of a GGUF file without loading it. Raises ModelLoadError when it is not well-formed.");
}

}  // namespace shimmy::bindings
