#include "llama/logits.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

using namespace shimmy;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("argmax: the first of the highest, whatever the length") {
    std::mt19937 random(5);
    for (size_t n = 1; n < 200; ++n) {
        std::vector<float> logits(n);
        for (auto & logit : logits) {
            logit = static_cast<float>(random() % 7);
        }
        CHECK(argmax(logits) == std::max_element(logits.begin(), logits.end()) - logits.begin());
    }
}

TEST_CASE("argmax passes over NaN and says when there is nothing") {
    CHECK(argmax(std::vector<float>{nan_value, 1.0F, 2.0F}) == 2);
    CHECK(argmax(std::vector<float>{-infinity, -infinity}) == -1);
    CHECK(argmax(std::vector<float>(100, nan_value)) == -1);
    CHECK(argmax(std::vector<float>{}) == -1);
}

TEST_CASE("logprobs sum to one and are sorted") {
    const std::vector<float> logits{1.0F, 3.0F, 2.0F, -infinity};
    const auto result = logprobs(logits, 2, 4);
    double sum = 0;
    for (const auto & [token, logprob] : result.top) {
        sum += std::exp(logprob);
    }
    CHECK(sum == doctest::Approx(1.0));
    CHECK(result.top[0].token == 1);
    CHECK(result.top[1].token == 2);
    CHECK(result.top[1].logprob == result.logprob);
    CHECK(result.top[3].logprob == -9999.0F);
}
