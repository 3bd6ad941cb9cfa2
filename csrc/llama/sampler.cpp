#include "llama/sampler.h"

#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "errors.h"
#include "llama/native_abort.h"

namespace shimmy {

struct Candidate : llama_token_data {};
static_assert(sizeof(Candidate) == sizeof(llama_token_data));

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr double least_temperature = 1e-6;  // below it greedy
constexpr double low_temperature = 1e-3;
constexpr float highest_logit = 1e5F;
constexpr int32_t max_infill_candidates = 128;  // it compares each with each

// Subtracts the highest logit from all when it is over `limit`, which no softmax notices. llama.cpp sorts logits over
// 3e8 wrongly, and temperatures near 0 make infinities of what is not 0.
void lower(llama_token_data_array & candidates, float limit) {
    float highest = -infinity;
    for (size_t i = 0; i < candidates.size; ++i) {
        highest = std::max(highest, candidates.data[i].logit);
    }
    if (highest > limit) {
        for (size_t i = 0; i < candidates.size; ++i) {
            candidates.data[i].logit -= highest;
        }
    }
}

}  // namespace

Sampler::Sampler(std::shared_ptr<const Tokenizer> tokenizer, const SamplingParams & params)
    : tokenizer_(std::move(tokenizer)),
      params_(params),
      seed_(params.seed ? *params.seed : std::random_device{}()),
      penalties_(params, tokenizer_->model()->n_ctx_train()) {
    check_sampling_params(params_, tokenizer_->n_vocab());
    if (params_.temperature < least_temperature) {
        params_.temperature = 0;
    }
    if (seed_ == LLAMA_DEFAULT_SEED) {
        --seed_;  // that value means "random" to llama.cpp
    }
    AbortGuard guard;
    for (const auto & name : params_.samplers) {
        add_by_name(name);
    }
    add_selector();
    greedy_ = params_.temperature <= 0 && params_.mirostat == 0 && params_.logit_bias.empty() && stages_.empty();
}

Sampler::~Sampler() {
    for (const auto & stage : stages_) {
        llama_sampler_free(stage.native);
    }
    llama_sampler_free(selector_);
}

Sampler::Sampler() = default;

Sampler::Sampler(Sampler && other) noexcept {
    *this = std::move(other);
}

Sampler & Sampler::operator=(Sampler && other) noexcept {
    std::swap(tokenizer_, other.tokenizer_);
    std::swap(params_, other.params_);
    std::swap(seed_, other.seed_);
    std::swap(greedy_, other.greedy_);
    std::swap(penalties_, other.penalties_);
    std::swap(stages_, other.stages_);
    std::swap(selector_, other.selector_);
    std::swap(adaptive_, other.adaptive_);
    std::swap(candidates_, other.candidates_);
    std::swap(n_candidates_, other.n_candidates_);
    std::swap(sorted_, other.sorted_);
    return *this;
}

Sampler Sampler::clone() const {
    Sampler copy;
    copy.tokenizer_ = tokenizer_;
    copy.params_ = params_;
    copy.seed_ = seed_;
    copy.greedy_ = greedy_;
    copy.penalties_ = penalties_;
    for (const auto & stage : stages_) {
        copy.add(stage.native ? llama_sampler_clone(stage.native) : nullptr, stage.kind);
    }
    copy.selector_ = selector_ ? llama_sampler_clone(selector_) : nullptr;
    copy.adaptive_ = adaptive_;
    return copy;
}

void Sampler::add(llama_sampler * native, Kind kind) {
    stages_.push_back({native, kind});
}

