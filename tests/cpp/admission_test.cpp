#include "engine/admission.h"

#include <doctest/doctest.h>

#include <string>

using namespace shimmy;

using Order = std::vector<size_t>;

TEST_CASE("requests come in their order") {
    CHECK(admission_order({}).empty());
    CHECK(admission_order(std::vector<WaitingView>(3)) == Order{0, 1, 2});
}

TEST_CASE("a lower priority is earlier, until the other has waited long enough") {
    std::vector<WaitingView> waiting{{.priority = 1}, {.priority = 0}};
    CHECK(admission_order(waiting) == Order{1, 0});
    waiting[0].waited = 1.5 * ageing_seconds;
    CHECK(admission_order(waiting) == Order{0, 1});
}

TEST_CASE("preempted requests go first") {
    const std::vector<WaitingView> waiting{{.priority = -5}, {.priority = 3, .served = 1e6, .preempted = true}};
    CHECK(admission_order(waiting) == Order{1, 0});
}

TEST_CASE("of equal priority the tenant served least is next") {
    const std::vector<WaitingView> waiting{{.served = 100}, {.served = 100}, {.served = 7}};
    CHECK(admission_order(waiting) == Order{2, 0, 1});
}

TEST_CASE("a tenant that comes late starts level with the least served") {
    TenantLedger ledger;
    ledger.arrive("a");
    ledger.charge("a", 100, 50);
    CHECK(ledger.served("a") == 200);
    ledger.arrive("b");
    CHECK(ledger.served("b") == 200);
    ledger.charge("b", 10, 0);
    ledger.arrive("c");
    CHECK(ledger.served("c") == 200);
}

TEST_CASE("leaving and coming back forgives nothing while others have work") {
    TenantLedger ledger;
    ledger.arrive("greedy");
    ledger.arrive("modest");
    ledger.charge("greedy", 1000, 0);
    ledger.leave("greedy");
    ledger.arrive("greedy");
    CHECK(ledger.served("greedy") == 1000);
    CHECK(ledger.served("modest") == 0);
}

TEST_CASE("a tenant leaves with its last request, and an idle engine starts everybody level") {
    TenantLedger ledger;
    ledger.arrive("a");
    ledger.arrive("a");
    ledger.charge("a", 5, 0);
    ledger.leave("a");
    CHECK(ledger.served("a") == 5);
    ledger.leave("a");
    ledger.leave("a");  // once too often: ignored
    ledger.charge("nobody", 5, 0);
    ledger.arrive("a");
    ledger.arrive("b");
    CHECK(ledger.served("a") == ledger.served("b"));
}

TEST_CASE("two tenants that always have work are served alike, however many requests each has") {
    TenantLedger ledger;
    ledger.arrive("many");
    ledger.arrive("one");
    int served_one = 0;
    for (int round = 0; round < 100; ++round) {
        std::vector<WaitingView> waiting(10, {.served = ledger.served("many")});
        waiting.push_back({.served = ledger.served("one")});
        const bool one = admission_order(waiting).front() == 10;
        served_one += one ? 1 : 0;
        ledger.charge(one ? "one" : "many", 20, 20);
    }
    CHECK(served_one == 50);
}

namespace {

struct Waiter {
    std::string tenant;
    int32_t priority;
    double arrived;
    int64_t n_prompt;
};

// An engine that admits one request each second, and computes it in that second.
struct OneByOne {
    TenantLedger ledger;
    std::vector<Waiter> queue;
    double now = 0;

    void add(const std::string & tenant, int32_t priority = 0, int64_t n_prompt = 10) {
        ledger.arrive(tenant);
        queue.push_back({tenant, priority, now, n_prompt});
    }
    Waiter next() {
        std::vector<WaitingView> views;
        for (const auto & one : queue) {
            views.push_back(
                {.priority = one.priority, .waited = now - one.arrived, .served = ledger.served(one.tenant)});
        }
        const auto first = static_cast<std::ptrdiff_t>(admission_order(views).front());
        const auto chosen = queue[static_cast<size_t>(first)];
        queue.erase(queue.begin() + first);
        ledger.charge(chosen.tenant, chosen.n_prompt, 10);
        ledger.leave(chosen.tenant);
        now += 1;
        return chosen;
    }
};

}  // namespace

TEST_CASE("a low priority gets its turn under a constant stream of high ones") {
    for (const bool same_tenant : {true, false}) {
        OneByOne engine;
        engine.add("modest", 3);
        double admitted = 0;
        while (admitted == 0 && engine.now < 1000) {
            engine.add(same_tenant ? "modest" : "busy", 0);
            engine.add(same_tenant ? "modest" : "busy", 0);
            if (engine.next().priority == 3) {
                admitted = engine.now;
            }
        }
        CAPTURE(same_tenant);
        CHECK(admitted > 3 * ageing_seconds);  // not before it has aged
        CHECK(admitted <= 3 * ageing_seconds + 2);
    }
}

TEST_CASE("age makes nobody better than the best that waits") {
    std::vector<WaitingView> waiting{{.priority = 0, .waited = 1000, .served = 50}, {.priority = 0, .served = 10}};
    CHECK(admission_order(waiting) == Order{1, 0});
    waiting[0].priority = 2;
    CHECK(admission_order(waiting) == Order{1, 0});
    waiting[1].served = 51;
    CHECK(admission_order(waiting) == Order{0, 1});
    waiting[1].priority = 1;
    waiting[1].served = 10;
    CHECK(admission_order(waiting) == Order{1, 0});  // both as good as the better: 1
}

TEST_CASE("a tenant that keeps ten requests waiting and one that keeps one take turns") {
    OneByOne engine;
    for (int i = 0; i < 10; ++i) {
        engine.add("ten");
    }
    engine.add("one");
    std::string order;
    for (int i = 0; i < 40; ++i) {
        const auto tenant = engine.next().tenant;
        order += tenant == "one" ? '1' : '0';
        engine.add(tenant);
    }
    CHECK(order.find("00", 1) == std::string::npos);  // after the first, whose turn is by arrival
    CHECK(order.find("11") == std::string::npos);
}

TEST_CASE("a tenant's long requests are paid with turns") {
    OneByOne engine;
    for (int i = 0; i < 10; ++i) {
        engine.add("long", 0, 100);
        engine.add("short", 0, 10);
    }
    int n_long = 0;
    for (int i = 0; i < 60; ++i) {
        const auto served = engine.next();
        n_long += served.tenant == "long" ? 1 : 0;
        engine.add(served.tenant, 0, served.n_prompt);
    }
    CHECK(n_long >= 11);  // 120 against 30: one in five
    CHECK(n_long <= 13);
}
