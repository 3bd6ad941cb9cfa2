#include "llama/device_argmax.h"

#include <ggml-backend.h>
#include <ggml.h>
#include <llama.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace shimmy {
namespace {

constexpr Token not_asked = -2;

// Backends that copy nothing, without a complaint, when asked for no bytes. CPUs do too.
constexpr std::array<std::string_view, 3> gpus = {"CUDA", "ROCm", "MUSA"};

bool is_known(ggml_backend_dev_t device) {
    const std::string_view name = ggml_backend_reg_name(ggml_backend_dev_backend_reg(device));
    return std::find(gpus.begin(), gpus.end(), name) != gpus.end();
}

bool supports_operations(ggml_backend_dev_t device, int64_t n_vocab) {
    const ggml_init_params params = {8 * ggml_tensor_overhead(), nullptr, true};
    const std::unique_ptr<ggml_context, decltype(&ggml_free)> ctx(ggml_init(params), ggml_free);
    ggml_tensor * rows = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, n_vocab, 2);
    return ggml_backend_dev_supports_op(device, ggml_argmax(ctx.get(), rows)) &&
           ggml_backend_dev_supports_op(device, ggml_sum_rows(ctx.get(), rows));
}

}  // namespace

// What llama.cpp's graph has of one sequence.
struct DeviceArgmax::Part {
    DeviceArgmax * all;
    Needs needs = Needs::Logits;        // in the batch that is computed
    bool stale = true;                  // another graph is about to be built
    std::vector<int64_t> rows;          // of its outputs, among those of the graph
    std::vector<ggml_tensor *> logits;  // views of these rows
    ggml_tensor * ids = nullptr;        // the likeliest tokens of all rows: with whom the first row belongs to
    ggml_tensor * sums = nullptr;       // of each row's logits: not finite when one of them is not
};

struct PartCalls {
    using Part = DeviceArgmax::Part;

    static Part & of(llama_sampler * sampler) { return *static_cast<Part *>(sampler->ctx); }

    static const char * name(const llama_sampler *) { return "device-argmax"; }

    static void apply(llama_sampler *, llama_token_data_array *) {}

    static bool init(llama_sampler * sampler, ggml_backend_buffer_type_t type, uint32_t) {
        auto & all = *of(sampler).all;
        all.supported_ = all.attached_ ? all.supported_ : all.supported_by(type);
        all.attached_ = true;
        return true;
    }

    static void build(llama_sampler * sampler, ggml_context * ctx, ggml_cgraph *, llama_sampler_data * data) {
        of(sampler).all->build(of(sampler), ctx, *data);
    }

    static void set_input(llama_sampler * sampler) { of(sampler).all->size_outputs(of(sampler)); }

