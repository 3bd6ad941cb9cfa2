#pragma once

#include <set>
#include <vector>

#include "grammar/gbnf_automaton.h"
#include "grammar/gbnf_resolve.h"

namespace shimmy {

// A resolved grammar over lexemes.
struct LexedNode {
    enum class Kind { Lexeme, Token, Rule, Cat, Alt, Repeat };

    Kind kind;
    ExprId expr = -1;   // Lexeme (never matched empty), Token
    int32_t rule = -1;  // Rule
    uint32_t min = 0;   // Repeat
    uint32_t max = 0;
    std::vector<LexedNode> parts;
};

struct LexedGrammar {
    LexedNode root;
    std::vector<std::pair<int32_t, LexedNode>> rules;
};

// Chooses the lexemes, as large as they can be (see gbnf_to_lark).
LexedGrammar choose_lexemes(GbnfExprs & exprs, const ResolvedGbnf & resolved);

}  // namespace shimmy
