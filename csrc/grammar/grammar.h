#pragma once

#include <memory>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

#include "grammar/grammar_spec.h"
#include "grammar/llg_tokenizer.h"

namespace shimmy {

struct FreeMatcher {
    const LlgLibrary * library;

    void operator()(llg::Matcher * matcher) const { library->free_matcher(matcher); }
};
using LlgMatcher = std::unique_ptr<llg::Matcher, FreeMatcher>;

// What starts a lazy grammar, resolved to the vocabulary.
struct GrammarStart {
    bool lazy = false;
    std::vector<std::string> words;
    std::vector<int32_t> tokens;
    std::vector<std::regex> patterns;
    // Tokens that can complete a trigger, ascending: always (those of `tokens`, and whose text holds a word), and only
    // behind the beginning of a word (whose text begins with its rest).
    std::vector<int32_t> completing;
    std::vector<int32_t> continuing;
};

// A compiled grammar, ready to be cloned into a matcher per sequence. Immutable and thread-safe.
class Grammar {
  public:
    Grammar(GrammarSpec::Kind kind, std::shared_ptr<const LlgTokenizer> tokenizer, LlgMatcher start,
            GrammarStart trigger);

    LlgMatcher matcher() const;  // at the start, the prefill consumed
    GrammarSpec::Kind kind() const { return kind_; }
    const LlgTokenizer & tokenizer() const { return *tokenizer_; }
    const GrammarStart & trigger() const { return trigger_; }

  private:
    GrammarSpec::Kind kind_;
    std::shared_ptr<const LlgTokenizer> tokenizer_;
    mutable std::mutex mutex_;  // for start_, while it is cloned
    LlgMatcher start_;
    GrammarStart trigger_;
};

}  // namespace shimmy
