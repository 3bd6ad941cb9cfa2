#pragma once
// Regular expressions as automata over classes of code points, to see which lexeme could swallow the start of another.

#include <bitset>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "grammar/gbnf_expr.h"

namespace shimmy {

// First bytes of UTF-8 text; the last bit is a special token.
using LeadBytes = std::bitset<257>;

struct GbnfAutomaton {
    std::vector<std::vector<int32_t>> next;  // [state][class]: -1 where no text matches any more
    std::vector<bool> accepting;             // state 0 is the start
    LeadBytes first;                         // of its texts
};

class GbnfAutomata {
  public:
    explicit GbnfAutomata(const GbnfExprs & exprs);

    // Of a regular expression; null when it is too large.
    const GbnfAutomaton * of(ExprId expr);

    // The bytes with which `other` can read on behind some text of `lexeme`. All of them when that takes too long to
    // find out.
    const LeadBytes & continuation(ExprId lexeme, ExprId other);

  private:
    LeadBytes read_on(const GbnfAutomaton & lexeme, const GbnfAutomaton & other);
    std::optional<GbnfAutomaton> build(ExprId expr) const;

    const GbnfExprs & exprs_;
    std::vector<uint32_t> starts_;  // of the classes, ascending
    std::vector<LeadBytes> lead_;   // by class
    std::map<ExprId, std::unique_ptr<GbnfAutomaton>> built_;
    std::map<std::pair<ExprId, ExprId>, LeadBytes> continuations_;
    LeadBytes nothing_;
    size_t budget_ = 3'000'000;  // steps of all comparisons
};

}  // namespace shimmy