void Sampler::add_by_name(const std::string & name) {
    const auto keep = static_cast<size_t>(params_.min_keep);
    const auto number = [](double value) { return static_cast<float>(value); };
    const bool greedy = params_.temperature <= 0;
    if (name == "penalties" && penalties_.enabled()) {
        add(nullptr, Kind::LooksBack);
    } else if (name == "dry" && params_.dry_multiplier != 0 && params_.dry_base >= 1 &&
               params_.dry_penalty_last_n != 0) {
        std::vector<const char *> breakers;
        for (const auto & breaker : params_.dry_sequence_breakers) {
            breakers.push_back(breaker.c_str());
        }
        const int32_t n_ctx = tokenizer_->model()->n_ctx_train();
        add(llama_sampler_init_dry(llama_model_get_vocab(tokenizer_->model()->get()), number(params_.dry_multiplier),
                                   number(params_.dry_base), params_.dry_allowed_length,
                                   params_.dry_penalty_last_n < 0 ? n_ctx : std::min(params_.dry_penalty_last_n, n_ctx),
                                   breakers.data(), breakers.size()),
            Kind::LooksBack);
    }
    const auto kind = temperature_kind();
    if (greedy || params_.mirostat != 0) {
        return;  // what follows only narrows a choice that arg-max or mirostat makes alone
    }
    if (name == "top_n_sigma" && params_.top_n_sigma > 0) {
        add(llama_sampler_init_top_n_sigma(number(params_.top_n_sigma)));
    } else if (name == "top_k" && params_.top_k > 0) {
        add(llama_sampler_init_top_k(params_.top_k));
    } else if (name == "typical_p" && params_.typical_p < 1) {
        // Without what has no probability: 0 * log(0) would make the entropy, and so all of it, NaN.
        add(llama_sampler_init_min_p(1e-30F, 1));
        add(llama_sampler_init_typical(number(params_.typical_p), keep));
    } else if (name == "top_p" && params_.top_p < 1) {
        add(llama_sampler_init_top_p(number(params_.top_p), keep));
    } else if (name == "min_p" && params_.min_p > 0) {
        add(llama_sampler_init_min_p(number(params_.min_p), keep));
    } else if (name == "xtc" && params_.xtc_probability > 0 && params_.xtc_threshold <= 0.5) {
        add(llama_sampler_init_xtc(number(params_.xtc_probability), number(params_.xtc_threshold), keep, seed_),
            Kind::Random);
    } else if (name == "temperature" && params_.dynatemp_range > 0) {
        add(llama_sampler_init_temp_ext(number(params_.temperature), number(params_.dynatemp_range),
                                        number(params_.dynatemp_exponent)),
            kind);
    } else if (name == "temperature" && params_.temperature != 1) {
        add(llama_sampler_init_temp(number(params_.temperature)), kind);
    } else if (name == "infill") {
        add(llama_sampler_init_top_k(max_infill_candidates));
        add(llama_sampler_init_infill(llama_model_get_vocab(tokenizer_->model()->get())));
    }
}

Sampler::Kind Sampler::temperature_kind() const {
    return params_.dynatemp_range > 0 || params_.temperature < low_temperature ? Kind::Cools : Kind::Narrows;
}

void Sampler::add_selector() {
    const auto tau = static_cast<float>(params_.mirostat_tau);
    const auto eta = static_cast<float>(params_.mirostat_eta);
    if (params_.temperature <= 0) {
        selector_ = llama_sampler_init_greedy();
    } else if (params_.mirostat != 0) {
        add(llama_sampler_init_temp(static_cast<float>(params_.temperature)), temperature_kind());
        selector_ = params_.mirostat == 1 ? llama_sampler_init_mirostat(tokenizer_->n_vocab(), seed_, tau, eta, 100)
                                          : llama_sampler_init_mirostat_v2(seed_, tau, eta);
    } else if (params_.adaptive_target >= 0) {
        adaptive_.emplace(params_.adaptive_target, params_.adaptive_decay, seed_);
    } else {
        selector_ = llama_sampler_init_dist(seed_);
    }
}

void Sampler::check_logits(std::span<const float> logits) const {
    const auto n_vocab = static_cast<size_t>(tokenizer_->n_vocab());
    if (logits.size() != n_vocab) {
        throw InvalidRequestError("there are " + std::to_string(logits.size()) + " logits, the vocabulary has " +
                                      std::to_string(n_vocab) + " tokens",
                                  "logits");
    }
    const Token best = argmax(logits);
    if (best < 0 || logits[static_cast<size_t>(best)] == infinity) {
        throw DecodeError(std::string("the model gave ") + (best < 0 ? "no logit above -inf" : "a logit of +inf") +
                          ": the weights or the KV cache are broken");
    }
}

