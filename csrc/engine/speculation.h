#pragma once
// Drafts for the sequences of the next step: of their own text, of what their tenants were answered before, or of a
// draft model. The engine checks each drafted token with the sequence's own sampler, so no answer changes.

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/draft_model.h"
#include "engine/sequence.h"
#include "engine/step_clock.h"
#include "engine/suffix_history.h"

namespace shimmy {

// Used by the step thread only.
class Speculation {
  public:
    // `adaptive`: draft only what pays. `model` may be null.
    Speculation(int32_t max_draft, bool adaptive, std::unique_ptr<DraftModel> model);

    struct Candidate {
        size_t slot;
        Sequence * sequence;
    };

    // Give each candidate its draft, which may be empty. `n_tokens`: what the step has without drafts; `n_decoding`:
    // sequences that decode in it; `n_outputs`: outputs that are left for drafts.
    void propose(std::span<const Candidate> candidates, int32_t n_tokens, int32_t n_decoding, int32_t n_outputs);

    // A step that only decoded took so long.
    void observe(int32_t n_tokens, double seconds) { clock_.observe(n_tokens, seconds); }

    bool ready() const { return clock_.ready(); }  // it is known what steps cost

    // A step with prompts came between.
    void interrupted() { clock_.interrupted(); }

    // A request has ended: its answer can be proposed to its tenant again, whose next one begins with what it learned.
    void remember(const Sequence & sequence);

    // The sequence of a slot has ended or left. Never throws: a draft model that fails is done without.
    void forget(size_t slot);

  private:
    static Proposal look_up_own(Sequence & sequence, int32_t room);
    Proposal look_up(Sequence & sequence, DraftSource & source);
    void ask_model();

    int32_t max_draft_;
    bool adaptive_;
    StepClock clock_;
    SuffixHistory history_;
    std::unique_ptr<DraftModel> model_;
    std::vector<Candidate> asked_;  // of the model, in this step
};

}  // namespace shimmy
