#include "grammar/gbnf_resolve.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>

#include "errors.h"

namespace shimmy {
namespace {

using Kind = GbnfExpr::Kind;
using Graph = std::vector<std::vector<int32_t>>;

constexpr size_t max_equations = 64;
constexpr size_t max_solution_exprs = 20'000;

// Strongly connected components, what is reached before what reaches it (Tarjan, without recursion).
std::vector<std::vector<int32_t>> components(const Graph & graph) {
    struct Frame {
        int32_t node;
        size_t next;
    };
    const size_t n = graph.size();
    std::vector<int32_t> index(n, -1);
    std::vector<int32_t> low(n, 0);
    std::vector<bool> on_stack(n, false);
    std::vector<int32_t> stack;
    std::vector<std::vector<int32_t>> found;
    int32_t counter = 0;
    const auto at = [](int32_t i) { return static_cast<size_t>(i); };
    for (size_t start = 0; start < n; ++start) {
        if (index[start] >= 0) {
            continue;
        }
        std::vector<Frame> frames{{static_cast<int32_t>(start), 0}};
        while (!frames.empty()) {
            Frame & frame = frames.back();
            const int32_t node = frame.node;
            if (frame.next == 0 && index[at(node)] < 0) {
                index[at(node)] = low[at(node)] = counter++;
                stack.push_back(node);
                on_stack[at(node)] = true;
            }
            if (frame.next < graph[at(node)].size()) {
                const int32_t to = graph[at(node)][frame.next++];
                if (index[at(to)] < 0) {
                    frames.push_back({to, 0});
                } else if (on_stack[at(to)]) {
                    low[at(node)] = std::min(low[at(node)], index[at(to)]);
                }
                continue;
            }
            if (low[at(node)] == index[at(node)]) {
                std::vector<int32_t> component;
                do {
                    component.push_back(stack.back());
                    on_stack[at(stack.back())] = false;
                    stack.pop_back();
                } while (component.back() != node);
                found.push_back(std::move(component));
            }
            frames.pop_back();
            if (!frames.empty()) {
                low[at(frames.back().node)] = std::min(low[at(frames.back().node)], low[at(node)]);
            }
        }
    }
    return found;
}

bool is_cycle(const Graph & graph, const std::vector<int32_t> & component) {
    const auto & to = graph[static_cast<size_t>(component[0])];
    return component.size() > 1 || std::find(to.begin(), to.end(), component[0]) != to.end();
}

class Resolver {
  public:
    explicit Resolver(GbnfGrammar & grammar) : grammar_(grammar), exprs_(grammar.exprs) {}

    ResolvedGbnf run() {
        const size_t n = grammar_.rules.size();
        find_nullable();
        refuse_left_recursion();

        Graph uses(n);
        for (size_t i = 0; i < n; ++i) {
            rules_in(grammar_.rules[i].expr, uses[i], false);
        }
        std::vector<ExprId> resolved(n, -1);
        std::vector<ExprId> bodies(n, -1);
        for (const auto & component : components(uses)) {
            for (const int32_t rule : component) {
                bodies[index(rule)] = exprs_.substitute(grammar_.rules[index(rule)].expr, resolved);
            }
            if (!is_cycle(uses, component)) {
                resolved[index(component[0])] = bodies[index(component[0])];
                continue;
            }
            solve(component, bodies, resolved);
        }
        const ExprId root = resolved[index(grammar_.root)];
        return {root < 0 ? exprs_.rule(grammar_.root) : root, std::move(bodies)};
    }

  private:
    static size_t index(int32_t i) { return static_cast<size_t>(i); }

    bool nullable(ExprId id) const {
        const GbnfExpr & expr = exprs_[id];
        if (expr.regular) {
            return expr.nullable;
        }
        const auto is_nullable = [this](ExprId part) { return nullable(part); };
        switch (expr.kind) {
            case Kind::Rule:
                return nullable_[index(expr.rule)];
            case Kind::Cat:
                return std::all_of(expr.parts.begin(), expr.parts.end(), is_nullable);
            case Kind::Alt:
                return std::any_of(expr.parts.begin(), expr.parts.end(), is_nullable);
            case Kind::Repeat:
                return expr.min == 0 || nullable(expr.parts[0]);
            default:
                return false;
        }
    }

    void find_nullable() {
        const size_t n = grammar_.rules.size();
        nullable_.assign(n, false);
        Graph used_by(n);
        for (size_t i = 0; i < n; ++i) {
            std::vector<int32_t> used;
            rules_in(grammar_.rules[i].expr, used, false);
            for (const int32_t rule : used) {
                used_by[index(rule)].push_back(static_cast<int32_t>(i));
            }
        }
        std::vector<int32_t> todo;
        for (size_t i = 0; i < n; ++i) {
            todo.push_back(static_cast<int32_t>(i));
        }
        while (!todo.empty()) {
            const int32_t rule = todo.back();
            todo.pop_back();
            if (!nullable_[index(rule)] && nullable(grammar_.rules[index(rule)].expr)) {
                nullable_[index(rule)] = true;
                todo.insert(todo.end(), used_by[index(rule)].begin(), used_by[index(rule)].end());
            }
        }
    }

    // The rules in an expression; `leftmost`: only those that its text may begin with.
    void rules_in(ExprId id, std::vector<int32_t> & found, bool leftmost) const {
        const GbnfExpr & expr = exprs_[id];
        if (expr.regular) {
            return;
        }
        if (expr.kind == Kind::Rule) {
            if (std::find(found.begin(), found.end(), expr.rule) == found.end()) {
                found.push_back(expr.rule);
            }
            return;
        }
        for (const ExprId part : expr.parts) {
            rules_in(part, found, leftmost);
            if (leftmost && expr.kind == Kind::Cat && !nullable(part)) {
                return;
            }
        }
    }

