// The sampler against llama.cpp's own chain over every candidate, on random logits and options.

#include "llama/sampler.h"

#include <doctest/doctest.h>
#include <llama.h>

#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "errors.h"

namespace shimmy {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::shared_ptr<const Tokenizer> demo_tokenizer() {
    static const auto tokenizer = [] {
        ModelParams params;
        params.vocab_only = true;
        return std::make_shared<Tokenizer>(
            Model::load(std::string(SHIMMY_SOURCE_DIR) + "/python/shimmy/data/shimmy-mini.gguf", params));
    }();
    return tokenizer;
}

using Probabilities = std::map<Token, double>;

llama_sampler * native(const std::string & name, const SamplingParams & params) {
    const auto keep = static_cast<size_t>(params.min_keep);
    const auto number = [](double value) { return static_cast<float>(value); };
    const auto n_vocab = demo_tokenizer()->n_vocab();
    const llama_vocab * vocab = demo_tokenizer()->model()->vocab();
    if (name == "penalties") {
        return llama_sampler_init_penalties(n_vocab, params.repeat_last_n, number(params.repeat_penalty),
                                            number(params.frequency_penalty), number(params.presence_penalty));
    }
    if (name == "dry") {
        const char * breaker = "\n";
        return llama_sampler_init_dry(vocab, number(params.dry_multiplier), number(params.dry_base),
                                      params.dry_allowed_length, 64, &breaker, 1);
    }
    if (name == "top_n_sigma") {
        return llama_sampler_init_top_n_sigma(number(params.top_n_sigma));
    }
    if (name == "top_k") {
        return llama_sampler_init_top_k(params.top_k);
    }
    if (name == "typical_p" && params.typical_p < 1) {
        // Alone it makes NaN of a candidate without probability.
        llama_sampler * chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
        llama_sampler_chain_add(chain, llama_sampler_init_min_p(1e-30F, 1));
        llama_sampler_chain_add(chain, llama_sampler_init_typical(number(params.typical_p), keep));
        return chain;
    }
    if (name == "typical_p") {
        return llama_sampler_init_typical(number(params.typical_p), keep);
    }
    if (name == "top_p") {
        return llama_sampler_init_top_p(number(params.top_p), keep);
    }
    if (name == "min_p") {
        return llama_sampler_init_min_p(number(params.min_p), keep);
    }
    if (name == "xtc") {
        return llama_sampler_init_xtc(number(params.xtc_probability), number(params.xtc_threshold), keep, 1);
    }
    return llama_sampler_init_temp_ext(number(params.temperature), number(params.dynatemp_range),
                                       number(params.dynatemp_exponent));
}

// The probabilities that llama.cpp's chain leaves, computed from every candidate.
Probabilities reference(const SamplingParams & params, std::span<const float> logits, std::span<const Token> history) {
    std::vector<llama_token_data> data;
    for (size_t i = 0; i < logits.size(); ++i) {
        const auto token = static_cast<Token>(i);
        const auto bias = params.logit_bias.find(token);
        const float added = bias == params.logit_bias.end() ? 0 : static_cast<float>(bias->second);
        data.push_back({token, std::isnan(logits[i]) ? -infinity : logits[i] + added, 0});
    }
    llama_token_data_array list{data.data(), data.size(), -1, false};
    for (const auto & name : params.samplers) {
        llama_sampler * sampler = native(name, params);
        for (const Token token : history) {
            llama_sampler_accept(sampler, token);
        }
        llama_sampler_apply(sampler, &list);
        llama_sampler_free(sampler);
    }
    float highest = -infinity;
    for (size_t i = 0; i < list.size; ++i) {
        highest = std::max(highest, list.data[i].logit);
    }
    double sum = 0;
    Probabilities left;
    for (size_t i = 0; i < list.size; ++i) {
        const double weight = std::exp(static_cast<double>(list.data[i].logit - highest));
        left[list.data[i].id] = weight;
        sum += weight;
    }
    for (auto & [token, probability] : left) {
        probability /= sum;
    }
    return left;
}

// How far apart two distributions are: half the sum of all differences.
double distance(const Probabilities & a, const Probabilities & b) {
    std::set<Token> tokens;
    for (const auto & [token, p] : a) {
        tokens.insert(token);
    }
    for (const auto & [token, p] : b) {
        tokens.insert(token);
    }
    double sum = 0;
    for (const Token token : tokens) {
        const auto in_a = a.find(token);
        const auto in_b = b.find(token);
        sum += std::abs((in_a == a.end() ? 0 : in_a->second) - (in_b == b.end() ? 0 : in_b->second));
    }
    return sum / 2;
}

Probabilities left_by(Sampler & sampler, std::span<const float> logits) {
    Probabilities left;
    for (const auto & [token, probability] : sampler.top(logits, static_cast<int32_t>(logits.size()))) {
        left[token] = probability;
    }
    return left;
}

class Draws {
  public:
    explicit Draws(uint32_t seed) : random_(seed) {}

