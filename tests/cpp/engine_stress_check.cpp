// What has to hold after a run.

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
    std::map<FinishReason, size_t> reasons;
    for (const auto & [id, request] : asked_) {
        CAPTURE(id);
        const auto & told = told_[id];
        CHECK(told.n_last == 1);
        CHECK_FALSE(told.more_after_last);
        n_tokens += told.n_tokens;
        ++reasons[told.reason];
        if (told.reason == FinishReason::Cancelled) {
            CHECK((shut_down_ || cancelled_.count(id) > 0));
        }
        check_answer(request, told);
    }
    CHECK(stats.completion_tokens == n_tokens);
    for (const auto & what : problems_) {
        FAIL_CHECK(what);
    }
    std::string ends;
    for (const auto & [reason, n] : reasons) {
        ends += " " + std::to_string(static_cast<int>(reason)) + ":" + std::to_string(n);
    }
    MESSAGE(asked_.size() << " requests, by finish reason" << ends << "; " << stats.steps << " steps, "
                          << stats.preemptions << " preemptions, " << stats.cached_tokens << " tokens cached, "
                          << stats.accepted_tokens << " of " << stats.drafted_tokens << " drafted accepted");
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
    CHECK(static_cast<int64_t>(told.n_tokens) >= request.min_tokens);
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
