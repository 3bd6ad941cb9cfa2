#include "grammar/grammar_spec.h"

namespace shimmy {
namespace {

void append(std::string & key, const std::string & text) {
    key += std::to_string(text.size());
    key += ':';
    key += text;
}

}  // namespace

const char * name_of(GrammarSpec::Kind kind) {
    switch (kind) {
        case GrammarSpec::Kind::JsonSchema:
            return "json_schema";
        case GrammarSpec::Kind::JsonObject:
            return "json_object";
        case GrammarSpec::Kind::Regex:
            return "regex";
        case GrammarSpec::Kind::Choice:
            return "choice";
        case GrammarSpec::Kind::Lark:
            return "lark";
        case GrammarSpec::Kind::Gbnf:
            break;
    }
    return "gbnf";
}

std::string key_of(const GrammarSpec & spec) {
    std::string key = name_of(spec.kind);
    key += spec.any_whitespace ? " any" : " compact";
    key += spec.lazy ? " lazy" : " eager";
    append(key, spec.text);
    append(key, spec.prefill);
    for (const auto & choice : spec.choices) {
        append(key += 'c', choice);
    }
    for (const auto & trigger : spec.triggers) {
        append(key += "wtp"[static_cast<int>(trigger.kind)], trigger.value);
    }
    for (const auto & token : spec.preserved_tokens) {
        append(key += 'p', token);
    }
    return key;
}

}  // namespace shimmy
