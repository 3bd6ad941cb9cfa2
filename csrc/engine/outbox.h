#pragma once
// Where finished work waits to be collected. Thread-safe.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <iterator>
#include <mutex>
#include <unordered_map>
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
        const bool first = outputs_.empty();
        const bool urgent = std::any_of(outputs.begin(), outputs.end(), is_urgent);
        std::move(outputs.begin(), outputs.end(), std::back_inserter(outputs_));
        urgent_ = urgent_ || urgent;
        if (first || urgent) {
            ready_.notify_one();
        }
    }

    // Everything that waits, after waiting up to `timeout` for the first; not sooner than `interval` after the last
    // call returned some, unless a request begins or ends its answer. What waits of one request comes as one output.
    // Empty: timed out, or closed.
    std::vector<Output> take(std::chrono::milliseconds timeout, std::chrono::microseconds interval) {
        std::unique_lock lock(mutex_);
        if (!ready_.wait_for(lock, timeout, [this] { return closed_ || !outputs_.empty(); })) {
            return {};
        }
        ready_.wait_until(lock, taken_ + interval, [this] { return closed_ || urgent_; });
        taken_ = Clock::now();
        urgent_ = false;
        auto outputs = std::exchange(outputs_, {});
        lock.unlock();
        return merged(std::move(outputs));
    }

    // Nobody waits any more; what is there can still be taken.
    void close() {
        std::lock_guard lock(mutex_);
        closed_ = true;
        ready_.notify_all();
    }

  private:
    using Clock = std::chrono::steady_clock;

    static bool is_urgent(const Output & output) {
        return output.finish_reason != FinishReason::None ||
               output.usage.completion_tokens <= static_cast<int64_t>(output.tokens.size());
    }

    static std::vector<Output> merged(std::vector<Output> outputs) {
        std::unordered_map<RequestId, size_t> places;
        std::vector<Output> whole;
        for (auto & output : outputs) {
            const auto [place, is_new] = places.try_emplace(output.id, whole.size());
            if (is_new) {
                whole.push_back(std::move(output));
            } else {
                append(whole[place->second], std::move(output));
            }
        }
        return whole;
    }

    static void append(Output & output, Output next) {
        const auto join = [](auto & first, auto & second) {
            std::move(second.begin(), second.end(), std::back_inserter(first));
            second = std::move(first);
        };
        join(output.tokens, next.tokens);
        join(output.logprobs, next.logprobs);
        join(output.prompt_logprobs, next.prompt_logprobs);
        next.text.insert(0, output.text);
        next.n_answered += output.n_answered;
        output = std::move(next);  // which is newer
    }

    std::mutex mutex_;
    std::condition_variable ready_;
    std::vector<Output> outputs_;
    Clock::time_point taken_;
    bool urgent_ = false;
    bool closed_ = false;
};

}  // namespace shimmy
