#pragma once
// The error tree of python/shimmy/errors.py, which see. bindings/errors.cpp maps one onto the other.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace shimmy {

struct Error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// `param` names the field at fault, empty when there is none.
struct InvalidRequestError : Error {
    explicit InvalidRequestError(const std::string & message, std::string param = {})
        : Error(message), param(std::move(param)) {}

    std::string param;
};

struct PromptTooLongError : InvalidRequestError {
    PromptTooLongError(int64_t n_prompt_tokens, int64_t n_ctx)
        : InvalidRequestError(
              "the prompt has " + std::to_string(n_prompt_tokens) + " tokens and the context holds " +
                  std::to_string(n_ctx) +
                  ", at least one of them for the answer: shorten the prompt, load the model with a larger "
                  "context, or ask for context_policy truncate_middle",
              "messages"),
          n_prompt_tokens(n_prompt_tokens),
          n_ctx(n_ctx) {}

    PromptTooLongError(const std::string & message, std::string param, int64_t n_prompt_tokens, int64_t n_ctx)
        : InvalidRequestError(message, std::move(param)), n_prompt_tokens(n_prompt_tokens), n_ctx(n_ctx) {}

    int64_t n_prompt_tokens;
    int64_t n_ctx;
};

struct ModelLoadError : Error {
    using Error::Error;
};

struct ModelNotFoundError : Error {
    using Error::Error;
};

struct TemplateError : Error {
    using Error::Error;
};

struct QueueFullError : Error {
    using Error::Error;
};

struct DecodeError : Error {
    using Error::Error;
};

struct OutOfMemoryError : DecodeError {
    using DecodeError::DecodeError;
};

struct EngineDeadError : Error {
    using Error::Error;
};

}  // namespace shimmy
