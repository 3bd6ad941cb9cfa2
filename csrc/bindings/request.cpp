#include "engine/request.h"

#include <pybind11/stl.h>

#include "bindings/bind.h"

namespace shimmy::bindings {
namespace {

using Top = std::vector<std::pair<Token, float>>;

std::vector<std::pair<float, Top>> pairs(const std::vector<TokenLogprobs> & logprobs) {
    std::vector<std::pair<float, Top>> all;
    for (const auto & one : logprobs) {
        Top top;
        for (const auto & [token, logprob] : one.top) {
            top.emplace_back(token, logprob);
        }
        all.emplace_back(one.logprob, std::move(top));
    }
    return all;
}

}  // namespace

void bind_request(py::module_ & m) {
    py::enum_<FinishReason>(m, "FinishReason")
        .value("NONE", FinishReason::None, "Not finished.")
        .value("STOP", FinishReason::Stop, "An end token, a stop token or a stop string.")
        .value("LENGTH", FinishReason::Length, "max_tokens, or the end of the context.")
        .value("CANCELLED", FinishReason::Cancelled)
        .value("DEADLINE", FinishReason::Deadline, "Its time ran out.")
        .value("FAILED", FinishReason::Failed, "`error` says why.");

    py::enum_<CacheMiss>(m, "CacheMiss", "Why the prompt token at cache_diverged_at was not reused.")
        .value("NONE", CacheMiss::None, "All was reused that may be; the last prompt token is always computed.")
        .value("EMPTY", CacheMiss::Empty, "Nothing is cached for this tenant with these adapters.")
        .value("DIVERGED", CacheMiss::Diverged, "It differs from the best cached prefix, or that one ends.")
        .value("ADAPTERS", CacheMiss::Adapters, "The same tokens are cached for other adapters of this tenant.")
        .value("EVICTED", CacheMiss::Evicted, "It was cached, and had to give way.")
        .value("UNCUTTABLE", CacheMiss::Uncuttable,
               "It is cached, but the model cannot cut it there, or copying would not pay.")
        .value("DISABLED", CacheMiss::Disabled, "prefix_cache is off, or the request does not allow it.");

    py::class_<Usage>(m, "Usage", "Token counts and durations (seconds) of a request.")
        .def_readonly("prompt_tokens", &Usage::prompt_tokens)
        .def_readonly("cached_tokens", &Usage::cached_tokens, "Prompt tokens whose KV cells were reused.")
        .def_readonly("cache_diverged_at", &Usage::cache_diverged_at,
                      "Index of the first prompt token that was not reused; -1: all that may be were.")
        .def_readonly("cache_miss", &Usage::cache_miss, "Why that one was not.")
        .def_readonly("completion_tokens", &Usage::completion_tokens)
        .def_readonly("drafted_tokens", &Usage::drafted_tokens, "Proposed by speculation.")
        .def_readonly("accepted_tokens", &Usage::accepted_tokens, "Of those, that came out.")
        .def_readonly("context_shifts", &Usage::context_shifts)
        .def_readonly("shifted_tokens", &Usage::shifted_tokens, "That left the context by them.")
        .def_readonly("queue_seconds", &Usage::queue_seconds, "Arrival to first prefill chunk.")
        .def_readonly("prefill_seconds", &Usage::prefill_seconds, "First prefill chunk to first token.")
        .def_readonly("decode_seconds", &Usage::decode_seconds, "First token to last.");

    py::class_<Output>(m, "Output", "What one step added to one request.")
        .def_readonly("id", &Output::id)
        .def_readonly("text", &Output::text, "Never a stop string or a part of one.")
        .def_readonly("tokens", &Output::tokens)
        .def_property_readonly(
            "logprobs", [](const Output & output) { return pairs(output.logprobs); },
            "One (logprob, [(token, logprob), ...]) per token, if asked for.")
        .def_property_readonly(
            "prompt_logprobs", [](const Output & output) { return pairs(output.prompt_logprobs); },
            "The same of the prompt's tokens from the second on, as they are computed.")
        .def_readonly("finish_reason", &Output::finish_reason)
        .def_readonly("stop_string", &Output::stop_string, "The stop string that ended it.")
        .def_readonly("stop_token", &Output::stop_token, "The one of stop_token_ids that ended it.")
        .def_readonly("error", &Output::error, "Why it FAILED.")
        .def_readonly("no_memory", &Output::no_memory, "It FAILED for want of memory to compute in.")
        .def_readonly("usage", &Output::usage, "So far, with tokens; final once finished.");
}

}  // namespace shimmy::bindings
