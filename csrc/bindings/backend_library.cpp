#include "llama/backend_library.h"

#include <string>
#include <utility>
#include <vector>

#include "bindings/bind.h"
#include "build_info.h"

namespace shimmy::bindings {

void bind_backend_library(py::module_ &) {
#ifdef GGML_BACKEND_DL
    const bool portable = true;
#else
    const bool portable = false;
#endif
    std::vector<BackendLibrary> libraries;
    const auto installed = py::module_::import("shimmy.backend_addons").attr("installed");
    for (const auto addon : installed(SHIMMY_VERSION, SHIMMY_LLAMA_CPP_COMMIT, portable)) {
        libraries.push_back({addon.attr("library").cast<std::string>(), addon.attr("refusal").cast<std::string>()});
    }
    set_backend_libraries(std::move(libraries));
}

}  // namespace shimmy::bindings
