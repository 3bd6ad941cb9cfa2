#pragma once
// Policy: what followed when the last tokens were seen before. Prompt lookup (Saxena, "Prompt Lookup Decoding") with
// adaptive match lengths (SuffixDecoding, arXiv 2411.04975).

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shimmy {

struct Proposal {
    std::vector<int32_t> tokens;  // empty: no match
    int32_t n_match = 0;          // tokens before them that are equal, min_match to max_match
    size_t source = 0;            // where in the list the latest of the texts begins that they were taken from
};

// A growing list of tokens, every run of `min_match` of them in a hash table: its last occurrence, chained to the ones
// before. Unlike a suffix automaton (whose latest occurrences change along whole suffix paths) it appends in O(1),
// takes tokens back in the reverse order exactly, and needs at most 32 bytes per token.
class SuffixIndex {
  public:
    // In the list: nothing is matched or proposed across it.
    static constexpr int32_t document_end = -1;
    static constexpr int32_t max_match = 32;       // longer matches count as this long
    static constexpr int32_t max_candidates = 64;  // the latest occurrences that are looked at
    static constexpr int32_t max_voters = 4;
    static constexpr size_t max_bytes_per_token = 32;

    // Throws InvalidRequestError unless `min_match` is 1 to 16.
    explicit SuffixIndex(int32_t min_match = 3);

    void append(std::span<const int32_t> tokens);
    void truncate(size_t n_tokens);  // keep the first n_tokens; more than there are: all

    // At most `max_tokens` that followed the occurrence that agrees longest with the end of `recent`. The latest
    // `max_voters` of equally long ones vote on each token; a tie goes to the latest.
    Proposal propose(std::span<const int32_t> recent, int32_t max_tokens) const;

    // The same for this list's own end. A repetition that reaches the end is continued from its beginning.
    Proposal propose(int32_t max_tokens) const;

    size_t size() const { return tokens_.size(); }
    size_t bytes() const;

  private:
    struct Match;

    void insert(uint32_t end);
    void grow(size_t n_tokens);
    size_t slot_of(const int32_t * run) const;
    int32_t match_length(std::span<const int32_t> recent, size_t end) const;
    Match find(std::span<const int32_t> recent) const;
    Proposal follow(const Match & match, int32_t max_tokens, bool repeat) const;

    size_t min_match_;
    uint64_t seed_;  // of the hash: no text can be made to collide
    std::vector<int32_t> tokens_;
    std::vector<uint32_t> earlier_;  // by end - 1: the end of the same run's occurrence before, 0: none
    std::vector<uint32_t> latest_;   // open addressing: the end of a run's last occurrence, 0: free
};

}  // namespace shimmy
