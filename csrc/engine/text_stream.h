#pragma once
// Tokens of one sequence on their way to its text: detokenized, searched for stop strings, and held back while a banned
// string may be starting in them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/banned_strings.h"
#include "engine/request.h"
#include "engine/stop_matcher.h"
#include "llama/detokenizer.h"

namespace shimmy {

class TextStream {
  public:
    // Throws InvalidRequestError for stop strings and banned strings beyond their limits. The answer's first bytes that
    // equal `known` (the prompt's healed end) are not shown again.
    TextStream(const std::shared_ptr<const Tokenizer> & tokenizer, const Request & request, std::string known);

    // Take a token; what can be shown now is appended to `output`. `may_stop`: stop strings count. Returns how many
    // tokens, this one included, have to be taken back because a banned string starts in the first of them; 0: none.
    // After output.stop_string is set nothing more may be pushed.
    size_t push(Token token, std::optional<TokenLogprobs> logprobs, bool may_stop, Output & output);

    // Show all that was held back, up to a stop string.
    void finish(Output & output);

    // Tokens that were pushed and are not in an output yet.
    size_t n_held() const { return held_.size(); }

  private:
    struct Held {
        Token token;
        std::optional<TokenLogprobs> logprobs;
        std::string text;
        Detokenizer before;  // the state to go back to, with known_
        std::string known_before;
        bool may_stop;
    };

    static void take(Token token, std::optional<TokenLogprobs> logprobs, Output & output);
    void show(Held & held, Output & output);
    void show_first(size_t n, Output & output);  // of the held tokens; ends after a stop string
    void show_text(const std::string & text, bool may_stop, Output & output);
    std::string less_known(std::string text);

    Detokenizer detokenizer_;
    StopMatcher stop_;
    std::optional<BannedStrings> banned_;
    std::string known_;
    std::vector<Held> held_;
};

}  // namespace shimmy
