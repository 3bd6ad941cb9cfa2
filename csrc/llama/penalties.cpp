#include "llama/penalties.h"

#include <llama.h>

namespace shimmy {

Penalties::Penalties(const SamplingParams & params, int32_t n_ctx)
    : last_n_(params.repeat_last_n < 0 ? n_ctx : params.repeat_last_n),
      repeat_(static_cast<float>(params.repeat_penalty)),
      frequency_(static_cast<float>(params.frequency_penalty)),
      presence_(static_cast<float>(params.presence_penalty)) {}

void Penalties::accept(Token token) {
    if (!enabled()) {
        return;
    }
    recent_.push_back(token);
    ++counts_[token];
    if (recent_.size() > static_cast<size_t>(last_n_)) {
        const auto oldest = counts_.find(recent_.front());
        if (--oldest->second == 0) {
            counts_.erase(oldest);
        }
        recent_.pop_front();
    }
}

void Penalties::apply(llama_token_data_array & candidates) const {
    if (!enabled() || counts_.empty()) {
        return;
    }
    const auto penalise = [&](llama_token_data & candidate, int32_t count) {
        candidate.logit = candidate.logit <= 0 ? candidate.logit * repeat_ : candidate.logit / repeat_;
        candidate.logit -= static_cast<float>(count) * frequency_ + presence_;
    };
    for (const auto & [token, count] : counts_) {
        const auto at = static_cast<size_t>(token);
        if (at < candidates.size && candidates.data[at].id == token) {
            penalise(candidates.data[at], count);
            continue;
        }
        for (size_t i = 0; i < candidates.size; ++i) {
            if (candidates.data[i].id == token) {
                penalise(candidates.data[i], count);
                break;
            }
        }
    }
    candidates.sorted = false;
}

void Penalties::reset() {
    recent_.clear();
    counts_.clear();
}

}  // namespace shimmy
