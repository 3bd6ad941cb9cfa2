#include <cmath>
#include <limits>
#include <set>

#include "errors.h"
#include "llama/sampler.h"

namespace shimmy {
namespace {

constexpr size_t max_logit_biases = 4096;
constexpr size_t max_dry_breakers = 64;
constexpr size_t max_dry_breaker_bytes = 64;

std::string show(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    return text.ends_with('.') ? text + "0" : text;
}

void range(const char * param, double value, double low, double high) {
    if (!(value >= low && value <= high)) {
        throw InvalidRequestError(
            std::string(param) + " is " + show(value) + ", it must be between " + show(low) + " and " + show(high),
            param);
    }
}

}  // namespace

void check_sampling_params(const SamplingParams & params, int32_t n_vocab) {
    constexpr double many = 1e9;
    range("temperature", params.temperature, 0, 100);
    range("top_k", params.top_k, -1, many);
    range("top_p", params.top_p, 0, 1);
    range("min_p", params.min_p, 0, 1);
    range("typical_p", params.typical_p, 0, 1);
    range("top_n_sigma", params.top_n_sigma, -1, 1000);
    range("min_keep", params.min_keep, 0, many);
    range("repeat_penalty", params.repeat_penalty, 0.01, 100);
    range("repeat_last_n", params.repeat_last_n, -1, many);
    range("frequency_penalty", params.frequency_penalty, -2, 2);
    range("presence_penalty", params.presence_penalty, -2, 2);
    range("xtc_probability", params.xtc_probability, 0, 1);
    range("xtc_threshold", params.xtc_threshold, 0, 1);
    range("dynatemp_range", params.dynatemp_range, 0, 100);
    range("dynatemp_exponent", params.dynatemp_exponent, 0, 100);
    range("dry_multiplier", params.dry_multiplier, 0, 100);
    range("dry_base", params.dry_base, 0, 100);
    range("dry_allowed_length", params.dry_allowed_length, 0, many);
    range("dry_penalty_last_n", params.dry_penalty_last_n, -1, many);
    range("mirostat", params.mirostat, 0, 2);
    range("mirostat_tau", params.mirostat_tau, 0, 1000);
    range("mirostat_eta", params.mirostat_eta, 0, 100);
    range("adaptive_target", params.adaptive_target, -1, 1);
    range("adaptive_decay", params.adaptive_decay, 0, 0.99);

    if (params.dry_sequence_breakers.size() > max_dry_breakers) {
        throw InvalidRequestError("dry_sequence_breakers has " + std::to_string(params.dry_sequence_breakers.size()) +
                                      " entries, at most " + std::to_string(max_dry_breakers) + " are allowed",
                                  "dry_sequence_breakers");
    }
    for (const auto & breaker : params.dry_sequence_breakers) {
        if (breaker.empty() || breaker.size() > max_dry_breaker_bytes || breaker.find('\0') != std::string::npos) {
            throw InvalidRequestError("an entry of dry_sequence_breakers has " + std::to_string(breaker.size()) +
                                          " bytes, it must have 1 to " + std::to_string(max_dry_breaker_bytes) +
                                          " and no NUL",
                                      "dry_sequence_breakers");
        }
    }
    if (params.logit_bias.size() > max_logit_biases) {
        throw InvalidRequestError("logit_bias has " + std::to_string(params.logit_bias.size()) + " entries, at most " +
                                      std::to_string(max_logit_biases) + " are allowed",
                                  "logit_bias");
    }
    for (const auto & [token, bias] : params.logit_bias) {
        if (token < 0 || token >= n_vocab) {
            throw InvalidRequestError("logit_bias names token " + std::to_string(token) +
                                          ", the vocabulary has ids 0 to " + std::to_string(n_vocab - 1),
                                      "logit_bias");
        }
        if (bias != -std::numeric_limits<double>::infinity() && !(std::abs(bias) <= many)) {
            throw InvalidRequestError("logit_bias of token " + std::to_string(token) + " is " + std::to_string(bias) +
                                          ", it must be -inf or between -1e9 and 1e9",
                                      "logit_bias");
        }
    }
    const std::set<std::string> known = {"penalties", "dry",   "top_n_sigma", "top_k",       "typical_p",
                                         "top_p",     "min_p", "xtc",         "temperature", "infill"};
    std::set<std::string> seen;
    for (const auto & name : params.samplers) {
        if (known.count(name) == 0) {
            std::string names;
            for (const auto & other : known) {
                names += (names.empty() ? "" : ", ") + other;
            }
            throw InvalidRequestError("samplers names '" + name + "', known are " + names, "samplers");
        }
        if (!seen.insert(name).second) {
            throw InvalidRequestError("samplers names '" + name + "' twice", "samplers");
        }
    }
}

}  // namespace shimmy
