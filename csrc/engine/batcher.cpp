#include "engine/batcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "engine/engine_params.h"
#include "errors.h"
#include "llama/device.h"

namespace shimmy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t steps_after_resumption = 8;
constexpr size_t parallel_logits = 1 << 16;  // fewer are sampled on the step thread alone

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

size_t tokens_in(const StepPlan & plan) {
    size_t n = 0;
    for (const auto & share : plan.shares) {
        n += static_cast<size_t>(share.n_tokens);
    }
    return n;
}

}  // namespace

Batcher::Batcher(Context & context, Inbox & inbox, const SequenceRules & rules, const EngineParams & params,
                 std::unique_ptr<DraftModel> draft)
    : context_(context),
      inbox_(inbox),
      rules_(rules),
      params_(params),
      governor_(context_.n_threads(), context_.n_threads_batch(), params_.adaptive_threads && !params_.deterministic),
      pace_(params_.prefill_seconds, static_cast<int32_t>(params_.prefill_budget)),
      mix_(rules_.cells_per_decode, !context_.params().kv_unified),
      slots_(context_, params_.prefix_cache, params_.cache_ram_mib),
      workers_(sampling_threads(params_, context_.n_seq_max())) {
    if (rules_.max_draft > 0) {
        speculation_.emplace(rules_.max_draft, params_.adaptive_draft, std::move(draft));
    }
}

bool Batcher::step() {
    const auto start = Clock::now();
    take_notes();
    admit();
    if (running_.empty()) {
        return !outputs_.empty() || !queue_.empty();
    }
    ++step_;
    const auto plan = this->plan();
    slots_.evict_for(tokens_in(plan));
    const auto n_before = counters_.completion_tokens;
    const bool decoding =
        std::any_of(running_.begin(), running_.end(), [&](size_t index) { return slots_[index].sequence->decoding(); });
    const auto status = decode(plan);
    switch (status) {
        case DecodeStatus::Ok:
            just_preempted_ = false;
            n_broken_ = 0;
            advance(plan);
            break;
        case DecodeStatus::Aborted:
            undo(plan);
            break;
        case DecodeStatus::NoKvSlot:
            if (!make_room(plan)) {
                throw DecodeError("the KV cache has no room for a single request");
            }
            break;
        case DecodeStatus::Invalid:
            throw DecodeError("llama.cpp refused a batch of the engine");
        case DecodeStatus::NoMemory:
        case DecodeStatus::Broken:
        case DecodeStatus::Failed:
            fail_or_repeat(plan, status);
            break;
    }
    ++counters_.steps;
    const double seconds = seconds_since(start);
    counters_.step_seconds += seconds;
    rate_.record(counters_.completion_tokens - n_before, decoding ? seconds : 0.0);
    counters_.tokens_per_second = rate_.per_second();
    return true;
}

void Batcher::take_notes() {
    auto notes = inbox_.take();
    for (auto & sequence : notes.arrivals) {
        ledger_.arrive(sequence->tenant());
        if (sequence->wants_steps()) {
            queue_.push_back(std::move(sequence));
            continue;
        }
        inbox_.leave_queue(sequence->n_queued());
        send(ended(*sequence, FinishReason::Length));
    }
    if (!notes.cancellations.empty()) {
        end_where(FinishReason::Cancelled, [&](const Sequence & s) { return notes.cancellations.count(s.id()) > 0; });
    }
    end_where(FinishReason::Deadline, [](const Sequence & s) { return s.expired(); });
}

void Batcher::end_where(FinishReason reason, const std::function<bool(const Sequence &)> & ends) {
    std::erase(queue_, nullptr);  // left behind by a step that failed halfway, as are slots without a sequence
    std::erase_if(queue_, [&](const auto & sequence) {
        if (!ends(*sequence)) {
            return false;
        }
        inbox_.leave_queue(sequence->n_queued());
        send(ended(*sequence, reason));
        return true;
    });
    std::erase_if(running_, [&](size_t index) {
        if (!slots_[index].sequence || !ends(*slots_[index].sequence)) {
            return false;
        }
        send(ended(*slots_[index].sequence, reason));
        release(index, true);
        return true;
    });
}

bool Batcher::fits(const Sequence & next) const {
    if (running_.empty() || !context_.params().kv_unified) {
        return true;
    }
    // Room to grow, so that a resumed request is not preempted again at once.
    const size_t steps = next.preempted() ? steps_after_resumption : 1;
    return slots_.cells_with(next, running_) + slots_.cells_pinned() + steps * (running_.size() + 1) <=
           context_.n_ctx();
}

