#pragma once
// What is asked of the engine, and what it answers.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "llama/logits.h"
#include "llama/tokenizer.h"
#include "params.h"

namespace shimmy {

using RequestId = uint64_t;

struct Request {
    std::vector<Token> prompt;  // at least one token
    SamplingParams sampling;
    std::optional<int64_t> max_tokens;  // tokens to generate, at least 0; none: until the context is full
    std::vector<std::string> stop;
    std::vector<Token> stop_token_ids;
    bool ignore_eos = false;
    std::optional<int32_t> logprobs;                   // alternatives per token, 0 to 20; none: off
    std::vector<std::pair<std::string, double>> lora;  // names of loaded adapters, with scales
    std::vector<Token> preserved_tokens;               // control tokens that are written out in the text
};

enum class FinishReason { None, Stop, Length, Cancelled, Failed };

struct Usage {
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;  // prompt tokens whose KV cells were reused
    int64_t completion_tokens = 0;
    double queue_seconds = 0;    // arrival to first prefill chunk
    double prefill_seconds = 0;  // first prefill chunk to first token
    double decode_seconds = 0;   // first token to last
};

// What one step added to one request.
struct Output {
    RequestId id = 0;
    std::string text;  // valid UTF-8; never a stop string or a part of one
    std::vector<Token> tokens;
    std::vector<TokenLogprobs> logprobs;  // one per token, if asked for
    FinishReason finish_reason = FinishReason::None;
    std::optional<std::string> stop_string;  // the one that ended it
    std::optional<Token> stop_token;         // the one of stop_token_ids that ended it
    std::string error;                       // why it Failed
    Usage usage;                             // with finish_reason only
};

}  // namespace shimmy
