#pragma once
// A small model that guesses what the target will say next.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/step_clock.h"
#include "llama/context.h"

namespace shimmy {

struct DraftJob {
    size_t slot;                    // the target's, below n_seq_max
    std::span<const Token> tokens;  // all of the sequence so far
    int32_t max_tokens = 0;         // 0: only catch up, for instance while the target computes the prompt
    double min_probability = 0.75;  // the draft ends before a token that the model gives less; llama.cpp's p_min

    std::vector<Token> proposal = {};  // the answer: at most max_tokens, none of them ends a generation
    bool caught_up = false;            // the answer: all of `tokens` was computed, so an empty proposal means unsure
};

// Has a context of its own, with one sequence per slot of the target. Used by the step thread only.
class DraftModel {
  public:
    // `params` as the target's: what depends on the model or on the roles of the two is set here. `n_ctx`: cells for
    // all sequences. Throws what Context throws, and InvalidRequestError for a model that cannot draft for `target`.
    DraftModel(std::shared_ptr<Model> draft, const Model & target, const ContextParams & params, uint32_t n_seq_max,
               uint32_t n_ctx, int32_t catch_up_budget = 512);

    // Draft greedily for all jobs at once (different slots). What of `tokens` the model has not seen is computed first,
    // at most `catch_up_budget` tokens per call for all jobs together, the shortest first; jobs that are not caught up
    // by then get nothing yet. When cells run out, slots without a job are forgotten; jobs for which that is not enough
    // get nothing. Throws DecodeError when llama.cpp fails, and ever after; the target is not touched by that.
    void draft(std::span<DraftJob> jobs);

    void forget(size_t slot);  // its sequence has ended or left

    // Seconds of a drafting step for so many sequences.
    const StepClock & clock() const { return clock_; }

    size_t n_cells(size_t slot) const { return seen_.at(slot).size(); }  // that its sequence holds

    const Context & context() const { return context_; }

  private:
    struct Run;

    void check_slot(size_t slot) const;
    void rewind(const DraftJob & job);
    size_t cells_free() const;
    void make_room(size_t n_cells, const std::vector<bool> & busy);
    std::vector<DraftJob *> order(std::span<DraftJob> jobs);
    std::vector<Run> catch_up(std::span<DraftJob> jobs);
    void extend(std::vector<Run> runs);
    bool take(Run & run) const;
    bool compute();

    Context context_;
    Tokenizer tokenizer_;
    int32_t n_vocab_;  // tokens that both models know
    int32_t budget_;
    std::vector<std::vector<Token>> seen_;  // by slot: tokens whose cells are computed
    Batch batch_;
    StepClock clock_;
};

}  // namespace shimmy
