#include "llama/backend_sampler.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#ifdef SHIMMY_KEPT_GRAPHS
extern "C" LLAMA_API const void * shimmy_graph_in_use();  // csrc/ggml/kept_graphs.h
#endif

namespace shimmy {
namespace {

constexpr Token not_asked = -2;

// Backends that copy nothing, without a complaint, when asked for no bytes. CPUs do too. Whether the last one gains by
// it is not known.
constexpr std::array<std::string_view, 4> gpus = {"CUDA", "ROCm", "MUSA", "Vulkan"};
constexpr size_t n_paying = 3;

bool is_among(ggml_backend_dev_t device, size_t n_gpus) {
    const std::string_view name = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device));
    return std::find(gpus.begin(), gpus.begin() + n_gpus, name) != gpus.begin() + n_gpus;
}

// Whether the device's arg-max has a second source: see cmake/own_copies.cmake. CUDA's takes up to 2^20 tokens.
bool chooses_tokens(ggml_backend_dev_t device, int64_t n_vocab) {
    if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
#ifdef SHIMMY_TOKEN_CHOICE
        return true;
#else
        return false;
#endif
    }
    auto * reg = ggml_backend_dev_backend_reg(device);
    return n_vocab <= 1 << 20 && ggml_backend_reg_get_proc_address(reg, "shimmy_token_choice") != nullptr;
}

bool supports_operations(ggml_backend_dev_t device, int64_t n_vocab) {
    const ggml_init_params params = {8 * ggml_tensor_overhead(), nullptr, true};
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> ctx(ggml_init(params), ggml_free);
    ggml_tensor * rows = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_vocab, 2);
    return ggml_backend_dev_supports_op(device, ggml_argmax(ctx.get(), rows)) &&
           ggml_backend_dev_supports_op(device, ggml_sum_rows(ctx.get(), rows));
}

}  // namespace

// A sequence.
struct BackendSampler::Part {
    BackendSampler * all;
    size_t index;
    Needs needs = Needs::Logits;   // in the batch that is computed
    std::vector<Draw> draws = {};  // of its outputs in that batch, in their order; greedy where logits are needed

    struct Place {
        size_t micro_batch;
        int64_t row;
    };
    std::vector<Place> places = {};  // of these outputs
};

// What one of llama.cpp's graphs has of this.
struct BackendSampler::Graph {
    const void * memory = nullptr;    // of its tensors; says which graph
    ggml_tensor * ids = nullptr;      // a token of each row
    ggml_tensor * sums = nullptr;     // of each row's logits, not finite when one of them is not; if nothing is drawn
    ggml_tensor * numbers = nullptr;  // [2, n_rows], scale and share; if something is drawn
    int64_t n_rows = 0;

    struct Outputs {
        std::vector<int64_t> rows;          // among those of the graph
        std::vector<ggml_tensor *> logits;  // views of these rows
    };
    std::vector<Outputs> outputs;  // by sequence
};

struct PartCalls {
    using Part = BackendSampler::Part;

    static Part & of(llama_sampler * sampler) { return *static_cast<Part *>(sampler->ctx); }

    static const char * name(const llama_sampler *) { return "backend-sampler"; }

    static void apply(llama_sampler *, llama_token_data_array *) {}

    static bool init(llama_sampler * sampler, ggml_backend_buffer_type_t type, uint32_t) {
        auto & all = *of(sampler).all;
        if (!std::exchange(all.attached_, true)) {
            all.ask(type);
        }
        return true;
    }

    static void build(llama_sampler * sampler, ggml_context * ctx, ggml_cgraph *, llama_sampler_data * data) {
        of(sampler).all->build(of(sampler), ctx, *data);
    }

    static void set_input(llama_sampler * sampler) { of(sampler).all->place(of(sampler)); }

    static void reset(llama_sampler * sampler) { of(sampler).all->building_ = true; }

    static llama_sampler_i interface() {
        llama_sampler_i calls{};
        calls.name = name;
        calls.apply = apply;
        calls.free = [](llama_sampler *) {};  // parts are owned beside their samplers
        calls.backend_init = init;
        calls.backend_apply = build;
        calls.backend_set_input = set_input;
        calls.backend_reset = reset;
        return calls;
    }
};

