#include "llama/logit_row.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "llama/candidate.h"
#include "llama/exponential.h"
#include "llama/nucleus.h"

using namespace shimmy;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<float> random_row(std::mt19937 & random, size_t n) {
    std::normal_distribution<float> noise(0, 3);
    std::vector<float> row(n);
    for (auto & logit : row) {
        logit = random() % 8 == 0 ? (random() % 2 == 0 ? -infinity : std::nanf("")) : std::round(noise(random) * 8) / 8;
    }
    row[n / 2] = 20;
    return row;
}

std::vector<Token> ids(const std::vector<Candidate> & candidates) {
    std::vector<Token> tokens;
    for (const auto & candidate : candidates) {
        tokens.push_back(candidate.id);
    }
    return tokens;
}

}  // namespace

TEST_CASE("exp of what is not positive") {
    double worst = 0;
    for (float x = 0; x > -87; x -= 0.001F) {
        const double exact = std::exp(static_cast<double>(x));
        worst = std::max(worst, std::abs(static_cast<double>(exp_of_negative(x)) / exact - 1));
    }
    CHECK(worst < 2e-7);
    CHECK(exp_of_negative(0) == 1.0F);
    for (const float x : {-infinity, std::nanf(""), -1e30F, -88.0F}) {
        CHECK(exp_of_negative(x) == 0.0F);
    }
}

TEST_CASE("the likeliest and those over a threshold, whatever the length, with changes") {
    std::mt19937 random(3);
    LogitRow row;
    std::vector<Candidate> found;
    for (size_t n = 1; n < 600; n += 7) {
        auto logits = random_row(random, n);
        row.read(logits);
        for (size_t change = random() % 10; change > 0; --change) {
            const auto token = static_cast<Token>(random() % n);
            const float logit = random() % 3 == 0 ? -infinity : static_cast<float>(random() % 30);
            row.set(token, logit);
            logits[static_cast<size_t>(token)] = logit;
        }
        std::vector<Candidate> sorted;
        for (size_t i = 0; i < n; ++i) {
            sorted.push_back({{static_cast<Token>(i), std::isnan(logits[i]) ? -infinity : logits[i], 0}});
        }
        std::sort(sorted.begin(), sorted.end(), likelier);
        CHECK(row.highest() == sorted[0].logit);
        if (row.highest() > -infinity) {
            CHECK(row.best() == sorted[0].id);
        }
        for (const size_t count : {size_t{0}, size_t{1}, n / 3, n, n + 5}) {
            row.likeliest(count, found);
            auto expected = sorted;
            expected.resize(std::min(count, n));
            CHECK(ids(found) == ids(expected));
        }
        row.from(1.0F, found);
        CHECK(static_cast<long>(found.size()) ==
              std::count_if(sorted.begin(), sorted.end(), [](const auto & c) { return c.logit >= 1; }));
        CHECK(std::is_sorted(found.begin(), found.end(), [](const auto & a, const auto & b) { return a.id < b.id; }));
    }
}

TEST_CASE("weights, draws and spread") {
    std::mt19937 random(4);
    LogitRow row;
    for (const float temperature : {1.0F, 0.3F, 4.0F}) {
        const auto logits = random_row(random, 1000);
        row.read(logits);
        row.cool(temperature);
        double sum = 0;
        std::vector<double> reached;
        for (const float logit : logits) {
            sum += std::isnan(logit) ? 0 : std::exp((static_cast<double>(logit) - 20) / temperature);
            reached.push_back(sum);
        }
        CHECK(row.weigh() == doctest::Approx(sum).epsilon(1e-6));
        for (const double share : {0.0, 1e-9, 0.1, 0.5, 0.9, 0.99999, 1.0}) {
            const auto token = static_cast<size_t>(row.pick(share));
            CHECK(logits[token] > -infinity);
            CHECK(reached[token] >= share * sum * (1 - 1e-6));
            CHECK((token == 0 ? 0 : reached[token - 1]) <= share * sum * (1 + 1e-6));
        }
    }
    const std::vector<float> few{1, 3, -infinity, std::nanf(""), 5};
    row.read(few);
    CHECK(row.spread().mean == doctest::Approx(3));
    CHECK(row.spread().deviation == doctest::Approx(std::sqrt(8.0 / 3)));
}

TEST_CASE("changes after a temperature") {
    const std::vector<float> logits{2, 4, 6};
    LogitRow row;
    std::vector<Candidate> found;
    row.read(logits);
    row.cool(2);
    row.settle();
    row.set(0, 9);
    row.likeliest(3, found);
    CHECK(ids(found) == std::vector<Token>{0, 2, 1});
    CHECK(found[1].logit == 3);
    CHECK(logits == std::vector<float>{2, 4, 6});
}

TEST_CASE("the nucleus is the least that reaches p, of rows of any shape") {
    std::mt19937 random(9);
    for (int round = 0; round < 300; ++round) {
        const size_t n = 1 + random() % 3000;
        auto logits = random_row(random, n);
        if (round % 3 == 0) {
            std::fill(logits.begin(), logits.end(), 1.0F);
        }
        LogitRow row;
        row.read(logits);
        const double p = round % 10 == 0 ? 0 : static_cast<double>(random() % 100000) / 100000;
        const size_t min_keep = random() % 5;
        std::vector<Candidate> sorted;
        row.likeliest(n, sorted);
        const double sum = row.weigh();
        std::vector<Candidate> found;
        keep_nucleus(row, p, min_keep, found);
        CHECK(std::is_sorted(found.begin(), found.end(), [](const auto & a, const auto & b) { return a.id < b.id; }));
        std::sort(found.begin(), found.end(), likelier);
        auto expected = sorted;
        expected.resize(found.size());
        CHECK(ids(found) == ids(expected));
        REQUIRE(found.size() >= std::min(n, std::max<size_t>(min_keep, 1)));
        double mass = 0;
        for (size_t i = 0; i < found.size(); ++i) {
            if (i + 1 == found.size() && found.size() > std::max<size_t>(min_keep, 1)) {
                CHECK(mass < p + 1e-6);
            }
            mass += std::exp(static_cast<double>(found[i].logit - sorted[0].logit)) / sum;
        }
        CHECK(mass > p - 1e-6);
    }
}