void Sampler::apply_stages(std::span<const float> logits, bool keep_random_state) {
    check_logits(logits);
    const size_t n_vocab = logits.size();
    candidates_.resize(n_vocab);
    for (size_t i = 0; i < n_vocab; ++i) {
        candidates_[i] = {{static_cast<Token>(i), std::isnan(logits[i]) ? -infinity : logits[i], 0.0F}};
    }
    for (const auto & [token, bias] : params_.logit_bias) {
        candidates_[static_cast<size_t>(token)].logit += static_cast<float>(bias);
    }
    if (std::all_of(candidates_.begin(), candidates_.end(), [](const auto & c) { return c.logit == -infinity; })) {
        throw DecodeError("no token is left to choose from: logit_bias bans all of them");
    }
    llama_token_data_array array{candidates_.data(), n_vocab, -1, false};
    lower(array, highest_logit);
    for (const auto & stage : stages_) {
        if (stage.kind == Kind::Cools) {
            lower(array, -infinity);
        }
        if (!stage.native) {
            penalties_.apply(array);
        } else if (keep_random_state && stage.kind == Kind::Random) {
            const std::unique_ptr<llama_sampler, decltype(&llama_sampler_free)> copy(llama_sampler_clone(stage.native),
                                                                                     llama_sampler_free);
            llama_sampler_apply(copy.get(), &array);
        } else {
            llama_sampler_apply(stage.native, &array);
        }
    }
    // The samplers work in place; some drop candidates by moving the start.
    if (array.data != candidates_.data()) {
        std::copy(array.data, array.data + array.size, static_cast<llama_token_data *>(candidates_.data()));
    }
    n_candidates_ = array.size;
    sorted_ = array.sorted;
}

Token Sampler::sample(std::span<const float> logits) {
    if (greedy_ && logits.size() == static_cast<size_t>(tokenizer_->n_vocab())) {
        const Token token = argmax(logits);
        if (token < 0 || logits[static_cast<size_t>(token)] == infinity) {
            check_logits(logits);
        }
        return token;
    }
    AbortGuard guard;
    apply_stages(logits, false);
    llama_token_data_array array{candidates_.data(), n_candidates_, -1, sorted_};
    if (adaptive_) {
        array.selected = static_cast<int64_t>(adaptive_->choose(array));
    } else {
        llama_sampler_apply(selector_, &array);
    }
    if (array.selected < 0 || array.selected >= static_cast<int64_t>(array.size) ||
        !std::isfinite(array.data[array.selected].logit)) {
        throw DecodeError("the samplers left no token to choose from");
    }
    return array.data[array.selected].id;
}

void Sampler::accept(Token token) {
    tokenizer_->check(token, "token");
    for (const auto & stage : stages_) {
        if (stage.kind == Kind::LooksBack && stage.native) {
            llama_sampler_accept(stage.native, token);
        }
    }
    penalties_.accept(token);
    if (adaptive_) {
        adaptive_->accept(token);
    }
}

void Sampler::reset() {
    for (const auto & stage : stages_) {
        if (stage.native) {
            llama_sampler_reset(stage.native);
        }
    }
    if (adaptive_) {
        adaptive_->reset();
    } else {
        llama_sampler_reset(selector_);
    }
    penalties_.reset();
}

std::vector<Sampler::TokenProbability> Sampler::top(std::span<const float> logits, int32_t n) {
    AbortGuard guard;
    apply_stages(logits, true);
    auto first = candidates_.begin();
    auto last = first + static_cast<std::ptrdiff_t>(n_candidates_);
    float max = -INFINITY;
    for (auto it = first; it != last; ++it) {
        max = std::max(max, it->logit);
    }
    double sum = 0;
    for (auto it = first; it != last; ++it) {
        sum += std::exp(static_cast<double>(it->logit - max));
    }
    const auto count = static_cast<std::ptrdiff_t>(std::min(n_candidates_, static_cast<size_t>(std::max(n, 0))));
    std::partial_sort(first, first + count, last, [](const Candidate & a, const Candidate & b) {
        return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    });
    std::vector<TokenProbability> best;
    for (auto it = first; it != first + count; ++it) {
        best.push_back({it->id, std::exp(static_cast<double>(it->logit - max)) / sum});
    }
    return best;
}

}  // namespace shimmy
