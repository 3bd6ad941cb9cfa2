#include "llama/lora_adapter.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/file_path.h"
#include "bindings/text.h"

namespace shimmy::bindings {

void bind_lora_adapter(py::module_ & m) {
    py::class_<LoraAdapter, std::shared_ptr<LoraAdapter>>(m, "LoraAdapter", "A LoRA adapter, loaded for one model.")
        .def(py::init([](std::shared_ptr<Model> model, const FilePath & path) {
                 py::gil_scoped_release unlocked;
                 return LoraAdapter::load(std::move(model), path.bytes);
             }),
             py::arg("model").none(false), py::arg("path"),
             "Raises ModelLoadError when the file is damaged, no adapter, or made for another base model.")
        .def_property_readonly("path", [](const LoraAdapter & adapter) { return str_of_path(adapter.path()); })
        .def_property_readonly("model", &LoraAdapter::model)
        .def_property_readonly(
            "metadata", [](const LoraAdapter & adapter) { return str_map_of(adapter.metadata()); },
            "Scalar GGUF values as text.")
        .def_property_readonly(
            "invocation_tokens", &LoraAdapter::invocation_tokens,
            "Tokens of an aLoRA: it takes effect from their last occurrence in the prompt on. Otherwise empty.");
}

}  // namespace shimmy::bindings
