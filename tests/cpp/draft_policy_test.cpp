#include "engine/draft_policy.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

using namespace shimmy;

namespace {

// T(n) / T(1) of a machine whose T(8) / T(1) is `ratio`.
struct Curve {
    double ratio;
    double operator()(int32_t n) const { return 1 + (ratio - 1) * (n - 1) / 7; }
};

StepClock probed(const Curve & curve) {
    StepClock clock;
    for (int i = 0; i < 3; ++i) {
        for (const int32_t n : StepClock::probe_sizes) {
            clock.observe(n, 0.01 * curve(n));
        }
    }
    return clock;
}

struct Result {
    double seconds = 0;
    int64_t n_tokens = 0;
    int64_t n_drafted = 0;

    double speedup() const { return 0.01 * static_cast<double>(n_tokens) / seconds; }
};

// A stream of at least `n_tokens`, every drafted token after an accepted one being accepted with chance `acceptance`.
class Stream {
  public:
    Stream(double ratio, uint32_t seed) : curve_{ratio}, clock_(probed(curve_)), random_(seed) {}

    Result run(DraftPolicy & policy, double acceptance, int64_t n_tokens, DraftOffer offer) {
        Result result;
        while (result.n_tokens < n_tokens) {
            const auto draft = policy.choose({&offer, 1}, {}, clock_, 1000);
            const int32_t accepted = accept(draft.n_tokens, acceptance);
            const double seconds = 0.01 * curve_(1 + draft.n_tokens);
            clock_.observe(1 + draft.n_tokens, seconds);
            policy.observe(draft, draft.n_tokens, accepted);
            result.seconds += seconds + draft.n_tokens * offer.seconds_per_token;
            result.n_tokens += 1 + accepted;
            result.n_drafted += draft.n_tokens;
        }
        return result;
    }

  private:
    int32_t accept(int32_t n, double acceptance) {
        int32_t accepted = 0;
        while (accepted < n && std::uniform_real_distribution<double>()(random_) < acceptance) {
            ++accepted;
        }
        return accepted;
    }

    Curve curve_;
    StepClock clock_;
    std::mt19937 random_;
};

double best_fixed(double ratio, double acceptance, int32_t most) {
    double best = 1;
    double expected = 0;
    for (int32_t n = 1; n <= most; ++n) {
        expected += std::pow(acceptance, n);
        best = std::max(best, (1 + expected) / Curve{ratio}(1 + n));
    }
    return best;
}

const DraftOffer own{DraftSource::Own, 8, 16, 0};

}  // namespace

TEST_CASE("near the best fixed length, whatever is accepted and whatever it costs") {
    for (const double ratio : {1.2, 2.5, 8.0}) {
        for (const double acceptance : {0.0, 0.3, 0.6, 0.9}) {
            CAPTURE(ratio);
            CAPTURE(acceptance);
            const double best = best_fixed(ratio, acceptance, 16);
            for (const auto source : {DraftSource::Own, DraftSource::History, DraftSource::Model}) {
                DraftPolicy policy;
                const auto result = Stream(ratio, 17).run(policy, acceptance, 8000, {source, 8, 16, 0});
                CHECK(result.speedup() >= 0.95 * best);
                CHECK(result.speedup() >= 0.97);
            }
        }
    }
}

TEST_CASE("text that does not repeat loses at most 3 %, short texts too") {
    for (const double ratio : {1.05, 1.2, 2.5, 4.0, 8.0, 12.0}) {
        for (const int32_t n_match : {3, 6, 10, 20}) {
            for (const int64_t n_tokens : {64, 200, 1000, 5000}) {
                DraftPolicy policy;
                Stream stream(ratio, 1);
                CAPTURE(ratio);
                CAPTURE(n_match);
                CAPTURE(n_tokens);
                const auto result = stream.run(policy, 0, n_tokens, {DraftSource::Own, n_match, 16, 0});
                CHECK(result.speedup() >= 0.97);
            }
        }
    }
}

TEST_CASE("where every token costs its full price nothing is drafted") {
    DraftPolicy policy;
    CHECK(Stream(8, 1).run(policy, 0.9, 500, own).n_drafted == 0);
    const auto clock = probed({2.5});
    CHECK(DraftPolicy().choose({&own, 1}, {}, clock, 16).n_tokens > 0);
    // The same machine with 300 prompt tokens in the step: there a token costs what each of them costs.
    CHECK(DraftPolicy().choose({&own, 1}, {300, 300}, clock, 16).n_tokens == 0);
}

