#include <cmath>
#include <iterator>
#include <string>

#include "engine/sequence.h"
#include "errors.h"

namespace shimmy {
namespace {

constexpr size_t max_stops = 64;
constexpr size_t max_stop_bytes = 4096;
constexpr int32_t max_logprobs = 20;
constexpr size_t max_tenant_bytes = 256;
constexpr int32_t max_priority = 1 << 20;

void check_logprobs(const char * field, const std::optional<int32_t> & n) {
    if (n && (*n < 0 || *n > max_logprobs)) {
        throw InvalidRequestError(std::string(field) + " is " + std::to_string(*n) + ", it must be between 0 and " +
                                      std::to_string(max_logprobs),
                                  field);
    }
}

void check_number(const char * field, size_t n) {
    if (n > max_stops) {
        throw InvalidRequestError(std::string(field) + " has " + std::to_string(n) + " entries, at most " +
                                      std::to_string(max_stops) + " are allowed",
                                  field);
    }
}

void check_lengths(const Request & request, int64_t n_ctx) {
    if (request.max_tokens && *request.max_tokens < 0) {
        throw InvalidRequestError("max_tokens is " + std::to_string(*request.max_tokens) + ", it must be at least 0",
                                  "max_tokens");
    }
    if (request.min_tokens < 0 || (request.max_tokens && request.min_tokens > *request.max_tokens)) {
        throw InvalidRequestError(
            "min_tokens is " + std::to_string(request.min_tokens) + ", it must be at least 0 and at most max_tokens",
            "min_tokens");
    }
    if (request.max_tokens && !request.answered.empty() && std::ssize(request.answered) >= *request.max_tokens) {
        throw InvalidRequestError("answered has " + std::to_string(request.answered.size()) +
                                      " tokens, max_tokens is " + std::to_string(*request.max_tokens) +
                                      ": nothing is left to answer",
                                  "answered");
    }
    if (request.n_keep && (*request.n_keep < -1 || *request.n_keep > n_ctx - 2)) {
        throw InvalidRequestError("n_keep is " + std::to_string(*request.n_keep) + ", it must be between -1 and " +
                                      std::to_string(n_ctx - 2) + ", two less than the context",
                                  "n_keep");
    }
    if (request.deadline && !(*request.deadline > 0 && std::isfinite(*request.deadline))) {
        throw InvalidRequestError(
            "deadline is " + std::to_string(*request.deadline) + ", it must be a number of seconds above 0",
            "deadline");
    }
}

}  // namespace

void check_request(const Request & request, const Tokenizer & tokenizer, int64_t n_ctx) {
    if (request.prompt.empty()) {
        throw InvalidRequestError("the prompt has no tokens", "prompt");
    }
    const auto n_prompt = static_cast<int64_t>(request.prompt.size());
    if (n_prompt >= n_ctx) {
        throw PromptTooLongError(n_prompt, n_ctx);
    }
    for (const Token token : request.prompt) {
        tokenizer.check(token, "prompt");
    }
    for (const Token token : request.answered) {
        tokenizer.check(token, "answered");
    }
    for (const Token token : request.stop_token_ids) {
        tokenizer.check(token, "stop_token_ids");
    }
    check_lengths(request, n_ctx);
    if (request.token_healing && request.grammar) {
        throw InvalidRequestError("token_healing cannot be combined with a grammar", "token_healing");
    }
    check_logprobs("logprobs", request.logprobs);
    check_logprobs("prompt_logprobs", request.prompt_logprobs);
    check_number("stop", request.stop.size());
    check_number("stop_token_ids", request.stop_token_ids.size());
    for (const auto & stop : request.stop) {
        if (stop.empty() || stop.size() > max_stop_bytes) {
            throw InvalidRequestError("a stop string has " + std::to_string(stop.size()) +
                                          " bytes, it must have 1 to " + std::to_string(max_stop_bytes),
                                      "stop");
        }
    }
    if (request.tenant.size() > max_tenant_bytes) {
        throw InvalidRequestError("tenant has " + std::to_string(request.tenant.size()) + " bytes, at most " +
                                      std::to_string(max_tenant_bytes) + " are allowed",
                                  "tenant");
    }
    if (request.priority < -max_priority || request.priority > max_priority) {
        throw InvalidRequestError("priority is " + std::to_string(request.priority) + ", it must be between -" +
                                      std::to_string(max_priority) + " and " + std::to_string(max_priority),
                                  "priority");
    }
}

}  // namespace shimmy
