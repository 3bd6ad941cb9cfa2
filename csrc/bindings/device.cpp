#include "llama/device.h"

#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include "bindings/bind.h"
#include "build_info.h"
#include "llama/rpc_servers.h"

namespace shimmy::bindings {

void bind_device(py::module_ & m) {
    py::class_<Device>(m, "Device", "A device that models can run on.")
        .def_readonly("name", &Device::name, "As `ModelParams.devices` takes it, for example CPU or CUDA0.")
        .def_readonly("description", &Device::description, "The hardware's own name.")
        .def_readonly("type", &Device::type, "cpu, gpu, igpu, accel or meta.")
        .def_readonly("backend", &Device::backend, "The backend that offers it: CPU, CUDA, Vulkan, ...")
        .def_readonly("memory_free", &Device::memory_free, "Bytes.")
        .def_readonly("memory_total", &Device::memory_total, "Bytes.")
        .def("__repr__", [](const Device & d) { return "Device(" + d.name + ": " + d.description + ")"; });

    m.def(
        "devices",
        [](const std::vector<std::string> & rpc_servers) {
            add_rpc_servers(rpc_servers);
            return devices();
        },
        py::arg("rpc_servers") = std::vector<std::string>{}, ReleaseGil(),
        "The devices of this machine that this build can use, and those of RPC servers (\"host:port\"). Raises\n"
        "ModelLoadError for one that does not answer, or when the build has no RPC backend.");
    m.def(
        "build_info",
        [] {
            py::typing::Dict<py::str, py::object> info;
            info["version"] = SHIMMY_VERSION;
            info["llama_cpp_commit"] = SHIMMY_LLAMA_CPP_COMMIT;
            info["backends"] = backends();
            info["backend_errors"] = backend_errors();
            info["cpu_features"] = cpu_features();
            info["compiler"] = SHIMMY_COMPILER;
            info["build_type"] = SHIMMY_BUILD_TYPE;
            info["options"] = py::str(SHIMMY_OPTIONS).attr("split")();
            return info;
        },
        "What this extension was built from and for: version, llama_cpp_commit, backends, backend_errors (what they\n"
        "complained about when they looked for devices), cpu_features, compiler, build_type, options.");
}

}  // namespace shimmy::bindings
