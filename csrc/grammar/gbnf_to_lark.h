#pragma once

#include <string>
#include <string_view>

#include "grammar/grammar_vocab.h"

namespace shimmy {

// A GBNF grammar as one of llguidance's Lark dialect that accepts the same texts.
//
// llguidance reads lexemes greedily and never goes back, GBNF knows characters only. So what is regular becomes one
// lexeme, and of the rest a lexeme is only what no other lexeme can read on beyond its end with what may follow it;
// what does not meet that is cut into smaller lexemes, single characters in the end.
//
// Throws InvalidRequestError (param gbnf), see parse_gbnf and resolve.
std::string gbnf_to_lark(std::string_view gbnf, const GrammarVocab & vocab);

}  // namespace shimmy