void Batcher::admit() {
    const bool waits = just_preempted_ && !running_.empty();  // those that stayed make a step first
    if (queue_.empty() || waits || running_.size() == context_.n_seq_max()) {
        return;
    }
    std::vector<WaitingView> views;
    for (const auto & sequence : queue_) {
        views.push_back(
            {sequence->priority(), sequence->waited(), ledger_.served(sequence->tenant()), sequence->preempted()});
    }
    for (const size_t i : admission_order(views)) {
        auto & sequence = queue_[i];
        if (slots_.still_waits(*sequence)) {
            continue;
        }
        if (!fits(*sequence)) {
            break;
        }
        const size_t n_queued = sequence->n_queued();
        const auto placing = slots_.place(sequence, step_);
        if (placing.outcome == Placing::Outcome::Full) {
            break;
        }
        if (placing.outcome == Placing::Outcome::Wait) {
            continue;
        }
        running_.push_back(placing.slot);
        inbox_.leave_queue(n_queued);
    }
    std::erase(queue_, nullptr);
}

void Batcher::draft(std::vector<RunningView> & views, AdapterSetId adapters, bool prompts) {
    std::vector<Speculation::Candidate> candidates;
    std::vector<size_t> asked;  // their indices into views
    int32_t n_tokens = 0;
    int32_t n_decoding = 0;
    for (size_t i = 0; i < views.size(); ++i) {
        auto & sequence = *slots_[running_[i]].sequence;
        views[i].n_draft = 0;
        if (views[i].adapters != adapters) {
            continue;  // it waits for a step of its own adapters
        }
        if (views[i].decoding) {
            n_tokens += views[i].n_pending;
            ++n_decoding;
        } else if (prompts) {
            n_tokens += std::min(views[i].n_pending, pace_.budget());
        }
        if (sequence.drafts() && sequence.draft_room() > 0) {
            candidates.push_back({running_[i], &sequence});
            asked.push_back(i);
        }
    }
    int64_t room = static_cast<int64_t>(context_.n_outputs_max()) - static_cast<int64_t>(running_.size());
    if (context_.params().kv_unified) {  // nobody is preempted for a draft
        room = std::min(room, static_cast<int64_t>(context_.n_ctx()) -
                                  static_cast<int64_t>(slots_.cells_of(running_) + slots_.cells_pinned()));
    }
    speculation_->propose(candidates, n_tokens, n_decoding, static_cast<int32_t>(std::max<int64_t>(room, 0)));
    for (const size_t i : asked) {
        views[i].n_draft = static_cast<int32_t>(slots_[running_[i]].sequence->drafts()->tokens.size());
    }
}

StepPlan Batcher::plan() {
    StepBudget budget{static_cast<int32_t>(context_.n_batch()), pace_.budget(),
                      static_cast<int32_t>(context_.n_outputs_max()), rules_.fixed_chunk};
    budget.least_chunk = context_.model()->uses_gpu() ? gpu_chunk : min_chunk;
    for (size_t i = 0; i < running_.size() && !suspects_.empty(); ++i) {
        const auto & slot = slots_[running_[i]];
        if (suspects_.count(slot.sequence->id()) > 0) {
            auto plan = plan_step(std::vector{slot.sequence->view(slot.last_step)}, budget);
            plan.shares.front().index = i;
            return plan;
        }
    }
    suspects_.clear();  // what is left has ended or was preempted
    std::vector<RunningView> views;
    for (const size_t index : running_) {
        views.push_back(slots_[index].sequence->view(slots_[index].last_step));
    }
    const auto adapters = rules_.fixed_chunk > 0 ? next_adapters(views) : turns_.next(views, Clock::now());
    budget.adapters = adapters;
    budget.serve = mix_.next(views, adapters, slots_.cells_used());
    if (speculation_ && budget.serve != Serve::Prompts) {
        draft(views, adapters, budget.serve == Serve::Both);
    }
    auto made = plan_step(views, budget);
    // llama.cpp computes together what follows one another by sequence where these have cells of their own; in one pool
    // it goes on, with tokens from the GPU, with the graph of a step that had the same sequences in the same order.
    const auto end = context_.params().kv_unified
                         ? std::find_if(made.shares.begin(), made.shares.end(),
                                        [&](const Share & share) { return !views[share.index].decoding; })
                         : made.shares.end();
    std::sort(made.shares.begin(), end,
              [&](const Share & a, const Share & b) { return running_[a.index] < running_[b.index]; });
    return made;
}

