#include "engine/banned_strings.h"

#include <doctest/doctest.h>

#include <optional>
#include <random>

#include "errors.h"

using namespace shimmy;
using Status = BannedStrings::Status;
using Verdict = BannedStrings::Verdict;

namespace {

bool is_prefix(std::string_view text, const std::string & whole) {
    return text.size() < whole.size() && whole.starts_with(text);
}

// The same by searching the whole text at every token.
class Naive {
  public:
    explicit Naive(std::vector<std::string> strings) : strings_(std::move(strings)) {}

    Verdict push(const std::string & text) {
        n_released_ = starts_.size() - n_held();
        const size_t before = text_.size();
        starts_.push_back(before);
        text_ += text;
        std::optional<size_t> hit;
        for (const auto & banned : strings_) {
            for (size_t at = 0; at + banned.size() <= text_.size(); ++at) {
                if (at + banned.size() > before && text_.compare(at, banned.size(), banned) == 0) {
                    hit = std::max(hit.value_or(0), at);
                }
            }
        }
        if (hit) {
            return {Status::Hit, tokens_from(*hit) - 1};
        }
        const size_t held = n_held();
        return {held > 0 ? Status::Hold : Status::Clear, held};
    }

    size_t rewind(size_t n) {
        text_.resize(starts_[starts_.size() - n]);
        starts_.resize(starts_.size() - n);
        return n_held();
    }

    const std::string & text() const { return text_; }

  private:
    size_t tokens_from(size_t start) const {
        size_t token = 0;
        while (token + 1 < starts_.size() && starts_[token + 1] <= start) {
            ++token;
        }
        return starts_.size() - std::max(token, n_released_);
    }

    size_t n_held() const {
        for (size_t at = 0; at < text_.size(); ++at) {
            for (const auto & banned : strings_) {
                if (is_prefix(std::string_view(text_).substr(at), banned)) {
                    return tokens_from(at);
                }
            }
        }
        return 0;
    }

    std::vector<std::string> strings_;
    std::string text_;
    std::vector<size_t> starts_;
    size_t n_released_ = 0;
};

}  // namespace

TEST_CASE("nothing banned: nothing held") {
    BannedStrings none({});
    CHECK(none.push("anything") == Verdict{Status::Clear, 0});
    CHECK(none.rewind(0) == 0);
}

TEST_CASE("tokens are held while a banned string may be starting in them") {
    BannedStrings banned({"as an AI"});
    CHECK(banned.push("Well, ") == Verdict{Status::Clear, 0});
    CHECK(banned.push("so as") == Verdict{Status::Hold, 1});
    CHECK(banned.push(" an") == Verdict{Status::Hold, 2});
    CHECK(banned.push("") == Verdict{Status::Hold, 3});
    CHECK(banned.push(" AI model") == Verdict{Status::Hit, 3});
    CHECK(banned.rewind(4) == 0);
    CHECK(banned.push("so as an a") == Verdict{Status::Hold, 1});
    CHECK(banned.push("pple!") == Verdict{Status::Clear, 0});
}

TEST_CASE("of several the one that starts last is hit, and what is left may still be held") {
    BannedStrings banned({"abcd", "cd", "bx"});
    CHECK(banned.push("a") == Verdict{Status::Hold, 1});
    CHECK(banned.push("b") == Verdict{Status::Hold, 2});
    CHECK(banned.push("c") == Verdict{Status::Hold, 3});
    CHECK(banned.push("d") == Verdict{Status::Hit, 1});
    CHECK(banned.rewind(2) == 2);
    CHECK(banned.push("x") == Verdict{Status::Hit, 1});
    CHECK(banned.rewind(2) == 1);
}

TEST_CASE("one that starts in a released token is reported from the first that is not") {
    BannedStrings banned({"aab", "ac"});
    CHECK(banned.push("a") == Verdict{Status::Hold, 1});
    CHECK(banned.push("a") == Verdict{Status::Hold, 2});
    CHECK(banned.push("a") == Verdict{Status::Hold, 2});
    CHECK(banned.push("c") == Verdict{Status::Hit, 1});
    CHECK(banned.rewind(2) == 1);  // "aa" again, but its first "a" is out
    CHECK(banned.push("b") == Verdict{Status::Hit, 1});
}

TEST_CASE("letters of the other case count only when told so") {
    CHECK(BannedStrings({"Sorry"}).push("sorry").status == Status::Clear);
    CHECK(BannedStrings({"Sorry"}, true).push("I'm SORRY") == Verdict{Status::Hit, 0});
}

TEST_CASE("limits") {
    CHECK_THROWS_WITH_AS(BannedStrings({std::vector<std::string>(65, "a")}),
                         "banned_strings has 65 strings, at most 64 are allowed", InvalidRequestError);
    CHECK_THROWS_WITH_AS(BannedStrings({""}), "a string of banned_strings has 0 bytes, it must have 1 to 256",
                         InvalidRequestError);
    CHECK_THROWS_AS(BannedStrings({std::string(257, 'a')}), InvalidRequestError);
    CHECK(BannedStrings({std::string(256, 'a')}).push(std::string(300, 'a')) == Verdict{Status::Hit, 0});
    BannedStrings banned({"ab"});
    banned.push("x");
    banned.push("a");
    CHECK_THROWS_AS(banned.rewind(3), std::logic_error);
}

TEST_CASE("any text, any tokens, with taking back: as a search of the whole text, and nothing banned is left") {
    std::mt19937 random(11);
    const auto below = [&](uint32_t n) { return random() % n; };
    const auto draw = [&](uint32_t least, uint32_t most) {
        std::string text;
        for (auto n = least + below(most - least + 1); n > 0; --n) {
            text += static_cast<char>('a' + below(3));
        }
        return text;
    };
    for (int round = 0; round < 2000; ++round) {
        std::vector<std::string> strings;
        for (auto n = 1 + below(4); n > 0; --n) {
            strings.push_back(draw(1, 6));
        }
        BannedStrings banned(strings);
        Naive naive(strings);
        size_t held = 0;
        for (int step = 0; step < 40; ++step) {
            const std::string text = draw(0, 4);
            const auto verdict = banned.push(text);
            REQUIRE(verdict == naive.push(text));
            REQUIRE(verdict.n_tokens <= held + 1);
            held = verdict.n_tokens;
            if (verdict.status == Status::Hit) {
                held = banned.rewind(verdict.n_tokens + 1);
                REQUIRE(held == naive.rewind(verdict.n_tokens + 1));
            } else if (held > 0 && below(8) == 0) {
                const size_t n = 1 + below(static_cast<uint32_t>(held));
                held = banned.rewind(n);
                REQUIRE(held == naive.rewind(n));
            }
        }
        for (const auto & string : strings) {
            REQUIRE(naive.text().find(string) == std::string::npos);
        }
    }
}
