#pragma once
// Expressions of a GBNF grammar: equal ones are one, and regular ones (no rule, no token) are kept simple.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "grammar/regex_text.h"

namespace shimmy {

using ExprId = int32_t;

struct GbnfExpr {
    enum class Kind { Never, Empty, Chars, Token, Rule, Cat, Alt, Repeat };

    static constexpr uint32_t unbounded = UINT32_MAX;

    Kind kind;
    std::vector<CodeRange> chars{};  // Chars: one code point of these, sorted and apart
    std::string token{};             // Token: in Lark's syntax
    int32_t rule = -1;               // Rule
    std::vector<ExprId> parts{};     // Cat, Alt, Repeat (one)
    uint32_t min = 0;                // Repeat
    uint32_t max = 0;
    bool regular = true;
    bool nullable = false;  // of regular ones only: matches the empty text
    uint32_t depth = 1;
};

class GbnfExprs {
  public:
    GbnfExprs();

    ExprId never() const { return 0; }
    ExprId empty() const { return 1; }
    ExprId chars(std::vector<CodeRange> ranges);
    ExprId token(std::string lark);
    ExprId rule(int32_t rule);
    ExprId cat(const std::vector<ExprId> & parts);
    ExprId alt(const std::vector<ExprId> & parts);
    ExprId repeat(ExprId part, uint32_t min, uint32_t max);

    // The expression with every rule replaced by what `resolved` says, where that is not negative.
    ExprId substitute(ExprId expr, const std::vector<ExprId> & resolved);

    const GbnfExpr & operator[](ExprId id) const { return exprs_[static_cast<size_t>(id)]; }
    size_t size() const { return exprs_.size(); }

  private:
    ExprId add(GbnfExpr expr);
    ExprId substitute(ExprId expr, const std::vector<ExprId> & resolved, std::map<ExprId, ExprId> & done);

    std::vector<GbnfExpr> exprs_;
    std::map<std::string, ExprId> by_key_;
    size_t n_parts_ = 0;
};

// The code points that are in none of the ranges, surrogates left out.
std::vector<CodeRange> complement(std::vector<CodeRange> ranges);

}  // namespace shimmy
