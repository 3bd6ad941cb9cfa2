#include "grammar/llg_library.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include <cstdio>

#include "errors.h"

namespace shimmy {
namespace {

// Minor versions of llguidance 1 whose layouts have been compared with llg_abi.h.
constexpr int first_minor = 9;
constexpr int last_minor = 9;

#ifdef _WIN32
void * open_library(const std::string & path) {
    return LoadLibraryA(path.c_str());
}
void * symbol(void * handle, const char * name) {
    return reinterpret_cast<void *>(GetProcAddress(static_cast<HMODULE>(handle), name));
}
void close_library(void * handle) {
    FreeLibrary(static_cast<HMODULE>(handle));
}
std::string last_error() {
    return "error " + std::to_string(GetLastError());
}
#else
// It stays when it is closed: Rust's statics are never freed, and destructors of its threads' variables may come later.
void * open_library(const std::string & path) {
    return dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}
void * symbol(void * handle, const char * name) {
    return dlsym(handle, name);
}
void close_library(void * handle) {
    dlclose(handle);
}
std::string last_error() {
    const char * text = dlerror();
    return text == nullptr ? "unknown error" : text;
}
#endif

}  // namespace

template <typename Function>
void LlgLibrary::find(Function & function, const char * name) {
    function = reinterpret_cast<Function>(symbol(handle_, name));
    if (function == nullptr) {
        throw ModelLoadError(path_ + " has no function " + name + ": install llguidance 1.9");
    }
}

std::shared_ptr<const LlgLibrary> LlgLibrary::open(const std::string & path) {
    std::shared_ptr<LlgLibrary> library(new LlgLibrary);
    library->path_ = path;
    library->handle_ = open_library(path);
    if (library->handle_ == nullptr) {
        throw ModelLoadError("llguidance cannot be loaded from " + path + ": " + last_error());
    }
    library->find(library->get_version, "llg_get_version");
    const std::string text = library->get_version();
    int major = 0;
    int minor = 0;
    int patch = 0;
    const auto at = text.find('@');
    const auto known =
        at != std::string::npos && std::sscanf(text.c_str() + at + 1, "%d.%d.%d", &major, &minor, &patch) == 3;
    if (!known || major != 1 || minor < first_minor || minor > last_minor) {
        throw ModelLoadError("llguidance is \"" + text.substr(0, 100) +
                             "\", structured output needs 1.9: pip install 'llguidance>=1.9.1,<1.10'");
    }
    library->version_ = std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
    library->find(library->constraint_init_set_defaults, "llg_constraint_init_set_defaults");
    library->find(library->new_tokenizer_v2, "llg_new_tokenizer_v2");
    library->find(library->free_tokenizer, "llg_free_tokenizer");
    library->find(library->new_matcher, "llg_new_matcher");
    library->find(library->clone_matcher, "llg_clone_matcher");
    library->find(library->free_matcher, "llg_free_matcher");
    library->find(library->matcher_get_error, "llg_matcher_get_error");
    library->find(library->matcher_is_error, "llg_matcher_is_error");
    library->find(library->matcher_is_accepting, "llg_matcher_is_accepting");
    library->find(library->matcher_is_stopped, "llg_matcher_is_stopped");
    library->find(library->matcher_get_mask_byte_size, "llg_matcher_get_mask_byte_size");
    library->find(library->matcher_compute_mask_into, "llg_matcher_compute_mask_into");
    library->find(library->matcher_consume_tokens, "llg_matcher_consume_tokens");
    library->find(library->matcher_validate_tokens, "llg_matcher_validate_tokens");
    library->find(library->matcher_compute_ff_tokens, "llg_matcher_compute_ff_tokens");
    library->find(library->matcher_rollback, "llg_matcher_rollback");

    // The library writes its defaults: a layout other than ours shows in them.
    llg::ConstraintInit init{};
    library->constraint_init_set_defaults(&init, nullptr);
    const auto & limits = init.limits;
    if (limits.initial_lexer_fuel < 1000 || limits.step_lexer_fuel < 1000 || limits.max_items_in_row < 100 ||
        limits.step_max_items < 1000 || limits.max_lexer_states < 1000 || limits.max_grammar_size < 1000 ||
        limits.max_grammar_size > 1'000'000'000 || init.log_stderr_level > 2) {
        throw ModelLoadError("llguidance " + library->version_ + " lays its limits out otherwise than 1.9.1 does");
    }
    return library;
}

LlgLibrary::~LlgLibrary() {
    if (handle_ != nullptr) {
        close_library(handle_);
    }
}

llg::ConstraintInit LlgLibrary::constraint_init(const llg::Tokenizer * tokenizer) const {
    llg::ConstraintInit init{};
    constraint_init_set_defaults(&init, tokenizer);
    init.log_stderr_level = 0;
    init.limits.verbose_errors = false;  // errors would hold the whole grammar and what was generated
    return init;
}

}  // namespace shimmy
