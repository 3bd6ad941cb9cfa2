#include "engine/slots.h"

#include <doctest/doctest.h>

#include <random>

#include "slots_fixture.h"

using namespace shimmy;

namespace {

using Options = SlotsFixture::Options;
using Outcome = Placing::Outcome;

const std::string question = "Who are you?";
const std::string answer = "I am Shimmy Mini, a tiny demo model.";

}  // namespace

TEST_CASE("a fork gives the same answer, and the long conversation stays") {
    for (const bool kv_unified : {true, false}) {
        SlotsFixture f({.n_ctx = kv_unified ? 2048U : 4096U, .kv_unified = kv_unified});
        const auto longer = f.chat(question, 400);
        CHECK(f.ask(longer) == answer);
        CHECK(f.usage.cache_miss == CacheMiss::Empty);
        CHECK(f.ask(f.chat("What color is the sky?", 60)) == "The sky is blue.");
        CHECK(f.usage.cached_tokens > 40);
        CHECK(f.usage.cache_miss == CacheMiss::Diverged);
        CHECK(f.usage.cache_diverged_at == f.usage.cached_tokens);
        CHECK(f.ask(longer) == answer);
        CHECK(f.usage.cached_tokens == static_cast<int64_t>(longer.size()) - 1);
        CHECK(f.usage.cache_miss == CacheMiss::None);
        CHECK(f.usage.cache_diverged_at == -1);
        CHECK(f.slots.stats().forks == 2);
    }
}

TEST_CASE("where a copy costs more than it saves, nothing is copied") {
    SlotsFixture f({.n_ctx = 8192, .kv_unified = false});
    if (f.context.kv_cache().on_device()) {
        return;  // whose memory copies faster than anything is computed
    }
    f.ask(f.chat(question, 1200));
    f.ask(f.chat("Is 735 odd?"));
    CHECK(f.usage.cached_tokens == 0);
    CHECK(f.usage.cache_miss == CacheMiss::Uncuttable);
}

TEST_CASE("one computes what all of them share") {
    for (const bool kv_unified : {true, false}) {
        SlotsFixture f({.n_ctx = 8192, .n_seq_max = 8, .kv_unified = kv_unified});
        const auto prompt = f.chat(question, 400);
        const size_t leader = f.place(prompt);
        auto waiting = f.sequence(f.chat("Is 735 odd?", 400));
        const size_t shared = 380;  // at least
        REQUIRE(f.compute(leader, 100) == DecodeStatus::Ok);
        for (int i = 0; i < 3; ++i) {
            CHECK(f.slots.place(waiting, ++f.step).outcome == Outcome::Wait);
        }
        auto stranger = f.sequence(prompt, "another tenant");
        CHECK(f.slots.place(stranger, ++f.step).outcome == Outcome::Placed);
        REQUIRE(f.compute(leader) == DecodeStatus::Ok);
        const size_t follower = f.place(std::move(waiting));
        CHECK(f.slots[follower].sequence->n_computed() > static_cast<int32_t>(shared));
        CHECK(f.answer(follower) == "Yes, 735 is odd.");
        CHECK(f.slots.stats().waits == 1);
    }
}

TEST_CASE("nobody waits for a leader that is gone") {
    SlotsFixture f({});
    for (const bool preempted : {true, false}) {
        const size_t leader = f.place(f.chat(question, 300));
        auto waiting = f.sequence(f.chat("Is 735 odd?", 300));
        CHECK(f.slots.place(waiting, ++f.step).outcome == Outcome::Wait);
        if (preempted) {
            f.slots.preempt(leader);
        } else {
            f.slots.release(leader, true);
        }
        CHECK(f.answer(f.place(std::move(waiting))) == "Yes, 735 is odd.");
        while (f.slots.evict_oldest() > 0) {
        }
    }
}

TEST_CASE("short common prefixes are not waited for") {
    SlotsFixture f({});
    f.place(Tokens(31, 5));
    auto waiting = f.sequence(Tokens(31, 5));
    CHECK(f.slots.place(waiting, ++f.step).outcome == Outcome::Placed);
}

TEST_CASE("no free slot: full, and the request is untouched") {
    SlotsFixture f({.n_seq_max = 1});
    f.place(f.chat(question));
    auto waiting = f.sequence(f.chat(question));
    CHECK(f.slots.place(waiting, ++f.step).outcome == Outcome::Full);
    REQUIRE(waiting);
}

TEST_CASE("switched off: nothing is reused, waited for or counted as kept") {
    SlotsFixture f({.cache_ram_mib = 64, .keep = false});
    const size_t first = f.place(f.chat(question));
    CHECK(f.answer(f.place(f.chat(question))) == answer);
    CHECK(f.usage.cached_tokens == 0);
    CHECK(f.usage.cache_miss == CacheMiss::Disabled);
    CHECK(f.answer(first) == answer);
    CHECK(f.slots.cells_used() == 0);
    CHECK(f.slots.evict_oldest() == 0);
}

