#pragma once
// The texts of a vocabulary's special tokens, found in a text before it is tokenized. Immutable.

#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace shimmy {

class SpecialTexts {
  public:
    // `only_parsed`: found only when special tokens are parsed (control tokens), not always (user-defined ones).
    void add(std::string_view text, bool only_parsed);

    // Bytes of the longest one that `text` has at `at`, 0: none.
    size_t longest_at(std::string_view text, size_t at, bool parse_special) const;

  private:
    enum Kind : uint8_t { none, parsed, always };

    std::vector<Kind> nodes_{none};                 // of a trie; the first is its root
    std::unordered_map<uint64_t, uint32_t> edges_;  // node << 8 | byte -> node
    bool starts_[256] = {};                         // bytes that some text starts with
};

}  // namespace shimmy
