#pragma once
// What is asked of the engine, and what it answers.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/cache_miss.h"
#include "llama/logits.h"
#include "llama/tokenizer.h"
#include "params.h"

namespace shimmy {

class Grammar;

using RequestId = uint64_t;

struct Request {
    std::vector<Token> prompt;    // at least one token
    std::vector<Token> answered;  // what the answer begins with, as when another engine began it; fewer than max_tokens
    SamplingParams sampling;
    std::optional<int64_t> max_tokens;  // tokens to generate, at least 0; none: until the context is full
    int64_t min_tokens = 0;             // no end token, stop token or stop string before that many
    std::vector<std::string> stop;
    std::vector<Token> stop_token_ids;
    bool ignore_eos = false;                  // with a grammar: an answer ends only where nothing else may come
    std::vector<std::string> banned_strings;  // never in the text: the answer is rolled back and goes on, or fails
    std::optional<int32_t> logprobs;          // alternatives per token, 0 to 20; none: off
    std::optional<int32_t> prompt_logprobs;   // the same for the prompt's tokens but the first
    bool token_healing = false;               // let the answer choose anew how the prompt's end is cut in tokens
    std::shared_ptr<const Grammar> grammar;   // what the answer has to look like; none: anything
    std::vector<std::pair<std::string, double>> lora;  // names of loaded adapters, with scales
    std::vector<Token> preserved_tokens;               // control tokens that are written out in the text
    bool speculation = true;                           // drafts may be checked for it; no answer changes by that
    // Context shift: an answer that fills the context goes on without half of the tokens after the first n_keep, which
    // are computed again. At least 1 stays; -1: the whole prompt; none: the answer ends there.
    std::optional<int64_t> n_keep;
    std::string tenant;              // shares prefixes and its share of the engine with nobody else
    int32_t priority = 0;            // lower is earlier
    std::optional<double> deadline;  // seconds from arrival to the end; none: no limit
};

// Deadline: its time ran out, in the queue or later.
enum class FinishReason { None, Stop, Length, Cancelled, Deadline, Failed };

struct Usage {
    int64_t prompt_tokens = 0;
    int64_t cached_tokens = 0;               // prompt tokens whose KV cells were reused
    int64_t cache_diverged_at = -1;          // index of the first prompt token that was not; -1: all that may be were
    CacheMiss cache_miss = CacheMiss::None;  // why that one was not
    int64_t completion_tokens = 0;
    int64_t drafted_tokens = 0;   // proposed by speculation
    int64_t accepted_tokens = 0;  // of those, that came out
    int64_t context_shifts = 0;
    int64_t shifted_tokens = 0;  // that left the context by them
    double queue_seconds = 0;    // arrival to first prefill chunk
    double prefill_seconds = 0;  // first prefill chunk to first token
    double decode_seconds = 0;   // first token to last
};

// What one step added to one request; the first one has what was answered before, without its log-probabilities.
struct Output {
    RequestId id = 0;
    std::string text;  // valid UTF-8; never a stop string or a part of one
    std::vector<Token> tokens;
    size_t n_answered = 0;                       // of these, that were answered before
    std::vector<TokenLogprobs> logprobs;         // one per token that was chosen here, if asked for
    std::vector<TokenLogprobs> prompt_logprobs;  // of the prompt's tokens from the second on, in order, if asked for
    FinishReason finish_reason = FinishReason::None;
    std::optional<std::string> stop_string;  // the one that ended it
    std::optional<Token> stop_token;         // the one of stop_token_ids that ended it
    std::string error;                       // why it Failed
    bool no_memory = false;                  // it Failed for want of memory to compute in
    Usage usage;                             // so far; final with a finish_reason
};

}  // namespace shimmy