TEST_CASE("tenants see nothing of each other, adapters are told apart") {
    SlotsFixture f({.n_seq_max = 8, .cache_ram_mib = 64});
    const auto prompt = f.chat(question, 200);
    f.ask(prompt, "a");
    f.ask(prompt, "b");
    CHECK(f.usage.cached_tokens == 0);
    CHECK(f.usage.cache_miss == CacheMiss::Empty);
    f.answer(f.place(f.sequence(prompt, "a", 7)));
    CHECK(f.usage.cache_miss == CacheMiss::Adapters);
    while (f.slots.evict_oldest() > 0) {
    }
    CHECK(f.slots.stats().host_entries == 3);
    f.ask(prompt, "c");
    CHECK(f.usage.cached_tokens == 0);
    CHECK(f.usage.cache_miss == CacheMiss::Empty);
}

TEST_CASE("what is evicted comes back from host memory, or is remembered") {
    for (const bool kv_unified : {true, false}) {
        for (const int32_t ram : {64, 0}) {
            SlotsFixture f({.n_ctx = kv_unified ? 2048U : 8192U, .kv_unified = kv_unified, .cache_ram_mib = ram});
            const auto prompt = f.chat(question, 300);
            f.ask(prompt);
            CHECK(f.slots.evict_oldest() > 300);
            CHECK(f.slots.cells_used() == 0);
            CHECK(f.ask(prompt) == answer);
            if (ram > 0) {
                CHECK(f.usage.cached_tokens == static_cast<int64_t>(prompt.size()) - 1);
                CHECK(f.slots.stats().host_restores == 1);
            } else {
                CHECK(f.usage.cached_tokens == 0);
                CHECK(f.usage.cache_miss == CacheMiss::Evicted);
            }
        }
    }
}

TEST_CASE("a preempted request resumes from host memory") {
    SlotsFixture f({.cache_ram_mib = 64});
    const size_t slot = f.place(f.chat(question, 300));
    REQUIRE(f.compute(slot, 256) == DecodeStatus::Ok);
    auto sequence = f.slots.preempt(slot);
    CHECK(sequence->n_computed() == 0);
    CHECK(f.slots.cells_used() == 0);
    const size_t again = f.place(std::move(sequence));
    CHECK(f.slots[again].sequence->n_computed() == 256);
    CHECK(f.answer(again) == answer);
}

TEST_CASE("only what is nowhere else is saved") {
    SlotsFixture f({.cache_ram_mib = 64});
    const auto prompt = f.chat(question, 300);
    f.ask(prompt);
    while (f.slots.evict_oldest() > 0) {
    }
    f.ask(prompt);
    while (f.slots.evict_oldest() > 0) {
    }
    CHECK(f.slots.stats().host_saves == 1);
    CHECK(f.slots.stats().host_entries == 1);
    f.ask(f.chat(question));  // too short to be worth it
    while (f.slots.evict_oldest() > 0) {
    }
    CHECK(f.slots.stats().host_entries == 1);
}

TEST_CASE("equal and covered prefixes take one slot") {
    SlotsFixture f({});
    const auto prompt = f.chat(question, 200);
    for (int i = 0; i < 6; ++i) {
        f.ask(prompt);
    }
    const auto used = f.slots.cells_used();
    f.ask(f.chat("Is 735 odd?", 200));
    f.ask(prompt);
    CHECK(f.slots.cells_used() < used + 60);
    CHECK(f.slots.stats().evictions == 0);
}

TEST_CASE("any order of events: the cells in use are llama.cpp's, and what should fit does") {
    std::mt19937 random(7);
    const auto below = [&](size_t n) { return random() % n; };
    SlotsFixture f({.n_ctx = 256, .n_seq_max = 5, .cache_ram_mib = 8});
    std::vector<size_t> running;
    std::vector<std::unique_ptr<Sequence>> preempted;
    const auto leave = [&](size_t k) {
        const size_t slot = running[k];
        running.erase(running.begin() + static_cast<std::ptrdiff_t>(k));
        return slot;
    };
    for (int i = 0; i < 240; ++i) {
        const size_t kind = below(8);
        if (kind < 3) {
            Tokens prompt(20 + below(90), static_cast<Token>(300 + below(2)));
            prompt[below(prompt.size())] = 400;
            auto next = preempted.empty() ? f.sequence(prompt, below(5) == 0 ? "b" : "a") : std::move(preempted.back());
            if (!preempted.empty()) {
                preempted.pop_back();
            }
            const auto placing = f.slots.place(next, ++f.step);
            if (placing.outcome == Outcome::Placed) {
                running.push_back(placing.slot);
            }
        } else if (kind < 6 && !running.empty()) {
            const size_t slot = running[below(running.size())];
            auto & sequence = *f.slots[slot].sequence;
            if (sequence.n_pending() > 0) {
                const auto n = static_cast<int32_t>(1 + below(60));
                const auto status = f.compute(slot, n);
                const bool fits = f.slots.cells_used() + static_cast<size_t>(std::min(n, sequence.n_pending())) <= 256;
                REQUIRE((status == DecodeStatus::Ok || !fits));
                if (status != DecodeStatus::Ok) {
                    f.slots.release(leave(below(running.size())), false);
                }
            }
            if (below(6) == 0) {
                f.slots.rewind(slot);
            }
        } else if (kind == 6 && !running.empty()) {
            f.slots.release(leave(below(running.size())), below(5) > 0);
        } else if (kind == 7 && !running.empty() && below(3) == 0) {
            preempted.push_back(f.slots.preempt(leave(below(running.size()))));
        }
        if (i % 3 == 0) {
            f.check_cells();
        }
    }
    CHECK(f.slots.stats().host_restores > 0);
    CHECK(f.slots.stats().forks > 0);
}
