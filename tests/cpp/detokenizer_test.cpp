#include "llama/detokenizer.h"

#include <doctest/doctest.h>

using namespace shimmy;

TEST_CASE("complete_utf8 stops before an unfinished character") {
    CHECK(complete_utf8("abc") == 3);
    CHECK(complete_utf8("a\xC3") == 1);
    CHECK(complete_utf8("a\xE2\x82") == 1);
    CHECK(complete_utf8("a\xF0\x9F\x98") == 1);
    CHECK(complete_utf8("a\xF0\x9F\x98\x80") == 5);
}

TEST_CASE("invalid bytes do not hold anything back") {
    CHECK(complete_utf8("\xFF") == 1);
    CHECK(complete_utf8("\xC0\x80") == 2);
    CHECK(complete_utf8("\xE2\x28") == 2);
    CHECK(complete_utf8("\xED\xA0\x80") == 3);  // a surrogate
}

TEST_CASE("valid_utf8 replaces maximal invalid parts") {
    const std::string r = "\xEF\xBF\xBD";
    CHECK(valid_utf8("gr\xC3\xBC\xC3\x9F") == "gr\xC3\xBC\xC3\x9F");
    CHECK(valid_utf8("a\xFFz") == "a" + r + "z");
    CHECK(valid_utf8("\xE2\x82") == r);
    CHECK(valid_utf8("\xE2\x28\xA1") == r + "(" + r);
    CHECK(valid_utf8("\xF4\x90\x80\x80") == r + r + r + r);
}
