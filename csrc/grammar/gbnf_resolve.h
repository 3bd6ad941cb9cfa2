#pragma once

#include <vector>

#include "grammar/gbnf_parser.h"

namespace shimmy {

// A grammar whose rules have been put into one another as far as that is possible.
struct ResolvedGbnf {
    ExprId root;
    // By rule: what it stands for when it is used in `root` or in another body (it contains itself); else -1.
    std::vector<ExprId> bodies;
};

// Replaces rules that do not contain themselves by what they stand for, and rules that contain themselves at their end
// only by a repetition (Arden's lemma: X = a X | b is a* b). Throws InvalidRequestError naming a left-recursive rule.
ResolvedGbnf resolve(GbnfGrammar & grammar);

}  // namespace shimmy