    void refuse_left_recursion() const {
        Graph begins(grammar_.rules.size());
        for (size_t i = 0; i < begins.size(); ++i) {
            rules_in(grammar_.rules[i].expr, begins[i], true);
        }
        for (const auto & component : components(begins)) {
            if (is_cycle(begins, component)) {
                const GbnfRule & rule = grammar_.rules[index(component.back())];
                throw InvalidRequestError("gbnf line " + std::to_string(rule.line) + ": the rule " +
                                              rule.name.substr(0, 80) +
                                              " begins with itself (left recursion): write it as a repetition",
                                          "gbnf");
            }
        }
    }

    // A rule's body as a sum: a text without these rules, and for each of them what stands before it at the end.
    struct Equation {
        ExprId constant;
        std::map<int32_t, ExprId> before;
    };

    std::optional<Equation> equation_of(ExprId id, const std::vector<int32_t> & rules) {
        const GbnfExpr expr = exprs_[id];
        if (expr.regular) {
            return Equation{id, {}};
        }
        if (expr.kind == Kind::Rule) {
            if (std::find(rules.begin(), rules.end(), expr.rule) == rules.end()) {
                return std::nullopt;
            }
            return Equation{exprs_.never(), {{expr.rule, exprs_.empty()}}};
        }
        if (expr.kind == Kind::Cat) {
            const ExprId last = expr.parts.back();
            const ExprId prefix = exprs_.cat({expr.parts.begin(), expr.parts.end() - 1});
            auto rest = exprs_[prefix].regular ? equation_of(last, rules) : std::nullopt;
            if (rest) {
                rest->constant = exprs_.cat({prefix, rest->constant});
                for (auto & [rule, before] : rest->before) {
                    before = exprs_.cat({prefix, before});
                }
            }
            return rest;
        }
        if (expr.kind == Kind::Repeat && (expr.min > 0 || expr.max > 1)) {
            return std::nullopt;
        }
        if (expr.kind != Kind::Alt && expr.kind != Kind::Repeat) {
            return std::nullopt;
        }
        Equation sum{expr.kind == Kind::Repeat ? exprs_.empty() : exprs_.never(), {}};
        for (const ExprId part : expr.parts) {
            const auto equation = equation_of(part, rules);
            if (!equation) {
                return std::nullopt;
            }
            add(sum, *equation);
        }
        return sum;
    }

    void add(Equation & sum, const Equation & more) {
        sum.constant = exprs_.alt({sum.constant, more.constant});
        for (const auto & [rule, before] : more.before) {
            const auto found = sum.before.emplace(rule, exprs_.never()).first;
            found->second = exprs_.alt({found->second, before});
        }
    }

    // `to` with its part that ends in `rule` replaced by `by`, which does not contain that rule.
    void replace(Equation & to, int32_t rule, const Equation & by) {
        const auto found = to.before.find(rule);
        if (found == to.before.end()) {
            return;
        }
        const ExprId prefix = found->second;
        to.before.erase(found);
        Equation more{exprs_.cat({prefix, by.constant}), {}};
        for (const auto & [other, before] : by.before) {
            more.before.emplace(other, exprs_.cat({prefix, before}));
        }
        add(to, more);
    }

    // Of the rules that are left, the one whose replacement writes the fewest parts.
    static size_t cheapest(const std::vector<int32_t> & rules, const std::vector<Equation> & equations,
                           const std::vector<bool> & done) {
        size_t best = 0;
        size_t best_cost = SIZE_MAX;
        for (size_t i = 0; i < rules.size(); ++i) {
            const auto uses = static_cast<size_t>(std::count_if(equations.begin(), equations.end(),
                                                                [&](auto & e) { return e.before.contains(rules[i]); }));
            const size_t cost = uses * (equations[i].before.size() + 1);
            if (!done[i] && cost < best_cost) {
                best = i;
                best_cost = cost;
            }
        }
        return best;
    }

    void solve(const std::vector<int32_t> & rules, const std::vector<ExprId> & bodies, std::vector<ExprId> & resolved) {
        if (rules.size() > max_equations) {
            return;
        }
        std::vector<Equation> equations;
        for (const int32_t rule : rules) {
            auto equation = equation_of(bodies[index(rule)], rules);
            if (!equation) {
                return;
            }
            equations.push_back(std::move(*equation));
        }
        const size_t n_before = exprs_.size();
        std::vector<bool> done(rules.size(), false);
        for (size_t n_done = 0; n_done < rules.size(); ++n_done) {
            const size_t i = cheapest(rules, equations, done);
            done[i] = true;
            Equation & own = equations[i];
            if (const auto loop = own.before.find(rules[i]); loop != own.before.end()) {
                const ExprId repeated = exprs_.repeat(loop->second, 0, GbnfExpr::unbounded);
                own.before.erase(loop);
                own.constant = exprs_.cat({repeated, own.constant});
                for (auto & [rule, before] : own.before) {
                    before = exprs_.cat({repeated, before});
                }
            }
            for (size_t j = 0; j < rules.size(); ++j) {
                if (j != i) {
                    replace(equations[j], rules[i], own);
                }
            }
            if (exprs_.size() - n_before > max_solution_exprs) {
                return;
            }
        }
        for (size_t i = 0; i < rules.size(); ++i) {
            resolved[index(rules[i])] = equations[i].constant;
        }
    }

    GbnfGrammar & grammar_;
    GbnfExprs & exprs_;
    std::vector<bool> nullable_;
};

}  // namespace

ResolvedGbnf resolve(GbnfGrammar & grammar) {
    return Resolver(grammar).run();
}

}  // namespace shimmy
