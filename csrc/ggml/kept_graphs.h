#pragma once
// Graphs of small batches that were built before, for llama-context.cpp. llama.cpp goes on with the last graph alone,
// and builds and places another for a batch of another shape: 0.1 ms for 8 layers, 0.5 ms for 28. A step with drafts
// has another number of rows each time, and every prompt comes between two steps that decode.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "llama-graph.h"

namespace shimmy {

// Stands where llama_context has the graph it reserves memory with, so that whatever makes the context reserve again,
// after which no graph is what it was, ends all that are kept. Each has a scheduler of its own, with the memory that
// its tensors are in; the context has the scheduler of the graph that it computes, and gets its own one back with
// leave().
class KeptGraphs : public llm_graph_result {
  public:
    using llm_graph_result::llm_graph_result;
    using Last = std::array<llm_graph_result_ptr, 2>;  // llama.cpp's: without outputs, and with some

    // Whether the graph of such a batch is kept.
    bool keeps(const llm_graph_params & params, uint32_t n_vocab) const {
        return keeps_ && params.ubatch.n_tokens <= most_rows && n_logits(params, n_vocab) <= most_logits;
    }

    // Give the context a graph that computes `params`, which keeps() (true), or room to build one, for want of memory
    // its own.
    template <typename MakeScheduler>
    bool enter(const llm_graph_params & params, uint32_t n_vocab, ggml_backend_sched_ptr & sched, Last & last,
               llm_graph_result *& active, MakeScheduler make_scheduler) {
        const size_t kind = params.n_outputs > 0;
        const uint64_t n = n_logits(params, n_vocab);
        auto fits = [&](Kept & kept) { return kept.placed && kept.kind == kind && kept.result->can_reuse(params); };
        auto found = std::find_if(kept_.begin(), kept_.end(), fits);
        const bool known = found != kept_.end();
        if (!known) {
            make_room(n);
            if (kept_.size() < most_graphs) {
                if (!std::unique_ptr<char[]>(new (std::nothrow) char[scheduler_size])) {
                    give_up();
                    return false;
                }
                kept_.push_back({ggml_backend_sched_ptr(make_scheduler()),
                                 std::make_unique<llm_graph_result>(get_max_nodes()), kind, false, 0});
            }
            found = kept_.end() - 1;  // a new one, or the one that was used longest ago
            found->kind = kind;
        }
        std::rotate(kept_.begin(), found, found + 1);
        kept_.front().n_logits = std::max(kept_.front().n_logits, n);
        exchange(sched, last);
        left_ = std::exchange(active, known ? last[kind].get() : nullptr);
        entered_ = true;
        return known;
    }

    // Give back the context's own scheduler and graphs. True if it had others.
    bool leave(ggml_backend_sched_ptr & sched, Last & last, llm_graph_result *& active) {
        if (!std::exchange(entered_, false)) {
            return false;
        }
        kept_.front().placed = active != nullptr;
        exchange(sched, last);
        active = left_;
        return true;
    }

    // There is no memory for them: end all, and keep none.
    void give_up() {
        kept_.clear();
        keeps_ = false;
    }

    // Bytes of the schedulers that the context has not.
    size_t buffer_size(ggml_backend_t backend) const {
        size_t n = 0;
        for (const auto & kept : kept_) {
            n += ggml_backend_sched_get_buffer_size(kept.sched.get(), backend);
        }
        return n;
    }

  private:
    static constexpr size_t most_graphs = 8;
    static constexpr uint32_t most_rows = 64;
    static constexpr uint64_t most_logits = 1 << 25;  // of all, 128 MiB: the largest of their tensors
    // More than a scheduler and a graph take, of which they touch little; ggml ends the process for want of it.
    static constexpr size_t scheduler_size = 64 << 20;

    struct Kept {
        ggml_backend_sched_ptr sched;
        llm_graph_result_ptr result;
        size_t kind;        // of `last`
        bool placed;        // its tensors have memory
        uint64_t n_logits;  // of the largest one that had this memory
    };

    static uint64_t n_logits(const llm_graph_params & params, uint32_t n_vocab) {
        return uint64_t{params.n_outputs} * n_vocab;
    }

    // End those that were used longest ago, until so many more logits fit in.
    void make_room(uint64_t n) {
        for (const auto & kept : kept_) {
            n += kept.n_logits;
        }
        for (; n > most_logits; kept_.pop_back()) {
            n -= kept_.back().n_logits;
        }
    }

    void exchange(ggml_backend_sched_ptr & sched, Last & last) {
        Kept & kept = kept_.front();
        std::swap(sched, kept.sched);
        std::swap(last[kept.kind], kept.result);
    }

    std::vector<Kept> kept_;  // used last first
    bool keeps_ = true;
    bool entered_ = false;
    llm_graph_result * left_ = nullptr;
};

inline KeptGraphs & kept_graphs(const llm_graph_result_ptr & reserved) {
    return static_cast<KeptGraphs &>(*reserved);
}

// Also of a context that has reserved nothing.
inline bool leave_kept_graph(const llm_graph_result_ptr & reserved, ggml_backend_sched_ptr & sched,
                             KeptGraphs::Last & last, llm_graph_result *& active) {
    return reserved && kept_graphs(reserved).leave(sched, last, active);
}

}  // namespace shimmy

// The memory of the tensors of the graph that is about to be computed in this thread, for samplers that have tensors in
// several graphs.
inline thread_local const void * shimmy_graph_memory = nullptr;

extern "C" LLAMA_API const void * shimmy_graph_in_use() {
    return shimmy_graph_memory;
}
