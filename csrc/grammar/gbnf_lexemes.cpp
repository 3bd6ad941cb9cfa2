#include "grammar/gbnf_lexemes.h"

#include <algorithm>
#include <map>
#include <optional>

#include "errors.h"

namespace shimmy {
namespace {

using Kind = GbnfExpr::Kind;
using Node = LexedNode;

constexpr size_t max_rounds = 10;     // of cutting what is in the way; then all are cut
constexpr size_t max_compared = 400;  // lexemes: more are cut into characters
constexpr size_t max_nodes = 100'000;

class LexemeChoice {
  public:
    LexemeChoice(GbnfExprs & exprs, const ResolvedGbnf & resolved) : exprs_(exprs), resolved_(resolved) {}

    LexedGrammar run() {
        if (exprs_[resolved_.root].regular) {
            return {build(resolved_.root), {}};
        }
        std::optional<GbnfAutomata> automata;
        for (size_t round = 0;; ++round) {
            build_all();
            if (!automata) {
                automata.emplace(exprs_);
            }
            if (!cut(*automata, round)) {
                return std::move(grammar_);
            }
        }
    }

  private:
    // --- from expressions to nodes ---

    void build_all() {
        n_nodes_ = 0;
        grammar_ = {};
        grammar_.root = build(resolved_.root);
        std::set<int32_t> known;
        std::vector<int32_t> todo;
        const auto collect = [&](const Node & node) { rules_of(node, known, todo); };
        collect(grammar_.root);
        while (!todo.empty()) {
            const int32_t rule = todo.back();
            todo.pop_back();
            grammar_.rules.emplace_back(rule, build(resolved_.bodies[static_cast<size_t>(rule)]));
            collect(grammar_.rules.back().second);
        }
    }

    static void rules_of(const Node & node, std::set<int32_t> & known, std::vector<int32_t> & todo) {
        if (node.kind == Node::Kind::Rule && known.insert(node.rule).second) {
            todo.push_back(node.rule);
        }
        for (const Node & part : node.parts) {
            rules_of(part, known, todo);
        }
    }

    Node made(Node::Kind kind, std::vector<Node> parts, uint32_t min = 0, uint32_t max = 0) {
        if (++n_nodes_ > max_nodes) {
            throw InvalidRequestError("gbnf is too large when its rules are put together", "gbnf");
        }
        return Node{kind, -1, -1, min, max, std::move(parts)};
    }

    Node optional_of(Node node) {
        std::vector<Node> parts;
        parts.push_back(std::move(node));
        return made(Node::Kind::Repeat, std::move(parts), 0, 1);
    }

    Node build(ExprId id) {
        const GbnfExpr expr = exprs_[id];
        if (expr.regular) {
            return build_regular(id);
        }
        switch (expr.kind) {
            case Kind::Token: {
                Node node = made(Node::Kind::Token, {});
                node.expr = id;
                return node;
            }
            case Kind::Rule: {
                Node node = made(Node::Kind::Rule, {});
                node.rule = expr.rule;
                return node;
            }
            case Kind::Cat:
                return build_cat(expr.parts);
            case Kind::Alt:
                return build_alt(expr.parts);
            default: {
                std::vector<Node> parts;
                parts.push_back(build(expr.parts[0]));
                return made(Node::Kind::Repeat, std::move(parts), expr.min, expr.max);
            }
        }
    }

    Node build_regular(ExprId id) {
        const GbnfExpr expr = exprs_[id];
        if (expr.kind == Kind::Never || expr.kind == Kind::Empty || !cut_.contains(id)) {
            if (expr.kind == Kind::Empty) {
                return made(Node::Kind::Cat, {});
            }
            Node node = made(Node::Kind::Lexeme, {});
            node.expr = id;
            return expr.nullable ? optional_of(std::move(node)) : node;
        }
        std::vector<Node> parts;
        if (expr.kind == Kind::Cat) {
            return build_pieces(expr.parts);
        }
        for (const ExprId part : expr.parts) {
            parts.push_back(build(part));
        }
        return expr.kind == Kind::Alt ? made(Node::Kind::Alt, std::move(parts))
                                      : made(Node::Kind::Repeat, std::move(parts), expr.min, expr.max);
    }

    // A sequence that was cut: its literals and what stands between them, or the characters of one literal.
    Node build_pieces(const std::vector<ExprId> & given) {
        const auto is_char = [this](ExprId id) { return exprs_[id].kind == Kind::Chars; };
        const bool is_literal = std::all_of(given.begin(), given.end(), is_char);
        std::vector<Node> parts;
        for (auto at = given.begin(); at != given.end();) {
            const auto end = is_literal ? at + 1 : std::find_if_not(at, given.end(), is_char);
            if (end == at) {
                parts.push_back(build(*at++));
                continue;
            }
            parts.push_back(build(exprs_.cat({at, end})));
            at = end;
        }
        return made(Node::Kind::Cat, std::move(parts));
    }

    // Neighbours that are regular are one lexeme, also the first turn of a repetition with what is before it.
    Node build_cat(const std::vector<ExprId> & given) {
        std::vector<ExprId> flat;
        for (const ExprId part : given) {
            const GbnfExpr expr = exprs_[part];
            const bool unroll = expr.kind == Kind::Repeat && !expr.regular && expr.min > 0 && !flat.empty() &&
                                exprs_[flat.back()].regular;
            if (!unroll) {
                flat.push_back(part);
                continue;
            }
            const GbnfExpr & turn = exprs_[expr.parts[0]];
            if (turn.kind == Kind::Cat) {
                flat.insert(flat.end(), turn.parts.begin(), turn.parts.end());
            } else {
                flat.push_back(expr.parts[0]);
            }
            flat.push_back(
                exprs_.repeat(expr.parts[0], expr.min - 1, expr.max == GbnfExpr::unbounded ? expr.max : expr.max - 1));
        }
        std::vector<Node> parts;
        for (size_t i = 0; i < flat.size();) {
            size_t end = i;
            while (end < flat.size() && exprs_[flat[end]].regular) {
                ++end;
            }
            if (end == i) {
                parts.push_back(build(flat[i++]));
                continue;
            }
            const auto from = flat.begin() + static_cast<std::ptrdiff_t>(i);
            parts.push_back(build(exprs_.cat({from, flat.begin() + static_cast<std::ptrdiff_t>(end)})));
            i = end;
        }
        return made(Node::Kind::Cat, std::move(parts));
    }

