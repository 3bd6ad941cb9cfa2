#pragma once
// Chooses a sequence's next token: the sampler, and everything that a token must obey beside it.

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/request.h"
#include "grammar/grammar_matcher.h"
#include "llama/output_row.h"
#include "llama/prefix_tokens.h"
#include "llama/sampler.h"

namespace shimmy {

// The sampler chooses first; only when its token is not allowed are the others masked and it chooses again. Without
// truncating samplers the result is distributed as if all had been masked at once; with them (top_k, top_p, ...) what
// they kept the first time has more weight.
class TokenChooser {
  public:
    // `known`: the text that the answer must begin with (token healing), with the index of the vocabulary's texts.
    TokenChooser(std::shared_ptr<const Tokenizer> tokenizer, const Request & request, std::string known,
                 std::shared_ptr<const PrefixTokens> texts);

    // The token for position `n_generated` of the answer; not accepted yet. Its random numbers are those of the seed at
    // this position, whatever was chosen before. With ignore_eos a grammar's end is chosen
    // only when nothing else is left. Throws DecodeError when nothing is: banned strings win over the grammar.
    Token choose(const OutputRow & row, int64_t n_generated);

    // What choose() does at position `n_generated` as long as nothing is taken back, if it needs no more of its row.
    std::optional<Draw> draw(int64_t n_generated) const;

    // How many leading tokens of a draft could be chosen one after the other.
    size_t allowed(std::span<const Token> draft);

    // Take a token into the history.
    void accept(Token token);

    // Tokens from position `n_generated` of the answer on that the grammar leaves no choice about; to be accepted one
    // after the other. Ends are none of them.
    std::vector<Token> forced(int64_t n_generated);

    // The grammar allows nothing more than the end.
    bool complete() { return grammar_ && grammar_->stopped(); }

    // The last `n` accepted tokens were taken back: `history` is what is left. `banned`, the first of them, may not
    // come again at that place, which is position `n_generated` of the answer.
    void take_back(size_t n, std::span<const Token> history, int64_t n_generated, Token banned);

    bool is_end(Token token) const;  // an end token of the model, unless ignore_eos, or one of stop_token_ids

  private:
    bool allowed(Token token, int64_t n_generated);
    void mask(std::span<float> logits, int64_t n_generated);
    bool hides_eog();
    const std::set<Token> * banned_at(int64_t n_generated) const;

    std::shared_ptr<const Tokenizer> tokenizer_;
    Sampler sampler_;
    std::optional<GrammarMatcher> grammar_;
    bool ignore_eos_;
    std::set<Token> stop_token_ids_;
    int64_t min_tokens_;
    std::vector<Token> eog_;  // listed where they are masked
    std::string known_;       // what is left of it
    std::string all_known_;
    std::shared_ptr<const PrefixTokens> texts_;
    std::map<int64_t, std::set<Token>> banned_;  // by position
    std::vector<float> scratch_;
};

}  // namespace shimmy