    static void reset(llama_sampler * sampler) { of(sampler).stale = true; }

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

DeviceArgmax::DeviceArgmax(Where where, int32_t n_vocab, uint32_t n_seq_max)
    : where_(where), n_vocab_(n_vocab), configs_(std::make_unique<llama_sampler_seq_config[]>(n_seq_max)) {
    static llama_sampler_i calls = PartCalls::interface();
    for (uint32_t seq_id = 0; seq_id < n_seq_max; ++seq_id) {
        parts_.push_back(std::make_unique<Part>());
        parts_.back()->all = this;
        chains_.push_back(llama_sampler_chain_init(llama_sampler_chain_default_params()));
        llama_sampler_chain_add(chains_.back(), llama_sampler_init(&calls, parts_.back().get()));
        configs_[seq_id] = {static_cast<SeqId>(seq_id), chains_.back()};
    }
}

DeviceArgmax::~DeviceArgmax() {
    for (auto * chain : chains_) {
        llama_sampler_free(chain);
    }
}

bool DeviceArgmax::pays_on(const std::vector<std::string> & devices) {
    return !devices.empty() && std::all_of(devices.begin(), devices.end(), [](const std::string & name) {
        ggml_backend_dev_t device = ggml_backend_dev_by_name(name.c_str());
        return device && is_known(device);
    });
}

void DeviceArgmax::attach(llama_context_params & params) {
    params.samplers = configs_.get();
    params.n_samplers = chains_.size();
}

bool DeviceArgmax::supported_by(ggml_backend_buffer_type_t type) const {
    ggml_backend_dev_t device = ggml_backend_buft_get_device(type);
    if (!device || ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_CPU) {
        return where_ == Where::Anywhere;
    }
    return is_known(device) && supports_operations(device, n_vocab_);
}

// `data` has a view of one row of the logits, padded by a row; what is put there is copied to the host after each
// micro-batch. A sequence that has no row in this one is shown the first.
void DeviceArgmax::build(Part & part, ggml_context * ctx, llama_sampler_data & data) {
    const ggml_tensor * given = std::exchange(data.logits, nullptr);
    ggml_tensor * padded = given->view_src ? given->view_src : const_cast<ggml_tensor *>(given);
    ggml_tensor * rows = padded->op == GGML_OP_PAD ? padded->src[0] : padded;
    const auto row = static_cast<int64_t>(given->view_offs / padded->nb[1]);
    if (part.needs == Needs::Nothing || row >= rows->ne[1]) {
        return;
    }
    if (std::exchange(part.stale, false)) {
        part.rows.clear();
        part.logits.clear();
        part.ids = part.sums = nullptr;
    }
    data.logits = ggml_view_1d(ctx, rows, rows->ne[0], static_cast<size_t>(row) * rows->nb[1]);
    part.rows.push_back(row);
    part.logits.push_back(data.logits);
    if (row > 0 || !supported_) {
        return;
    }
    n_rows_ = rows->ne[1];
    rows = ggml_is_contiguous(rows) ? rows : ggml_cont(ctx, rows);
    ggml_tensor * ids = ggml_argmax(ctx, rows);
    ggml_tensor * sums = ggml_sum_rows(ctx, rows);
    ggml_set_output(ids);
    ggml_set_output(sums);
    data.candidates = part.ids = ggml_view_1d(ctx, ids, n_rows_, 0);
    data.probs = part.sums = ggml_view_1d(ctx, sums, n_rows_, 0);
}

// Called before each micro-batch with outputs of the sequence. The views say how much is copied when it is computed:
// they are made as long as this batch needs them, so that llama.cpp goes on using the graph it has.
void DeviceArgmax::size_outputs(Part & part) {
    whole_ = supported_ && n_rows_ == n_outputs_;
    for (auto * view : part.logits) {
        view->ne[0] = whole_ && part.needs == Needs::Likeliest ? 0 : n_vocab_;
    }
    if (part.ids) {
        part.ids->ne[0] = part.sums->ne[0] = whole_ ? n_rows_ : 0;
    }
}

void DeviceArgmax::begin(const Batch & batch) {
    for (auto & part : parts_) {
        part->needs = Needs::Nothing;
    }
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        auto & needs = parts_[static_cast<size_t>(*batch.seq_ids(i))]->needs;
        if (batch.outputs()[static_cast<size_t>(i)]) {
            needs = std::max(needs, batch.likeliest(i) ? Needs::Likeliest : Needs::Logits);
        }
    }
    n_outputs_ = batch.n_outputs();
    whole_ = false;
    likeliest_.clear();
}

void DeviceArgmax::end(llama_context * ctx, const Batch & batch) {
    if (!whole_) {
        return;
    }
    std::vector<int64_t> rows(static_cast<size_t>(batch.n_tokens()), -1);
    std::vector<size_t> n_seen(parts_.size());
    int32_t holder = -1;  // the token whose row is the first
    for (int32_t i = 0; i < batch.n_tokens(); ++i) {
        const auto seq_id = static_cast<size_t>(*batch.seq_ids(i));
        if (batch.outputs()[static_cast<size_t>(i)] && n_seen[seq_id] < parts_[seq_id]->rows.size()) {
            const int64_t row = parts_[seq_id]->rows[n_seen[seq_id]++];
            rows[static_cast<size_t>(i)] = row;
            holder = row == 0 ? i : holder;
        }
    }
    const bool held = holder >= 0 && llama_get_sampled_candidates_count_ith(ctx, holder) == n_rows_;
    const Token * ids = held ? llama_get_sampled_candidates_ith(ctx, holder) : nullptr;
    const float * sums = held ? llama_get_sampled_probs_ith(ctx, holder) : nullptr;
    likeliest_.assign(rows.size(), not_asked);
    for (size_t i = 0; i < rows.size(); ++i) {
        const auto seq_id = static_cast<size_t>(*batch.seq_ids(static_cast<int32_t>(i)));
        if (rows[i] >= 0 && parts_[seq_id]->needs == Needs::Likeliest) {
            const bool finite = sums && std::isfinite(sums[rows[i]]);
            likeliest_[i] = finite && ids[rows[i]] >= 0 && ids[rows[i]] < n_vocab_ ? ids[rows[i]] : -1;
        }
    }
}

bool DeviceArgmax::found(int32_t i) const {
    return i >= 0 && static_cast<size_t>(i) < likeliest_.size() && likeliest_[static_cast<size_t>(i)] != not_asked;
}

}  // namespace shimmy
