#pragma once
// Embeddings, batched across requests, with a context of their own beside the engine's. Thread-safe.

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "llama/context.h"
#include "llama/tokenizer.h"

namespace shimmy {

using EmbedJobId = uint64_t;

struct EmbedOptions {
    bool normalize = true;                 // L2; not for pooling rank
    std::optional<uint32_t> dimensions{};  // cut rows to their first so many values, before they are normalised
};

// The end of one job.
struct EmbedOutput {
    EmbedJobId id = 0;
    std::vector<std::vector<float>> rows;  // per input: [n_rows, width], one row unless pooling is none
    size_t width = 0;
    std::string error;  // not empty: the job failed and has no rows
};

struct EmbedderStats {
    uint64_t jobs = 0;     // added and not ended
    uint64_t waiting = 0;  // inputs queued now
    uint64_t batches = 0;  // computed
    uint64_t tokens = 0;   // computed
};

class Embedder {
  public:
    // Makes its own context; of `context` its threads, types, attention and rope are used, sizes and pooling are of
    // `params`. Throws InvalidRequestError (parameters; a model that cannot embed) or ModelLoadError (no memory).
    Embedder(std::shared_ptr<Model> model, const ContextParams & context, const EmbedderParams & params);
    ~Embedder();
    Embedder(const Embedder &) = delete;
    Embedder & operator=(const Embedder &) = delete;

    // Queue inputs, given as tokens, and return at once. Throws InvalidRequestError (no inputs, an empty one, tokens
    // that the vocabulary does not have, dimensions), PromptTooLongError, QueueFullError or EngineDeadError; nothing is
    // queued then.
    EmbedJobId add(std::vector<std::vector<Token>> inputs, const EmbedOptions & options = {});

    // Forget a job: it ends without an output, what runs of it is computed to the end. Unknown ids are ignored.
    void cancel(EmbedJobId id);

    // Compute one batch of waiting inputs, on the caller's thread, and return the jobs that ended since the last call.
    std::vector<EmbedOutput> step();

    // Stop what runs, at once on CPUs; all jobs end with an error. Later jobs throw EngineDeadError. Idempotent.
    void shutdown();

    EmbedderStats stats() const;

    // As Engine::memory.
    std::vector<DeviceMemory> memory();
    std::string death() const;  // why it ended; empty while it lives
    size_t max_input_tokens() const { return max_input_tokens_; }
    size_t width() const { return width_; }  // of a row before it is cut
    const Context & context() const { return context_; }

  private:
    struct Input {
        EmbedJobId job;
        size_t index;
        std::vector<Token> tokens;
        bool alone = false;  // not with others in a batch
    };
    struct Job {
        EmbedOptions options;
        size_t n_left;
        std::vector<std::vector<float>> rows;
    };

    void check(const std::vector<std::vector<Token>> & inputs, const EmbedOptions & options) const;
    std::vector<Input> take_batch();
    bool compute(const std::vector<Input> & inputs, std::vector<std::vector<float>> & rows);
    bool run();
    void deliver(const Input & input, std::vector<float> rows);
    void repeat_alone(std::vector<Input> batch);
    void fail(EmbedJobId id, const std::string & error);
    void die(const std::string & why);

    std::shared_ptr<Model> model_;
    EmbedderParams params_;
    Context context_;
    Tokenizer tokenizer_;
    bool encodes_;
    bool pools_;
    size_t batch_tokens_;
    size_t max_input_tokens_;
    size_t width_;

    std::mutex step_mutex_;  // held by who computes
    Batch batch_;
    bool poisoned_ = false;  // the last batch had values that are not finite, its cells too

    mutable std::mutex mutex_;  // guards all below
    std::deque<Input> waiting_;
    std::map<EmbedJobId, Job> jobs_;
    std::vector<EmbedOutput> ended_;
    EmbedJobId next_id_ = 1;
    EmbedderStats stats_;
    std::string death_;
    std::atomic<bool> stopping_{false};
};

}  // namespace shimmy
