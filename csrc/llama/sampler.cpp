#include "llama/sampler.h"

#include <llama.h>

#include <algorithm>
#include <random>
#include <utility>

#include "llama/native_abort.h"

namespace shimmy {
namespace {

constexpr double least_temperature = 1e-6;      // below it greedy
constexpr int32_t max_infill_candidates = 128;  // it compares each with each

float number(double value) {
    return static_cast<float>(value);
}

}  // namespace

Sampler::Sampler(std::shared_ptr<const Tokenizer> tokenizer, const SamplingParams & params)
    : tokenizer_(std::move(tokenizer)),
      params_(params),
      seed_(params.seed ? *params.seed : std::random_device{}()),
      penalties_(params, tokenizer_->model()->n_ctx_train()),
      dry_window_(dry_width()) {
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
    random_ = RandomNumbers(seed_);
    add_selector();
    greedy_ = params_.temperature <= 0 && params_.mirostat == 0 && params_.logit_bias.empty() && stages_.empty();
    if (params_.temperature > 0 && !mirostat_ && !adaptive_ && params_.logit_bias.empty() &&
        std::all_of(stages_.begin(), stages_.end(), [](const Stage & stage) {
            return stage.kind == Kind::Temperature && stage.number >= low_temperature;
        })) {
        scale_ = 1;
        for (const auto & stage : stages_) {
            scale_ /= number(stage.number);
        }
    }
}

Sampler::~Sampler() {
    for (const auto & stage : stages_) {
        llama_sampler_free(stage.native);
    }
    llama_sampler_free(mirostat_);
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
    std::swap(scale_, other.scale_);
    std::swap(penalties_, other.penalties_);
    std::swap(dry_window_, other.dry_window_);
    std::swap(stages_, other.stages_);
    std::swap(mirostat_, other.mirostat_);
    std::swap(adaptive_, other.adaptive_);
    std::swap(random_, other.random_);
    return *this;
}

std::optional<Draw> Sampler::draw(uint64_t place) const {
    if (greedy_ || scale_ == 0) {
        return greedy_ ? std::optional(Draw()) : std::nullopt;
    }
    auto random = random_;
    random.go_to(place, 0);
    return Draw{scale_, static_cast<float>(std::generate_canonical<double, 53>(random))};
}

Sampler Sampler::clone() const {
    Sampler copy;
    copy.tokenizer_ = tokenizer_;
    copy.params_ = params_;
    copy.seed_ = seed_;
    copy.greedy_ = greedy_;
    copy.scale_ = scale_;
    copy.penalties_ = penalties_;
    copy.dry_window_ = dry_window_;
    for (const auto & stage : stages_) {
        copy.add(stage.native ? llama_sampler_clone(stage.native) : nullptr, stage.kind, stage.number);
    }
    copy.mirostat_ = mirostat_ ? llama_sampler_clone(mirostat_) : nullptr;
    copy.adaptive_ = adaptive_;
    copy.random_ = random_;
    return copy;
}

void Sampler::add(llama_sampler * native, Kind kind, double number) {
    stages_.push_back({native, kind, number});
}

size_t Sampler::dry_width() const {
    const int32_t n_ctx = tokenizer_->model()->n_ctx_train();
    const int32_t last_n = params_.dry_penalty_last_n < 0 ? n_ctx : std::min(params_.dry_penalty_last_n, n_ctx);
    const bool on = params_.dry_multiplier != 0 && params_.dry_base >= 1;
    return on ? static_cast<size_t>(std::max(last_n, 0)) : 0;
}

void Sampler::add_by_name(const std::string & name) {
    const auto keep = static_cast<size_t>(params_.min_keep);
    if (name == "penalties" && penalties_.enabled()) {
        add(nullptr, Kind::Penalties);
    } else if (name == "dry" && dry_width() > 0) {
        std::vector<const char *> breakers;
        for (const auto & breaker : params_.dry_sequence_breakers) {
            breakers.push_back(breaker.c_str());
        }
        add(llama_sampler_init_dry(llama_model_get_vocab(tokenizer_->model()->get()), number(params_.dry_multiplier),
                                   number(params_.dry_base), params_.dry_allowed_length,
                                   static_cast<int32_t>(dry_width()), breakers.data(), breakers.size()),
            Kind::Dry);
    }
    if (params_.temperature <= 0 || params_.mirostat != 0) {
        return;  // what follows only narrows a choice that arg-max or mirostat makes alone
    }
    if (name == "top_n_sigma" && params_.top_n_sigma > 0) {
        add(llama_sampler_init_top_n_sigma(number(params_.top_n_sigma)), Kind::TopNSigma, params_.top_n_sigma);
    } else if (name == "top_k" && params_.top_k > 0) {
        add(llama_sampler_init_top_k(params_.top_k), Kind::TopK, params_.top_k);
    } else if (name == "typical_p" && params_.typical_p < 1) {
        // Without what has no probability: 0 * log(0) would make the entropy, and so all of it, NaN.
        add(llama_sampler_init_min_p(1e-30F, 1));
        add(llama_sampler_init_typical(number(params_.typical_p), keep));
    } else if (name == "top_p" && params_.top_p < 1) {
        add(llama_sampler_init_top_p(number(params_.top_p), keep), Kind::TopP, number(params_.top_p));
    } else if (name == "min_p" && params_.min_p > 0) {
        add(llama_sampler_init_min_p(number(params_.min_p), keep), Kind::MinP, params_.min_p);
    } else if (name == "xtc" && params_.xtc_probability > 0 && params_.xtc_threshold <= 0.5) {
        add(llama_sampler_init_xtc(1, number(params_.xtc_threshold), keep, seed_), Kind::Random,
            number(params_.xtc_probability));
    } else if (name == "temperature" && params_.dynatemp_range > 0) {
        add(llama_sampler_init_temp_ext(number(params_.temperature), number(params_.dynatemp_range),
                                        number(params_.dynatemp_exponent)),
            Kind::Dynatemp);
    } else if (name == "temperature" && params_.temperature != 1) {
        add(llama_sampler_init_temp(number(params_.temperature)), Kind::Temperature, params_.temperature);
    } else if (name == "infill") {
        add(llama_sampler_init_top_k(max_infill_candidates), Kind::TopK, max_infill_candidates);
        add(llama_sampler_init_infill(llama_model_get_vocab(tokenizer_->model()->get())));
    }
}

void Sampler::add_selector() {
    if (params_.temperature <= 0) {
        return;
    }
    if (params_.mirostat != 0) {
        const float tau = number(params_.mirostat_tau);
        const float eta = number(params_.mirostat_eta);
        add(llama_sampler_init_temp(number(params_.temperature)),
            params_.dynatemp_range > 0 ? Kind::Dynatemp : Kind::Temperature, params_.temperature);
        mirostat_ = params_.mirostat == 1 ? llama_sampler_init_mirostat(tokenizer_->n_vocab(), seed_, tau, eta, 100)
                                          : llama_sampler_init_mirostat_v2(seed_, tau, eta);
    } else if (params_.adaptive_target >= 0) {
        adaptive_.emplace(params_.adaptive_target, params_.adaptive_decay);
    }
}

void Sampler::accept(Token token) {
    tokenizer_->check(token, "token");
    for (const auto & stage : stages_) {
        if (stage.kind == Kind::Dry) {
            llama_sampler_accept(stage.native, token);
        }
    }
    dry_window_.push(token);
    penalties_.accept(token);
    if (adaptive_) {
        adaptive_->accept(token);
    }
}

void Sampler::set_history(std::span<const Token> tokens) {
    for (const Token token : tokens) {
        tokenizer_->check(token, "tokens");
    }
    for (const auto & stage : stages_) {
        if (stage.kind == Kind::Dry) {
            llama_sampler_reset(stage.native);
            for (const Token token : last_of(tokens, dry_width())) {
                llama_sampler_accept(stage.native, token);
            }
        }
    }
    dry_window_.set(tokens);
    penalties_.set_history(tokens);
    if (adaptive_) {
        adaptive_->set_history(tokens);
    }
}

void Sampler::reset() {
    for (const auto & stage : stages_) {
        if (stage.native) {
            llama_sampler_reset(stage.native);
        }
    }
    if (mirostat_) {
        llama_sampler_reset(mirostat_);
    }
    if (adaptive_) {
        adaptive_->reset();
    }
    random_ = RandomNumbers(seed_);
    dry_window_.clear();
    penalties_.reset();
}

}  // namespace shimmy
