#include "engine/cell_ledger.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace shimmy;

TEST_CASE("shared cells count once, and as long as anyone has them") {
    CellLedger ledger(3);
    ledger.append(0, 10);
    ledger.share(0, 1, 6);
    CHECK(ledger.used() == 10);
    ledger.append(1, 4);
    CHECK(ledger.used() == 14);
    CHECK(ledger.exclusive(0) == 4);
    CHECK(ledger.exclusive(1) == 4);
    CHECK(ledger.shared_end(1) == 6);
    ledger.truncate(0, 0);
    CHECK(ledger.used() == 10);
    CHECK(ledger.exclusive(1) == 10);
    CHECK(ledger.shared_end(1) == 0);
}

TEST_CASE("what two slots compute after a fork is their own") {
    CellLedger ledger(2);
    ledger.append(0, 5);
    ledger.share(0, 1, 5);
    ledger.append(0, 2);
    ledger.append(1, 2);
    CHECK(ledger.used() == 9);
    ledger.truncate(0, 5);
    CHECK(ledger.used() == 7);
    ledger.append(0, 1);
    CHECK(ledger.used() == 8);
}

TEST_CASE("any operations: as many as there are different cells") {
    std::mt19937 random(3);
    const auto below = [&](size_t n) { return random() % n; };
    for (int round = 0; round < 200; ++round) {
        CellLedger ledger(5);
        std::vector<std::vector<int>> cells(5);
        int next = 0;
        for (int i = 0; i < 60; ++i) {
            const size_t slot = below(5);
            const size_t n = below(6);
            switch (below(3)) {
                case 0:
                    ledger.append(slot, n);
                    for (size_t k = 0; k < n; ++k) {
                        cells[slot].push_back(next++);
                    }
                    break;
                case 1:
                    ledger.truncate(slot, n);
                    cells[slot].resize(std::min(n, cells[slot].size()));
                    break;
                default:
                    if (const size_t donor = below(5); donor != slot) {
                        ledger.share(donor, slot, n);
                        cells[slot] = cells[donor];
                        cells[slot].resize(std::min(n, cells[slot].size()));
                    }
            }
            std::set<int> all;
            std::set<int> others;
            for (size_t s = 0; s < cells.size(); ++s) {
                all.insert(cells[s].begin(), cells[s].end());
                if (s != slot) {
                    others.insert(cells[s].begin(), cells[s].end());
                }
            }
            REQUIRE(ledger.used() == all.size());
            REQUIRE(ledger.held(slot) == cells[slot].size());
            REQUIRE(ledger.exclusive(slot) == all.size() - others.size());
            size_t end = 0;
            for (size_t k = 0; k < cells[slot].size(); ++k) {
                end = others.contains(cells[slot][k]) ? k + 1 : end;
            }
            REQUIRE(ledger.shared_end(slot) == end);
        }
    }
}
