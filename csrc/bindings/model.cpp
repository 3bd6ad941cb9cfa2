#include "llama/model.h"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/file_path.h"
#include "bindings/text.h"
#include "errors.h"
#include "llama/weight_layouts.h"

namespace shimmy::bindings {
namespace {

std::shared_ptr<Model> load_model(const FilePath & path, ModelParams params, const py::object & progress) {
    ProgressCallback callback;
    if (!progress.is_none()) {
        if (!PyCallable_Check(progress.ptr())) {
            throw py::type_error("progress must be callable or None");
        }
        callback = [&progress](float fraction) {
            py::gil_scoped_acquire locked;
            const py::object answer = progress(fraction);
            return !(PyBool_Check(answer.ptr()) && answer.ptr() == Py_False);
        };
    }
    py::gil_scoped_release unlocked;
    return Model::load(path.bytes, params, callback);
}

}  // namespace

void bind_model(py::module_ & m) {
    py::class_<Model, std::shared_ptr<Model>>(m, "Model", "A loaded GGUF model. Contexts and adapters keep it alive.")
        .def(py::init(&load_model), py::arg("path"), py::arg("params") = ModelParams{},
             py::arg("progress").none(true) = py::none(),
             "Load a file, or a split model from its first part. `progress(fraction)` is called with 0.0 to 1.0; "
             "returning\n"
             "False stops the load. Raises ModelLoadError (damaged, incomplete or unsupported file, stopped load) and\n"
             "InvalidRequestError (parameters).")
        .def_property_readonly("path", [](const Model & model) { return str_of_path(model.path()); })
        .def_property_readonly(
            "architecture", [](const Model & model) { return str_of(model.architecture()); },
            "general.architecture, for example llama.")
        .def_property_readonly(
            "description", [](const Model & model) { return str_of(model.description()); },
            "llama.cpp's words, for example \"qwen3 0.6B Q4_K\".")
        .def_property_readonly(
            "metadata", [](const Model & model) { return str_map_of(model.metadata()); },
            "Scalar GGUF values as text; arrays are left out.")
        .def_property_readonly(
            "chat_template",
            [](const Model & model) -> std::optional<py::str> {
                const auto source = model.chat_template();
                return source ? std::optional(str_of(*source)) : std::nullopt;
            },
            "Jinja source of the model's own template.")
        .def_property_readonly(
            "rerank_template",
            [](const Model & model) -> std::optional<py::str> {
                const auto source = model.rerank_template();
                return source ? std::optional(str_of(*source)) : std::nullopt;
            },
            "Text of a reranker's prompt, with {query} and {document}.")
        .def_property_readonly("size_bytes", &Model::size_bytes, "Of all tensors.")
        .def_property_readonly(
            "both_layouts_bytes", [](const Model & model) { return model.layouts() ? model.layouts()->bytes() : 0; },
            "Of weights that are there in two layouts, see ModelParams.both_layouts.")
        .def_property_readonly("n_params", &Model::n_params)
        .def_property_readonly("devices", &Model::devices, "That layers may be on; empty: the CPU only.")
        .def_property_readonly(
            "offloaded_layers", [](const Model & model) { return model.offloaded_layers().total; },
            "Layers on those, of n_layer + 1: the output layer counts as one.")
        .def_property_readonly(
            "partly_offloaded_layers", [](const Model & model) { return model.offloaded_layers().partial; },
            "Of them, those with weights that stayed in the host's memory.")
        .def_property_readonly("n_ctx_train", &Model::n_ctx_train, "Tokens.")
        .def_property_readonly("n_embd", &Model::n_embd)
        .def_property_readonly("n_embd_out", &Model::n_embd_out, "Width of embeddings.")
        .def_property_readonly("n_cls_out", &Model::n_cls_out, "Width of the classification head, with pooling rank.")
        .def_property_readonly("n_layer", &Model::n_layer)
        .def_property_readonly("n_head", &Model::n_head)
        .def_property_readonly("n_head_kv", &Model::n_head_kv)
        .def_property_readonly("n_vocab", &Model::n_vocab)
        .def_property_readonly("n_swa", &Model::n_swa, "Width of the sliding window of attention; 0: none.")
        .def_property_readonly("has_encoder", &Model::has_encoder)
        .def_property_readonly("has_decoder", &Model::has_decoder)
        .def_property_readonly("can_generate", &Model::can_generate,
                               "Decoder-only with a cache: neither an encoder nor a diffusion model.")
        .def_property_readonly("is_causal", &Model::is_causal, "Tokens attend to those before them only.")
        .def_property_readonly("pooling", &Model::pooling,
                               "none, mean, cls, last or rank; empty: the file says nothing.")
        .def_property_readonly("is_recurrent", &Model::is_recurrent, "Recurrent or hybrid: states cannot be cut back.")
        .def("__repr__",
             [](const Model & model) { return str_of("Model(" + model.path() + ": " + model.description() + ")"); });
}

}  // namespace shimmy::bindings
