#pragma once
// Policy: where a long text may be cut so that its pieces, tokenized one by one, give what the whole would give. Pure.
//
// llama.cpp's std::regex pre-tokenizers recurse once per character of a match, a few take quadratic time within a run,
// and its search for special tokens is quadratic in their number. Pieces bound all three.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "llama/special_texts.h"

namespace shimmy {

// What holds for a vocabulary's tokenizer.
struct CutRules {
    bool at_specials = false;   // around special tokens: exact when none of them strips the text beside it
    bool at_newlines = false;   // between an ASCII letter and a newline: exact when no token has the two side by side
    size_t max_stretch = 0;     // code points after which a stretch is cut wherever that is, 0: never
    bool spaces_join = false;   // exaone-moe: a match goes on over single spaces
    bool digit_groups = false;  // superbpe: digits are split in threes from the right
    bool space_blocks = false;  // jais-2: white space is split in 512s from the left
};

// The rules of llama.cpp for a tokenizer.ggml.model and a tokenizer.ggml.pre.
CutRules cut_rules(std::string_view model, std::string_view pre);

struct TextPiece {
    std::string_view text;
    size_t longest_stretch;  // code points; a match of a pre-tokenizer is at most two stretches long
};

// The pieces of a text, UTF-8, in order and without gaps; one for a short text. A stretch is a run of white space, or
// one of anything else. Every cut is exact but those after `max_stretch`, where a token may be divided.
std::vector<TextPiece> cut_text(std::string_view text, const CutRules & rules, const SpecialTexts & specials,
                                bool parse_special);

}  // namespace shimmy