    Node build_alt(const std::vector<ExprId> & alternatives) {
        std::vector<ExprId> regular;
        std::vector<Node> parts;
        for (const ExprId alternative : alternatives) {
            if (exprs_[alternative].regular) {
                regular.push_back(alternative);
            } else {
                parts.push_back(build(alternative));
            }
        }
        if (!regular.empty()) {
            parts.insert(parts.begin(), build(exprs_.alt(regular)));
        }
        return made(Node::Kind::Alt, std::move(parts));
    }

    // --- which lexemes have to be cut ---

    struct Reach {
        LeadBytes first;
        bool nullable = false;
    };

    Reach reach(const Node & node, GbnfAutomata & automata) {
        switch (node.kind) {
            case Node::Kind::Lexeme: {
                const GbnfAutomaton * automaton = automata.of(node.expr);
                return {automaton == nullptr ? LeadBytes().set() : automaton->first, false};
            }
            case Node::Kind::Token:
                return {LeadBytes().set(256), false};
            case Node::Kind::Rule:
                return by_rule_[node.rule];
            case Node::Kind::Alt: {
                Reach all;
                for (const Node & part : node.parts) {
                    const Reach one = reach(part, automata);
                    all.first |= one.first;
                    all.nullable |= one.nullable;
                }
                return all;
            }
            case Node::Kind::Cat: {
                Reach all{{}, true};
                for (auto part = node.parts.begin(); part != node.parts.end() && all.nullable; ++part) {
                    const Reach one = reach(*part, automata);
                    all.first |= one.first;
                    all.nullable = one.nullable;
                }
                return all;
            }
            default: {
                Reach one = reach(node.parts[0], automata);
                one.nullable |= node.min == 0;
                return one;
            }
        }
    }

    // Adds what may follow `node` to the lexemes and rules in it; says whether a rule got more.
    bool spread(const Node & node, const LeadBytes & follow, GbnfAutomata & automata) {
        switch (node.kind) {
            case Node::Kind::Lexeme:
                follow_[node.expr] |= follow;
                return false;
            case Node::Kind::Token:
                return false;
            case Node::Kind::Rule: {
                LeadBytes & known = after_rule_[node.rule];
                const LeadBytes all = known | follow;
                const bool more = all != known;
                known = all;
                return more;
            }
            case Node::Kind::Cat: {
                bool more = false;
                LeadBytes behind = follow;
                for (auto part = node.parts.rbegin(); part != node.parts.rend(); ++part) {
                    more |= spread(*part, behind, automata);
                    const Reach one = reach(*part, automata);
                    behind = one.nullable ? behind | one.first : one.first;
                }
                return more;
            }
            case Node::Kind::Alt: {
                bool more = false;
                for (const Node & part : node.parts) {
                    more |= spread(part, follow, automata);
                }
                return more;
            }
            default: {
                const LeadBytes again = node.max > 1 ? reach(node.parts[0], automata).first : LeadBytes();
                return spread(node.parts[0], follow | again, automata);
            }
        }
    }

    void find_follow(GbnfAutomata & automata) {
        by_rule_.clear();
        after_rule_.clear();
        follow_.clear();
        for (bool more = true; more;) {
            more = false;
            for (const auto & [rule, node] : grammar_.rules) {
                const Reach now = reach(node, automata);
                Reach & known = by_rule_[rule];
                more |= now.first != known.first || now.nullable != known.nullable;
                known = now;
            }
        }
        for (bool more = true; more;) {
            more = spread(grammar_.root, {}, automata);
            for (const auto & [rule, node] : grammar_.rules) {
                more |= spread(node, after_rule_[rule], automata);
            }
        }
    }

    bool cut(GbnfAutomata & automata, size_t round) {
        find_follow(automata);
        const size_t n_before = cut_.size();
        const bool cut_all = round >= max_rounds || follow_.size() > max_compared;
        for (const auto & [lexeme, follow] : follow_) {
            if (exprs_[lexeme].kind != Kind::Chars && (cut_all || automata.of(lexeme) == nullptr)) {
                cut_.insert(lexeme);
            }
        }
        if (cut_.size() > n_before) {
            return true;
        }
        for (const auto & [lexeme, follow] : follow_) {
            for (const auto & [other, unused] : follow_) {
                if (exprs_[other].kind == Kind::Chars || cut_.contains(other)) {
                    continue;
                }
                if ((automata.continuation(lexeme, other) & follow).any()) {
                    cut_.insert(other);
                }
            }
        }
        return cut_.size() > n_before;
    }

    GbnfExprs & exprs_;
    const ResolvedGbnf & resolved_;
    std::set<ExprId> cut_;
    LexedGrammar grammar_;
    size_t n_nodes_ = 0;
    std::map<int32_t, Reach> by_rule_;
    std::map<int32_t, LeadBytes> after_rule_;
    std::map<ExprId, LeadBytes> follow_;
};

}  // namespace

LexedGrammar choose_lexemes(GbnfExprs & exprs, const ResolvedGbnf & resolved) {
    return LexemeChoice(exprs, resolved).run();
}

}  // namespace shimmy
