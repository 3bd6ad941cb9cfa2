// What has to hold after a run.

#include <regex>
#include <string>
#include <vector>

#include "engine_stress.h"
#include "llama/kv_cache.h"
#include "stress_requests.h"

namespace shimmy {

void EngineStress::check_told() {
    CHECK(engine_->death().empty());
    const auto stats = engine_->stats();
    CHECK(stats.running == 0);
    CHECK(stats.waiting == 0);
    CHECK(stats.requests_finished == asked_.size());
    CHECK(told_.size() == asked_.size());
    uint64_t n_tokens = 0;
    uint64_t n_answered = 0;
    for (const auto & [id, request] : asked_) {
        CAPTURE(id);
        const auto & told = told_[id];
        CHECK(told.n_last == 1);
        CHECK_FALSE(told.more_after_last);
        n_tokens += told.n_tokens;
        n_answered += told.n_answered;
        if (told.reason == FinishReason::Cancelled) {
            CHECK((shut_down_ || cancelled_.count(id) > 0));
        }
        check_answer(request, told);
    }
    CHECK(stats.completion_tokens == n_tokens - n_answered);
    for (const auto & what : problems_) {
        FAIL_CHECK(what);
    }
}

// That the run did what it is for.
void EngineStress::check_counts() {
    const auto stats = engine_->stats();
    std::map<FinishReason, size_t> reasons;
    size_t n_cached = 0;
    size_t n_adapted = 0;
    size_t n_constrained = 0;
    size_t n_resumed = 0;
    int64_t n_shifts = 0;
    for (const auto & [id, request] : asked_) {
        const auto & told = told_[id];
        ++reasons[told.reason];
        n_cached += told.usage.cached_tokens > 0 ? 1 : 0;
        n_shifts += told.usage.context_shifts;
        n_constrained += request.grammar && told.reason == FinishReason::Stop ? 1 : 0;
        n_resumed += !request.answered.empty() && told.n_tokens > request.answered.size() ? 1 : 0;
        n_adapted += !request.lora.empty() && told.n_tokens > 0 ? 1 : 0;
    }
    std::string ends;
    for (const auto & [reason, n] : reasons) {
        ends += " " + std::to_string(static_cast<int>(reason)) + ":" + std::to_string(n);
    }
    MESSAGE(asked_.size() << " requests, by finish reason" << ends << "; " << stats.steps << " steps, "
                          << stats.preemptions << " preemptions, " << stats.forks << " forks, " << n_cached
                          << " cache hits, " << n_adapted << " requests with adapters and " << n_swaps_.load()
                          << " swaps, " << n_prefix_calls_.load() << " calls for prefixes, " << n_shifts
                          << " context shifts, " << n_constrained << " answers of a grammar, " << n_resumed
                          << " answers gone on with, " << stats.accepted_tokens << " of " << stats.drafted_tokens
                          << " drafted accepted");
    if (!options_.counts) {
        return;
    }
    if (asked_.size() >= 200) {  // sanitizers on a busy machine get to fewer
        CHECK((grammars().empty() || n_constrained > 0));
        CHECK(n_resumed > 0);
    }
    CHECK(reasons[FinishReason::Cancelled] > 0);
    CHECK(reasons[FinishReason::Stop] > 0);
    CHECK(reasons[FinishReason::Length] > 0);
    CHECK(n_swaps_ > 0);
    CHECK(n_adapted > 0);
    if (options_.context.kv_unified) {
        CHECK(stats.preemptions > 0);
        CHECK(stats.forks > 0);
    }
    if (!options_.engine.deterministic) {  // whose prompts are too short for a whole chunk
        CHECK(n_cached > 0);
        CHECK(n_prefix_calls_ > 0);
        CHECK(stats.drafted_tokens > 0);
    }
}

void EngineStress::check_answer(const Request & request, const Told & told) {
    CHECK_MESSAGE(told.reason != FinishReason::Failed, told.error);
    CHECK((told.reason != FinishReason::Deadline || request.deadline));
    CHECK(static_cast<int64_t>(told.n_tokens) <= *request.max_tokens);
    CHECK(told.n_logprobs == (request.logprobs ? told.n_tokens : 0));
    for (const auto & banned : request.banned_strings) {
        CHECK(told.text.find(banned) == std::string::npos);
    }
    for (const auto & stop : request.min_tokens > 0 ? std::vector<std::string>{} : request.stop) {
        CHECK(told.text.find(stop) == std::string::npos);
    }
    if (told.reason != FinishReason::Stop && told.reason != FinishReason::Length) {
        return;
    }
    CHECK((static_cast<int64_t>(told.n_tokens) >= request.min_tokens || request.grammar));  // which may end first
    if (request.grammar && request.stop.empty() && told.reason == FinishReason::Stop) {
        CHECK_MESSAGE(std::regex_match(told.text, std::regex(grammar_pattern)), told.text);
    }
    if (!request.token_healing) {
        CHECK(told.n_prompt_logprobs == (request.prompt_logprobs ? request.prompt.size() - 1 : 0));
    }
    if (options_.engine.deterministic && request.tenant == exact_tenant) {
        CHECK(answers_.try_emplace(request.prompt, told.text).first->second == told.text);
    }
}

// What the engine counts is what llama.cpp has.
void EngineStress::check_cells() {
    const KvCache cache(engine_->context().get(), 0);
    const auto stats = engine_->stats();
    uint64_t n_cells = 0;
    for (uint32_t i = 0; i < engine_->context().n_seq_max(); ++i) {
        n_cells += static_cast<uint64_t>(cache.seq_pos_max(static_cast<SeqId>(i)) + 1);
    }
    CHECK(stats.kv_cells_used <= stats.kv_cells_total);
    if (cache.unified()) {
        CHECK(stats.kv_cells_used <= n_cells);  // sequences share cells
    } else {
        CHECK(stats.kv_cells_used == n_cells);
    }
}

}  // namespace shimmy
