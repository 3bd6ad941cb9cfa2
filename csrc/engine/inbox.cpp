#include "engine/inbox.h"

#include <algorithm>
#include <utility>

#include "errors.h"

namespace shimmy {

void Inbox::check_open() const {
    std::lock_guard lock(mutex_);
    check_still_open();
}

void Inbox::check_still_open() const {
    if (stopping_ || !death_.empty()) {
        throw EngineDeadError(death_.empty() ? "the engine was shut down" : death_);
    }
}

RequestId Inbox::enter_queue(size_t n_tokens) {
    std::lock_guard lock(mutex_);
    check_still_open();
    if (n_waiting_ >= max_waiting_) {
        throw QueueFullError(std::to_string(n_waiting_) + " requests are waiting already, the queue holds " +
                             std::to_string(max_waiting_));
    }
    if (n_waiting_ > 0 && n_waiting_tokens_ + n_tokens > max_waiting_tokens_) {
        throw QueueFullError("requests with " + std::to_string(n_waiting_tokens_) +
                             " prompt tokens are waiting already, the queue holds " +
                             std::to_string(max_waiting_tokens_));
    }
    ++n_waiting_;
    n_waiting_tokens_ += n_tokens;
    return next_id_++;
}

void Inbox::leave_queue(size_t n_tokens) {
    std::lock_guard lock(mutex_);
    --n_waiting_;
    n_waiting_tokens_ -= n_tokens;
}

void Inbox::reenter_queue(size_t n_tokens) {
    std::lock_guard lock(mutex_);
    ++n_waiting_;
    n_waiting_tokens_ += n_tokens;
}

void Inbox::put(std::unique_ptr<Sequence> sequence) {
    {
        std::lock_guard lock(mutex_);
        check_still_open();
        notes_.arrivals.push_back(std::move(sequence));
    }
    note_.notify_one();
}

void Inbox::cancel(RequestId id, const std::function<void()> & stop_decode) {
    {
        std::lock_guard lock(mutex_);
        notes_.cancellations.insert(id);
        if (in_flight_.count(id) > 0) {
            stop_decode();
        }
    }
    note_.notify_one();
}

Inbox::Notes Inbox::take() {
    std::lock_guard lock(mutex_);
    return std::exchange(notes_, {});
}

bool Inbox::wait(bool busy) {
    std::unique_lock lock(mutex_);
    note_.wait(lock, [&] { return busy || stopping_ || !notes_.arrivals.empty() || !notes_.cancellations.empty(); });
    return !stopping_;
}

bool Inbox::begin_decode(std::set<RequestId> requests) {
    std::lock_guard lock(mutex_);
    // What came after the notes were taken found nothing to stop.
    const auto cancelled = [&](RequestId id) { return notes_.cancellations.count(id) > 0; };
    if (stopping_ || std::any_of(requests.begin(), requests.end(), cancelled)) {
        return false;
    }
    in_flight_ = std::move(requests);
    return true;
}

void Inbox::end_decode(const std::function<void()> & forget_stop) {
    std::lock_guard lock(mutex_);
    in_flight_.clear();
    forget_stop();
}

void Inbox::stop() {
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    note_.notify_all();
}

void Inbox::die(const std::string & why) {
    std::lock_guard lock(mutex_);
    death_ = why;
}

std::string Inbox::death() const {
    std::lock_guard lock(mutex_);
    return death_;
}

size_t Inbox::n_waiting() const {
    std::lock_guard lock(mutex_);
    return n_waiting_;
}

}  // namespace shimmy
