#include "grammar/grammar.h"

namespace shimmy {

Grammar::Grammar(GrammarSpec::Kind kind, std::shared_ptr<const LlgTokenizer> tokenizer, LlgMatcher start,
                 GrammarStart trigger)
    : kind_(kind), tokenizer_(std::move(tokenizer)), start_(std::move(start)), trigger_(std::move(trigger)) {}

LlgMatcher Grammar::matcher() const {
    const std::lock_guard lock(mutex_);
    const LlgLibrary & library = tokenizer_->library();
    return {library.clone_matcher(start_.get()), FreeMatcher{&library}};
}

}  // namespace shimmy
