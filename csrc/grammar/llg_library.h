#pragma once
// The shared library of the llguidance package, opened by path; its functions as members.

#include <memory>
#include <string>

#include "grammar/llg_abi.h"

namespace shimmy {

class LlgLibrary {
  public:
    // Opens the library (llguidance/_lib.abi3.so and the like). Throws ModelLoadError when it cannot be opened, lacks a
    // function, or is of a version whose ABI has not been verified.
    static std::shared_ptr<const LlgLibrary> open(const std::string & path);
    ~LlgLibrary();

    LlgLibrary(const LlgLibrary &) = delete;
    LlgLibrary & operator=(const LlgLibrary &) = delete;

    const std::string & version() const { return version_; }  // "1.9.1"

    // The limits and log levels that every grammar is compiled with.
    llg::ConstraintInit constraint_init(const llg::Tokenizer * tokenizer) const;

    const char * (*get_version)() = nullptr;
    void (*constraint_init_set_defaults)(llg::ConstraintInit *, const llg::Tokenizer *) = nullptr;
    llg::Tokenizer * (*new_tokenizer_v2)(const llg::TokenizerInitV2 *, char * error, size_t n_error) = nullptr;
    void (*free_tokenizer)(llg::Tokenizer *) = nullptr;
    llg::Matcher * (*new_matcher)(const llg::ConstraintInit *, const char * kind, const char * data) = nullptr;
    llg::Matcher * (*clone_matcher)(const llg::Matcher *) = nullptr;
    void (*free_matcher)(llg::Matcher *) = nullptr;
    const char * (*matcher_get_error)(llg::Matcher *) = nullptr;
    bool (*matcher_is_error)(const llg::Matcher *) = nullptr;
    bool (*matcher_is_accepting)(llg::Matcher *) = nullptr;
    bool (*matcher_is_stopped)(const llg::Matcher *) = nullptr;
    size_t (*matcher_get_mask_byte_size)(const llg::Matcher *) = nullptr;
    int32_t (*matcher_compute_mask_into)(llg::Matcher *, uint32_t * mask, size_t n_bytes) = nullptr;
    int32_t (*matcher_consume_tokens)(llg::Matcher *, const uint32_t * tokens, size_t n) = nullptr;
    int32_t (*matcher_validate_tokens)(llg::Matcher *, const uint32_t * tokens, size_t n) = nullptr;
    int32_t (*matcher_compute_ff_tokens)(llg::Matcher *, uint32_t * output, size_t n) = nullptr;
    int32_t (*matcher_rollback)(llg::Matcher *, size_t n) = nullptr;

  private:
    LlgLibrary() = default;
    template <typename Function>
    void find(Function & function, const char * name);

    void * handle_ = nullptr;
    std::string path_;
    std::string version_;
};

}  // namespace shimmy
