#include "grammar/gbnf_parser.h"

#include <algorithm>
#include <unordered_map>

#include "errors.h"
#include "grammar/lark_check.h"

namespace shimmy {
namespace {

constexpr uint64_t max_min_times = 2000;
constexpr uint64_t max_max_times = 1'000'000;

bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

class GbnfParser {
  public:
    GbnfParser(std::string_view text, const GrammarVocab & vocab) : text_(text), vocab_(vocab) {}

    GbnfGrammar run() {
        skip_space(true);
        while (at_ < text_.size()) {
            read_rule();
        }
        for (const GbnfRule & rule : grammar_.rules) {
            if (rule.expr < 0) {
                throw InvalidRequestError("gbnf line " + std::to_string(rule.line) + ": the rule " +
                                              rule.name.substr(0, 80) + " is not defined",
                                          "gbnf");
            }
        }
        const auto root = ids_.find("root");
        if (root == ids_.end()) {
            throw InvalidRequestError("gbnf has no rule named root", "gbnf");
        }
        grammar_.root = root->second;
        return std::move(grammar_);
    }

  private:
    [[noreturn]] void fail(const std::string & what) const {
        throw InvalidRequestError("gbnf line " + std::to_string(line()) + ": " + what, "gbnf");
    }

    size_t line() const {
        const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(at_, text_.size()));
        return 1 + static_cast<size_t>(std::count(text_.begin(), end, '\n'));
    }

    char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

    void skip_space(bool newline_ok) {
        for (;;) {
            const char c = peek();
            if (c == '#') {
                while (at_ < text_.size() && text_[at_] != '\n' && text_[at_] != '\r') {
                    ++at_;
                }
            } else if (at_ < text_.size() && (c == ' ' || c == '\t' || (newline_ok && (c == '\n' || c == '\r')))) {
                ++at_;
            } else {
                return;
            }
        }
    }

    std::string read_name() {
        const size_t start = at_;
        while (is_word(peek())) {
            ++at_;
        }
        if (at_ == start) {
            fail("a rule's name is missing");
        }
        return std::string(text_.substr(start, at_ - start));
    }

    int32_t rule_of(const std::string & name) {
        const auto [entry, is_new] = ids_.emplace(name, static_cast<int32_t>(grammar_.rules.size()));
        if (is_new) {
            if (grammar_.rules.size() >= max_grammar_rules) {
                fail("more than " + std::to_string(max_grammar_rules) + " rules");
            }
            grammar_.rules.push_back({name, -1, line()});
        }
        return entry->second;
    }

    void read_rule() {
        const int32_t rule = rule_of(read_name());
        skip_space(false);
        if (text_.substr(at_, 3) != "::=") {
            fail("::= is missing");
        }
        at_ += 3;
        skip_space(true);
        const size_t defined_at = line();
        const ExprId expr = read_alternatives(0);
        GbnfRule & defined = grammar_.rules[static_cast<size_t>(rule)];
        if (defined.expr >= 0) {
            fail("the rule " + defined.name.substr(0, 80) + " is defined twice");
        }
        defined.expr = expr;
        defined.line = defined_at;
        if (at_ < text_.size() && peek() != '\n' && peek() != '\r') {
            fail("the end of the line is missing");
        }
        skip_space(true);
    }

    ExprId read_alternatives(size_t nesting) {
        std::vector<ExprId> alternatives{read_sequence(nesting)};
        while (peek() == '|') {
            ++at_;
            skip_space(true);
            alternatives.push_back(read_sequence(nesting));
        }
        return exprs().alt(alternatives);
    }

    ExprId read_sequence(size_t nesting) {
        std::vector<ExprId> parts;
        for (;;) {
            const char c = peek();
            if (c == '"') {
                parts.push_back(read_literal());
            } else if (c == '[') {
                parts.push_back(read_class());
            } else if (c == '.') {
                ++at_;
                parts.push_back(exprs().chars(complement({})));
            } else if (c == '<' || c == '!') {
                parts.push_back(read_token());
            } else if (is_word(c)) {
                parts.push_back(exprs().rule(rule_of(read_name())));
            } else if (c == '(') {
                if (nesting >= max_grammar_nesting) {
                    fail("more than " + std::to_string(max_grammar_nesting) + " levels of parentheses");
                }
                ++at_;
                skip_space(true);
                parts.push_back(read_alternatives(nesting + 1));
                if (peek() != ')') {
                    fail("a closing parenthesis is missing");
                }
                ++at_;
            } else if (c == '*' || c == '+' || c == '?' || c == '{') {
                if (parts.empty()) {
                    fail(std::string("nothing before ") + c + " to repeat");
                }
                const auto [min, max] = read_times();
                parts.back() = exprs().repeat(parts.back(), min, max);
            } else {
                return exprs().cat(parts);
            }
            skip_space(nesting > 0);
        }
    }

    uint64_t read_int() {
        const size_t start = at_;
        uint64_t value = 0;
        for (; peek() >= '0' && peek() <= '9'; ++at_) {
            value = std::min<uint64_t>(value * 10 + static_cast<uint64_t>(peek() - '0'), UINT32_MAX);
        }
        if (at_ == start) {
            fail("a number is missing");
        }
        return value;
    }

