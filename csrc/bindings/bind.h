#pragma once
// One function per bound class; module.cpp calls them all.

#include <pybind11/pybind11.h>

namespace shimmy::bindings {

namespace py = pybind11;

// Not for constructors: pybind11 registers the new object inside of the guard.
// Not for functions that take a params object: another thread might write to it meanwhile. They take it by value, and
// release the lock themselves.
using ReleaseGil = py::call_guard<py::gil_scoped_release>;

void bind_errors(py::module_ & m);
void bind_log(py::module_ & m);
void bind_backend_library(py::module_ & m);
void bind_device(py::module_ & m);
void bind_params(py::module_ & m);
void bind_gguf(py::module_ & m);
void bind_model(py::module_ & m);
void bind_tokenizer(py::module_ & m);
void bind_detokenizer(py::module_ & m);
void bind_batch(py::module_ & m);
void bind_kv_cache(py::module_ & m);
void bind_lora_adapter(py::module_ & m);
void bind_context(py::module_ & m);
void bind_sampler(py::module_ & m);
void bind_chat_format(py::module_ & m);
void bind_grammar(py::module_ & m);
void bind_request(py::module_ & m);
void bind_engine(py::module_ & m);
void bind_engine_fit(py::module_ & m);
void bind_embedder(py::module_ & m);

}  // namespace shimmy::bindings
