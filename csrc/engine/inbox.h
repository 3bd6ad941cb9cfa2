#pragma once
// Where callers leave notes for the step thread, and where the queue's limits are kept. Thread-safe.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "engine/sequence.h"

namespace shimmy {

class Inbox {
  public:
    Inbox(size_t max_waiting, size_t max_waiting_tokens)
        : max_waiting_(max_waiting), max_waiting_tokens_(max_waiting_tokens) {}

    // A place in the queue for a request with so many prompt tokens, to be given up with leave_queue. Throws
    // QueueFullError or EngineDeadError.
    RequestId enter_queue(size_t n_tokens);
    void leave_queue(size_t n_tokens);

    // A request that was preempted waits again, whatever the limits say.
    void reenter_queue(size_t n_tokens);

    // Throws EngineDeadError: nobody would answer what arrives after the end.
    void put(std::unique_ptr<Sequence> sequence);

    // `stop_decode` is called when the decode that runs now was begun for this request.
    void cancel(RequestId id, const std::function<void()> & stop_decode);

    struct Notes {
        std::vector<std::unique_ptr<Sequence>> arrivals;
        std::set<RequestId> cancellations;
    };
    Notes take();

    // Blocks until there is a note, unless `busy`. False: stop() was called.
    bool wait(bool busy);

    // A decode starts that is worth stopping when one of `requests` is cancelled. False, and not to be started, when
    // that has happened already, or stop().
    bool begin_decode(std::set<RequestId> requests);
    void end_decode(const std::function<void()> & forget_stop);  // a stop that came too late is not for the next one

    void check_open() const;  // throws EngineDeadError after stop() or die()
    void stop();
    void die(const std::string & why);  // sticky
    std::string death() const;          // empty while it lives

    size_t n_waiting() const;

  private:
    void check_still_open() const;  // with mutex_ held

    const size_t max_waiting_;
    const size_t max_waiting_tokens_;
    mutable std::mutex mutex_;
    std::condition_variable note_;
    Notes notes_;
    std::set<RequestId> in_flight_;
    size_t n_waiting_ = 0;         // queued and not admitted, arrivals included
    size_t n_waiting_tokens_ = 0;  // their prompt tokens
    RequestId next_id_ = 1;
    bool stopping_ = false;
    std::string death_;
};

}  // namespace shimmy
