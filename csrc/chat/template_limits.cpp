#include "chat/template_limits.h"

#include <algorithm>
#include <array>
#include <vector>

#include "errors.h"

namespace shimmy {

namespace {

using jinja::token;

std::string line_of(const std::string & source, size_t position) {
    const auto end = source.begin() + std::ptrdiff_t(std::min(position, source.size()));
    return "line " + std::to_string(1 + std::count(source.begin(), end, '\n'));
}

// Walks the tokens once and keeps the depth of everything that nests.
class NestingScan {
  public:
    explicit NestingScan(const jinja::lexer_result & lexed) : lexed_(lexed) {}

    void run() {
        for (size_t i = 0; i < lexed_.tokens.size(); ++i) {
            const token & at = lexed_.tokens[i];
            switch (at.t) {
                case token::open_statement:
                    statement(i + 1);
                    [[fallthrough]];
                case token::open_expression:
                    tag_tokens_ = 0;
                    brackets_ = 0;
                    break;
                case token::open_paren:
                case token::open_square_bracket:
                case token::open_curly_bracket:
                    ++brackets_;
                    check(brackets_ + branches_.size(), max_template_depth, "brackets and blocks are nested", "levels",
                          at);
                    break;
                case token::close_paren:
                case token::close_square_bracket:
                case token::close_curly_bracket:
                    brackets_ -= brackets_ > 0;
                    break;
                default:
                    break;
            }
            check(++tag_tokens_, max_tag_tokens, "one tag holds", "tokens", at);
        }
    }

  private:
    void statement(size_t i) {
        if (i >= lexed_.tokens.size() || lexed_.tokens[i].t != token::identifier) {
            return;
        }
        const token & name = lexed_.tokens[i];
        static constexpr std::array blocks = {"if", "for", "macro", "call", "filter", "set"};
        if (std::find(blocks.begin(), blocks.end(), name.value) != blocks.end() &&
            (name.value != "set" || is_block_set(i))) {
            branches_.push_back(0);
            check(branches_.size(), max_template_depth, "brackets and blocks are nested", "levels", name);
        } else if (name.value == "elif" && !branches_.empty()) {
            ++branches_.back();
            check(++open_branches_, max_if_branches, "the open ifs have", "branches", name);
        } else if (name.value.starts_with("end") && name.value != "endgeneration" && !branches_.empty()) {
            open_branches_ -= branches_.back();
            branches_.pop_back();
        }
    }

    // {% set x %}...{% endset %} opens a block, {% set x = 1 %} does not.
    bool is_block_set(size_t i) const {
        int depth = 0;
        for (; i < lexed_.tokens.size() && lexed_.tokens[i].t != token::close_statement; ++i) {
            depth += lexed_.tokens[i].t == token::open_paren;
            depth -= lexed_.tokens[i].t == token::close_paren;
            if (depth == 0 && lexed_.tokens[i].t == token::equals) {
                return false;
            }
        }
        return true;
    }

    void check(size_t value, size_t limit, const char * what, const char * unit, const token & at) const {
        if (value > limit) {
            throw TemplateError(std::string("the chat template is refused: ") + what + " more than " +
                                std::to_string(limit) + " " + unit + " (" + line_of(lexed_.source, at.pos) + ")");
        }
    }

    const jinja::lexer_result & lexed_;
    std::vector<size_t> branches_;  // open blocks, innermost last: elif branches seen in each
    size_t open_branches_ = 0;      // their sum
    size_t brackets_ = 0;
    size_t tag_tokens_ = 0;
};

}  // namespace

jinja::lexer_result tokenize_template(const std::string & source) {
    if (source.size() > max_template_bytes) {
        throw TemplateError("the chat template has " + std::to_string(source.size()) + " bytes; at most " +
                            std::to_string(max_template_bytes) + " are allowed");
    }
    jinja::lexer_result lexed;
    try {
        lexed = jinja::lexer().tokenize(source);
    } catch (const std::exception & error) {
        throw TemplateError(std::string("the chat template does not parse: ") + error.what());
    }
    NestingScan(lexed).run();
    return lexed;
}

}  // namespace shimmy
