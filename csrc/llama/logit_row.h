#pragma once
// A row of logits, float[n_vocab], read in blocks: the highest of each block, found in one pass, tells where the
// likeliest tokens are, so that few are ever copied out. NaN counts as -inf everywhere.

#include <cstddef>
#include <span>
#include <vector>

#include "llama/tokenizer.h"

namespace shimmy {

struct Candidate;  // llama_token_data

class LogitRow {
  public:
    // Look at `logits` where they are, for as long as nothing changes them; then they are copied. Forgets what was set.
    void read(std::span<const float> logits);

    size_t size() const { return logits_.size(); }
    float at(Token token) const { return logits_[static_cast<size_t>(token)]; }
    float highest() const;  // -inf when there is nothing above it
    Token best() const;     // the first of the highest; there must be one above -inf

    void set(Token token, float logit);
    void subtract(float amount);

    // From now on logits count divided by `temperature` > 0. They are divided where they stand only by settle(), which
    // what comes after a temperature and changes logits has to call first.
    void cool(float temperature);
    void settle();
    float temperature() const { return temperature_; }

    // The sum of e^((logit - highest) / temperature), in double precision over the blocks.
    double weigh();

    // The token at which the sum of weights, in the order of ids, reaches `share` (0 to 1) of the whole. After weigh().
    Token pick(double share) const;

    // Mean and standard deviation of all logits above -inf, undivided.
    struct Spread {
        double mean;
        double deviation;
    };
    Spread spread() const;

    // Candidates carry the logit divided by the temperature.
    void all(std::vector<Candidate> & candidates) const;                      // every token
    void from(float threshold, std::vector<Candidate> & candidates) const;    // undivided logit >= threshold, by id
    void likeliest(size_t count, std::vector<Candidate> & candidates) const;  // sorted; all, when there are fewer

  private:
    static constexpr size_t block = 64;

    std::span<const float> part(size_t index) const;
    void own();

    std::span<const float> logits_;
    std::vector<float> copy_;     // what logits_ shows once something is changed
    std::vector<float> highest_;  // of each block
    std::vector<float> weights_;  // of each block
    double weight_ = 0;
    float top_ = 0;  // the highest when weighed
    float temperature_ = 1;
};

}  // namespace shimmy