DecodeStatus Batcher::decode(const StepPlan & plan) {
    if (plan.adapters != active_adapters_) {
        context_.set_adapters(slots_[running_[plan.shares.front().index]].sequence->adapters().set);
        active_adapters_ = plan.adapters;
        if (speculation_) {
            speculation_->interrupted();  // what the switch takes is no part of what steps cost
        }
    }
    batch_.clear();
    auto kind = StepKind::Decode;
    std::set<RequestId> worth_stopping;
    for (const auto & share : plan.shares) {
        const size_t index = running_[share.index];
        const auto & sequence = *slots_[index].sequence;
        Pos pos = sequence.n_computed();
        const Pos first_output = pos + share.n_tokens - share.n_outputs;
        int64_t n_ahead = 0;
        for (const Token token : sequence.tokens_of(share)) {
            const bool output = pos >= first_output;
            const auto draw = output && trusts_backend_ ? sequence.draw(n_ahead++) : std::nullopt;
            batch_.add(token, pos, static_cast<SeqId>(index), output, draw);
            ++pos;
        }
        if (!sequence.decoding()) {
            kind = StepKind::Prefill;
        }
        if (!sequence.decoding() || plan.shares.size() == 1) {
            worth_stopping.insert(sequence.id());
        }
    }
    if (just_stopped_ && plan.shares.size() > 1) {
        worth_stopping.clear();  // others get every second step at least, however often somebody cancels
    }
    if (!inbox_.begin_decode(std::move(worth_stopping))) {
        just_stopped_ = true;
        return DecodeStatus::Aborted;
    }
    context_.set_n_threads(governor_.n_threads(kind), governor_.n_threads(kind));
    const auto start = Clock::now();
    const auto status = context_.decode(batch_);
    const double seconds = seconds_since(start);
    counters_.decode_seconds += seconds;
    if (status == DecodeStatus::Ok) {
        governor_.record(kind, batch_.n_tokens(), seconds);
        if (kind == StepKind::Prefill) {
            pace_.observe(batch_.n_tokens(), seconds);
            slots_.prefilled(batch_.n_tokens(), seconds);
        }
        if (speculation_) {
            kind == StepKind::Decode ? speculation_->observe(batch_.n_tokens(), seconds) : speculation_->interrupted();
        }
    }
    // A step that had nothing to stop does not count as that second step.
    just_stopped_ = status == DecodeStatus::Aborted || (just_stopped_ && kind == StepKind::Decode);
    inbox_.end_decode([this] { context_.clear_abort(); });
    return status;
}

void Batcher::advance(const StepPlan & plan) {
    struct Task {
        std::vector<OutputRow> rows;  // fetched here: llama.cpp may sort its outputs at the first access
        Output output;
        bool broken = false;
    };
    std::vector<Task> tasks(plan.shares.size());
    int32_t end = 0;  // index into the batch
    size_t n_logits = 0;
    for (size_t i = 0; i < tasks.size(); ++i) {
        const auto & share = plan.shares[i];
        end += share.n_tokens;
        for (int32_t k = end - share.n_outputs; k < end; ++k) {
            const auto & row = tasks[i].rows.emplace_back(context_.row(k));
            n_logits += row.logits.size();
            counters_.backend_rows += row.logits.empty() ? 1 : 0;
        }
        const auto & sequence = *slots_[running_[share.index]].sequence;
        if (!sequence.decoding()) {
            ledger_.charge(sequence.tenant(), share.n_tokens, 0);
        }
    }
    const auto take = [&](size_t i) {
        auto & sequence = *slots_[running_[plan.shares[i].index]].sequence;
        auto & [rows, output, broken] = tasks[i];
        output.id = sequence.id();
        try {
            sequence.advance(plan.shares[i], rows, output);
        } catch (const std::exception & error) {
            broken = std::any_of(rows.begin(), rows.end(), [](const OutputRow & row) { return is_broken(row); });
            if (!broken || suspects_.count(sequence.id()) > 0) {
                output.error = error.what();
                sequence.finish(FinishReason::Failed, output);
            }
        }
    };
    if (tasks.size() > 1 && n_logits >= parallel_logits) {
        workers_.run(tasks.size(), take);
    } else {
        for (size_t i = 0; i < tasks.size(); ++i) {
            take(i);
        }
    }
    std::set<size_t> finished;
    for (size_t i = 0; i < tasks.size(); ++i) {
        if (plan.shares[i].output && !tasks[i].broken) {
            suspects_.erase(tasks[i].output.id);
        }
        settle(plan.shares[i], std::move(tasks[i].output), finished);
    }
    std::erase_if(running_, [&](size_t index) { return finished.count(index) > 0; });
    if (std::any_of(tasks.begin(), tasks.end(), [](const Task & task) { return task.broken; })) {
        trusts_backend_ = false;
        start_again_alone();
    }
}

