#include "llama/logits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "llama/candidate.h"
#include "llama/logit_row.h"
#include "llama/vector_clones.h"

namespace shimmy {
namespace {

constexpr float least = -9999.0F;

SHIMMY_VECTOR_CLONES float highest(std::span<const float> logits) {
    constexpr size_t lanes = 32;
    constexpr float none = -std::numeric_limits<float>::infinity();
    std::array<float, lanes> best;
    best.fill(none);
    size_t i = 0;
    for (; i + lanes <= logits.size(); i += lanes) {
        for (size_t lane = 0; lane < lanes; ++lane) {
            const float value = logits[i + lane];
            best[lane] = value > best[lane] ? value : best[lane];
        }
    }
    float max = none;
    for (; i < logits.size(); ++i) {
        max = logits[i] > max ? logits[i] : max;
    }
    return std::max(max, *std::max_element(best.begin(), best.end()));
}

}  // namespace

Token argmax(std::span<const float> logits) {
    const float max = highest(logits);
    if (max == -std::numeric_limits<float>::infinity()) {
        return -1;
    }
    return static_cast<Token>(std::find(logits.begin(), logits.end(), max) - logits.begin());
}

bool is_broken(std::span<const float> logits) {
    return !std::isfinite(highest(logits));
}

TokenLogprobs logprobs(std::span<const float> logits, Token token, int32_t n_top) {
    LogitRow row;
    row.read(logits);
    const double log_sum = std::log(row.weigh()) + static_cast<double>(row.highest());
    const auto logprob = [&](float logit) {
        const double value = static_cast<double>(logit) - log_sum;
        return value > least ? static_cast<float>(value) : least;
    };
    TokenLogprobs result{logprob(row.at(token)), {}};
    std::vector<Candidate> best;
    row.likeliest(static_cast<size_t>(std::max(n_top, 0)), best);
    for (const auto & candidate : best) {
        result.top.push_back({candidate.id, logprob(candidate.logit)});
    }
    return result;
}

}  // namespace shimmy
