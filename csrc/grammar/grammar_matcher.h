#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "grammar/grammar.h"

namespace shimmy {

// Where one sequence stands in its grammar. For one thread at a time; a copy is independent.
//
// Before the trigger of a lazy grammar everything is allowed, except a token that completes a trigger and goes on with
// what the grammar refuses. What goes wrong inside of llguidance (its limits on work per step, ...) throws DecodeError,
// and the matcher is of no use afterwards.
class GrammarMatcher {
  public:
    explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);
    GrammarMatcher(const GrammarMatcher & other);
    GrammarMatcher(GrammarMatcher &&) noexcept = default;
    GrammarMatcher & operator=(const GrammarMatcher & other);
    GrammarMatcher & operator=(GrammarMatcher &&) noexcept = default;

    bool allows(int32_t token);  // whether it may come next; false for ids that are not in the vocabulary

    // Takes the next token. Throws InvalidRequestError for one that is not allowed, and nothing has changed.
    void accept(int32_t token);

    // How many of the leading tokens may come next, one after the other. Changes nothing.
    size_t validate(std::span<const int32_t> tokens);

    void rollback(size_t n_tokens);  // takes back the last accepted tokens; InvalidRequestError for more than there are

    // Sets the logits of tokens that may not come next to -inf. The row may be longer than the vocabulary.
    void mask(std::span<float> logits);

    // Tokens that must come next, as the model would tokenize them; to be accepted one by one.
    std::vector<int32_t> forced();

    bool accepting();                                  // whether the output may end here
    bool stopped();                                    // whether nothing but an end-of-generation token may come
    bool awaiting() const { return awaiting_; }        // a lazy grammar before its trigger
    size_t n_tokens() const { return steps_.size(); }  // that were accepted

  private:
    struct Step {
        uint32_t n_consumed;  // tokens that llguidance was given
        uint32_t n_text;      // bytes that were added to text_
        bool was_awaiting;
    };

    struct Trigger {
        bool found = false;
        std::vector<uint32_t> tokens;  // what the grammar has to take
    };

    struct Checked {
        int32_t token;
        Trigger trigger;
    };

    Trigger triggered_by(int32_t token) const;
    size_t matched_by(std::string_view piece) const;
    void refuse_likely(std::span<float> logits);
    bool within_word() const;
    size_t validate_in_llg(std::span<const uint32_t> tokens);
    void consume(std::span<const uint32_t> tokens);
    [[noreturn]] void fail();
    bool stopped_in_llg();

    const LlgTokenizer & tokenizer() const { return grammar_->tokenizer(); }
    const LlgLibrary & library() const { return grammar_->tokenizer().library(); }

    std::shared_ptr<const Grammar> grammar_;
    LlgMatcher matcher_;
    bool awaiting_;
    std::string text_;  // before the trigger, its token included
    std::vector<Step> steps_;
    std::optional<Checked> checked_;  // the token that was found to be allowed here
};

}  // namespace shimmy