    uint32_t below(uint32_t n) { return random_() % n; }
    bool one_in(uint32_t n) { return below(n) == 0; }
    double between(double low, double high) { return std::uniform_real_distribution<>(low, high)(random_); }

    // Flat, peaked, partly banned, high or low. Without equals: which of them llama.cpp's top-k keeps is left open.
    std::vector<float> row() {
        std::vector<float> logits(static_cast<size_t>(demo_tokenizer()->n_vocab()));
        std::normal_distribution<float> noise(0, static_cast<float>(between(0.1, 5)));
        for (auto & logit : logits) {
            logit = noise(random_);
        }
        for (uint32_t n = below(40); n > 0; --n) {
            logits[below(static_cast<uint32_t>(logits.size()))] += static_cast<float>(between(0, 25));
        }
        const bool holes = one_in(3);
        const auto height = static_cast<float>(one_in(4) ? between(-1000, 1000) : 0);
        for (auto & logit : logits) {
            logit = holes && one_in(3) ? (one_in(2) ? -infinity : std::nanf("")) : logit + height;
        }
        logits[17] = height + 1;
        return logits;
    }

    SamplingParams options() {
        SamplingParams params;
        params.seed = 1;
        params.temperature = one_in(3) ? 1 : between(0.1, 3);
        params.top_k = one_in(2) ? 0 : static_cast<int32_t>(1 + below(one_in(3) ? 5000 : 60));
        params.top_p = one_in(2) ? 1 : between(0, 1);
        params.min_p = one_in(2) ? 0 : between(0, 0.5);
        params.top_n_sigma = one_in(4) ? between(0.1, 4) : -1;
        params.typical_p = one_in(8) ? between(0.1, 1) : 1;
        params.xtc_probability = one_in(8) ? 1 : 0;
        params.xtc_threshold = between(0.01, 0.4);
        params.dynatemp_range = one_in(8) ? between(0, 0.5) : 0;
        params.min_keep = one_in(3) ? static_cast<int32_t>(below(20)) : 1;
        params.repeat_penalty = one_in(2) ? 1 : between(0.5, 2);
        params.frequency_penalty = one_in(2) ? 0 : between(-2, 2);
        params.presence_penalty = one_in(2) ? 0 : between(-2, 2);
        params.dry_multiplier = one_in(3) ? between(0, 2) : 0;
        params.dry_sequence_breakers = {"\n"};
        params.dry_penalty_last_n = 64;
        if (one_in(3)) {
            std::shuffle(params.samplers.begin(), params.samplers.end(), random_);
        }
        for (uint32_t n = one_in(2) ? below(20) : 0; n > 0; --n) {
            params.logit_bias[static_cast<Token>(100 + below(1000))] = one_in(3) ? -infinity : between(-10, 10);
        }
        return params;
    }

    std::vector<Token> history() {
        std::vector<Token> tokens;
        for (uint32_t n = below(100); n > 0; --n) {
            tokens.push_back(static_cast<Token>(300 + below(12)));
        }
        return tokens;
    }

