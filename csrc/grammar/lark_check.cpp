#include "grammar/lark_check.h"

#include <string>

#include "errors.h"

namespace shimmy {

void check_lark(std::string_view text) {
    size_t nesting = 0;
    size_t n_rules = 0;
    size_t line = 1;
    char quote = '\0';
    const auto refuse = [&](const std::string & what) {
        throw InvalidRequestError("lark " + what + " (line " + std::to_string(line) + ")", "lark");
    };
    for (size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '\n') {
            ++line;
            quote = '\0';
        } else if (quote != '\0') {
            // Brackets in a regex nest too, those in a string do not.
            if (c == '\\') {
                ++i;
            } else if (c == quote) {
                quote = '\0';
            }
        } else if (c == '"') {
            quote = c;
        } else if (c == '(' || c == '[' || c == '{') {
            if (++nesting > max_grammar_nesting) {
                refuse("nests brackets more than " + std::to_string(max_grammar_nesting) + " levels deep");
            }
        } else if (c == ')' || c == ']' || c == '}') {
            nesting -= nesting > 0;
        } else if (c == ':' && ++n_rules > max_grammar_rules) {
            refuse("has more than " + std::to_string(max_grammar_rules) + " rules");
        }
    }
}

}  // namespace shimmy
