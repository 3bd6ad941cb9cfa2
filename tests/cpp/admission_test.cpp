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
