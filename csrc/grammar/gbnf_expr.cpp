#include "grammar/gbnf_expr.h"

#include <algorithm>

#include "errors.h"

namespace shimmy {
namespace {

constexpr uint32_t max_depth = 600;  // of expressions: what walks them recurses
constexpr size_t max_exprs = 400'000;
constexpr size_t max_parts = 4'000'000;
constexpr size_t max_flat_parts = 512;
constexpr uint32_t last_code = 0x10FFFF;

std::vector<CodeRange> normal(std::vector<CodeRange> ranges) {
    std::sort(ranges.begin(), ranges.end(), [](auto & a, auto & b) { return a.first < b.first; });
    std::vector<CodeRange> merged;
    for (const CodeRange & range : ranges) {
        if (!merged.empty() && range.first <= merged.back().last + 1) {
            merged.back().last = std::max(merged.back().last, range.last);
        } else {
            merged.push_back(range);
        }
    }
    return merged;
}

}  // namespace

std::vector<CodeRange> complement(std::vector<CodeRange> ranges) {
    ranges.push_back({0xD800, 0xDFFF});
    std::vector<CodeRange> rest;
    uint32_t next = 0;
    for (const auto & [first, last] : normal(std::move(ranges))) {
        if (first > next) {
            rest.push_back({next, first - 1});
        }
        next = last + 1;
    }
    if (next <= last_code) {
        rest.push_back({next, last_code});
    }
    return rest;
}

GbnfExprs::GbnfExprs() {
    GbnfExpr never{.kind = GbnfExpr::Kind::Never};
    GbnfExpr empty{.kind = GbnfExpr::Kind::Empty};
    empty.nullable = true;
    add(never);
    add(empty);
}

ExprId GbnfExprs::add(GbnfExpr expr) {
    std::string key(1, static_cast<char>('0' + static_cast<int>(expr.kind)));
    const auto append = [&key](uint64_t value) { key.append(reinterpret_cast<const char *>(&value), sizeof(value)); };
    for (const auto & [first, last] : expr.chars) {
        append(uint64_t{first} << 32 | last);
    }
    key += expr.token;
    append(static_cast<uint64_t>(expr.rule));
    append(uint64_t{expr.min} << 32 | expr.max);
    for (const ExprId part : expr.parts) {
        append(static_cast<uint64_t>(part));
        expr.depth = std::max(expr.depth, exprs_[static_cast<size_t>(part)].depth + 1);
        expr.regular &= exprs_[static_cast<size_t>(part)].regular;
    }
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) {
        return found->second;
    }
    n_parts_ += expr.parts.size();
    if (expr.depth > max_depth || exprs_.size() > max_exprs || n_parts_ > max_parts) {
        throw InvalidRequestError("gbnf is too large: its rules nest too deeply or grow too much when put together",
                                  "gbnf");
    }
    exprs_.push_back(std::move(expr));
    const auto id = static_cast<ExprId>(exprs_.size() - 1);
    by_key_.emplace(std::move(key), id);
    return id;
}

ExprId GbnfExprs::chars(std::vector<CodeRange> ranges) {
    GbnfExpr expr{.kind = GbnfExpr::Kind::Chars};
    expr.chars = normal(std::move(ranges));
    return expr.chars.empty() ? never() : add(std::move(expr));
}

ExprId GbnfExprs::token(std::string lark) {
    GbnfExpr expr{.kind = GbnfExpr::Kind::Token};
    expr.token = std::move(lark);
    expr.regular = false;
    return add(std::move(expr));
}

ExprId GbnfExprs::rule(int32_t rule) {
    GbnfExpr expr{.kind = GbnfExpr::Kind::Rule};
    expr.rule = rule;
    expr.regular = false;
    return add(std::move(expr));
}

ExprId GbnfExprs::cat(const std::vector<ExprId> & parts) {
    GbnfExpr expr{.kind = GbnfExpr::Kind::Cat};
    expr.nullable = true;
    for (const ExprId part : parts) {
        const GbnfExpr & of = (*this)[part];
        if (of.kind == GbnfExpr::Kind::Never) {
            return never();
        }
        expr.nullable &= of.nullable;
        if (of.kind == GbnfExpr::Kind::Cat && expr.parts.size() + of.parts.size() <= max_flat_parts) {
            expr.parts.insert(expr.parts.end(), of.parts.begin(), of.parts.end());
        } else if (of.kind != GbnfExpr::Kind::Empty) {
            expr.parts.push_back(part);
        }
    }
    if (expr.parts.empty()) {
        return empty();
    }
    return expr.parts.size() == 1 ? expr.parts[0] : add(std::move(expr));
}

