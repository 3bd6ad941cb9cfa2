#include "llama/backend_library.h"

#include <ggml-backend.h>

#include <algorithm>
#include <utility>

#ifdef GGML_BACKEND_DL
#include <dlfcn.h>

#include <filesystem>
#endif

#include "errors.h"

namespace shimmy {
namespace {

std::vector<BackendLibrary> & addons() {
    static std::vector<BackendLibrary> libraries;
    return libraries;
}

#ifdef GGML_BACKEND_DL
// Where this library lies, and the backends beside it.
std::filesystem::path library_folder() {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void *>(&open_backend_libraries), &info) == 0 || !info.dli_fname) {
        throw Error("cannot tell where the extension lies, so its backends cannot be loaded");
    }
    return std::filesystem::path(info.dli_fname).parent_path();
}

// The backends in `folder` other than variants of the CPU's, of which ggml chooses one.
std::vector<std::string> backends_in(const std::filesystem::path & folder) {
    std::vector<std::string> paths;
    for (const auto & entry : std::filesystem::directory_iterator(folder)) {
        const auto name = entry.path().filename().string();
        if (name.starts_with("libggml-") && !name.starts_with("libggml-cpu") && entry.path().extension() == ".so") {
            paths.push_back(entry.path().string());
        }
    }
    std::sort(paths.begin(), paths.end());
    return paths;
}
#endif

}  // namespace

void set_backend_libraries(std::vector<BackendLibrary> libraries) {
    addons() = std::move(libraries);
}

void open_backend_libraries() {
    for (const auto & addon : addons()) {
        if (!addon.refusal.empty()) {
            throw Error(addon.refusal);
        }
    }
#ifdef GGML_BACKEND_DL
    const auto folder = library_folder();
    for (const auto & addon : addons()) {
        ggml_backend_load(addon.path.c_str());
    }
    for (const auto & path : backends_in(folder)) {
        ggml_backend_load(path.c_str());  // ggml_backend_load_all_from_path would fail without a word
    }
    ggml_backend_load_all_from_path(folder.string().c_str());
#endif
}

}  // namespace shimmy
