#pragma once
// Watches generated text for strings that must not appear in it. Tokens are held back while such a string may be
// starting in them; when one is complete, the engine takes tokens back to where it starts and goes on from there.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace shimmy {

class BannedStrings {
  public:
    static constexpr size_t max_strings = 64;
    static constexpr size_t max_string_bytes = 256;

    // Matches bytes; `ignore_case` takes ASCII letters as equal to their other case. Throws InvalidRequestError for
    // more than 64 strings or one without 1 to 256 bytes, naming `banned_strings`.
    explicit BannedStrings(std::vector<std::string> strings, bool ignore_case = false);

    enum class Status {
        Clear,  // everything up to here can be released
        Hold,   // all but the last n_tokens can be released
        Hit,    // a banned string ends in the last token and starts in the one n_tokens before it
    };
    struct Verdict {
        Status status;
        size_t n_tokens;  // Clear: 0

        bool operator==(const Verdict &) const = default;
    };

    // Take the text of one more token, a part of a character or empty if need be. What the last verdict did not hold
    // counts as released. When several banned strings end in this token, the Hit is on the one that starts last; one
    // that starts in a released token is reported as if it started in the first that is not. So taking back
    // n_tokens + 1 tokens is always possible, and choosing another token there breaks the string.
    Verdict push(std::string_view text);

    // Take back the last `n_tokens`, no more than are held, or after a Hit than that says plus one. Returns how many of
    // the rest are still to be held back.
    size_t rewind(size_t n_tokens);

  private:
    struct Pattern {
        std::string bytes;
        std::vector<uint16_t> border;  // of each prefix: its longest proper prefix that is a suffix of it too
    };

    char fold(char byte) const;
    size_t follow(const Pattern & pattern, size_t matched, char byte) const;
    size_t tokens_from(size_t start) const;
    size_t n_held() const;
    void release(size_t n_kept);

    std::vector<Pattern> patterns_;
    bool ignore_case_;
    size_t longest_ = 0;
    std::string text_;             // of the unreleased tokens, after what a match could still begin with
    std::deque<size_t> starts_;    // where in text_ each unreleased token starts
    std::vector<size_t> matched_;  // bytes of each pattern at the end of text_
};

}  // namespace shimmy
