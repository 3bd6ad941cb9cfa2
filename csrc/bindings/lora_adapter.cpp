#include "llama/lora_adapter.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace shimmy::bindings {

void bind_lora_adapter(py::module_ & m) {
    py::class_<LoraAdapter, std::shared_ptr<LoraAdapter>>(m, "LoraAdapter", "A LoRA adapter, loaded for one model.")
        .def(py::init(&LoraAdapter::load), py::arg("model"), py::arg("path"), ReleaseGil(),
             "Raises ModelLoadError when the file is damaged, no adapter, or made for another base model.")
        .def_property_readonly("path", &LoraAdapter::path)
        .def_property_readonly("model", &LoraAdapter::model)
        .def_property_readonly("metadata", &LoraAdapter::metadata, "Scalar GGUF values as text.")
        .def_property_readonly("invocation_tokens", &LoraAdapter::invocation_tokens,
                               "Tokens after which an aLoRA takes effect; otherwise empty.");
}

}  // namespace shimmy::bindings