void Batcher::settle(const Share & share, Output output, std::set<size_t> & finished) {
    const size_t index = running_[share.index];
    auto & slot = slots_[index];
    const auto n_tokens = static_cast<uint64_t>(share.n_tokens);
    counters_.computed_tokens += n_tokens;
    const bool decoded = !output.tokens.empty() || output.finish_reason != FinishReason::None;
    ledger_.charge(slot.sequence->tenant(), 0, static_cast<int64_t>(output.tokens.size() - output.n_answered));
    slot.last_step = step_;
    if (slot.sequence->left_cells()) {
        slots_.rewind(index);
    }
    slots_.computed(index);
    if (output.finish_reason != FinishReason::None) {
        ledger_.leave(slot.sequence->tenant());
        if (speculation_) {
            speculation_->remember(*slot.sequence);
        }
        release(index, output.finish_reason != FinishReason::Failed);
        finished.insert(index);
    }
    if (decoded || !output.prompt_logprobs.empty()) {
        send(std::move(output));
    }
}

void Batcher::undo(const StepPlan & plan) {
    for (const auto & share : plan.shares) {
        slots_.rewind(running_[share.index]);
    }
}

bool Batcher::make_room(const StepPlan & plan) {
    if (slots_.evict_oldest() > 0) {
        return true;
    }
    if (running_.size() > 1) {
        const auto newest = std::max_element(running_.begin(), running_.end(), [&](size_t a, size_t b) {
            const auto rank = [&](size_t index) {
                return std::pair(slots_[index].sequence->priority(), slots_[index].sequence->id());
            };
            return rank(a) < rank(b);
        });
        forget_drafts(*newest);
        queue_.push_front(slots_.preempt(*newest));
        running_.erase(newest);
        ++counters_.preemptions;
        just_preempted_ = true;
        inbox_.reenter_queue(queue_.front()->n_queued());
        return true;
    }
    if (slots_.unpin_all()) {
        return true;
    }
    // One request alone fills the cache: it has reached the end of its context.
    const size_t index = running_.front();
    if (plan.shares.size() != 1 || !slots_[index].sequence->decoding()) {
        return false;
    }
    if (slots_[index].sequence->shift()) {
        slots_.rewind(index);
        return true;
    }
    send(ended(*slots_[index].sequence, FinishReason::Length));
    release(index, true);
    running_.clear();
    return true;
}

void Batcher::forget_drafts(size_t index) {
    if (speculation_) {
        speculation_->forget(index);
    }
}

void Batcher::release(size_t index, bool keep) {
    forget_drafts(index);
    slots_.release(index, keep);
}

Output Batcher::ended(Sequence & sequence, FinishReason reason, const std::string & error) {
    Output output;
    output.id = sequence.id();
    output.error = error;
    sequence.finish(reason, output);
    ledger_.leave(sequence.tenant());
    return output;
}

void Batcher::send(Output output) {
    counters_.completion_tokens += output.tokens.size() - output.n_answered;
    if (output.finish_reason != FinishReason::None) {
        ++counters_.requests_finished;
        counters_.prompt_tokens += static_cast<uint64_t>(output.usage.prompt_tokens);
        counters_.cached_tokens += static_cast<uint64_t>(output.usage.cached_tokens);
        counters_.drafted_tokens += static_cast<uint64_t>(output.usage.drafted_tokens);
        counters_.accepted_tokens += static_cast<uint64_t>(output.usage.accepted_tokens);
    }
    outputs_.push_back(std::move(output));
}

void Batcher::end_all(FinishReason reason, const std::string & error) {
    take_notes();
    for (const size_t index : running_) {
        if (slots_[index].sequence) {
            send(ended(*slots_[index].sequence, reason, error));
            forget_drafts(index);
            slots_[index].sequence.reset();
        }
    }
    for (auto & sequence : queue_) {
        inbox_.leave_queue(sequence->n_queued());
        send(ended(*sequence, reason, error));
    }
    running_.clear();
    queue_.clear();
}

EngineStats Batcher::stats() const {
    auto stats = counters_;
    stats.running = running_.size();
    stats.kv_cells_used = slots_.cells_used();
    stats.forks = slots_.stats().forks;
    stats.kv_cells_total = context_.n_ctx();
    return stats;
}

}  // namespace shimmy