ExprId GbnfExprs::alt(const std::vector<ExprId> & parts) {
    GbnfExpr expr{.kind = GbnfExpr::Kind::Alt};
    std::vector<CodeRange> ranges;
    size_t chars_at = SIZE_MAX;
    const auto take = [&](ExprId part) {
        const GbnfExpr & of = (*this)[part];
        if (of.kind == GbnfExpr::Kind::Chars) {
            ranges.insert(ranges.end(), of.chars.begin(), of.chars.end());
            if (chars_at == SIZE_MAX) {
                chars_at = expr.parts.size();
                expr.parts.push_back(part);
            }
        } else if (of.kind != GbnfExpr::Kind::Never &&
                   std::find(expr.parts.begin(), expr.parts.end(), part) == expr.parts.end()) {
            expr.parts.push_back(part);
        }
    };
    for (const ExprId part : parts) {
        const GbnfExpr & of = (*this)[part];
        if (of.kind == GbnfExpr::Kind::Alt && expr.parts.size() + of.parts.size() <= max_flat_parts) {
            const std::vector<ExprId> inner = of.parts;
            std::for_each(inner.begin(), inner.end(), take);
        } else {
            take(part);
        }
    }
    if (chars_at != SIZE_MAX) {
        expr.parts[chars_at] = chars(std::move(ranges));
    }
    for (const ExprId part : expr.parts) {
        expr.nullable |= (*this)[part].nullable;
    }
    if (expr.parts.empty()) {
        return never();
    }
    return expr.parts.size() == 1 ? expr.parts[0] : add(std::move(expr));
}

ExprId GbnfExprs::repeat(ExprId part, uint32_t min, uint32_t max) {
    const GbnfExpr & of = (*this)[part];
    if (max == 0 || of.kind == GbnfExpr::Kind::Empty || (of.kind == GbnfExpr::Kind::Never && min == 0)) {
        return empty();
    }
    if (of.kind == GbnfExpr::Kind::Never || (min == 1 && max == 1)) {
        return part;
    }
    if (of.kind == GbnfExpr::Kind::Repeat && of.min <= 1 && min <= 1 && max == GbnfExpr::unbounded) {
        return repeat(of.parts[0], std::min(min, of.min), max);  // (x?)*, (x+)*, (x*)+ and the like
    }
    GbnfExpr expr{.kind = GbnfExpr::Kind::Repeat};
    expr.parts = {part};
    expr.min = of.nullable ? 0 : min;
    expr.max = max;
    expr.nullable = min == 0 || of.nullable;
    return add(std::move(expr));
}

ExprId GbnfExprs::substitute(ExprId expr, const std::vector<ExprId> & resolved) {
    std::map<ExprId, ExprId> done;
    return substitute(expr, resolved, done);
}

ExprId GbnfExprs::substitute(ExprId id, const std::vector<ExprId> & resolved, std::map<ExprId, ExprId> & done) {
    const GbnfExpr expr = (*this)[id];
    if (expr.regular || expr.kind == GbnfExpr::Kind::Token) {
        return id;
    }
    if (expr.kind == GbnfExpr::Kind::Rule) {
        const ExprId to = resolved[static_cast<size_t>(expr.rule)];
        return to < 0 ? id : to;
    }
    if (const auto found = done.find(id); found != done.end()) {
        return found->second;
    }
    std::vector<ExprId> parts;
    for (const ExprId part : expr.parts) {
        parts.push_back(substitute(part, resolved, done));
    }
    const ExprId result = expr.kind == GbnfExpr::Kind::Cat   ? cat(parts)
                          : expr.kind == GbnfExpr::Kind::Alt ? alt(parts)
                                                             : repeat(parts[0], expr.min, expr.max);
    done.emplace(id, result);
    return result;
}

}  // namespace shimmy
