#include "engine/engine_fit.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"
#include "bindings/file_path.h"

namespace shimmy::bindings {

void bind_engine_fit(py::module_ & m) {
    py::class_<DeviceMemory>(m, "DeviceMemory", "What is taken of one device, or of the host. All in bytes.")
        .def_readonly("name", &DeviceMemory::name, "As in Device.")
        .def_readonly("description", &DeviceMemory::description, "The hardware's own name.")
        .def_readonly("type", &DeviceMemory::type, "cpu, gpu or igpu.")
        .def_readonly("backend", &DeviceMemory::backend, "CPU, CUDA, Vulkan, ...")
        .def_readonly("weights", &DeviceMemory::weights, "Those mapped from the file too.")
        .def_readonly("kv_cache", &DeviceMemory::kv_cache, "And states of recurrent layers.")
        .def_readonly("compute", &DeviceMemory::compute, "Buffers for what is computed.")
        .def_readonly("memory_free", &DeviceMemory::memory_free, "Now, of the whole device.")
        .def_readonly("memory_total", &DeviceMemory::memory_total, "Of the whole device; 0: it does not tell.");
    py::class_<EngineFit>(m, "EngineFit", "How much of a model an engine can put onto GPUs.")
        .def_readonly("n_gpu_layers", &EngineFit::n_gpu_layers, "For ModelParams; of n_layer + 1.")
        .def_readonly("n_cpu_moe", &EngineFit::n_cpu_moe, "For ModelParams.")
        .def_readonly("n_ctx", &EngineFit::n_ctx, "For ContextParams.")
        .def_readonly("n_layer", &EngineFit::n_layer)
        .def_readonly("fits", &EngineFit::fits, "False: not one layer does, so n_gpu_layers is 0.")
        .def_readonly("memory", &EngineFit::memory, "As it would be taken; empty without a GPU.");
    m.def(
        "fit_engine",
        [](const FilePath & path, ModelParams model, ContextParams context, EngineParams engine) {
            py::gil_scoped_release unlocked;
            return fit_engine(path.bytes, model, context, engine);
        },
        py::arg("path"), py::arg("model") = ModelParams{}, py::arg("context") = ContextParams{},
        py::arg("engine") = EngineParams{},
        "What n_gpu_layers -1 comes to, found by measuring what llama.cpp would take of the GPUs' free memory. Other\n"
        "n_gpu_layers are taken as they are. Raises ModelLoadError and InvalidRequestError.");
}

}  // namespace shimmy::bindings
