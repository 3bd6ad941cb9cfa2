#pragma once
// Chooses tokens from logits, by SamplingParams. One per sequence; not thread-safe.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "llama/adaptive_p.h"
#include "llama/logits.h"
#include "llama/penalties.h"
#include "llama/tokenizer.h"
#include "params.h"

struct llama_sampler;

namespace shimmy {

struct Candidate;  // llama_token_data

// Throws InvalidRequestError naming the field, its value and its range; logit_bias is checked against `n_vocab`.
void check_sampling_params(const SamplingParams & params, int32_t n_vocab);

class Sampler {
  public:
    // Throws InvalidRequestError like check_sampling_params.
    Sampler(std::shared_ptr<const Tokenizer> tokenizer, const SamplingParams & params);
    ~Sampler();
    Sampler(Sampler && other) noexcept;
    Sampler & operator=(Sampler && other) noexcept;
    Sampler(const Sampler &) = delete;
    Sampler & operator=(const Sampler &) = delete;

    // A copy with its own random state, history and counters, equal to this one's.
    Sampler clone() const;

    // The next token. Does not accept it. NaN counts as -inf. Throws DecodeError when there is nothing to choose from
    // or a logit is +inf, InvalidRequestError when their number is not n_vocab.
    Token sample(std::span<const float> logits);

    // Take a token into the history that penalties and DRY look back on (prompt tokens too).
    void accept(Token token);

    // Forget the history and start the random numbers anew.
    void reset();

    // The n likeliest of what is left after all samplers but the choice itself, with probabilities that sum to 1 over
    // everything left. Best first. Changes nothing: XTC decides as it will for the next sample.
    struct TokenProbability {
        Token token;
        double probability;
    };
    std::vector<TokenProbability> top(std::span<const float> logits, int32_t n);

    uint32_t seed() const { return seed_; }  // the one in use, also when none was given
    const SamplingParams & params() const { return params_; }

  private:
    enum class Kind { Narrows, Cools, LooksBack, Random };  // Cools: a temperature that may be near 0
    struct Stage {
        llama_sampler * native;  // null: the penalties
        Kind kind;
    };

    Sampler();
    void add(llama_sampler * native, Kind kind = Kind::Narrows);
    void add_by_name(const std::string & name);
    void add_selector();
    void apply_stages(std::span<const float> logits, bool keep_random_state);
    void check_logits(std::span<const float> logits) const;
    Kind temperature_kind() const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    SamplingParams params_;
    uint32_t seed_ = 0;
    bool greedy_ = false;  // nothing but arg-max to do
    Penalties penalties_{SamplingParams{}, 0};
    std::vector<Stage> stages_;
    llama_sampler * selector_ = nullptr;  // null: adaptive_
    std::optional<AdaptiveP> adaptive_;
    std::vector<Candidate> candidates_;
    size_t n_candidates_ = 0;
    bool sorted_ = false;
};

}  // namespace shimmy
