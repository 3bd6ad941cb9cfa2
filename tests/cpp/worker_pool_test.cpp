#include "engine/worker_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>

using namespace shimmy;

TEST_CASE("every task runs once, whatever the number of threads and tasks") {
    for (const int32_t n_threads : {-1, 1, 2, 5}) {
        WorkerPool pool(n_threads);
        CHECK(pool.n_threads() == std::max(n_threads, 1));
        for (size_t round = 0; round < 200; ++round) {
            const size_t n_tasks = round % 17;
            std::vector<int> runs(n_tasks, 0);  // unguarded: each task has its own
            pool.run(n_tasks, [&](size_t index) { ++runs[index]; });
            CHECK(runs == std::vector<int>(n_tasks, 1));
        }
    }
}

TEST_CASE("one thread is the caller's") {
    WorkerPool pool(1);
    std::set<std::thread::id> seen;
    pool.run(8, [&](size_t) { seen.insert(std::this_thread::get_id()); });
    CHECK(seen == std::set{std::this_thread::get_id()});
}

TEST_CASE("tasks that wait for each other run at once") {
    WorkerPool pool(3);
    std::atomic<int> arrived = 0;
    pool.run(3, [&](size_t) {
        ++arrived;
        while (arrived < 3) {
            std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
    });
    CHECK(arrived == 3);
}

TEST_CASE("what a task throws is thrown on when all tasks have run, and the pool goes on") {
    for (const int32_t n_threads : {1, 4}) {
        WorkerPool pool(n_threads);
        for (int round = 0; round < 50; ++round) {
            std::atomic<int> runs = 0;
            const auto task = [&](size_t index) {
                ++runs;
                if (index % 3 == 1) {
                    throw std::runtime_error("task");
                }
            };
            CHECK_THROWS_WITH_AS(pool.run(10, task), "task", std::runtime_error);
            CHECK(runs == 10);
            runs = 0;
            pool.run(2, [&](size_t) { ++runs; });
            CHECK(runs == 2);
        }
    }
}

TEST_CASE("pools that never ran end") {
    for (int round = 0; round < 20; ++round) {
        WorkerPool pool(4);
    }
}
