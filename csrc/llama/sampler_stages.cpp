#include <llama.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "errors.h"
#include "llama/choice.h"
#include "llama/native_abort.h"
#include "llama/nucleus.h"
#include "llama/sampler.h"

namespace shimmy {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float highest_logit = 1e5F;

float highest_of(const llama_token_data_array & list) {
    float highest = -infinity;
    for (size_t i = 0; i < list.size; ++i) {
        highest = std::max(highest, list.data[i].logit);
    }
    return highest;
}

// Subtracts the highest logit from all, which no softmax notices: temperatures near 0 make infinities of what is not 0.
void lower(llama_token_data_array & list) {
    const float highest = highest_of(list);
    for (size_t i = 0; i < list.size; ++i) {
        list.data[i].logit -= highest;
    }
}

// The candidate at which the sum of probabilities, in the list's order, reaches `share` of the whole.
int64_t pick(const llama_token_data_array & list, double share) {
    const float highest = highest_of(list);
    double sum = 0;
    for (size_t i = 0; i < list.size; ++i) {
        list.data[i].p = std::exp(list.data[i].logit - highest);
        sum += list.data[i].p;
    }
    double left = sum * share;
    int64_t picked = -1;
    for (size_t i = 0; i < list.size; ++i) {
        if (list.data[i].p > 0) {
            picked = static_cast<int64_t>(i);
            left -= list.data[i].p;
            if (left <= 0) {
                break;
            }
        }
    }
    return picked;
}

// One call's working memory, the same for every sampler: shared by those that one thread runs, it stays in its caches.
Choice & scratch() {
    thread_local Choice choice;
    return choice;
}

}  // namespace

void Sampler::read(Choice & choice, std::span<const float> logits, std::span<const Token> banned) const {
    const auto n_vocab = static_cast<size_t>(tokenizer_->n_vocab());
    if (logits.size() != n_vocab) {
        throw InvalidRequestError("there are " + std::to_string(logits.size()) + " logits, the vocabulary has " +
                                      std::to_string(n_vocab) + " tokens",
                                  "logits");
    }
    choice.read(logits);
    auto & row = choice.row;
    if (const float highest = row.highest(); !std::isfinite(highest)) {
        throw DecodeError(std::string("the model gave ") + (highest < 0 ? "no logit above -inf" : "a logit of +inf") +
                          ": the weights or the KV cache are broken");
    }
    for (const auto & [token, bias] : params_.logit_bias) {
        row.set(token, row.at(token) + static_cast<float>(bias));
    }
    for (const Token token : banned) {
        tokenizer_->check(token, "banned");
        row.set(token, -infinity);
    }
    const float highest = row.highest();
    if (highest == -infinity) {
        throw DecodeError(std::string("no token is left to choose from: logit_bias ") +
                          (banned.empty() ? "bans all of them" : "and the banned tokens leave none"));
    }
    if (highest > highest_logit) {  // llama.cpp sorts logits over 3e8 wrongly
        row.subtract(highest);
    }
}

void Sampler::apply_dry(llama_sampler * dry, LogitRow & row) const {
    std::vector<Candidate> seen;  // DRY changes no token that it has not seen
    for (const auto & [token, count] : dry_window_.counts()) {
        seen.push_back({{token, row.at(token), 0.0F}});
    }
    llama_token_data_array list{seen.data(), seen.size(), -1, false};
    llama_sampler_apply(dry, &list);
    for (const auto & candidate : seen) {
        row.set(candidate.id, candidate.logit);
    }
}

bool Sampler::counts_candidates() const {
    const auto & names = params_.samplers;
    return std::find(names.begin(), names.end(), "infill") != names.end() ||
           std::any_of(stages_.begin(), stages_.end(),
                       [](const Stage & stage) { return stage.kind == Kind::Dynatemp || stage.kind == Kind::Random; });
}

