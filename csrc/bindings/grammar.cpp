#include <pybind11/numpy.h>
#include <pybind11/stl.h>
#include <pybind11/typing.h>

#include <algorithm>

#include "bindings/bind.h"
#include "bindings/text.h"
#include "errors.h"
#include "grammar/gbnf_to_lark.h"
#include "grammar/grammar_compiler.h"
#include "grammar/grammar_matcher.h"
#include "grammar/schema_check.h"
#include "llama/tokenizer.h"

namespace shimmy::bindings {
namespace {

using Logits = py::array_t<float, py::array::c_style>;

std::shared_ptr<const GrammarVocab> vocab_of(const std::shared_ptr<Tokenizer> & tokenizer) {
    auto vocab = std::make_shared<GrammarVocab>();
    const int32_t n_vocab = tokenizer->n_vocab();
    vocab->bytes.reserve(static_cast<size_t>(n_vocab));
    for (int32_t token = 0; token < n_vocab; ++token) {
        vocab->bytes.push_back(tokenizer->piece(token, true));
        vocab->special.push_back(tokenizer->is_control(token));
    }
    vocab->eog = tokenizer->eog_tokens();
    vocab->tokenize = [tokenizer](const std::string & text, bool parse_special) {
        return tokenizer->encode(text, false, parse_special);
    };
    return vocab;
}

GrammarSpec::Kind kind_of(const std::string & name) {
    using Kind = GrammarSpec::Kind;
    for (const Kind kind : {Kind::JsonSchema, Kind::JsonObject, Kind::Regex, Kind::Choice, Kind::Lark, Kind::Gbnf}) {
        if (name == name_of(kind)) {
            return kind;
        }
    }
    throw InvalidRequestError("kind is " + name + ", known are json_schema, json_object, regex, choice, lark and gbnf",
                              "kind");
}

std::vector<LazyTrigger> triggers_of(const std::vector<std::pair<std::string, std::string>> & pairs) {
    std::vector<LazyTrigger> triggers;
    for (const auto & [kind, value] : pairs) {
        if (kind == "word") {
            triggers.push_back({LazyTrigger::Kind::Word, value});
        } else if (kind == "token") {
            triggers.push_back({LazyTrigger::Kind::Token, value});
        } else if (kind == "pattern") {
            triggers.push_back({LazyTrigger::Kind::Pattern, value});
        } else if (kind == "pattern_full") {
            triggers.push_back({LazyTrigger::Kind::Pattern, "^(?:" + value + ")$"});
        } else {
            throw InvalidRequestError(
                "a trigger is of kind " + kind + ", known are word, token, pattern and pattern_full", "triggers");
        }
    }
    return triggers;
}

std::shared_ptr<const Grammar> compile(GrammarCompiler & self, const std::string & kind, const py::object & text,
                                       const std::vector<std::string> & choices, bool any_whitespace, bool lazy,
                                       const std::vector<std::pair<std::string, std::string>> & triggers,
                                       const std::string & prefill, const std::vector<std::string> & preserved_tokens) {
    GrammarSpec spec;
    spec.kind = kind_of(kind);
    spec.text = utf8_of(text);
    spec.choices = choices;
    spec.any_whitespace = any_whitespace;
    spec.lazy = lazy;
    spec.triggers = triggers_of(triggers);
    spec.prefill = prefill;
    spec.preserved_tokens = preserved_tokens;
    const py::gil_scoped_release unlocked;
    return self.compile(spec);
}

void mask(GrammarMatcher & self, Logits & logits) {
    if (logits.ndim() != 1) {
        throw InvalidRequestError("logits has " + std::to_string(logits.ndim()) + " dimensions, it must be one row",
                                  "logits");
    }
    const std::span<float> row(logits.mutable_data(), static_cast<size_t>(logits.size()));
    const py::gil_scoped_release unlocked;
    self.mask(row);
}

}  // namespace

void bind_grammar(py::module_ & m) {
    const GrammarSpec defaults;

    py::class_<Grammar, std::shared_ptr<Grammar>>(m, "Grammar", "A compiled grammar. Immutable.");

    py::class_<GrammarCompiler, std::shared_ptr<GrammarCompiler>>(
        m, "GrammarCompiler",
        "Compiles what outputs have to look like, for one model. Thread-safe; make one per model.")
        .def(py::init([](const std::shared_ptr<Tokenizer> & tokenizer, const std::string & library) {
                 const py::gil_scoped_release unlocked;
                 return std::make_shared<GrammarCompiler>(vocab_of(tokenizer), library);
             }),
             py::arg("tokenizer").none(false), py::arg("library"),
             "`library` is the path of llguidance's shared library (`shimmy.grammar.llguidance_library()`).\n\n"
             "Raises ModelLoadError when it cannot be loaded or is of a version that is not known to work.")
        .def("compile", &compile, py::arg("kind"), py::arg("text") = defaults.text, py::kw_only(),
             py::arg("choices") = defaults.choices, py::arg("any_whitespace").noconvert() = defaults.any_whitespace,
             py::arg("lazy").noconvert() = defaults.lazy,
             py::arg("triggers") = std::vector<std::pair<std::string, std::string>>(),
             py::arg("prefill") = defaults.prefill, py::arg("preserved_tokens") = defaults.preserved_tokens,
             "A grammar from the text of a `json_schema`, `regex`, `lark` or `gbnf`, from the `choices` of a `choice`, "
             "or\nfor any `json_object`. `any_whitespace`: JSON with a blank or an indented line break where it allows "
             "them, else "
             "none. A `lazy`\none applies from the first of its `triggers` on, (\"word\" | \"token\" | \"pattern\" | "
             "\"pattern_full\", "
             "value) each. "
             "`prefill` is text that the\ngrammar begins with and the prompt holds already. `preserved_tokens` names "
             "special tokens that count as their\ntext.\n\n"
             "Blocks for 250 ms of CPU time at most. Raises InvalidRequestError naming the limit, keyword or line.")
        .def_property_readonly("version", &GrammarCompiler::version, "llguidance's version.")
        .def_property_readonly("n_cached", &GrammarCompiler::n_cached, "Grammars in the cache (64 MiB, LRU).");

    py::class_<GrammarMatcher>(m, "GrammarMatcher",
                               "Where one sequence stands in its grammar. For one thread at a time.")
        .def(py::init([](const std::shared_ptr<Grammar> & grammar) { return GrammarMatcher(grammar); }),
             py::arg("grammar").none(false))
        .def("allows", &GrammarMatcher::allows, py::arg("token"), ReleaseGil(), "Whether the token may come next.")
        .def("accept", &GrammarMatcher::accept, py::arg("token"), ReleaseGil(),
             "Take the next token. Raises InvalidRequestError for one that is not allowed, DecodeError when llguidance "
             "gives up\n(its limits on work per step); the matcher is of no use after that.")
        .def(
            "validate",
            [](GrammarMatcher & self, const std::vector<int32_t> & tokens) { return self.validate(tokens); },
            py::arg("tokens"), ReleaseGil(), "How many of the leading tokens may come next, one after the other.")
        .def("rollback", &GrammarMatcher::rollback, py::arg("n_tokens"), ReleaseGil(),
             "Take back the last accepted tokens. Raises InvalidRequestError for more than there are.")
        .def("mask", &mask, py::arg("logits").noconvert(),
             "Set the logits (float32, at least n_vocab, changed in place) of tokens that may not come next to -inf.")
        .def("forced", &GrammarMatcher::forced, ReleaseGil(),
             "Tokens that must come next, tokenized as the model would.")
        .def(
            "clone", [](const GrammarMatcher & self) { return GrammarMatcher(self); }, ReleaseGil(),
            "An independent copy.")
        .def_property_readonly("accepting", &GrammarMatcher::accepting, "Whether the output may end here.")
        .def_property_readonly("stopped", &GrammarMatcher::stopped,
                               "Whether nothing but an end-of-generation token may come.")
        .def_property_readonly("awaiting", &GrammarMatcher::awaiting,
                               "Whether the trigger of a lazy grammar has not come yet.")
        .def_property_readonly("n_tokens", &GrammarMatcher::n_tokens, "Tokens that were accepted.");

    m.def(
        "check_schema",
        [](const py::object & text) {
            const std::string bytes = utf8_of(text);
            const py::gil_scoped_release unlocked;
            check_schema(bytes);
        },
        py::arg("text"),
        "Check the text of a JSON schema against the limits (512 KiB, 64 levels, 4,096 properties, 16,384 enum values, "
        "4 KiB\nper pattern) and for keywords that are not supported. Raises InvalidRequestError.");
    m.def(
        "llguidance_schema",
        [](const py::object & text, bool any_whitespace) {
            const std::string bytes = utf8_of(text);
            const py::gil_scoped_release unlocked;
            check_schema(bytes);
            return schema_for_llg(bytes, any_whitespace);
        },
        py::arg("text"), py::arg("any_whitespace").noconvert(),
        "The text of a JSON schema as it stands after %json in a grammar. Raises InvalidRequestError as check_schema.");
    m.def(
        "gbnf_to_lark",
        [](const py::object & text) {
            const std::string bytes = utf8_of(text);
            const py::gil_scoped_release unlocked;
            return gbnf_to_lark(bytes, GrammarVocab{});
        },
        py::arg("text"),
        "What a GBNF grammar (without tokens) is compiled as: a grammar in llguidance's Lark dialect that accepts the "
        "same\ntexts. Raises InvalidRequestError naming the line.");
}

}  // namespace shimmy::bindings
