#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "errors.h"
#include "grammar/compile_job.h"
#include "grammar/gbnf_to_lark.h"
#include "grammar/grammar.h"
#include "grammar/grammar_cache.h"
#include "grammar/lark_check.h"
#include "grammar/schema_check.h"

using namespace shimmy;

namespace {

std::string error_of(const std::function<void()> & call) {
    try {
        call();
    } catch (const InvalidRequestError & error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string & text, const std::string & part) {
    return text.find(part) != std::string::npos;
}

std::string repeated(const std::string & text, size_t n) {
    std::string all;
    for (size_t i = 0; i < n; ++i) {
        all += text;
    }
    return all;
}

}  // namespace

TEST_CASE("schemas: nesting is found without recursion, and limits are named") {
    const auto check = [](const std::string & text) { return error_of([&] { check_schema(text); }); };
    CHECK(check(R"({"type": "object", "properties": {"a": {"enum": [1, {"not": 2}]}}})") == "");
    CHECK(contains(check(repeated(R"({"items":)", 50'000)), "more than 64 levels"));
    CHECK(contains(check(repeated("[", 500'000)), "must be an object"));
    CHECK(contains(check(std::string(600'000, ' ')), "at most 524288"));
    CHECK(contains(check(R"({"properties": {"a": {"items": {"not": {}}}}})"), "at #/properties/a/items/not"));
    CHECK(contains(check(R"({"properties": {"n\u006ft": {}}, "n\u006ft": 1})"), "keyword not"));
    CHECK(contains(check(R"({"pattern": ")" + std::string(5000, 'a') + "\"}"), "more than 4096 bytes"));
    CHECK(contains(check("{\n\"a\" 1}"), "line 2"));
    CHECK(contains(check(R"({"minProperties": 2})"), "minProperties"));
    CHECK(check(R"({"minProperties": 2, "required": ["a", "b"]})") == "");
    CHECK(contains(check(R"({"enum": [)" + repeated("1,", 20'000) + "1]}"), "16384 enum values"));
}

TEST_CASE("schemas: options of the compiler are put in") {
    CHECK(schema_for_llg("{}", false) ==
          R"({"x-guidance":{"lenient":false,"coerce_one_of":false,"whitespace_flexible":false}})");
    CHECK(contains(schema_for_llg(R"( { "type": "null"})", true), R"x({0,20})"}, "type")x"));
}

TEST_CASE("lark: brackets of strings and comments do not nest") {
    CHECK(error_of([] { check_lark("start: \"" + std::string(1000, '(') + "\""); }) == "");
    CHECK(contains(error_of([] { check_lark("start:\n" + std::string(1000, '(')); }), "line 2"));
}

TEST_CASE("GBNF: a regular grammar is one lexeme, also when its rules are right-recursive") {
    const GrammarVocab vocab;
    const auto lark = [&](const std::string & gbnf) { return gbnf_to_lark(gbnf, vocab); };
    CHECK(lark("root ::= [a-z]* \"end\"").starts_with("start: T"));
    CHECK_FALSE(contains(lark("root ::= u \"x\"\nu ::= | \"a\" u | \"b\" v\nv ::= \"c\" u"), "\nr"));
    CHECK(contains(lark("root ::= \"(\" root \")\" | \"x\""), "r0: "));
}

TEST_CASE("GBNF: errors name the line") {
    const GrammarVocab vocab;
    const auto error = [&](const std::string & gbnf) { return error_of([&] { gbnf_to_lark(gbnf, vocab); }); };
    CHECK(contains(error("root ::= a\n\na ::= b"), "line 3: the rule b is not defined"));
    CHECK(contains(error("root ::= a\na ::= a \"x\" | \"y\""), "line 2: the rule a begins with itself"));
    CHECK(contains(error("root ::= " + repeated("(", 100'000)), "256 levels of parentheses"));
    CHECK(contains(error("root ::= \"\xff\""), "no UTF-8"));
    CHECK(contains(error("root ::= " + repeated("\"a\" | ", 10) + "]"), "line 1"));
}

TEST_CASE("the cache drops what was used longest ago") {
    GrammarCache cache(1000);
    cache.insert("a", std::shared_ptr<const Grammar>(), 400);
    cache.insert("b", std::shared_ptr<const Grammar>(), 400);
    CHECK(cache.size() == 2);
    cache.find("a");
    cache.insert("c", std::shared_ptr<const Grammar>(), 400);
    CHECK(cache.size() == 2);
    CHECK(cache.n_bytes() == 804);
    cache.insert("d", std::shared_ptr<const Grammar>(), 2000);
    CHECK(cache.size() == 2);
}

TEST_CASE("work is waited for until its deadline") {
    bool ran = false;
    const CompileDeadline late{std::chrono::minutes(1), std::chrono::minutes(5)};
    CHECK(run_with_deadline(late, [&] { ran = true; }));
    CHECK(ran);
    CHECK_THROWS_AS(run_with_deadline(late, [] { throw Error("x"); }), Error);

    const auto stop = std::make_shared<std::atomic<bool>>(false);
    const CompileDeadline soon{std::chrono::milliseconds(20), std::chrono::milliseconds(100)};
    CHECK_FALSE(run_with_deadline(soon, [stop] {
        while (!*stop) {
            std::this_thread::yield();
        }
    }));
    CHECK(n_overdue_jobs() == 1);
    *stop = true;
    while (n_overdue_jobs() > 0) {
        std::this_thread::yield();
    }
}
