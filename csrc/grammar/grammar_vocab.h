#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace shimmy {

// A model's vocabulary as structured output sees it. Immutable, one per model.
struct GrammarVocab {
    std::vector<std::string> bytes;  // of each token; for a special token the text that names it, "" for none
    std::vector<bool> special;       // control tokens: never a part of the text
    std::vector<int32_t> eog;        // at least one: end a generation
    // Canonical tokens of a text, without BOS. `parse_special`: the names of special tokens become those tokens.
    // Called from several threads at once; may throw.
    std::function<std::vector<int32_t>(const std::string & text, bool parse_special)> tokenize;
};

}  // namespace shimmy
