#include "engine/draft_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <utility>

#include "errors.h"
#include "llama/logits.h"
#include "llama/vocab_match.h"

namespace shimmy {
namespace {

constexpr int32_t most_budget = 65536;

const Model & checked(const Model & draft, const Model & target) {
    check_vocab_match(target, draft);
    const auto refuse = [&](const std::string & why) {
        throw InvalidRequestError(draft.path() + " cannot draft: " + why, "draft_model");
    };
    if (draft.is_recurrent()) {
        refuse("it is recurrent, so tokens that the target refuses cannot be taken back; use a transformer");
    }
    if (draft.has_encoder() || !draft.has_decoder()) {
        refuse("it is no decoder-only model");
    }
    return draft;
}

ContextParams draft_params(const Model & draft, const Model & target, ContextParams params, uint32_t n_seq_max,
                           uint32_t n_ctx, int32_t budget) {
    checked(draft, target);
    if (budget < 1 || budget > most_budget) {
        throw InvalidRequestError("catch_up_budget is " + std::to_string(budget) + ", it must be between 1 and " +
                                      std::to_string(most_budget),
                                  "catch_up_budget");
    }
    params.n_ctx = n_ctx;
    params.n_seq_max = n_seq_max;
    params.n_batch = std::max(static_cast<uint32_t>(budget), n_seq_max);
    params.n_ubatch = std::min(params.n_ubatch, params.n_batch);
    params.n_outputs_max = n_seq_max;
    params.kv_unified = true;
    params.swa_full = true;  // so that any tail can be taken back
    params.rope_freq_base = 0;
    params.rope_freq_scale = 0;
    return params;
}

// The softmax of the highest logit. Logits 16 below it are left out: together they are less than 0.03 of 250,000.
double probability(std::span<const float> logits, float highest) {
    float sum = 0;
    for (const float logit : logits) {
        const float below = logit - highest;
        if (below > -16.0F) {
            sum += std::exp(below);
        }
    }
    return 1.0 / static_cast<double>(sum);
}

}  // namespace

// A job that is caught up, and where the logits of its last token are.
struct DraftModel::Run {
    DraftJob * job;
    int32_t row;
};

DraftModel::DraftModel(std::shared_ptr<Model> draft, const Model & target, const ContextParams & params,
                       uint32_t n_seq_max, uint32_t n_ctx, int32_t catch_up_budget)
    : context_(draft, draft_params(*draft, target, params, n_seq_max, n_ctx, catch_up_budget)),
      tokenizer_(draft),
      n_vocab_(std::min(draft->n_vocab(), target.n_vocab())),
      budget_(catch_up_budget),
      seen_(n_seq_max) {}

void DraftModel::forget(size_t slot) {
    check_slot(slot);
    seen_[slot].clear();
    context_.kv_cache().seq_rm(static_cast<SeqId>(slot));
}

void DraftModel::check_slot(size_t slot) const {
    if (slot >= seen_.size()) {
        throw InvalidRequestError(
            "there is no slot " + std::to_string(slot) + ", n_seq_max is " + std::to_string(seen_.size()), "slot");
    }
}

// Cut the slot back to what it shares with the job's tokens; when it drafts, less their last one, whose logits it
// needs.
void DraftModel::rewind(const DraftJob & job) {
    auto & seen = seen_[job.slot];
    const auto wanted = job.tokens.first(job.tokens.size() - (job.max_tokens > 0 ? 1 : 0));
    const auto end = std::mismatch(wanted.begin(), wanted.end(), seen.begin(), seen.end()).second;
    const auto n = static_cast<size_t>(end - seen.begin());
    if (n == seen.size()) {
        return;
    }
    if (context_.kv_cache().seq_rm(static_cast<SeqId>(job.slot), static_cast<Pos>(n), -1)) {
        seen.resize(n);
    } else {
        forget(job.slot);
    }
}

size_t DraftModel::cells_free() const {
    const auto add = [](size_t sum, const auto & seen) { return sum + seen.size(); };
    const size_t used = std::accumulate(seen_.begin(), seen_.end(), size_t{0}, add);
    return context_.n_ctx() - std::min<size_t>(used, context_.n_ctx());
}

// Slots without a job make room for those with one.
void DraftModel::make_room(size_t n_cells, const std::vector<bool> & busy) {
    for (size_t slot = 0; slot < seen_.size() && cells_free() < n_cells; ++slot) {
        if (!busy[slot] && !seen_[slot].empty()) {
            forget(slot);
        }
    }
}

// False when the cache has no room after all or the call was aborted: the batch's slots are forgotten.
bool DraftModel::compute() {
    const auto status = context_.decode(batch_);
    if (status == DecodeStatus::Ok) {
        return true;
    }
    if (status == DecodeStatus::Failed) {
        throw DecodeError("llama.cpp failed while the draft model decoded");
    }
    for (int32_t i = 0; i < batch_.n_tokens(); ++i) {
        forget(static_cast<size_t>(*batch_.seq_ids(i)));
    }
    if (status == DecodeStatus::Invalid) {
        throw DecodeError("llama.cpp refused a batch of the draft model");
    }
    return false;
}

// The jobs whose slot can be brought to their tokens, those that miss least first.
std::vector<DraftJob *> DraftModel::order(std::span<DraftJob> jobs) {
    std::vector<DraftJob *> order;
    for (auto & job : jobs) {
        if (job.tokens.empty() || job.tokens.size() >= context_.n_ctx_seq()) {
            continue;
        }
        rewind(job);
        const auto rest = job.tokens.subspan(seen_[job.slot].size());
        if (std::all_of(rest.begin(), rest.end(), [&](Token token) { return token >= 0 && token < n_vocab_; })) {
            order.push_back(&job);
        }
    }
    std::stable_sort(order.begin(), order.end(), [&](const auto * a, const auto * b) {
        return a->tokens.size() - seen_[a->slot].size() < b->tokens.size() - seen_[b->slot].size();
    });
    return order;
}

std::vector<DraftModel::Run> DraftModel::catch_up(std::span<DraftJob> jobs) {
    std::vector<bool> busy(seen_.size());
    for (auto & job : jobs) {
        check_slot(job.slot);
        if (busy[job.slot]) {
            throw InvalidRequestError("slot " + std::to_string(job.slot) + " has two jobs", "jobs");
        }
        busy[job.slot] = true;
        job.proposal.clear();
        job.caught_up = false;
    }

    batch_.clear();
    std::vector<Run> runs;
    auto left = static_cast<size_t>(budget_);
    size_t reserved = 0;  // cells for what will be drafted
    for (auto * job : order(jobs)) {
        auto & seen = seen_[job->slot];
        const size_t missing = job->tokens.size() - seen.size();
        const auto most = static_cast<size_t>(std::max(job->max_tokens, 0));
        const size_t wanted = missing + reserved + std::min(most, context_.n_ctx_seq() - job->tokens.size());
        make_room(wanted, busy);
        if (cells_free() < wanted) {
            continue;
        }
        reserved = wanted - missing;
        const size_t n = std::min(missing, left);
        job->caught_up = seen.size() + n == job->tokens.size();
        const bool drafts = job->caught_up && job->max_tokens > 0;
        for (const Token token : job->tokens.subspan(seen.size(), n)) {
            const bool output = drafts && seen.size() + 1 == job->tokens.size();
            const int32_t row = batch_.add(token, static_cast<Pos>(seen.size()), static_cast<SeqId>(job->slot), output);
            seen.push_back(token);
            if (output) {
                runs.push_back({job, row});
            }
        }
        left -= n;
    }
    if (batch_.n_tokens() > 0 && !compute()) {
        for (auto & job : jobs) {
            job.caught_up = false;
        }
        runs.clear();
    }
    return runs;
}

// Appends the likeliest token to the run's proposal. False when the draft ends here.
bool DraftModel::take(Run & run) const {
    auto & job = *run.job;
    const auto logits = context_.logits(run.row);
    const Token token = argmax(logits);
    if (token < 0 || token >= n_vocab_ || tokenizer_.is_eog(token) ||
        probability(logits, logits[static_cast<size_t>(token)]) < job.min_probability) {
        return false;
    }
    job.proposal.push_back(token);
    return job.proposal.size() < static_cast<size_t>(job.max_tokens) && seen_[job.slot].size() < context_.n_ctx_seq();
}

void DraftModel::extend(std::vector<Run> runs) {
    using Clock = std::chrono::steady_clock;
    for (;;) {
        std::erase_if(runs, [&](Run & run) { return !take(run); });
        if (runs.empty() || cells_free() < runs.size()) {
            return;
        }
        batch_.clear();
        for (auto & run : runs) {
            auto & seen = seen_[run.job->slot];
            const Token token = run.job->proposal.back();
            run.row = batch_.add(token, static_cast<Pos>(seen.size()), static_cast<SeqId>(run.job->slot), true);
            seen.push_back(token);
        }
        const auto start = Clock::now();
        if (!compute()) {
            return;
        }
        clock_.observe(batch_.n_tokens(), std::chrono::duration<double>(Clock::now() - start).count());
    }
}

void DraftModel::draft(std::span<DraftJob> jobs) {
    extend(catch_up(jobs));
}

}  // namespace shimmy
