#pragma once
// Threads that do to one engine, at random, everything its callers may do, and what has to hold whatever they did.

#include <doctest/doctest.h>

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "stress_requests.h"

namespace shimmy {

class EngineStress {
  public:
    struct Options {
        ContextParams context = {};
        EngineParams engine = {};
        bool draft = false;    // with a draft model
        bool stepped = false;  // two threads call step(), instead of the engine's own
        bool counts = false;   // long enough that everything must have happened at least once
    };

    explicit EngineStress(const Options & options);
    ~EngineStress();

    // Put it under load for so long. `shut_down`: in the middle of the load, by two threads at once; otherwise every
    // request runs to its end, and the whole KV cache must be free for others then.
    void run(double seconds, bool shut_down);

  private:
    struct Told {  // all that came for one request
        std::string text;
        size_t n_tokens = 0;
        size_t n_answered = 0;
        size_t n_logprobs = 0;
        size_t n_prompt_logprobs = 0;
        int n_last = 0;
        bool more_after_last = false;
        FinishReason reason = FinishReason::None;
        std::string error;
        Usage usage;
    };

    void start(const std::function<void(Random &)> & turn);
    void problem(const std::string & what);
    void add(Random & random);
    void cancel(Random & random);
    void swap_adapters(Random & random);
    void use_prefixes(Random & random);
    void collect();
    void fill_cache();
    void check_told();
    void check_counts();
    void check_answer(const Request & request, const Told & told);
    void check_cells();

    Options options_;
    std::unique_ptr<Engine> engine_;
    std::vector<std::thread> threads_;
    std::thread collector_;
    std::vector<std::thread> steppers_;
    std::atomic<bool> loaded_{true};      // more load is wanted
    std::atomic<bool> collected_{false};  // nothing more will come
    std::atomic<bool> shut_down_{false};
    std::atomic<RequestId> newest_{0};
    std::atomic<size_t> n_swaps_{0};
    std::atomic<size_t> n_prefix_calls_{0};  // that found what they asked for

    std::mutex mutex_;  // everything below
    std::map<RequestId, Request> asked_;
    std::map<RequestId, Told> told_;
    std::set<RequestId> cancelled_;
    std::set<std::string> problems_;
    std::map<std::vector<Token>, std::string> answers_;  // of deterministic engines
};

}  // namespace shimmy