BackendSampler::BackendSampler(Where where, int32_t n_vocab, uint32_t n_seq_max)
    : where_(where), n_vocab_(n_vocab), configs_(std::make_unique<llama_sampler_seq_config[]>(n_seq_max)) {
    static llama_sampler_i calls = PartCalls::interface();
    for (uint32_t seq_id = 0; seq_id < n_seq_max; ++seq_id) {
        parts_.push_back(std::make_unique<Part>(Part{this, seq_id}));
        chains_.push_back(llama_sampler_chain_init(llama_sampler_chain_default_params()));
        llama_sampler_chain_add(chains_.back(), llama_sampler_init(&calls, parts_.back().get()));
        configs_[seq_id] = {static_cast<SeqId>(seq_id), chains_.back()};
    }
}

BackendSampler::~BackendSampler() {
    for (auto * chain : chains_) {
        llama_sampler_free(chain);
    }
}

bool BackendSampler::pays_on(const std::vector<std::string> & devices) {
    return !devices.empty() && std::all_of(devices.begin(), devices.end(), [](const std::string & name) {
        ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
        return device && is_among(device, n_paying);
    });
}

void BackendSampler::attach(llama_context_params & params) {
    params.samplers = configs_.get();
    params.n_samplers = chains_.size();
}

// Of the device that computes the logits.
void BackendSampler::ask(ggml_backend_buffer_type_t type) {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    device = device ? device : ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    supported_ = ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU
                     ? where_ == Where::Anywhere
                     : is_among(device, gpus.size()) && supports_operations(device, n_vocab_);
    draws_ = supported_ && chooses_tokens(device, n_vocab_);
}

// `data` has a view of one row of the logits, padded by a row; what is put there is copied to the host after each
// micro-batch. A sequence that has no row in this one is shown the first.
void BackendSampler::build(Part & part, ggml_context * ctx, llama_sampler_data & data) {
    const ggml_tensor * given = std::exchange(data.logits, nullptr);
    ggml_tensor * padded = given->view_src ? given->view_src : const_cast<ggml_tensor *>(given);
    ggml_tensor * rows = padded->op == GGML_OP_PAD ? padded->src[0] : padded;
    const auto row = static_cast<int64_t>(given->view_offs / padded->nb[1]);
    Graph & graph = std::exchange(building_, false) ? begin_graph(ggml_get_mem_buffer(ctx)) : *graphs_.front();
    if (part.needs == Needs::Nothing || row >= rows->ne[1]) {
        return;
    }
    data.logits = ggml_view_1d(ctx, rows, rows->ne[0], static_cast<size_t>(row) * rows->nb[1]);
    graph.outputs[part.index].rows.push_back(row);
    graph.outputs[part.index].logits.push_back(data.logits);
    if (row > 0 || !supported_) {
        return;
    }
    if (!graph.ids) {
        graph.n_rows = rows->ne[1];
        rows = ggml_is_contiguous(rows) ? rows : ggml_cont(ctx, rows);
        graph.ids = ggml_argmax(ctx, rows);
        ggml_set_output(graph.ids);
        if (draws_) {
            graph.numbers = graph.ids->src[1] = ggml_new_tensor_2d(ctx, GGML_TYPE_F32, 2, graph.n_rows);
            ggml_set_input(graph.numbers);
        } else {
            graph.sums = ggml_sum_rows(ctx, rows);
            ggml_set_output(graph.sums);
        }
    }
    data.candidates = ggml_view_1d(ctx, graph.ids, graph.n_rows, 0);
    data.probs = draws_ ? nullptr : ggml_view_1d(ctx, graph.sums, graph.n_rows, 0);
}

// llama.cpp has at most 11 at a time (KeptGraphs, its own two, and the one that it reserves memory with), and builds
// each anew in the memory of one.
BackendSampler::Graph & BackendSampler::begin_graph(const void * memory) {
    constexpr size_t most_graphs = 16;
    std::erase_if(graphs_, [&](const auto & graph) { return graph->memory == memory; });
    graphs_.resize(std::min(graphs_.size(), most_graphs - 1));
    graphs_.insert(graphs_.begin(), std::make_unique<Graph>());
    graphs_.front()->memory = memory;
    graphs_.front()->outputs.resize(parts_.size());
    return *graphs_.front();
}

BackendSampler::Graph & BackendSampler::graph_in_use() {
#ifdef SHIMMY_KEPT_GRAPHS
    const void * memory = shimmy_graph_in_use();
    const auto found =
        std::find_if(graphs_.begin(), graphs_.end(), [&](const auto & graph) { return graph->memory == memory; });
    return found == graphs_.end() ? begin_graph(memory) : **found;
#else
    return *graphs_.front();
#endif
}

