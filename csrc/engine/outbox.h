#pragma once
// Where finished work waits to be collected. Thread-safe.

#include <chrono>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "engine/request.h"

namespace shimmy {

class Outbox {
  public:
    void put(std::vector<Output> outputs) {
        if (outputs.empty()) {
            return;
        }
        std::lock_guard lock(mutex_);
        std::move(outputs.begin(), outputs.end(), std::back_inserter(outputs_));
        ready_.notify_one();
    }

    // Everything that waits, after waiting up to `timeout` for the first. Empty: timed out, or closed.
    std::vector<Output> take(std::chrono::milliseconds timeout) {
        std::unique_lock lock(mutex_);
        ready_.wait_for(lock, timeout, [this] { return closed_ || !outputs_.empty(); });
        return std::exchange(outputs_, {});
    }

    // Nobody waits any more; what is there can still be taken.
    void close() {
        std::lock_guard lock(mutex_);
        closed_ = true;
        ready_.notify_all();
    }

  private:
    std::mutex mutex_;
    std::condition_variable ready_;
    std::vector<Output> outputs_;
    bool closed_ = false;
};

}  // namespace shimmy
