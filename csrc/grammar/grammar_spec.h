#pragma once

#include <string>
#include <vector>

namespace shimmy {

// Where in the output a lazy grammar starts to apply.
struct LazyTrigger {
    enum class Kind { Word, Token, Pattern };

    Kind kind = Kind::Word;
    // The text that the grammar's own text begins with, the name of a special token, or an ECMAScript pattern that is
    // searched for whenever a token has come: the grammar's text begins with its first group, or with all it matches.
    std::string value;
};

// What the output of one request has to look like.
struct GrammarSpec {
    enum class Kind { JsonSchema, JsonObject, Regex, Choice, Lark, Gbnf };

    Kind kind = Kind::JsonObject;
    std::string text;                  // the schema, pattern or grammar
    std::vector<std::string> choices;  // Choice: the whole output is one of these
    bool any_whitespace = true;        // JSON: a blank or an indented line break where JSON has them; else none
    bool lazy = false;                 // everything is allowed before the first trigger
    std::vector<LazyTrigger> triggers;
    std::string prefill;                        // text that the grammar begins with and the prompt holds already
    std::vector<std::string> preserved_tokens;  // special tokens that count as the text of their names
};

const char * name_of(GrammarSpec::Kind kind);  // "json_schema", ...: also the field that errors name

// Equal for equal specs only.
std::string key_of(const GrammarSpec & spec);

}  // namespace shimmy