  private:
    std::mt19937 random_;
};

// What truncates may keep one token more or less when rounding decides, and the chain after it then sees another set:
// either the distributions are equal, or a hair's difference in the options makes the reference move as far.
bool alike(const SamplingParams & params, const Probabilities & found, std::span<const float> logits,
           std::span<const Token> history) {
    for (const double factor : {1.0, 1 - 1e-4, 1 + 1e-4, 1 - 1e-3, 1 + 1e-3}) {
        auto near = params;
        near.top_p *= near.top_p < 1 ? std::min(factor, 0.99999 / near.top_p) : 1;
        near.min_p *= factor;
        near.typical_p *= near.typical_p < 1 ? factor : 1;
        near.xtc_threshold *= factor;
        near.top_n_sigma *= factor;
        if (distance(found, reference(near, logits, history)) < 2e-3) {
            return true;
        }
    }
    return false;
}

}  // namespace

TEST_CASE("whatever the options and their order, the distribution is that of llama.cpp's chain") {
    Draws draws(5);
    for (int round = 0; round < 1500; ++round) {
        const auto params = draws.options();
        const auto logits = draws.row();
        const auto history = draws.history();
        Sampler sampler(demo_tokenizer(), params);
        for (const Token token : history) {
            sampler.accept(token);
        }
        CAPTURE(round);
        CHECK(alike(params, left_by(sampler, logits), logits, history));
    }
}

TEST_CASE("draws follow the distribution, from the row and from a list") {
    Draws draws(6);
    for (const int32_t top_k : {0, 30}) {
        for (int round = 0; round < 3; ++round) {
            SamplingParams params;
            params.seed = static_cast<uint32_t>(round);
            params.temperature = 0.7;
            params.top_k = top_k;
            const auto logits = draws.row();
            Sampler sampler(demo_tokenizer(), params);
            Probabilities counted;
            constexpr int n = 20000;
            for (int i = 0; i < n; ++i) {
                counted[sampler.sample(logits)] += 1.0 / n;
            }
            for (const auto & [token, probability] : left_by(sampler, logits)) {
                CHECK(counted[token] == doctest::Approx(probability).epsilon(0.1).scale(0.15));
            }
            for (const auto & [token, share] : counted) {
                CHECK(std::isfinite(logits[static_cast<size_t>(token)]));
            }
        }
    }
}

TEST_CASE("greedy with penalties, biases and banned tokens is the arg-max of what they leave") {
    Draws draws(7);
    for (int round = 0; round < 200; ++round) {
        auto params = draws.options();
        params.temperature = 0;
        auto logits = draws.row();
        const auto history = draws.history();
        Sampler sampler(demo_tokenizer(), params);
        for (const Token token : history) {
            sampler.accept(token);
        }
        const Token first = sampler.sample(logits);
        const std::vector<Token> banned{first, 5};
        const Token second = sampler.sample(logits, banned);
        CHECK(second != first);
        CHECK(sampler.top(logits, 1)[0].token == first);
        CHECK(sampler.top(logits, 1, banned)[0].token == second);
        logits[static_cast<size_t>(first)] = -infinity;
        logits[5] = -infinity;
        CHECK(sampler.sample(logits) == second);
    }
}

TEST_CASE("set_history: as if its tokens alone had been accepted, while random numbers go on") {
    Draws draws(8);
    for (int round = 0; round < 100; ++round) {
        const auto params = draws.options();
        const auto logits = draws.row();
        const auto kept = draws.history();
        Sampler rolled(demo_tokenizer(), params);
        Sampler plain(demo_tokenizer(), params);
        for (const Token token : draws.history()) {
            rolled.accept(token);
        }
        rolled.sample(logits);
        plain.sample(logits);
        rolled.set_history(kept);
        for (const Token token : kept) {
            plain.accept(token);
        }
        for (int i = 0; i < 5; ++i) {
            const Token token = rolled.sample(logits);
            CHECK(token == plain.sample(logits));
            rolled.accept(token);
            plain.accept(token);
        }
    }
    Sampler sampler(demo_tokenizer(), {});
    CHECK_THROWS_AS(sampler.set_history(std::vector<Token>{1, -1}), InvalidRequestError);
}

}  // namespace shimmy
