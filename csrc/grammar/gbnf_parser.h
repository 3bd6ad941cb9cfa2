#pragma once
// llama.cpp's GBNF (grammars/README.md there) as expressions.

#include <string>
#include <string_view>
#include <vector>

#include "grammar/gbnf_expr.h"
#include "grammar/grammar_vocab.h"

namespace shimmy {

struct GbnfRule {
    std::string name;
    ExprId expr = -1;
    size_t line = 0;  // of its definition
};

struct GbnfGrammar {
    GbnfExprs exprs;
    std::vector<GbnfRule> rules;
    int32_t root = -1;
};

// Throws InvalidRequestError (param gbnf) naming the line for text that is no grammar, for a rule that is not defined,
// and over the limits: 256 levels of parentheses, 20,000 rules, 2,000 repetitions at least.
GbnfGrammar parse_gbnf(std::string_view text, const GrammarVocab & vocab);

}  // namespace shimmy
