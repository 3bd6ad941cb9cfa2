#pragma once
// One llama_context: KV cache, compute buffers and the outputs of the last call. Not thread-safe, except abort().

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "llama/backend_sampler.h"
#include "llama/batch.h"
#include "llama/kv_cache.h"
#include "llama/model.h"
#include "llama/output_row.h"
#include "llama/thread_pool.h"

struct llama_context;

namespace shimmy {

class LoraAdapter;

// What llama_decode documents, one case each.
enum class DecodeStatus {
    Ok,
    NoKvSlot,  // the batch found no room in the KV cache; nothing was computed
    Aborted,   // stopped by abort(); tokens of finished micro-batches stay in the cache
    Invalid,   // the batch was refused (positions out of order, ...); nothing was computed
    NoMemory,  // buffers to compute in found no room; tokens of finished micro-batches stay in the cache
    Broken,    // the backend gave up; the same, and worth another try: a device that is lost fails again
    Failed,    // fatal; the context is of no further use
};

class Context {
  public:
    // `sampler`: where tokens are chosen for outputs that ask for nothing else; none: on the host. Batches
    // have one sequence per token then.
    // Throws InvalidRequestError (parameters) or ModelLoadError (no memory, unsupported combination).
    explicit Context(std::shared_ptr<Model> model, const ContextParams & params = {},
                     std::optional<BackendSampler::Where> sampler = std::nullopt);
    ~Context();
    Context(const Context &) = delete;
    Context & operator=(const Context &) = delete;

    // Compute a batch with the KV cache, respectively without it (encoders, embedding models). Everything that
    // llama.cpp asserts is checked first and thrown as InvalidRequestError. After Failed every further call throws
    // DecodeError.
    DecodeStatus decode(const Batch & batch);
    DecodeStatus encode(const Batch & batch);

    // Stop the call that runs now as soon as the backend looks (CPU: at once), or the next one, with Aborted. A decode
    // that has cells to move (see KvCache::settle) is not stopped halfway. Callable from any thread.
    void abort() { abort_.store(true, std::memory_order_relaxed); }

    // Take an abort() back that has stopped nothing yet.
    void clear_abort() { abort_.store(false, std::memory_order_relaxed); }

    // Logits of token `i` of the last batch (negative: counted from the last output), [n_vocab]. Valid until the next
    // call. Throws InvalidRequestError when that token asked for no output or the last call was not Ok.
    std::span<const float> logits(int32_t i) const;

    // The same, or only a token where the batch asked for no more and the device has chosen it.
    OutputRow row(int32_t i) const;

    // Without pooling the embedding of token `i`, [n_embd]; with pooling of a sequence, [n_embd] or, pooling rank,
    // [n_cls_out]. Pooling mean, cls and rank see a batch as one: it may have n_ubatch tokens.
    std::span<const float> embeddings(int32_t i) const;
    std::span<const float> embeddings_seq(SeqId seq_id) const;

    // Replace the adapters that apply to all following calls. Throws InvalidRequestError for an adapter of another
    // model and one named twice.
    void set_adapters(const std::vector<std::pair<std::shared_ptr<LoraAdapter>, double>> & adapters);

    // Threads of the following calls, for single tokens and for batches. Throws InvalidRequestError for counts that are
    // not between 1 and the larger of the two that the context was made with.
    void set_n_threads(int32_t n_threads, int32_t n_threads_batch);

    KvCache & kv_cache() { return kv_cache_; }

    // Held by callers that share a context between threads, for as long as they use it or its outputs.
    std::mutex & mutex() const { return mutex_; }

    // The whole KV cache, framed and checksummed; no outputs. load throws InvalidRequestError for bytes that are
    // damaged or of another model, and for those of other settings, which leave the cache empty.
    std::vector<uint8_t> save_state() const;
    void load_state(std::span<const uint8_t> state);

    // What NoMemory, Broken or Failed was about: llama.cpp's words, and how much memory the devices have left.
    const std::string & trouble() const { return trouble_; }

    // What model and context take of each device; the last one is the host.
    std::vector<DeviceMemory> memory() const;

    const std::shared_ptr<Model> & model() const { return model_; }
    const ContextParams & params() const { return params_; }  // as given
    uint32_t n_ctx() const;                                   // cells of all sequences
    uint32_t n_ctx_seq() const;                               // cells that one sequence can take
    uint32_t n_batch() const;
    uint32_t n_ubatch() const;
    uint32_t n_seq_max() const;
    uint32_t n_outputs_max() const { return n_outputs_max_; }
    int32_t n_threads() const { return n_threads_; }  // as set last; from any thread
    int32_t n_threads_batch() const { return n_threads_batch_; }
    std::string pooling() const;
    bool has_cache() const;  // without one (encoders) only encode works, with one only decode unless it has an encoder
    bool whole() const;      // decode takes n_ubatch tokens at most: attention or pooling must not be cut

    llama_context * get() const { return ctx_; }

  private:
    enum class Call { Decode, Encode };

    DecodeStatus run(Call call, const Batch & batch);
    void check(Call call, const Batch & batch) const;
    void check_pooling() const;
    bool pools_at_once() const;
    void check_alive() const;
    std::string told(const std::string & log, const std::string & otherwise) const;
    void reserve_again();

    mutable std::mutex mutex_;
    std::shared_ptr<Model> model_;
    ContextParams params_;
    std::vector<std::pair<std::shared_ptr<LoraAdapter>, double>> adapters_;
    bool reserves_ = false;  // the next call builds its compute buffers anew, for which it reads the adapters
    std::atomic<int32_t> n_threads_{1};
    std::atomic<int32_t> n_threads_batch_{1};
    int32_t max_threads_ = 1;
    uint32_t n_outputs_max_ = 0;
    bool has_outputs_ = false;
    std::atomic<bool> abort_{false};
    std::atomic<bool> moves_cells_{false};  // the call that runs must not be stopped: llama.cpp would move them twice
    std::optional<ThreadPool> threads_;
    std::optional<BackendSampler> backend_sampler_;
    llama_context * ctx_ = nullptr;
    KvCache kv_cache_;
    std::string fatal_;  // not empty once a call failed for good
    std::string trouble_;
    std::vector<SeqId *> seq_id_pointers_;
    std::vector<int32_t> n_seq_ids_;
};

}  // namespace shimmy