// False when the stage has to see every candidate.
bool Sampler::apply_to_row(const Stage & stage, Choice & choice) const {
    auto & row = choice.row;
    const auto keep = static_cast<size_t>(params_.min_keep);
    const auto number = static_cast<float>(stage.number);
    switch (stage.kind) {
        case Kind::Penalties:
            row.settle();
            penalties_.apply(row);
            return true;
        case Kind::Dry:
            row.settle();
            apply_dry(stage.native, row);
            return true;
        case Kind::Temperature:
            if (stage.number < low_temperature) {
                row.subtract(row.highest());
            }
            row.cool(number);
            return true;
        case Kind::TopK:
            if (stage.number < static_cast<double>(row.size())) {
                row.likeliest(static_cast<size_t>(stage.number), choice.found);
                choice.narrow(true);
            }
            return true;
        case Kind::TopP:
            keep_nucleus(row, stage.number, keep, choice.found);
            choice.narrow(false);
            return true;
        case Kind::MinP:
            row.from(row.highest() + row.temperature() * std::log(number), choice.found);
            if (choice.found.size() < keep) {
                row.likeliest(keep, choice.found);
            }
            choice.narrow(false);
            return true;
        case Kind::TopNSigma: {
            // llama.cpp leaves the others at -inf, and what follows may count them.
            if (counts_candidates()) {
                return false;
            }
            row.from(row.highest() - number * static_cast<float>(row.spread().deviation), choice.found);
            choice.narrow(false);
            return true;
        }
        case Kind::Dynatemp:
        case Kind::Random:
        case Kind::Narrows:
            return false;
    }
    return false;
}

void Sampler::apply_to_list(const Stage & stage, Choice & choice, RandomNumbers & random) const {
    if (stage.kind == Kind::Dynatemp || (stage.kind == Kind::Temperature && stage.number < low_temperature)) {
        lower(choice.list);
    }
    if (!stage.native) {
        penalties_.apply(choice.list);
    } else if (stage.kind != Kind::Random || std::generate_canonical<double, 53>(random) <= stage.number) {
        llama_sampler_apply(stage.native, &choice.list);
    }
}

void Sampler::apply_stages(Choice & choice, RandomNumbers & random) const {
    for (const auto & stage : stages_) {
        if (choice.listed || !apply_to_row(stage, choice)) {
            if (!choice.listed) {
                choice.spread_out();
            }
            apply_to_list(stage, choice, random);
        }
    }
    if ((choice.listed ? highest_of(choice.list) : choice.row.highest()) == -infinity) {
        throw DecodeError("the samplers left no token to choose from");
    }
}

Token Sampler::choose_from_list(Choice & choice) {
    auto & list = choice.list;
    if (adaptive_) {
        list.selected = static_cast<int64_t>(adaptive_->choose(list, std::generate_canonical<double, 53>(random_)));
    } else if (mirostat_) {
        llama_sampler_apply(mirostat_, &list);
    } else {
        list.selected = pick(list, std::generate_canonical<double, 53>(random_));
    }
    if (list.selected < 0 || list.selected >= static_cast<int64_t>(list.size) ||
        !std::isfinite(list.data[list.selected].logit)) {
        throw DecodeError("the samplers left no token to choose from");
    }
    return list.data[list.selected].id;
}

Token Sampler::choose(Choice & choice) {
    if (params_.temperature <= 0) {
        return choice.row.best();
    }
    if (!choice.listed && (adaptive_ || mirostat_)) {
        choice.spread_out();
    }
    if (choice.listed) {
        return choose_from_list(choice);
    }
    choice.row.weigh();
    return choice.row.pick(std::generate_canonical<double, 53>(random_));
}

Token Sampler::sample(std::span<const float> logits, std::span<const Token> banned) {
    if (greedy_ && banned.empty() && logits.size() == static_cast<size_t>(tokenizer_->n_vocab())) {
        const Token token = argmax(logits);
        if (token >= 0 && logits[static_cast<size_t>(token)] < infinity) {
            return token;
        }
    }
    AbortGuard guard;
    auto & choice = scratch();
    read(choice, logits, banned);
    apply_stages(choice, random_);
    return choose(choice);
}

std::vector<Sampler::TokenProbability> Sampler::top(std::span<const float> logits, int32_t n,
                                                    std::span<const Token> banned) {
    AbortGuard guard;
    auto & choice = scratch();
    read(choice, logits, banned);
    auto random = random_;
    apply_stages(choice, random);
    double sum = 0;
    float highest = 0;
    auto count = static_cast<size_t>(std::max(n, 0));
    if (choice.listed) {
        highest = highest_of(choice.list);
        for (const auto & candidate : choice.left()) {
            sum += std::exp(static_cast<double>(candidate.logit - highest));
        }
    } else {
        highest = choice.row.highest() / choice.row.temperature();
        sum = choice.row.weigh();
        choice.row.likeliest(count, choice.found);
        choice.narrow(true);
    }
    const auto left = choice.left();
    count = std::min(count, left.size());
    std::partial_sort(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count), left.end(), likelier);
    std::vector<TokenProbability> best;
    for (const auto & candidate : left.first(count)) {
        best.push_back({candidate.id, std::exp(static_cast<double>(candidate.logit - highest)) / sum});
    }
    return best;
}

}  // namespace shimmy