    std::pair<uint32_t, uint32_t> read_times() {
        const char c = peek();
        ++at_;
        if (c != '{') {
            return {c == '+' ? 1 : 0, c == '?' ? 1 : GbnfExpr::unbounded};
        }
        skip_space(true);
        const uint64_t min = read_int();
        uint64_t max = min;
        skip_space(true);
        if (peek() == ',') {
            ++at_;
            skip_space(true);
            max = peek() == '}' ? GbnfExpr::unbounded : read_int();
            skip_space(true);
        }
        if (peek() != '}') {
            fail("} is missing after the numbers of repetitions");
        }
        ++at_;
        if (min > max_min_times || (max != GbnfExpr::unbounded && max > max_max_times)) {
            fail("a part is repeated more than " + std::to_string(min > max_min_times ? max_min_times : max_max_times) +
                 " times");
        }
        if (min > max) {
            fail("the smallest number of repetitions is over the largest");
        }
        return {static_cast<uint32_t>(min), static_cast<uint32_t>(max)};
    }

    uint32_t read_hex(size_t n_digits) {
        uint32_t value = 0;
        for (size_t i = 0; i < n_digits; ++i, ++at_) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) {
                fail("the escape needs " + std::to_string(n_digits) + " hexadecimal digits");
            }
            value = value * 16 + static_cast<uint32_t>(digit);
        }
        if (value > 0x10FFFF) {
            fail("the escape is no character of Unicode");
        }
        return value;
    }

    uint32_t read_char() {
        if (at_ >= text_.size()) {
            fail("the text ends within a literal or class");
        }
        if (peek() != '\\') {
            const uint32_t code = next_code_point(text_, at_);
            if (code == UINT32_MAX) {
                fail("the text is no UTF-8");
            }
            return code;
        }
        const char escape = peek(1);
        at_ += 2;
        switch (escape) {
            case 'x':
                return read_hex(2);
            case 'u':
                return read_hex(4);
            case 'U':
                return read_hex(8);
            case 't':
                return '\t';
            case 'r':
                return '\r';
            case 'n':
                return '\n';
            case '\\':
            case '"':
            case '[':
            case ']':
            case '-':
                return static_cast<uint32_t>(escape);
            default:
                fail("an unknown escape");
        }
    }

    // Surrogates can be escaped, but no text holds them.
    ExprId char_of(uint32_t first, uint32_t last) {
        std::vector<CodeRange> ranges;
        if (first < 0xD800) {
            ranges.push_back({first, std::min<uint32_t>(last, 0xD7FF)});
        }
        if (last > 0xDFFF) {
            ranges.push_back({std::max<uint32_t>(first, 0xE000), last});
        }
        return exprs().chars(std::move(ranges));
    }

    ExprId read_literal() {
        std::vector<ExprId> parts;
        ++at_;
        while (peek() != '"') {
            const uint32_t code = read_char();
            parts.push_back(char_of(code, code));
        }
        ++at_;
        return exprs().cat(parts);
    }

    ExprId read_class() {
        ++at_;
        const bool negated = peek() == '^';
        at_ += negated;
        std::vector<CodeRange> ranges;
        while (peek() != ']') {
            const uint32_t first = read_char();
            uint32_t last = first;
            if (peek() == '-' && peek(1) != ']') {
                ++at_;
                last = read_char();
            }
            if (first <= last) {
                ranges.push_back({first, last});
            }
        }
        ++at_;
        if (negated) {
            return exprs().chars(complement(std::move(ranges)));
        }
        return exprs().chars(complement(complement(std::move(ranges))));  // less the surrogates
    }

    ExprId read_token() {
        const bool negated = peek() == '!';
        at_ += negated;
        if (peek() != '<') {
            fail("< is missing after !");
        }
        size_t token = vocab_.bytes.size();
        if (peek(1) == '[') {
            at_ += 2;
            token = read_int();
            if (text_.substr(at_, 2) != "]>") {
                fail("]> is missing after the token's number");
            }
            at_ += 2;
        } else {
            const size_t end = text_.find('>', at_);
            if (end == std::string_view::npos) {
                fail("> is missing after the token's name");
            }
            const auto name = text_.substr(at_, end + 1 - at_);
            token =
                static_cast<size_t>(std::find(vocab_.bytes.begin(), vocab_.bytes.end(), name) - vocab_.bytes.begin());
            at_ = end + 1;
        }
        if (token >= vocab_.bytes.size()) {
            fail("the model has no such token");
        }
        return exprs().token(std::string(negated ? "<[^" : "<[") + std::to_string(token) + "]>");
    }

    GbnfExprs & exprs() { return grammar_.exprs; }

    std::string_view text_;
    const GrammarVocab & vocab_;
    size_t at_ = 0;
    GbnfGrammar grammar_;
    std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace

GbnfGrammar parse_gbnf(std::string_view text, const GrammarVocab & vocab) {
    return GbnfParser(text, vocab).run();
}

}  // namespace shimmy
