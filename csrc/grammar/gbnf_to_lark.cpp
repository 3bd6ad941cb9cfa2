#include "grammar/gbnf_to_lark.h"

#include <map>

#include "errors.h"
#include "grammar/gbnf_lexemes.h"

namespace shimmy {
namespace {

using Kind = GbnfExpr::Kind;
using Node = LexedNode;

constexpr uint32_t max_inline_depth = 6;
constexpr size_t max_inline_bytes = 400;

std::string numbered(char kind, int64_t number) {
    return std::string(1, kind).append(std::to_string(number));
}

class LarkWriter {
  public:
    explicit LarkWriter(const GbnfExprs & exprs) : exprs_(exprs) {}

    std::string write(const LexedGrammar & grammar) {
        std::string rules = "start: " + body_of(grammar.root) + "\n";
        for (const auto & [rule, node] : grammar.rules) {
            rules += numbered('r', rule) + ": " + body_of(node) + "\n";
        }
        return rules + groups_ + lexemes_;
    }

  private:
    static std::string times(uint32_t min, uint32_t max) {
        if (max == GbnfExpr::unbounded) {
            return min == 0 ? "*" : min == 1 ? "+" : "{" + std::to_string(min) + ",}";
        }
        return min == 0 && max == 1 ? "?" : "{" + std::to_string(min) + "," + std::to_string(max) + "}";
    }

    // The expression in the syntax of Rust's regex crate.
    std::string regex(ExprId id) const {
        const GbnfExpr & expr = exprs_[id];
        std::string text;
        switch (expr.kind) {
            case Kind::Never:
                return "[a&&b]";
            case Kind::Empty:
                return "(?:)";
            case Kind::Chars:
                return regex_of_class(expr.chars);
            case Kind::Cat:
                for (const ExprId part : expr.parts) {
                    text += regex(part);
                }
                return text;
            case Kind::Alt:
                for (const ExprId part : expr.parts) {
                    text += (text.empty() ? "(?:" : "|") + regex(part);
                }
                return text + ")";
            default:
                return "(?:" + regex(expr.parts[0]) + ")" + times(expr.min, expr.max);
        }
    }

    // The expression as part of a terminal: a regex, or the name of a terminal of its own.
    std::string terminal(ExprId id) {
        const GbnfExpr & expr = exprs_[id];
        if (expr.kind == Kind::Empty) {
            return "\"\"";
        }
        if (expr.depth <= max_inline_depth && expr.parts.size() <= 64) {
            const std::string text = regex(id);
            if (text.size() <= max_inline_bytes) {
                return "/" + text + "/";
            }
        }
        if (expr.kind == Kind::Chars) {
            return "/" + regex(id) + "/";
        }
        const auto [name, is_new] = names_.emplace(id, numbered('N', id));
        if (is_new) {
            const std::string written = name->second;
            std::string body;
            std::string run;  // neighbours of a sequence that are one regex
            const auto flush = [&] {
                body += run.empty() ? "" : " /" + run + "/";
                run.clear();
            };
            for (const ExprId part : expr.parts) {
                if (expr.kind == Kind::Cat && exprs_[part].kind == Kind::Chars) {
                    run += regex(part);
                    continue;
                }
                flush();
                body += (expr.kind == Kind::Alt && !body.empty() ? " | " : " ") + terminal(part);
            }
            flush();
            if (expr.kind == Kind::Repeat) {
                body = " (" + body + ")" + times(expr.min, expr.max);
            }
            lexemes_ += written + ":" + body + "\n";
            return written;
        }
        return name->second;
    }

    std::string lexeme(ExprId id) {
        const auto [name, is_new] = lexeme_names_.emplace(id, numbered('T', id));
        if (is_new) {
            const std::string body = terminal(id);
            lexemes_ += name->second + ": " + (exprs_[id].nullable ? "/(?s:.+)/ & (" + body + ")" : body) + "\n";
        }
        return name->second;
    }

    // The node as an operand: what has several parts becomes a rule of its own, as the parser bounds its nesting.
    std::string text_of(const Node & node) {
        const std::string body = body_of(node);
        const bool is_group = (node.kind == Node::Kind::Cat || node.kind == Node::Kind::Alt) && node.parts.size() > 1;
        if (!is_group) {
            return body;
        }
        const auto [name, is_new] =
            group_names_.emplace(body, numbered('g', static_cast<int64_t>(group_names_.size())));
        if (is_new) {
            groups_ += name->second + ": " + body + "\n";
        }
        return name->second;
    }

    std::string body_of(const Node & node) {
        switch (node.kind) {
            case Node::Kind::Lexeme:
                return lexeme(node.expr);
            case Node::Kind::Token:
                return exprs_[node.expr].token;
            case Node::Kind::Rule:
                return numbered('r', node.rule);
            case Node::Kind::Repeat: {
                const bool is_name = node.parts[0].kind != Node::Kind::Repeat;
                const std::string text = text_of(node.parts[0]);
                return (is_name ? text : "(" + text + ")") + times(node.min, node.max);
            }
            default:
                break;
        }
        std::string text;
        for (const Node & part : node.parts) {
            text += text.empty() ? "" : node.kind == Node::Kind::Alt ? " | " : " ";
            text += text_of(part);
        }
        return text.empty() ? "\"\"" : text;
    }

    const GbnfExprs & exprs_;
    std::map<ExprId, std::string> names_;
    std::map<ExprId, std::string> lexeme_names_;
    std::map<std::string, std::string> group_names_;  // by what they stand for
    std::string groups_;
    std::string lexemes_;
};

}  // namespace

std::string gbnf_to_lark(std::string_view gbnf, const GrammarVocab & vocab) {
    GbnfGrammar grammar = parse_gbnf(gbnf, vocab);
    const ResolvedGbnf resolved = resolve(grammar);
    if (resolved.root == grammar.exprs.never()) {
        throw InvalidRequestError("gbnf matches no text at all", "gbnf");
    }
    const LexedGrammar lexed = choose_lexemes(grammar.exprs, resolved);
    return LarkWriter(grammar.exprs).write(lexed);
}

}  // namespace shimmy
