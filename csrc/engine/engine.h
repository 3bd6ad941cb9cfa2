#pragma once
// Continuous batching: many requests share one context, one step at a time.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine/adapter_sets.h"
#include "engine/outbox.h"
#include "engine/request.h"
#include "engine/schedule.h"
#include "engine/sequence.h"
#include "engine/slots.h"
#include "llama/context.h"

namespace shimmy {

struct EngineStats {
    uint64_t running = 0;
    uint64_t waiting = 0;
    uint64_t kv_cells_used = 0;  // by running requests and kept prefixes
    uint64_t kv_cells_total = 0;
    uint64_t steps = 0;
    uint64_t preemptions = 0;
    uint64_t requests_finished = 0;
    uint64_t prompt_tokens = 0;
    uint64_t cached_tokens = 0;
    uint64_t completion_tokens = 0;
    double step_seconds = 0;    // spent in steps
    double decode_seconds = 0;  // of that, inside llama_decode
};

// Every call may come from any thread.
class Engine {
  public:
    // `context` is changed where the engine needs it: n_seq_max is max_num_seqs, and only as many outputs are reserved.
    // Throws what Context throws, and InvalidRequestError for `params`.
    Engine(std::shared_ptr<Model> model, ContextParams context, const EngineParams & params = {});
    ~Engine();
    Engine(const Engine &) = delete;
    Engine & operator=(const Engine &) = delete;

    // Run steps on a thread of the engine's own, whenever there is work.
    void start();

    // Cancel everything, end the thread and refuse what comes later with EngineDeadError. Idempotent.
    void shutdown();

    // Queue a request. Throws InvalidRequestError, PromptTooLongError, ModelNotFoundError (adapter), QueueFullError or
    // EngineDeadError; nothing is queued then.
    RequestId add_request(Request request);

    // End a request, wherever it stands; unknown and finished ones are ignored. Its last output says Cancelled.
    void cancel(RequestId id);

    // One step: plan, decode, advance. False when there was nothing to do. Throws InvalidRequestError after
    // start().
    bool step();

    // All outputs since the last call, waiting up to `timeout` for the first. Empty: time out or shut down.
    std::vector<Output> wait(std::chrono::milliseconds timeout);

    void load_adapter(const std::string & name, const std::string & path);
    void unload_adapter(const std::string & name);
    std::vector<std::string> adapters() const { return adapters_.names(); }

    EngineStats stats() const;

    // Why it died, empty while it lives. Sticky: a fatal decode error ends the engine, its requests all Fail.
    std::string death() const;

    int64_t n_ctx() const { return n_ctx_; }  // tokens that one request may take
    const EngineParams & params() const { return params_; }
    const Context & context() const { return context_; }
    const std::shared_ptr<const Tokenizer> & tokenizer() const { return tokenizer_; }

  private:
    void loop();
    void check_open() const;  // with inbox_mutex_ held
    bool run_step();          // with step_mutex_ held, as is all that follows
    bool compute_step();
    std::set<RequestId> take_inbox();
    void end_cancelled(const std::set<RequestId> & ids);
    void admit();
    StepPlan plan() const;
    DecodeStatus decode(const StepPlan & plan);
    void advance(const StepPlan & plan);
    void undo(const StepPlan & plan);
    bool make_room(const StepPlan & plan);
    size_t cells_of_running() const;
    void send(Output output);
    void end_all(FinishReason reason, const std::string & error);
    void die(const std::string & why);
    void publish_stats();

    std::shared_ptr<Model> model_;
    EngineParams params_;
    Context context_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    AdapterSets adapters_;
    int64_t n_ctx_;

    std::mutex lifecycle_mutex_;  // start() and shutdown(): thread_
    std::thread thread_;

    // The step's own state, under step_mutex_.
    std::mutex step_mutex_;
    bool started_ = false;
    Slots slots_;
    std::vector<size_t> running_;  // indices into slots_, in order of admission
    std::deque<std::unique_ptr<Sequence>> queue_;
    AdapterSetId active_adapters_ = 0;
    uint64_t step_ = 0;
    Batch batch_;
    std::vector<Output> step_outputs_;
    EngineStats counters_;

    // The inbox.
    mutable std::mutex inbox_mutex_;
    std::condition_variable work_;
    std::vector<std::unique_ptr<Sequence>> arrivals_;
    std::set<RequestId> cancellations_;
    std::set<RequestId> in_flight_;  // requests whose tokens the running decode computes and nobody else's
    size_t n_waiting_ = 0;           // queued and not admitted, arrivals included
    RequestId next_id_ = 1;
    bool stopping_ = false;
    std::string death_;
    EngineStats published_;

    Outbox outbox_;
};

}  // namespace shimmy
