#include "engine/outbox.h"

#include <doctest/doctest.h>

#include <thread>

using namespace shimmy;
using namespace std::chrono_literals;

namespace {

// A part of an answer that has `n_before` tokens already.
std::vector<Output> part(RequestId id, std::vector<Token> tokens, int64_t n_before = 5) {
    Output output;
    output.id = id;
    output.usage.completion_tokens = n_before + static_cast<int64_t>(tokens.size());
    output.text = std::string(tokens.size(), 'x');
    output.tokens = std::move(tokens);
    return {output};
}

}  // namespace

TEST_CASE("what waits of one request comes as one output, in order, with the latest usage") {
    Outbox outbox;
    outbox.put(part(1, {10, 11}, 5));
    outbox.put(part(2, {20}, 5));
    outbox.put(part(1, {12}, 7));
    auto end = part(1, {}, 8);
    end[0].finish_reason = FinishReason::Stop;
    end[0].text = "!";
    outbox.put(end);
    const auto outputs = outbox.take(0ms, 0us);
    REQUIRE(outputs.size() == 2);
    CHECK(outputs[0].tokens == std::vector<Token>{10, 11, 12});
    CHECK(outputs[0].text == "xxx!");
    CHECK(outputs[0].finish_reason == FinishReason::Stop);
    CHECK(outputs[0].usage.completion_tokens == 8);
    CHECK(outputs[1].tokens == std::vector<Token>{20});
    CHECK(outbox.take(0ms, 0us).empty());
}

TEST_CASE("within the interval parts wait, and beginnings, ends and a close do not") {
    Outbox outbox;
    outbox.put(part(1, {1}));
    CHECK(outbox.take(0ms, 1h).size() == 1);  // the first ever
    const auto start = std::chrono::steady_clock::now();
    SUBCASE("a beginning") {
        outbox.put(part(1, {2}));
        outbox.put(part(2, {1}, 0));
        CHECK(outbox.take(0ms, 1h).size() == 2);
    }
    SUBCASE("an end that comes while others wait") {
        outbox.put(part(1, {2}));
        std::thread later([&] {
            std::this_thread::sleep_for(20ms);
            outbox.put(part(1, {3}));
            auto end = part(1, {4});
            end[0].finish_reason = FinishReason::Length;
            outbox.put(end);
        });
        const auto outputs = outbox.take(0ms, 1h);
        later.join();
        REQUIRE(outputs.size() == 1);
        CHECK(outputs[0].tokens == std::vector<Token>{2, 3, 4});
    }
    SUBCASE("a close") {
        outbox.put(part(1, {2}));
        std::thread later([&] { outbox.close(); });
        CHECK(outbox.take(0ms, 1h).size() == 1);
        later.join();
    }
    CHECK(std::chrono::steady_clock::now() - start < 5min);
}
