#pragma once
// Continuous batching: many requests share one context, one step at a time.

#include <chrono>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "engine/adapter_sets.h"
#include "engine/batcher.h"
#include "engine/engine_stats.h"
#include "engine/inbox.h"
#include "engine/outbox.h"
#include "engine/request.h"
#include "llama/context.h"
#include "llama/prefix_tokens.h"

namespace shimmy {

// Every call may come from any thread.
class Engine {
  public:
    // `context` is changed where the engine needs it: n_seq_max is max_num_seqs, and only as many outputs are reserved
    // as a step can have. Throws what Context throws, and InvalidRequestError for `params`.
    // `draft` proposes tokens (speculation); it has to share the vocabulary of `model`.
    Engine(std::shared_ptr<Model> model, ContextParams context, const EngineParams & params = {},
           std::shared_ptr<Model> draft = nullptr);
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

    // All outputs since the last call, see Outbox::take. Empty: time out or shut down.
    std::vector<Output> wait(std::chrono::milliseconds timeout, std::chrono::microseconds interval = {}) {
        return outbox_.take(timeout, interval);
    }

    void load_adapter(const std::string & name, const std::string & path);
    void unload_adapter(const std::string & name) { adapters_.remove(name); }
    std::vector<std::string> adapters() const { return adapters_.names(); }

    using Lora = std::vector<std::pair<std::string, double>>;

    // Cached prefixes, for embedders. Each waits for the end of the step that runs. They throw InvalidRequestError when
    // `tokens` are not cached (save, pin, shift) or switch an adapter on (what it computes is not kept), or the state
    // is damaged or of another model, other settings or other adapters (load), ModelNotFoundError (adapter). See Slots.
    struct PrefixOwner {
        std::string tenant;
        Lora lora;
    };
    std::vector<uint8_t> save_prefix(const PrefixOwner & owner, std::span<const Token> tokens);
    std::vector<Token> load_prefix(const PrefixOwner & owner, std::span<const uint8_t> state);
    void pin_prefix(const PrefixOwner & owner, std::span<const Token> tokens);
    void unpin_prefix(const PrefixOwner & owner, std::span<const Token> tokens);
    std::vector<Token> shift_prefix(const PrefixOwner & owner, std::span<const Token> tokens, size_t n_keep,
                                    size_t n_discard);

    // Leading tokens that a request with them would find computed now, and how often something cached became lost:
    // while that does not change, they stay so. prefixes_lost() waits for nothing.
    size_t cached_prefix(const PrefixOwner & owner, std::span<const Token> tokens);
    uint64_t prefixes_lost() const { return batcher_.slots().n_lost(); }

    // What a saved prefix depends on: model, settings of the context and the way of computing, as text for people; and
    // the adapters that these tokens are computed with. The latter throws as save_prefix does.
    std::string prefix_settings() const;
    uint64_t prefix_adapters(const PrefixOwner & owner, std::span<const Token> tokens);

    EngineStats stats() const;

    // What model and context take of each device, the draft model's not; the last one is the host. Waits for the end of
    // the step that runs.
    std::vector<DeviceMemory> memory();

    // Why it died, empty while it lives. Sticky: a fatal decode error ends the engine, its requests all Fail.
    std::string death() const { return inbox_.death(); }

    int64_t n_ctx() const { return n_ctx_; }  // tokens that one request may take
    const EngineParams & params() const { return params_; }
    const Context & context() const { return context_; }
    const std::shared_ptr<const Tokenizer> & tokenizer() const { return tokenizer_; }

  private:
    void loop();
    void let_callers_in();
    template <typename Call>
    auto between_steps(const PrefixOwner & owner, std::span<const Token> tokens, Call call);
    template <typename Call>
    auto between_steps(const CacheSpace & space, Call call);
    AdapterPlan plan_adapters(const Lora & lora, std::span<const Token> prompt);
    AdapterSets::Interned adapters_of(const PrefixOwner & owner, std::span<const Token> tokens);
    template <typename Call>
    void or_die(Call call);  // with step_mutex_ held
    bool run_step();         // the same
    void publish();          // the same
    std::shared_ptr<const PrefixTokens> vocabulary_texts();

    std::shared_ptr<Model> model_;
    EngineParams params_;
    Context context_;
    std::shared_ptr<const Tokenizer> tokenizer_;
    AdapterSets adapters_;
    int64_t n_ctx_;
    SequenceRules rules_;

    std::mutex texts_mutex_;
    std::shared_ptr<const PrefixTokens> texts_;  // made when first wanted

    std::mutex lifecycle_mutex_;  // start() and shutdown(): thread_
    std::thread thread_;

    std::mutex turn_;        // taken before step_mutex_ by callers, so that steps let them in
    std::mutex step_mutex_;  // context_, batcher_ and started_
    bool started_ = false;
    Inbox inbox_;
    Batcher batcher_;
    Outbox outbox_;
    mutable std::mutex stats_mutex_;
    EngineStats published_;
};

}  // namespace shimmy
