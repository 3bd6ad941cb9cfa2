#pragma once
// Chooses tokens from logits, by SamplingParams. One per sequence; not thread-safe.

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "llama/adaptive_p.h"
#include "llama/draw.h"
#include "llama/logits.h"
#include "llama/penalties.h"
#include "llama/random_numbers.h"
#include "llama/token_window.h"
#include "llama/tokenizer.h"
#include "params.h"

struct llama_sampler;

namespace shimmy {

struct Choice;

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

    // The next token, none of `banned`. Does not accept it. NaN counts as -inf. Throws DecodeError when there is
    // nothing to choose from or a logit is +inf, InvalidRequestError when their number is not n_vocab.
    Token sample(std::span<const float> logits, std::span<const Token> banned = {});

    // Take a token into the history that penalties, DRY and adaptive-p look back on (prompt tokens too).
    void accept(Token token);

    // The next choices are made with the random numbers of this place of an answer, whatever was drawn before;
    // `attempt` tells choices at one place apart. Without it each choice goes on where the last one ended. Mirostat
    // draws its own.
    void go_to(uint64_t place, uint64_t attempt = 0) { random_.go_to(place, attempt); }

    // Replace that history, oldest first, as when accepted tokens are taken back. Random numbers and mirostat's state
    // stay as they are. Throws InvalidRequestError for a token that the vocabulary does not have, and changes nothing.
    void set_history(std::span<const Token> tokens);

    // Forget the history and start the random numbers anew.
    void reset();

    // The n likeliest of what is left after all samplers but the choice itself, with probabilities that sum to 1 over
    // everything left. Best first. Changes nothing: XTC decides as it will for the next sample.
    struct TokenProbability {
        Token token;
        double probability;
    };
    std::vector<TokenProbability> top(std::span<const float> logits, int32_t n, std::span<const Token> banned = {});

    // What sample() does at this place where it needs no more of the logits; without a value it does.
    std::optional<Draw> draw(uint64_t place) const;

    uint32_t seed() const { return seed_; }  // the one in use, also when none was given
    const SamplingParams & params() const { return params_; }

  private:
    static constexpr double low_temperature = 1e-3;

    enum class Kind { Penalties, Dry, TopK, TopP, MinP, TopNSigma, Temperature, Dynatemp, Random, Narrows };
    struct Stage {
        llama_sampler * native;  // what it does to a list of candidates; null: the penalties
        Kind kind;
        double number;  // k of top_k, the value of top_p, min_p, top_n_sigma, temperature and XTC's probability
    };

    Sampler();
    void add(llama_sampler * native, Kind kind = Kind::Narrows, double number = 0);
    void add_by_name(const std::string & name);
    void add_selector();
    size_t dry_width() const;

    // In sampler_stages.cpp.
    void read(Choice & choice, std::span<const float> logits, std::span<const Token> banned) const;
    void apply_stages(Choice & choice, RandomNumbers & random) const;
    bool apply_to_row(const Stage & stage, Choice & choice) const;
    void apply_to_list(const Stage & stage, Choice & choice, RandomNumbers & random) const;
    bool counts_candidates() const;
    void apply_dry(llama_sampler * dry, LogitRow & row) const;
    Token choose(Choice & choice);
    Token choose_from_list(Choice & choice);

    std::shared_ptr<const Tokenizer> tokenizer_;
    SamplingParams params_;
    uint32_t seed_ = 0;
    bool greedy_ = false;  // nothing but arg-max to do
    float scale_ = 0;      // of logits, where their temperature is all there is to do; else 0
    Penalties penalties_{SamplingParams{}, 0};
    TokenWindow dry_window_;
    std::vector<Stage> stages_;
    llama_sampler * mirostat_ = nullptr;
    std::optional<AdaptiveP> adaptive_;
    RandomNumbers random_;
};

}  // namespace shimmy
