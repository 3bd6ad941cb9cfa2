#include <doctest/doctest.h>

#include "engine/prefix_state.h"
#include "engine/slots.h"
#include "slots_fixture.h"

using namespace shimmy;

namespace {

const CacheSpace space{"", 0};
const std::string question = "Who are you?";
const std::string answer = "I am Shimmy Mini, a tiny demo model.";

void drop_all(SlotsFixture & f) {
    while (f.slots.evict_oldest() > 0) {
    }
}

std::string refusal(auto call) {
    try {
        call();
    } catch (const InvalidRequestError & error) {
        return error.param + ": " + error.what();
    }
    return "";
}

bool contains(const std::string & text, const std::string & part) {
    INFO(text);
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a saved prefix is loaded by another engine, into host memory or a slot") {
    for (const bool kv_unified : {true, false}) {
        SlotsFixture f({.n_ctx = 4096, .kv_unified = kv_unified, .cache_ram_mib = 64});
        auto prompt = f.chat(question, 300);
        f.ask(prompt);
        prompt.resize(280);
        const auto bytes = f.slots.save(space, prompt, 0);
        drop_all(f);
        CHECK(f.slots.save(space, prompt, 0).size() > 0);  // out of host memory
        for (const int32_t ram : {64, 0}) {
            SlotsFixture other({.n_ctx = 4096, .kv_unified = kv_unified, .cache_ram_mib = ram});
            CHECK(other.slots.load(space, bytes, 0) == prompt);
            CHECK(other.slots.load(space, bytes, 0) == prompt);
            CHECK((other.slots.stats().host_entries == 1) == (ram > 0));
            CHECK(other.ask(other.chat(question, 300)) == answer);
            CHECK(other.usage.cached_tokens == 280);
        }
    }
}

TEST_CASE("states that are damaged, or of another kind, are refused") {
    SlotsFixture f({.cache_ram_mib = 64});
    const auto prompt = f.chat(question, 100);
    f.ask(prompt);
    const auto bytes = f.slots.save(space, prompt, 11);
    const auto load = [&](Slots & slots, std::vector<uint8_t> state, uint64_t adapters) {
        return refusal([&] { slots.load(space, state, adapters); });
    };
    for (size_t at = 0; at < bytes.size(); at += at < 600 ? 1 : 4999) {
        auto damaged = bytes;
        damaged[at] ^= 1 << at % 8;
        CHECK(contains(load(f.slots, damaged, 11), "state: this is no usable state"));
    }
    CHECK(contains(load(f.slots, {bytes.begin(), bytes.end() - 1}, 11), "truncated"));
    CHECK(contains(load(f.slots, {}, 11), "fewer than its header"));
    CHECK(contains(load(f.slots, bytes, 12), "other adapters"));
    CHECK(contains(load(f.slots, f.context.kv_cache().seq_save(0, prompt), 11), "not of an engine's prefix"));
    SlotsFixture q8({.type_k = "q8_0"});
    CHECK(contains(load(q8.slots, bytes, 11), "type_k=q8_0"));
    SlotsFixture split({.kv_unified = false});
    CHECK(contains(load(split.slots, bytes, 11), "kv_unified=0"));
    SlotsFixture small({.n_ctx = 256, .n_seq_max = 1});
    small.place(small.chat(question));
    CHECK(contains(load(small.slots, bytes, 11), "every sequence is in use"));
    SlotsFixture off({.keep = false});
    CHECK(contains(load(off.slots, bytes, 11), "prefix cache is off"));
    CHECK(contains(refusal([&] { f.slots.save({"other", 0}, prompt, 11); }), "tokens: these"));
    CHECK(contains(refusal([&] { f.slots.save(space, {}, 11); }), "tokens: these 0 tokens are not cached"));
}

TEST_CASE("an extract has no cells behind its tokens, where a sequence can be had to cut them off in") {
    SlotsFixture f({.n_ctx = 768, .n_seq_max = 2, .cache_ram_mib = 64});
    const auto prompt = f.chat(question, 300);
    f.ask(prompt);
    const Tokens head(prompt.begin(), prompt.begin() + 100);
    const auto cells = f.slots.extract(space, head);
    CHECK(cells.n_cells == 100);
    CHECK(f.slots.cached(space, prompt) == prompt.size());  // the donor has what it had
    f.check_cells();
    f.ask(Tokens(200, 5));  // no slot is empty: the one unused for longest goes to host memory for a moment
    const auto lost = f.slots.n_lost();
    CHECK(f.slots.extract(space, Tokens(90, 5)).n_cells == 90);
    CHECK(f.slots.cached(space, prompt) == prompt.size());
    CHECK(f.slots.n_lost() == lost);
    const size_t busy = f.place(Tokens(150, 6));  // no slot is left to cut in
    REQUIRE(f.compute(busy) == DecodeStatus::Ok);
    CHECK(f.slots.extract(space, Tokens(150, 5)).n_cells > 150);
    SlotsFixture other({.cache_ram_mib = 0});
    other.slots.insert(space, {head, cells.n_cells, *cells.state}, nullptr);
    CHECK(other.slots.cells_used() == 100);
    CHECK(other.ask(prompt) == answer);
    CHECK(other.usage.cached_tokens == 100);
}

TEST_CASE("what was cached still is while the count of losses stands") {
    SlotsFixture f({.n_ctx = 1024, .cache_ram_mib = 0});
    const auto prompt = f.chat(question, 200);
    CHECK(f.slots.cached(space, prompt) == 0);
    f.ask(prompt);
    const auto lost = f.slots.n_lost();
    CHECK(f.slots.cached(space, prompt) == prompt.size());
    CHECK(f.slots.cached({"other", 0}, prompt) == 0);
    f.ask(prompt);
    f.ask(f.chat("Is 735 odd?", 200));
    CHECK(f.slots.n_lost() == lost);
    CHECK(f.slots.cached(space, prompt) == prompt.size());
    f.ask(Tokens(900, 5));
    CHECK(f.slots.cached(space, prompt) < prompt.size());
    CHECK(f.slots.n_lost() > lost);
}

TEST_CASE("the fingerprint of an adapter set is that of its files and scales") {
    const auto model = SlotsFixture::demo_model();
    const auto pirate = LoraAdapter::load(model, SlotsFixture::data() + "shimmy-mini-pirate-lora.gguf");
    const auto again = LoraAdapter::load(model, SlotsFixture::data() + "shimmy-mini-pirate-lora.gguf");
    const auto terse = LoraAdapter::load(model, SlotsFixture::data() + "shimmy-mini-terse-lora.gguf");
    CHECK(adapters_fingerprint({}) == 0);
    CHECK(adapters_fingerprint({{pirate, 1.0}}) == adapters_fingerprint({{again, 1.0}}));
    CHECK(adapters_fingerprint({{pirate, 1.0}}) != adapters_fingerprint({{pirate, 0.5}}));
    CHECK(adapters_fingerprint({{pirate, 1.0}}) != adapters_fingerprint({{terse, 1.0}}));
    CHECK(adapters_fingerprint({{pirate, 1.0}, {terse, 0.5}}) == adapters_fingerprint({{terse, 0.5}, {pirate, 1.0}}));
}

TEST_CASE("a pinned prefix outlives every eviction") {
    for (const bool kv_unified : {true, false}) {
        SlotsFixture f({.n_ctx = kv_unified ? 1024U : 4096U, .kv_unified = kv_unified});
        const auto prompt = f.chat(question, 200);
        f.ask(prompt);
        const Tokens head(prompt.begin(), prompt.begin() + 150);
        f.slots.pin(space, head);
        f.slots.pin(space, head);
        drop_all(f);
        CHECK(f.slots.cells_used() == 150);
        for (int i = 0; i < 6; ++i) {
            f.ask(f.chat("Is 735 odd?", 100, std::string(static_cast<size_t>(i + 1), 'a')));
        }
        f.ask(prompt);
        CHECK(f.usage.cached_tokens >= 150);
        CHECK(f.slots.evict_oldest() > 0);
        CHECK(contains(refusal([&] { f.slots.unpin({"other", 0}, head); }), "tokens: these 150 tokens are not pinned"));
        f.slots.unpin(space, head);
        drop_all(f);
        CHECK(f.slots.cells_used() == 0);
    }
}

TEST_CASE("what runs, or is in host memory, can be pinned; the number is bounded") {
    SlotsFixture f({.cache_ram_mib = 64});
    const auto prompt = f.chat(question, 200);
    f.ask(prompt);
    drop_all(f);
    f.slots.pin(space, prompt);
    CHECK(f.slots.cells_used() == prompt.size());
    const size_t slot = f.place(Tokens(100, 5));
    REQUIRE(f.compute(slot) == DecodeStatus::Ok);
    f.slots.pin(space, Tokens(80, 5));
    CHECK(f.slots.cells_used() == prompt.size() + 100);
    CHECK(contains(refusal([&] { f.slots.pin(space, Tokens(90, 5)); }), "tokens: at most half"));
    f.slots.unpin(space, Tokens(80, 5));
    CHECK(contains(refusal([&] { f.slots.pin(space, Tokens(90, 6)); }), "not cached"));
    CHECK(f.slots.unpin_all());
    CHECK_FALSE(f.slots.unpin_all());
}

TEST_CASE("a shifted sequence goes on without its middle") {
    for (const bool kv_unified : {true, false}) {
        for (const bool room : {true, false}) {
            SlotsFixture f({.n_ctx = kv_unified ? (room ? 2048U : 512U) : 4096U,
                            .n_seq_max = room ? 4U : 1U,
                            .kv_unified = kv_unified});
            const auto prompt = f.chat(question, 300);
            f.ask(prompt);
            const auto used = f.slots.cells_used();
            const Tokens tokens(prompt.begin(), prompt.end() - 1);
            if (!room) {
                f.ask(prompt);
                CHECK(f.slots.cells_used() == used);
            }
            const auto whole = f.slots.shift(space, tokens, 20, 150);
            CHECK(whole.size() == tokens.size() - 150);
            if (kv_unified && room) {
                CHECK(f.slots.cells_used() == used + whole.size());
            }
            auto next = whole;
            next.push_back(prompt.back());
            const auto text = f.ask(next);
            CHECK(f.usage.cached_tokens == static_cast<int64_t>(whole.size()));
            CHECK_FALSE(text.empty());
            if (kv_unified && room) {
                CHECK(f.ask(prompt) == answer);
                CHECK(f.usage.cached_tokens == static_cast<int64_t>(prompt.size()) - 1);
            }
        }
    }
}

TEST_CASE("shifts that make no sense are refused") {
    SlotsFixture f({});
    const auto prompt = f.chat(question, 100);
    f.ask(prompt);
    const auto shift = [&](size_t n_keep, size_t n_discard) {
        return refusal([&] { f.slots.shift(space, prompt, n_keep, n_discard); });
    };
    CHECK(contains(shift(0, 0), "n_discard: n_keep is 0"));
    CHECK(contains(shift(prompt.size(), 1), "n_discard"));
    CHECK(contains(shift(50, prompt.size() - 50), "n_discard"));
    CHECK(contains(shift(1, SIZE_MAX), "n_discard"));
    CHECK(contains(refusal([&] { f.slots.shift(space, Tokens(90, 6), 1, 5); }), "not cached"));
}
