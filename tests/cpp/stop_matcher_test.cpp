#include "engine/stop_matcher.h"

#include <doctest/doctest.h>

#include <random>

using namespace shimmy;

TEST_CASE("without stop strings text passes through") {
    StopMatcher matcher({});
    CHECK(matcher.push("abc").text == "abc");
    CHECK(matcher.flush().empty());
}

TEST_CASE("what may become a stop string is held back, and given when it does not") {
    StopMatcher matcher({"END"});
    CHECK(matcher.push("the E").text == "the ");
    CHECK(matcher.push("N").text.empty());
    CHECK(matcher.push("d").text == "ENd");
}

TEST_CASE("a stop string across pieces is found and not shown") {
    StopMatcher matcher({"END"});
    matcher.push("a E");
    const auto match = matcher.push("ND and more");
    CHECK(match.text.empty());
    CHECK(match.stop == "END");
    CHECK(matcher.flush().empty());
}

TEST_CASE("the one that ends first wins, then the longest") {
    CHECK(StopMatcher({"bc", "abcd"}).push("xabcd").stop == "bc");
    CHECK(StopMatcher({"c", "abc"}).push("xabc").stop == "abc");
}

TEST_CASE("held back text is flushed at the end") {
    StopMatcher matcher({"\n\nUser:"});
    CHECK(matcher.push("bye\n\nUs").text == "bye");
    CHECK(matcher.flush() == "\n\nUs");
}

TEST_CASE("any cut of a text: the same text and stop string as at once") {
    std::mt19937 random(3);
    const auto below = [&](uint32_t n) { return random() % n; };
    for (int round = 0; round < 5000; ++round) {
        const auto draw = [&](uint32_t most) {
            std::string text;
            for (auto n = 1 + below(most); n > 0; --n) {
                text += static_cast<char>('a' + below(2));
            }
            return text;
        };
        const std::string text = draw(12);
        const std::vector<std::string> stops{draw(4), draw(4)};
        const auto at_once = StopMatcher(stops).push(text);
        StopMatcher matcher(stops);
        std::string shown;
        std::optional<std::string> found;
        for (size_t at = 0; at < text.size() && !found;) {
            const size_t n = 1 + below(3);
            const auto match = matcher.push(std::string_view(text).substr(at, n));
            shown += match.text;
            found = match.stop;
            at += n;
        }
        shown += found ? "" : matcher.flush();
        CHECK(found == at_once.stop);
        if (found) {
            CHECK(shown == at_once.text);
        } else {
            CHECK(shown == text);
        }
    }
}
