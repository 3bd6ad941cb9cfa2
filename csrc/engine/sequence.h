#pragma once
// A request from its admission to its end: its tokens, how far they are computed, its choices and its text.

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/adapter_sets.h"
#include "engine/draft_state.h"
#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/text_stream.h"
#include "engine/token_chooser.h"
#include "llama/output_row.h"

namespace shimmy {

// Throws InvalidRequestError naming the field that is out of its range, PromptTooLongError.
void check_request(const Request & request, const Tokenizer & tokenizer, int64_t n_ctx);

// The adapters of a request. Those that are activated by tokens of the prompt (aLoRA) apply from these on.
struct AdapterPlan {
    AdapterSets::Interned all;
    AdapterSets::Interned before;  // the set without activated ones
    int32_t switch_at = 0;         // the first token that `all` applies to
};

constexpr int32_t most_forced = 32;  // tokens that a grammar leaves no choice for, computed together with the next one

// What sequences of one engine have in common.
struct SequenceRules {
    std::shared_ptr<const Tokenizer> tokenizer;
    int64_t n_ctx;                           // bounds prompt and completion together
    int32_t fixed_chunk = 0;                 // see StepBudget
    int32_t max_draft = 0;                   // 0: no speculation
    int32_t most_pending = 1 + most_forced;  // tokens that count as decoding: one sampled, and those forced after it
    double cells_per_decode = 0;             // see StepMix
};

class Sequence {
  public:
    using Clock = std::chrono::steady_clock;

    // Builds everything that can throw, on the caller's thread. Throws InvalidRequestError also for an answered token
    // that could not have been chosen.
    Sequence(RequestId id, Request request, AdapterPlan adapters, const SequenceRules & rules,
             std::shared_ptr<const PrefixTokens> texts);

    RequestId id() const { return id_; }
    size_t n_queued() const { return n_queued_; }  // its tokens at arrival, as the queue counts them
    const std::string & tenant() const { return request_.tenant; }
    int32_t priority() const { return request_.priority; }
    double waited() const { return std::chrono::duration<double>(Clock::now() - arrived_).count(); }
    bool preempted() const { return started_.has_value(); }  // of one that waits
    bool expired() const { return request_.deadline && waited() >= *request_.deadline; }
    // Of its next tokens; of the tokens that it shares with others.
    const AdapterSets::Interned & adapters() const { return switched() ? adapters_.all : adapters_.before; }
    AdapterSetId adapter_set_id() const { return adapters_.switch_at > 0 ? adapters_.before.id : adapters_.all.id; }

    const std::vector<Token> & tokens() const { return tokens_; }  // its context: prompt and completion
    // The same with what context shifts took out.
    const std::vector<Token> & history() const { return history_.empty() ? tokens_ : history_; }
    int32_t n_computed() const { return n_computed_; }  // of tokens(), in the KV cache
    int32_t n_pending() const { return static_cast<int32_t>(tokens_.size()) - n_computed_; }
    bool wants_steps() const { return (request_.max_tokens != 0 || request_.prompt_logprobs) && !ended(); }
    bool decoding() const;
    RunningView view(uint64_t last_step) const;

    // How many of the prompt's first `n` tokens it may take from another's cells.
    int32_t reusable(int32_t n) const;
    // How many of its computed tokens others may take.
    int32_t shareable() const;
    // How many of its prompt's tokens they will be able to.
    size_t shareable_prompt() const;

    // Speculation: null when it is off for this request.
    DraftState * drafts() { return drafts_ ? &*drafts_ : nullptr; }
    const DraftState * drafts() const { return drafts_ ? &*drafts_ : nullptr; }
    int32_t draft_room() const;                     // tokens that a draft may have
    void keep_allowed(std::vector<Token> & draft);  // cut off what could not be chosen
    bool is_end(Token token) const { return chooser_.is_end(token); }

    // The answer so far.
    std::span<const Token> answer() const { return std::span(history()).subspan(n_prompt_); }

    // How the token is chosen that comes behind `n_ahead` others from here, where nothing else is read from its logits.
    std::optional<Draw> draw(int64_t n_ahead) const;

    // The tokens that a share puts into the batch.
    std::vector<Token> tokens_of(const Share & share) const;

    // Progress, told by the engine.
    void admitted(int32_t n_reused, CacheMiss miss);
    void lost();  // its cells were given away; everything is pending again

    // Of the share's last n_outputs tokens, in their order.
    using Rows = std::span<const OutputRow>;

    // Context shift, if it may: give tokens up to make room; those behind are pending again, and their cells are due
    // for a cut. False: nothing can be given up.
    bool shift();

    // A share was computed: count it, choose the next token if it took all that was pending, and take that in. What
    // this adds is appended to `output`; a finish_reason there means that the request is done. Throws DecodeError.
    void advance(const Share & share, Rows rows, Output & output);

    // After the last advance() the cache has cells beyond n_computed(), of tokens that are not part of it any more.
    bool left_cells() const { return n_computed_ < n_cells_; }

    // End it from outside, if it has not ended by itself: hands out text that was held back.
    void finish(FinishReason reason, Output & output);

  private:
    void score_prompt(int32_t first, Rows rows, Output & output);
    // Choose one token and take it in; false: what follows was not computed for it.
    bool choose(const OutputRow & row, Output & output);
    void check_drafts(int32_t n_draft, Rows rows, Output & output);
    void append_forced(Output & output);
    bool take(Token token, std::span<const float> logits, Output & output);
    void replay();                     // take in what was answered before
    void tell_begun(Output & output);  // once
    bool ended() const { return begun_ && begun_->finish_reason != FinishReason::None; }
    bool looks_ahead_ = true;  // its grammar checks drafts quickly

    bool switched() const { return n_computed_ >= adapters_.switch_at; }
    int64_t n_generated() const { return static_cast<int64_t>(history().size() - n_prompt_); }
    bool shifted() const { return !history_.empty(); }
    size_t n_keep() const;
    bool scores_prompt() const;  // and is not through with it

    RequestId id_;
    size_t n_queued_;
    std::string known_;  // text at the prompt's end that the answer starts with again (token healing)
    Request request_;
    AdapterPlan adapters_;
    SequenceRules rules_;
    std::vector<Token> tokens_;
    std::vector<Token> history_;  // empty until the first shift
    size_t n_prompt_;
    int32_t n_computed_ = 0;
    int32_t n_cells_ = 0;   // in the KV cache after the last advance()
    int32_t n_scored_ = 0;  // prompt tokens whose log-probabilities are out
    TokenChooser chooser_;
    TextStream text_;
    std::vector<Token> forced_;  // the next tokens, as far as the grammar leaves no choice
    std::optional<DraftState> drafts_;
    std::optional<Output> begun_;  // what was answered before, until it is told
    Usage usage_;
    Clock::time_point arrived_;
    std::optional<Clock::time_point> started_;
    std::optional<Clock::time_point> first_token_;
};

}  // namespace shimmy