TEST_CASE("a machine that was measured in a bad moment is measured again") {
    StepClock clock;
    for (const int32_t n : StepClock::probe_sizes) {
        clock.observe(n, 0.01 * n);  // as if nothing were saved
    }
    DraftPolicy policy;
    const Curve curve{1.4};
    int64_t n_drafted = 0;
    for (int i = 0; i < 6000; ++i) {
        const auto draft = policy.choose({&own, 1}, {}, clock, 16);
        clock.observe(1 + draft.n_tokens, 0.01 * curve(1 + draft.n_tokens));
        policy.observe(draft, draft.n_tokens, draft.n_tokens);
        n_drafted += draft.n_tokens;
    }
    CHECK(n_drafted > 3000);
}

TEST_CASE("when text begins to repeat, drafting begins again") {
    for (const double ratio : {1.2, 2.5}) {
        DraftPolicy policy;
        Stream stream(ratio, 3);
        stream.run(policy, 0, 2000, own);
        const auto repeating = stream.run(policy, 0.95, 600, own);
        CHECK(repeating.speedup() >= 0.7 * best_fixed(ratio, 0.95, 16));
    }
}

TEST_CASE("when it stops repeating, what is lost is bounded by what was allowed") {
    DraftPolicy policy;
    Stream stream(2.5, 3);
    stream.run(policy, 0.95, 2000, own);
    const auto result = stream.run(policy, 0, 1000, own);
    CHECK(result.seconds / 0.01 <= 1000 + DraftPolicy::most_balance + 1000 * DraftPolicy::income + 1);
}

TEST_CASE("a tenant's next request begins with what the last one learned") {
    const auto clock = probed({2.5});
    DraftPolicy policy;
    Stream(2.5, 3).run(policy, 0.95, 500, own);
    auto next = policy.successor();
    CHECK(next.balance() == policy.balance());
    CHECK(next.expected(own, 8) == doctest::Approx(policy.expected(own, 8)));
    CHECK(next.choose({&own, 1}, {}, clock, 16).n_tokens > DraftPolicy().choose({&own, 1}, {}, clock, 16).n_tokens);
    const Draft wrong{0, 4, own.source, own.n_match, 0, 0};
    for (int i = 0; i < 4; ++i) {
        next.observe(wrong, 4, 0);
    }
    CHECK(next.expected(own, 8) < 0.7 * policy.expected(own, 8));
}

TEST_CASE("many short requests on which nothing is accepted lose no more than one long one") {
    DraftPolicy policy;
    Stream stream(2.5, 5);
    double seconds = 0;
    for (int request = 0; request < 50; ++request) {
        seconds += stream.run(policy, 0, 20, own).seconds;
        policy = policy.successor();
    }
    CHECK(seconds / 0.01 <= 1000 + DraftPolicy::allowance + 1000 * DraftPolicy::income + 1);
}

TEST_CASE("lengths keep to the room, the offer and max_draft") {
    const auto clock = probed({1.01});
    DraftPolicy policy(5);
    CHECK(policy.choose({&own, 1}, {}, clock, 100).n_tokens == 5);
    CHECK(policy.choose({&own, 1}, {}, clock, 3).n_tokens == 3);
    CHECK(policy.choose({&own, 1}, {}, clock, 0).n_tokens == 0);
    CHECK(policy.choose({&own, 1}, {}, clock, -1).n_tokens == 0);
    const DraftOffer two{DraftSource::Own, 8, 2, 0};
    CHECK(policy.choose({&two, 1}, {}, clock, 100).n_tokens == 2);
    CHECK(policy.choose({}, {}, clock, 100).n_tokens == 0);
    CHECK(DraftPolicy(0).choose({&own, 1}, {}, clock, 100).n_tokens == 0);
}

TEST_CASE("before the machine is measured nothing is drafted") {
    CHECK(DraftPolicy().choose({&own, 1}, {}, StepClock{}, 16).n_tokens == 0);
}

