#include "grammar/gbnf_automaton.h"

#include <algorithm>
#include <set>

namespace shimmy {
namespace {

using Kind = GbnfExpr::Kind;

constexpr size_t max_classes = 1024;
constexpr size_t max_nfa_states = 800;
constexpr size_t max_states = 300;
constexpr size_t max_cells = 500'000;  // states times classes

struct Nfa {
    struct State {
        std::vector<int32_t> empty;  // without reading
        ExprId chars = -1;           // reads one of these
        int32_t to = -1;
    };

    std::vector<State> states;

    int32_t add() {
        states.emplace_back();
        return static_cast<int32_t>(states.size() - 1);
    }
    State & operator[](int32_t i) { return states[static_cast<size_t>(i)]; }

    // From `from` to a new state; -1 when there are too many.
    int32_t append(const GbnfExprs & exprs, ExprId id, int32_t from) {
        if (from < 0 || states.size() > max_nfa_states) {
            return -1;
        }
        const GbnfExpr & expr = exprs[id];
        switch (expr.kind) {
            case Kind::Empty:
                return from;
            case Kind::Chars: {
                const int32_t step = add();
                const int32_t to = add();
                (*this)[from].empty.push_back(step);
                (*this)[step].chars = id;
                (*this)[step].to = to;
                return to;
            }
            case Kind::Cat:
                for (const ExprId part : expr.parts) {
                    from = append(exprs, part, from);
                }
                return from;
            case Kind::Alt: {
                const int32_t to = add();
                for (const ExprId part : expr.parts) {
                    const int32_t end = append(exprs, part, from);
                    if (end < 0) {
                        return -1;
                    }
                    (*this)[end].empty.push_back(to);
                }
                return to;
            }
            case Kind::Repeat: {
                for (uint32_t i = 0; i < expr.min && from >= 0; ++i) {
                    from = append(exprs, expr.parts[0], from);
                }
                if (from < 0) {
                    return -1;
                }
                if (expr.max == GbnfExpr::unbounded) {
                    const int32_t loop = add();
                    (*this)[from].empty.push_back(loop);
                    const int32_t end = append(exprs, expr.parts[0], loop);
                    if (end < 0) {
                        return -1;
                    }
                    (*this)[end].empty.push_back(loop);
                    const int32_t to = add();
                    (*this)[loop].empty.push_back(to);
                    return to;
                }
                const int32_t to = add();
                for (uint32_t i = expr.min; i < expr.max && from >= 0; ++i) {
                    (*this)[from].empty.push_back(to);
                    from = append(exprs, expr.parts[0], from);
                }
                if (from >= 0) {
                    (*this)[from].empty.push_back(to);
                }
                return from < 0 ? -1 : to;
            }
            default:
                return -1;
        }
    }
};

using StateSet = std::vector<int32_t>;  // sorted

// Adds what is reached without reading. `seen` has a false for every state, also afterwards.
StateSet closed(const Nfa & nfa, const StateSet & states, std::vector<bool> & seen) {
    StateSet found;
    const auto add = [&](int32_t state) {
        if (!seen[static_cast<size_t>(state)]) {
            seen[static_cast<size_t>(state)] = true;
            found.push_back(state);
        }
    };
    std::for_each(states.begin(), states.end(), add);
    for (size_t i = 0; i < found.size(); ++i) {
        const auto & empty = nfa.states[static_cast<size_t>(found[i])].empty;
        std::for_each(empty.begin(), empty.end(), add);
    }
    for (const int32_t state : found) {
        seen[static_cast<size_t>(state)] = false;
    }
    std::sort(found.begin(), found.end());
    return found;
}

unsigned lead_byte(uint32_t code) {
    return code < 0x80      ? code
           : code < 0x800   ? 0xC0U | code >> 6
           : code < 0x10000 ? 0xE0U | code >> 12
                            : 0xF0U | code >> 18;
}

}  // namespace

GbnfAutomata::GbnfAutomata(const GbnfExprs & exprs) : exprs_(exprs) {
    std::set<uint32_t> starts{0};
    for (size_t id = 0; id < exprs.size(); ++id) {
        for (const auto & [first, last] : exprs[static_cast<ExprId>(id)].chars) {
            starts.insert(first);
            starts.insert(last + 1);
        }
    }
    starts_.assign(starts.begin(), starts.end());
    for (size_t i = 0; i < starts_.size(); ++i) {
        LeadBytes lead;
        const uint32_t last = std::min<uint32_t>(i + 1 < starts_.size() ? starts_[i + 1] - 1 : 0x10FFFF, 0x10FFFF);
        for (unsigned byte = lead_byte(std::min<uint32_t>(starts_[i], 0x10FFFF)); byte <= lead_byte(last); ++byte) {
            lead.set(byte);
        }
        lead_.push_back(lead);
    }
}

std::optional<GbnfAutomaton> GbnfAutomata::build(ExprId expr) const {
    if (starts_.size() > max_classes) {
        return std::nullopt;
    }
    Nfa nfa;
    const int32_t start = nfa.add();
    const int32_t end = nfa.append(exprs_, expr, start);
    if (end < 0) {
        return std::nullopt;
    }
    GbnfAutomaton automaton;
    std::map<StateSet, int32_t> ids;
    std::vector<StateSet> sets;
    std::vector<bool> seen(nfa.states.size(), false);
    const auto id_of = [&](const StateSet & states) {
        const auto [entry, is_new] = ids.emplace(closed(nfa, states, seen), static_cast<int32_t>(sets.size()));
        if (is_new) {
            sets.push_back(entry->first);
            automaton.accepting.push_back(std::binary_search(entry->first.begin(), entry->first.end(), end));
        }
        return entry->second;
    };
    id_of({start});
    for (size_t state = 0; state < sets.size(); ++state) {
        if (sets.size() > max_states || sets.size() * starts_.size() > max_cells) {
            return std::nullopt;
        }
        std::vector<StateSet> to(starts_.size());
        for (const int32_t from : sets[state]) {
            if (nfa[from].chars < 0) {
                continue;
            }
            for (const auto & [first, last] : exprs_[nfa[from].chars].chars) {
                auto at = std::lower_bound(starts_.begin(), starts_.end(), first);
                for (; at != starts_.end() && *at <= last; ++at) {
                    to[static_cast<size_t>(at - starts_.begin())].push_back(nfa[from].to);
                }
            }
        }
        std::vector<int32_t> row(starts_.size(), -1);
        std::map<StateSet, int32_t> same;
        for (size_t i = 0; i < to.size(); ++i) {
            if (to[i].empty()) {
                continue;
            }
            const auto [entry, is_new] = same.emplace(to[i], 0);
            if (is_new) {
                entry->second = id_of(to[i]);
            }
            row[i] = entry->second;
        }
        automaton.next.push_back(std::move(row));
    }
    for (size_t i = 0; i < starts_.size(); ++i) {
        if (automaton.next[0][i] >= 0) {
            automaton.first |= lead_[i];
        }
    }
    return automaton;
}

const GbnfAutomaton * GbnfAutomata::of(ExprId expr) {
    const auto [entry, is_new] = built_.emplace(expr, nullptr);
    if (is_new) {
        if (auto automaton = build(expr)) {
            entry->second = std::make_unique<GbnfAutomaton>(std::move(*automaton));
        }
    }
    return entry->second.get();
}

const LeadBytes & GbnfAutomata::continuation(ExprId lexeme, ExprId other) {
    const GbnfAutomaton * read = of(lexeme);
    const GbnfAutomaton * reading = of(other);
    if (read != nullptr && reading != nullptr && (read->first & reading->first).none()) {
        return nothing_;
    }
    const auto [entry, is_new] = continuations_.emplace(std::pair(lexeme, other), LeadBytes());
    if (is_new) {
        entry->second = read == nullptr || reading == nullptr ? LeadBytes().set() : read_on(*read, *reading);
    }
    return entry->second;
}

LeadBytes GbnfAutomata::read_on(const GbnfAutomaton & lexeme, const GbnfAutomaton & other) {
    LeadBytes bytes;
    std::set<std::pair<int32_t, int32_t>> seen{{0, 0}};
    std::vector<std::pair<int32_t, int32_t>> todo{{0, 0}};
    bool at_start = true;
    while (!todo.empty()) {
        const auto [a, b] = todo.back();
        todo.pop_back();
        const bool ends = !at_start && lexeme.accepting[static_cast<size_t>(a)];
        at_start = false;
        const auto & next_a = lexeme.next[static_cast<size_t>(a)];
        const auto & next_b = other.next[static_cast<size_t>(b)];
        if (budget_ < starts_.size()) {
            return LeadBytes().set();
        }
        budget_ -= starts_.size();
        for (size_t i = 0; i < starts_.size(); ++i) {
            if (next_b[i] < 0) {
                continue;
            }
            if (ends) {
                bytes |= lead_[i];
            }
            if (next_a[i] >= 0 && seen.emplace(next_a[i], next_b[i]).second) {
                todo.emplace_back(next_a[i], next_b[i]);
            }
        }
    }
    return bytes;
}

}  // namespace shimmy
