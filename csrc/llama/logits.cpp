#include "llama/logits.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

namespace shimmy {
namespace {

constexpr float least = -9999.0F;

float highest(std::span<const float> logits) {
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

TokenLogprobs logprobs(std::span<const float> logits, Token token, int32_t n_top) {
    const float max = highest(logits);
    double sum = 0;
    for (const float logit : logits) {
        sum += std::exp(logit - max);
    }
    const double log_sum = std::log(sum) + max;
    const auto logprob = [&](Token id) {
        const double value = logits[static_cast<size_t>(id)] - log_sum;
        return value > least ? static_cast<float>(value) : least;
    };
    TokenLogprobs result{logprob(token), {}};
    if (n_top > 0) {
        const auto n = static_cast<std::ptrdiff_t>(std::min(static_cast<size_t>(n_top), logits.size()));
        std::vector<Token> order(logits.size());
        std::iota(order.begin(), order.end(), 0);
        std::partial_sort(order.begin(), order.begin() + n, order.end(), [&](Token a, Token b) {
            const float left = logits[static_cast<size_t>(a)];
            const float right = logits[static_cast<size_t>(b)];
            return left != right ? left > right : a < b;
        });
        for (std::ptrdiff_t i = 0; i < n; ++i) {
            result.top.push_back({order[static_cast<size_t>(i)], logprob(order[static_cast<size_t>(i)])});
        }
    }
    return result;
}

}  // namespace shimmy
