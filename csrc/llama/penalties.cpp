#include "llama/penalties.h"

#include <llama.h>

namespace shimmy {

Penalties::Penalties(const SamplingParams & params, int32_t n_ctx)
    : last_n_(params.repeat_last_n < 0 ? n_ctx : params.repeat_last_n),
      repeat_(static_cast<float>(params.repeat_penalty)),
      frequency_(static_cast<float>(params.frequency_penalty)),
      presence_(static_cast<float>(params.presence_penalty)),
      recent_(enabled() ? static_cast<size_t>(last_n_) : 0) {}

void Penalties::accept(Token token) {
    recent_.push(token);
}

void Penalties::set_history(std::span<const Token> tokens) {
    recent_.set(tokens);
}

float Penalties::penalised(float logit, int32_t count) const {
    const float scaled = logit <= 0 ? logit * repeat_ : logit / repeat_;
    return scaled - (static_cast<float>(count) * frequency_ + presence_);
}

void Penalties::apply(LogitRow & row) const {
    for (const auto & [token, count] : recent_.counts()) {
        row.set(token, penalised(row.at(token), count));
    }
}

void Penalties::apply(llama_token_data_array & candidates) const {
    const auto & counts = recent_.counts();
    if (counts.empty()) {
        return;
    }
    for (size_t i = 0; i < candidates.size; ++i) {
        auto & candidate = candidates.data[i];
        if (const auto found = counts.find(candidate.id); found != counts.end()) {
            candidate.logit = penalised(candidate.logit, found->second);
        }
    }
    candidates.sorted = false;
}

void Penalties::reset() {
    recent_.clear();
}

}  // namespace shimmy
