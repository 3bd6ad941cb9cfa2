#include "engine/sequence.h"

#include <algorithm>
#include <utility>

#include "errors.h"

namespace shimmy {
namespace {

constexpr size_t max_stops = 64;
constexpr size_t max_stop_bytes = 4096;
constexpr int32_t max_logprobs = 20;

double seconds(Sequence::Clock::duration duration) {
    return std::chrono::duration<double>(duration).count();
}

void check_request(const Request & request, const Tokenizer & tokenizer, int64_t n_ctx) {
    if (request.prompt.empty()) {
        throw InvalidRequestError("the prompt has no tokens", "prompt");
    }
    if (static_cast<int64_t>(request.prompt.size()) >= n_ctx) {
        throw PromptTooLongError(static_cast<int64_t>(request.prompt.size()), n_ctx);
    }
    for (const Token token : request.prompt) {
        tokenizer.check(token, "prompt");
    }
    for (const Token token : request.stop_token_ids) {
        tokenizer.check(token, "stop_token_ids");
    }
    if (request.max_tokens && *request.max_tokens < 0) {
        throw InvalidRequestError("max_tokens is " + std::to_string(*request.max_tokens) + ", it must be at least 0",
                                  "max_tokens");
    }
    if (request.logprobs && (*request.logprobs < 0 || *request.logprobs > max_logprobs)) {
        throw InvalidRequestError("logprobs is " + std::to_string(*request.logprobs) + ", it must be between 0 and " +
                                      std::to_string(max_logprobs),
                                  "logprobs");
    }
    const auto check_number = [](const char * field, size_t n) {
        if (n > max_stops) {
            throw InvalidRequestError(std::string(field) + " has " + std::to_string(n) + " entries, at most " +
                                          std::to_string(max_stops) + " are allowed",
                                      field);
        }
    };
    check_number("stop", request.stop.size());
    check_number("stop_token_ids", request.stop_token_ids.size());
    for (const auto & stop : request.stop) {
        if (stop.empty() || stop.size() > max_stop_bytes) {
            throw InvalidRequestError("a stop string has " + std::to_string(stop.size()) +
                                          " bytes, it must have 1 to " + std::to_string(max_stop_bytes),
                                      "stop");
        }
    }
}

Request checked(Request request, const Tokenizer & tokenizer, int64_t n_ctx) {
    check_request(request, tokenizer, n_ctx);
    return request;
}

}  // namespace

Sequence::Sequence(RequestId id, Request request, AdapterSets::Interned adapters,
                   const std::shared_ptr<const Tokenizer> & tokenizer, int64_t n_ctx)
    : id_(id),
      request_(checked(std::move(request), *tokenizer, n_ctx)),
      adapters_(std::move(adapters)),
      tokenizer_(tokenizer),
      n_ctx_(static_cast<size_t>(n_ctx)),
      tokens_(request_.prompt),
      n_prompt_(tokens_.size()),
      sampler_(tokenizer, request_.sampling),
      detokenizer_(tokenizer, {request_.preserved_tokens.begin(), request_.preserved_tokens.end()}),
      stop_(request_.stop),
      arrived_(Clock::now()) {
    usage_.prompt_tokens = static_cast<int64_t>(n_prompt_);
    for (const Token token : tokens_) {
        sampler_.accept(token);
    }
}

std::span<const Token> Sequence::pending(int32_t n) const {
    return std::span(tokens_).subspan(static_cast<size_t>(n_computed_), static_cast<size_t>(n));
}

void Sequence::admitted(int32_t n_reused) {
    n_computed_ = n_reused;
    if (!started_) {
        started_ = Clock::now();
        usage_.cached_tokens = n_reused;
        usage_.queue_seconds = seconds(*started_ - arrived_);
    }
}

void Sequence::advance(std::span<const float> logits, Output & output) {
    const Token token = sampler_.sample(logits);
    const auto now = Clock::now();
    if (!first_token_) {
        first_token_ = now;
        usage_.prefill_seconds = seconds(now - *started_);
    }
    usage_.decode_seconds = seconds(now - *first_token_);
    ++n_sampled_;

    const auto & stop_ids = request_.stop_token_ids;
    if (std::find(stop_ids.begin(), stop_ids.end(), token) != stop_ids.end()) {
        output.stop_token = token;
        finish(FinishReason::Stop, output);
    } else if (!request_.ignore_eos && tokenizer_->is_eog(token)) {
        finish(FinishReason::Stop, output);
    } else {
        take(token, logits, output);
    }
}

void Sequence::take(Token token, std::span<const float> logits, Output & output) {
    sampler_.accept(token);
    tokens_.push_back(token);
    output.tokens.push_back(token);
    if (request_.logprobs) {
        output.logprobs.push_back(logprobs(logits, token, *request_.logprobs));
    }
    auto match = stop_.push(detokenizer_.push(token));
    output.text += match.text;
    if (match.stop) {
        output.stop_string = std::move(match.stop);
        finish(FinishReason::Stop, output);
    } else if (n_sampled_ == request_.max_tokens || tokens_.size() >= n_ctx_) {
        finish(FinishReason::Length, output);
    }
}

void Sequence::finish(FinishReason reason, Output & output) {
    if (!output.stop_string) {
        auto match = stop_.push(detokenizer_.flush());
        output.text += match.text;
        if (match.stop) {
            output.stop_string = std::move(match.stop);
        } else {
            output.text += stop_.flush();
        }
    }
    usage_.completion_tokens = n_sampled_;
    output.finish_reason = reason;
    output.usage = usage_;
}

}  // namespace shimmy
