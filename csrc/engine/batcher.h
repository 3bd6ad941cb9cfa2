#pragma once
// The step: take what arrived, admit, plan, decode, advance. Belongs to one thread at a time.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "engine/adapter_turns.h"
#include "engine/admission.h"
#include "engine/engine_stats.h"
#include "engine/inbox.h"
#include "engine/prefill_pace.h"
#include "engine/rate_meter.h"
#include "engine/schedule.h"
#include "engine/sequence.h"
#include "engine/slots.h"
#include "engine/speculation.h"
#include "engine/step_mix.h"
#include "engine/thread_governor.h"
#include "engine/worker_pool.h"
#include "llama/context.h"

namespace shimmy {

class Batcher {
  public:
    // All of them must outlive this.
    Batcher(Context & context, Inbox & inbox, const SequenceRules & rules, const EngineParams & params,
            std::unique_ptr<DraftModel> draft);

    // What steps of several tokens cost here, so that the first drafts have the right length. Half a second at most.
    // Does nothing when something is cached already. Throws as step() does.
    void probe();

    bool knows_step_costs() const { return speculation_ && speculation_->ready(); }

    // One step. False when there is nothing to do. Throws what llama.cpp cannot recover from; end_all is due then.
    bool step();

    bool busy() const { return !running_.empty() || !queue_.empty(); }

    // End every request, also those that have just arrived.
    void end_all(FinishReason reason, const std::string & error = {});

    std::vector<Output> take_outputs() { return std::exchange(outputs_, {}); }
    EngineStats stats() const;
    Slots & slots() { return slots_; }
    const Slots & slots() const { return slots_; }

  private:
    void take_notes();
    void end_where(FinishReason reason, const std::function<bool(const Sequence &)> & ends);
    void admit();
    bool fits(const Sequence & next) const;
    void draft(std::vector<RunningView> & views, AdapterSetId adapters, bool prompts);
    StepPlan plan();
    DecodeStatus decode(const StepPlan & plan);
    void advance(const StepPlan & plan);
    void settle(const Share & share, Output output, std::set<size_t> & finished);
    void start_again_alone();
    void fail_or_repeat(const StepPlan & plan, DecodeStatus status);
    void undo(const StepPlan & plan);
    bool make_room(const StepPlan & plan);
    void forget_drafts(size_t index);       // of the sequence that leaves this slot
    void release(size_t index, bool keep);  // the slot of a sequence that has ended
    Output ended(Sequence & sequence, FinishReason reason, const std::string & error = {});
    void send(Output output);

    Context & context_;
    Inbox & inbox_;
    const SequenceRules & rules_;
    const EngineParams & params_;
    ThreadGovernor governor_;
    PrefillPace pace_;
    StepMix mix_;
    AdapterTurns turns_;
    Slots slots_;
    WorkerPool workers_;
    TenantLedger ledger_;
    std::optional<Speculation> speculation_;
    std::vector<size_t> running_;  // indices into slots_, in order of admission
    std::deque<std::unique_ptr<Sequence>> queue_;
    AdapterSetId active_adapters_ = 0;
    uint64_t step_ = 0;
    bool just_preempted_ = false;   // and no step was completed since
    bool just_stopped_ = false;     // the last decode, for a request that was cancelled
    std::set<RequestId> suspects_;  // ran beside what failed: each is computed by itself until it has a token
    int n_broken_ = 0;              // steps in a row that the backend gave up
    bool trusts_backend_ = true;    // until a value is no number: the host says what that means
    RateMeter rate_;
    Batch batch_;
    std::vector<Output> outputs_;
    EngineStats counters_;
};

}  // namespace shimmy
