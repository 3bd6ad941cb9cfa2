#pragma once
// Policy: a text that copies an earlier part of itself with changes, as an edit does. Follows the copy over what was
// changed, and expects the same changes again.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/suffix_index.h"

namespace shimmy {

// Points at the token of a growing list that its end is expected to copy next.
class CopyCursor {
  public:
    static constexpr size_t max_run = 4;      // tokens that are changed at once, before and after
    static constexpr size_t max_changes = 8;  // kept, the latest ones

    // Take in what was appended to the list since the last call, at first nothing. A list that became shorter loses the
    // place.
    void follow(std::span<const int32_t> tokens);

    // The list goes on as it did at `next`, says a match of so many tokens.
    void place(size_t next, int32_t n_match);

    // What comes next, with the changes seen so far; n_match: tokens since the last change, and a few for the place
    // itself. `tokens` as at the last follow. Empty without a place.
    Proposal propose(std::span<const int32_t> tokens, int32_t max_tokens) const;

    // Tokens that agreed up to here; 0: it has no place.
    int32_t n_match() const;

  private:
    struct Change {
        std::vector<int32_t> before;
        std::vector<int32_t> after;
    };

    void take(std::span<const int32_t> tokens, size_t end);
    void rejoin(std::span<const int32_t> tokens, size_t end);
    const Change * change_at(std::span<const int32_t> tokens, size_t at) const;
    void learn(Change change);

    size_t n_seen_ = 0;
    size_t next_ = 0;       // 0: no place
    size_t n_strange_ = 0;  // tokens at the list's end that are not what was at next_
    int32_t n_match_ = 0;
    std::vector<Change> changes_;
};

}  // namespace shimmy