TEST_CASE("the longer match is trusted more, and a free draft more than one that a model has to make") {
    const auto clock = probed({1.2});
    const std::vector<DraftOffer> matches{{DraftSource::Own, 3, 16, 0}, {DraftSource::History, 20, 16, 0}};
    CHECK(DraftPolicy().choose(matches, {}, clock, 16).offer == 1);
    const std::vector<DraftOffer> free{{DraftSource::Model, 0, 16, 0.004}, {DraftSource::Own, 10, 16, 0}};
    CHECK(DraftPolicy().choose(free, {}, clock, 16).source == DraftSource::Own);
}

TEST_CASE("the source that is accepted is the one that is taken") {
    const auto clock = probed({1.2});
    const std::vector<DraftOffer> offers{{DraftSource::Own, 8, 16, 0}, {DraftSource::Model, 0, 16, 0.001}};
    DraftPolicy policy;
    int32_t from_model = 0;
    for (int i = 0; i < 200; ++i) {
        const auto draft = policy.choose(offers, {}, clock, 16);
        const bool good = draft.source == DraftSource::Model;
        policy.observe(draft, draft.n_tokens, good ? draft.n_tokens : 0);
        from_model += good && draft.n_tokens > 0 ? 1 : 0;
    }
    CHECK(from_model > 100);
}

TEST_CASE("others in the step share the price: where tokens are nearly free, eight sequences draft as one does") {
    const auto clock = probed({1.2});
    const auto alone = DraftPolicy().choose({&own, 1}, {1, 1}, clock, 16);
    const auto shared = DraftPolicy().choose({&own, 1}, {8, 8}, clock, 16);
    CHECK(alone.n_tokens >= shared.n_tokens);
    CHECK(shared.n_tokens > 0);
    CHECK(shared.price > 0);
}

TEST_CASE("more than eight sequences do not draft, nor do those whose step would change its shape at a loss") {
    const auto clock = probed({1.2});
    CHECK(DraftPolicy().choose({&own, 1}, {9, 9, 9}, clock, 16).n_tokens == 0);
    auto changes = clock;
    for (int round = 0; round < 100; ++round) {
        for (int i = 0; i < 10; ++i) {
            changes.observe(1, clock.cost(1) * (i == 0 ? 2 : 1));
        }
        changes.observe(4, clock.cost(4) + clock.cost(1));
    }
    changes.observe(1, 2 * clock.cost(1));
    REQUIRE(clock.change() == 0);
    CHECK(changes.change() > 0.5 * clock.cost(1));
    CHECK(clock.cost(4) / clock.cost(1) == doctest::Approx(changes.cost(4) / changes.cost(1)).epsilon(0.2));
    CHECK(DraftPolicy().choose({&own, 1}, {1, 1}, clock, 16).n_tokens > 0);
    CHECK(DraftPolicy().choose({&own, 1}, {1, 1}, changes, 16).n_tokens == 0);  // beyond the first allowance
}

TEST_CASE("any use: the balance stays between 0 and its most, lengths in range") {
    std::mt19937 random(4);
    const auto below = [&](uint32_t n) { return static_cast<int32_t>(random() % n); };
    for (int round = 0; round < 100; ++round) {
        const auto clock = probed({1 + 0.1 * below(90)});
        DraftPolicy policy(below(20));
        for (int i = 0; i < 200; ++i) {
            std::vector<DraftOffer> offers;
            for (int32_t n = below(4); n > 0; --n) {
                offers.push_back({static_cast<DraftSource>(below(3)), below(40), below(20), 0.001 * below(5)});
            }
            const int32_t room = below(20);
            const int32_t n_tokens = 1 + below(20);
            const auto draft = policy.choose(offers, {n_tokens, 1.0 + below(20)}, clock, room);
            CHECK(draft.n_tokens >= 0);
            CHECK(draft.n_tokens <= room);
            if (draft.n_tokens > 0) {
                CHECK(draft.n_tokens <= offers[draft.offer].n_tokens);
                CHECK(draft.price <= policy.balance());
            }
            const int32_t n_drafted = below(static_cast<uint32_t>(draft.n_tokens) + 1);
            policy.observe(draft, n_drafted, below(static_cast<uint32_t>(n_drafted) + 1));
            CHECK(policy.balance() >= -1e-9);
            CHECK(policy.balance() <= DraftPolicy::most_balance);
        }
    }
}