// Called before each micro-batch for every sequence with outputs in it, in some order. The views say how much is copied
// when it is computed: they are made as long as this batch needs them, so that llama.cpp goes on using the graph it
// has.
void BackendSampler::place(Part & part) {
    Graph & graph = graph_in_use();
    const auto & outputs = graph.outputs[part.index];
    for (auto * view : outputs.logits) {
        view->ne[0] = supported_ && part.needs == Needs::Token ? 0 : n_vocab_;
    }
    if (!supported_) {
        return;
    }
    placed_.resize(static_cast<size_t>(graph.n_rows));
    for (const int64_t row : outputs.rows) {
        const size_t n = part.places.size();
        placed_[static_cast<size_t>(row)] = n < part.draws.size() ? part.draws[n] : Draw();
        part.places.push_back({computed_.size(), row});
    }
    n_placed_ += static_cast<int64_t>(outputs.rows.size());
    if (n_placed_ >= graph.n_rows) {
        if (graph.numbers) {
            static_assert(sizeof(Draw) == 2 * sizeof(float));
            ggml_backend_tensor_set(graph.numbers, placed_.data(), 0, placed_.size() * sizeof(Draw));
        }
        computed_.push_back(graph.n_rows);
        n_placed_ = 0;
    }
}

void BackendSampler::begin(const Batch & batch) {
    for (auto & part : parts_) {
        part->needs = Needs::Nothing;
        part->draws.clear();
        part->places.clear();
    }
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        auto & part = *parts_[static_cast<size_t>(*batch.seq_ids(i))];
        if (batch.outputs()[static_cast<size_t>(i)]) {
            const auto & draw = batch.draw(i);
            const bool chooses = draw && (draw->scale == 0 || draws_);
            part.needs = std::max(part.needs, chooses ? Needs::Token : Needs::Logits);
            part.draws.push_back(chooses ? *draw : Draw());
        }
    }
    n_placed_ = 0;
    computed_.clear();
    tokens_.clear();
}

void BackendSampler::end(llama_context * ctx, const Batch & batch) {
    if (!supported_) {
        return;
    }
    struct Rows {
        const Token * ids = nullptr;  // null: they are not on the host, though they ought to be
        const float * sums = nullptr;
    };
    std::vector<Rows> rows(computed_.size());
    std::vector<const Part::Place *> places(static_cast<size_t>(batch.n_tokens()));
    std::vector<size_t> n_seen(parts_.size());
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        const auto seq_id = static_cast<size_t>(*batch.seq_ids(i));
        const auto & part = *parts_[seq_id];
        if (!batch.outputs()[static_cast<size_t>(i)] || n_seen[seq_id] == part.places.size()) {
            continue;
        }
        const auto & place = part.places[n_seen[seq_id]++];
        places[static_cast<size_t>(i)] = &place;
        // The first row's token has what was found of all.
        if (place.row == 0 && place.micro_batch < rows.size() &&
            llama_get_sampled_candidates_count_ith(ctx, i) == computed_[place.micro_batch]) {
            rows[place.micro_batch] = {llama_get_sampled_candidates_ith(ctx, i),
                                       draws_ ? nullptr : llama_get_sampled_probs_ith(ctx, i)};
        }
    }
    tokens_.assign(places.size(), not_asked);
    for (size_t i = 0; i < places.size(); ++i) {
        const auto seq_id = static_cast<size_t>(*batch.seq_ids(static_cast<int32_t>(i)));
        if (!batch.outputs()[i] || parts_[seq_id]->needs != Needs::Token) {
            continue;
        }
        const auto * place = places[i];
        const auto [ids, sums] = place && place->micro_batch < rows.size() ? rows[place->micro_batch] : Rows();
        const bool finite = ids && (draws_ || (sums && std::isfinite(sums[place->row])));
        tokens_[i] = finite && ids[place->row] >= 0 && ids[place->row] < n_vocab_ ? ids[place->row] : -1;
    }
}

bool BackendSampler::found(int32_t i) const {
    return i >= 0 && static_cast<size_t>(i) < tokens_.size() && tokens_[static_cast<size_t>(i)] != not_asked;
}

}  // namespace shimmy
