#include "engine/embedder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "engine/embedding_rows.h"
#include "engine/packing.h"
#include "errors.h"
#include "in_range.h"

namespace shimmy {
namespace {

constexpr uint32_t most_tokens_by_default = 2048;

std::string text(size_t number) {
    return std::to_string(number);
}

EmbedderParams checked(EmbedderParams params) {
    in_range("max_num_seqs", params.max_num_seqs, 1U, 256U);
    in_range("max_waiting", params.max_waiting, 1U, 1U << 24);
    in_range("max_input_tokens", params.max_input_tokens, 0U, 65536U - 256);
    in_range("batch_tokens", params.batch_tokens, 1U, 65536U - 256);
    return params;
}

// Last is what vLLM takes for generating models: the only token that has seen the whole input. Mean is what
// sentence-transformers takes where nothing is said.
std::string pooling_for(const Model & model, bool causal, const std::string & asked) {
    const auto own = model.pooling();
    if (asked == "rank" && own != "rank") {
        throw InvalidRequestError(
            model.path() + " has no classification head, which pooling rank needs: use a reranker", "pooling");
    }
    if (!asked.empty()) {
        return asked;
    }
    return own.empty() || own == "none" ? (causal ? "last" : "mean") : own;
}

ContextParams for_embedder(const Model & model, ContextParams context, const EmbedderParams & params) {
    if (model.has_encoder() && model.has_decoder()) {
        throw InvalidRequestError(model.path() + " is an encoder-decoder model, which cannot embed");
    }
    const auto trained = static_cast<uint32_t>(std::max(model.n_ctx_train(), 1));
    if (params.max_input_tokens > trained) {
        throw InvalidRequestError(
            "max_input_tokens is " + text(params.max_input_tokens) + ", the model was trained with " + text(trained),
            "max_input_tokens");
    }
    const uint32_t longest =
        params.max_input_tokens > 0 ? params.max_input_tokens : std::min(trained, most_tokens_by_default);
    const bool causal = context.attention.empty() ? model.is_causal() : context.attention == "causal";
    context.pooling = pooling_for(model, causal, params.pooling);
    const bool cuts = model.can_generate() && causal && (context.pooling == "last" || context.pooling == "none");
    const uint32_t at_once = cuts ? std::min(params.batch_tokens, longest) : std::max(params.batch_tokens, longest);
    // llama.cpp computes sequences of different lengths of a recurrent model in pieces, and pools each.
    context.n_seq_max = model.is_recurrent() && !cuts ? 1 : std::min(params.max_num_seqs, at_once);
    // Context rounds n_ubatch down to a multiple of n_seq_max.
    context.n_batch = (at_once + context.n_seq_max - 1) / context.n_seq_max * context.n_seq_max;
    context.n_ubatch = context.n_batch;
    context.n_ctx = std::max(longest, context.n_batch);
    context.n_outputs_max = 0;
    context.kv_unified = true;
    context.embeddings = true;
    return context;
}

}  // namespace

Embedder::Embedder(std::shared_ptr<Model> model, const ContextParams & context, const EmbedderParams & params)
    : model_(std::move(model)),
      params_(checked(params)),
      context_(model_, for_embedder(*model_, context, params_)),
      tokenizer_(model_),
      encodes_(!context_.has_cache() || model_->has_encoder()),
      pools_(context_.pooling() != "none"),
      batch_tokens_(std::min(context_.n_batch(), context_.n_ubatch())),
      width_(static_cast<size_t>(context_.pooling() == "rank" ? model_->n_cls_out() : model_->n_embd_out())) {
    max_input_tokens_ =
        params_.max_input_tokens > 0
            ? params_.max_input_tokens
            : std::min(static_cast<uint32_t>(std::max(model_->n_ctx_train(), 1)), most_tokens_by_default);
    if (encodes_ || context_.whole()) {
        max_input_tokens_ = std::min(max_input_tokens_, batch_tokens_);
    }
}

Embedder::~Embedder() {
    shutdown();
}

void Embedder::check(const std::vector<std::vector<Token>> & inputs, const EmbedOptions & options) const {
    if (inputs.empty()) {
        throw InvalidRequestError("there is no input", "input");
    }
    if (inputs.size() > params_.max_waiting) {
        throw InvalidRequestError("there are " + text(inputs.size()) + " inputs, the queue holds " +
                                      text(params_.max_waiting) + ": send fewer at once",
                                  "input");
    }
    for (size_t i = 0; i < inputs.size(); ++i) {
        const size_t n = inputs[i].size();
        if (n == 0) {
            throw InvalidRequestError("input " + text(i) + " is empty", "input");
        }
        if (n > max_input_tokens_) {
            throw PromptTooLongError("input " + text(i) + " has " + text(n) + " tokens and at most " +
                                         text(max_input_tokens_) +
                                         " can be embedded: shorten it, or load the model with a larger "
                                         "max_input_tokens, up to the " +
                                         std::to_string(model_->n_ctx_train()) + " it was trained with",
                                     "input", static_cast<int64_t>(n), static_cast<int64_t>(max_input_tokens_));
        }
        for (const Token token : inputs[i]) {
            tokenizer_.check(token, "input");
        }
    }
    if (options.dimensions && (*options.dimensions < 1 || *options.dimensions > width_)) {
        throw InvalidRequestError("dimensions is " + text(*options.dimensions) +
                                      ", embeddings of this model have between 1 and " + text(width_),
                                  "dimensions");
    }
}

EmbedJobId Embedder::add(std::vector<std::vector<Token>> inputs, const EmbedOptions & options) {
    check(inputs, options);
    std::lock_guard lock(mutex_);
    if (!death_.empty()) {
        throw EngineDeadError(death_);
    }
    if (waiting_.size() + inputs.size() > params_.max_waiting) {
        throw QueueFullError(text(waiting_.size()) + " inputs are waiting to be embedded already, the queue holds " +
                             text(params_.max_waiting));
    }
    const EmbedJobId id = next_id_++;
    jobs_.emplace(id, Job{options, inputs.size(), std::vector<std::vector<float>>(inputs.size())});
    for (size_t i = 0; i < inputs.size(); ++i) {
        waiting_.push_back({id, i, std::move(inputs[i])});
    }
    return id;
}

void Embedder::cancel(EmbedJobId id) {
    std::lock_guard lock(mutex_);
    if (jobs_.erase(id) > 0) {
        std::erase_if(waiting_, [&](const Input & input) { return input.job == id; });
    }
}

std::vector<Embedder::Input> Embedder::take_batch() {
    std::vector<size_t> lengths;
    lengths.reserve(waiting_.size());
    for (const auto & input : waiting_) {
        lengths.push_back(input.alone ? std::numeric_limits<size_t>::max() : input.tokens.size());
    }
    const auto chosen = pack_batch(lengths, {batch_tokens_, context_.n_seq_max()});
    std::vector<Input> batch;
    for (const size_t index : chosen) {
        batch.push_back(std::move(waiting_[index]));
    }
    std::erase_if(waiting_, [](const Input & input) { return input.tokens.empty(); });  // those moved from
    return batch;
}

std::vector<EmbedOutput> Embedder::step() {
    std::lock_guard step_lock(step_mutex_);
    std::vector<Input> batch;
    {
        std::lock_guard lock(mutex_);
        batch = take_batch();
    }
    std::vector<std::vector<float>> rows(batch.size());
    std::string failure;
    std::string shortage;
    bool done = false;
    try {
        done = !batch.empty() && compute(batch, rows);
    } catch (const OutOfMemoryError & error) {
        shortage = error.what();
    } catch (const std::exception & error) {
        failure = error.what();
    }
    std::lock_guard lock(mutex_);
    if (!failure.empty()) {
        die("the embedder died: " + failure);
    }
    if (!shortage.empty() && batch.size() > 1) {
        repeat_alone(std::move(batch));
    } else if (!shortage.empty() && jobs_.count(batch.front().job) > 0) {
        fail(batch.front().job, shortage);
    }
    if (done) {
        ++stats_.batches;
        for (const auto & input : batch) {
            stats_.tokens += input.tokens.size();
        }
        poisoned_ = !std::all_of(rows.begin(), rows.end(), all_finite);
        if (poisoned_ && batch.size() > 1) {
            repeat_alone(std::move(batch));
        } else {
            for (size_t i = 0; i < batch.size(); ++i) {
                deliver(batch[i], std::move(rows[i]));
            }
        }
    }
    return std::exchange(ended_, {});
}

// False when shutdown() stopped it. Only an input that is alone has more tokens than a batch.
bool Embedder::compute(const std::vector<Input> & inputs, std::vector<std::vector<float>> & rows) {
    if (context_.has_cache()) {
        context_.kv_cache().clear(std::exchange(poisoned_, false));
    }
    size_t longest = 0;
    for (const auto & input : inputs) {
        longest = std::max(longest, input.tokens.size());
    }
    for (size_t begin = 0; begin < longest; begin += batch_tokens_) {
        batch_.clear();
        for (size_t s = 0; s < inputs.size(); ++s) {
            const auto & tokens = inputs[s].tokens;
            for (size_t i = begin; i < std::min(tokens.size(), begin + batch_tokens_); ++i) {
                batch_.add(tokens[i], static_cast<Pos>(i), static_cast<SeqId>(s), true);
            }
        }
        if (stopping_.load() || !run()) {
            return false;
        }
        for (int32_t i = 0; !pools_ && i < batch_.n_tokens(); ++i) {
            const auto row = context_.embeddings(i);
            auto & mine = rows[static_cast<size_t>(*batch_.seq_ids(i))];
            mine.insert(mine.end(), row.begin(), row.end());
        }
    }
    for (size_t s = 0; pools_ && s < inputs.size(); ++s) {
        const auto row = context_.embeddings_seq(static_cast<SeqId>(s));
        rows[s].assign(row.begin(), row.end());
    }
    return true;
}

bool Embedder::run() {
    switch (encodes_ ? context_.encode(batch_) : context_.decode(batch_)) {
        case DecodeStatus::Ok:
            return true;
        case DecodeStatus::Aborted:
            return false;
        case DecodeStatus::NoKvSlot:
            throw DecodeError("its cache has no room for a batch");
        case DecodeStatus::Invalid:
            throw DecodeError("llama.cpp refused a batch");
        case DecodeStatus::NoMemory:
            throw OutOfMemoryError("there was no memory to compute it in: " + context_.trouble());
        case DecodeStatus::Broken:
        case DecodeStatus::Failed:
            break;
    }
    throw DecodeError("llama.cpp failed while computing a batch: " + context_.trouble());
}

void Embedder::deliver(const Input & input, std::vector<float> rows) {
    const auto found = jobs_.find(input.job);
    if (found == jobs_.end()) {
        return;  // cancelled or failed meanwhile
    }
    if (!all_finite(rows)) {
        fail(input.job, "the model computed values for input " + text(input.index) +
                            " that are no finite numbers: its weights are damaged, or the input overflows them");
        return;
    }
    auto & job = found->second;
    const size_t width = job.options.dimensions.value_or(static_cast<uint32_t>(width_));
    rows = cut_rows(std::move(rows), width_, width);
    if (job.options.normalize && context_.pooling() != "rank") {
        normalize_rows(rows, width);
    }
    job.rows[input.index] = std::move(rows);
    if (--job.n_left == 0) {
        ended_.push_back({input.job, std::move(job.rows), width, ""});
        jobs_.erase(found);
    }
}

// One input's NaN spreads to the whole batch: attention multiplies what it masks by zero.
void Embedder::repeat_alone(std::vector<Input> batch) {
    while (!batch.empty()) {
        batch.back().alone = true;
        if (jobs_.count(batch.back().job) > 0) {
            waiting_.push_front(std::move(batch.back()));
        }
        batch.pop_back();
    }
}

void Embedder::fail(EmbedJobId id, const std::string & error) {
    jobs_.erase(id);
    std::erase_if(waiting_, [&](const Input & input) { return input.job == id; });
    ended_.push_back({id, {}, 0, error});
}

void Embedder::die(const std::string & why) {
    if (death_.empty()) {
        death_ = why;
    }
    waiting_.clear();
    for (const auto & [id, job] : jobs_) {
        ended_.push_back({id, {}, 0, death_});
    }
    jobs_.clear();
}

void Embedder::shutdown() {
    {
        std::lock_guard lock(mutex_);
        die("the embedder was shut down");
    }
    stopping_.store(true);
    context_.abort();
}

std::vector<DeviceMemory> Embedder::memory() {
    std::lock_guard step_lock(step_mutex_);
    return context_.memory();
}

EmbedderStats Embedder::stats() const {
    std::lock_guard lock(mutex_);
    auto stats = stats_;
    stats.jobs = jobs_.size();
    stats.waiting = waiting_.size();
    return stats;
}

std::string Embedder::death() const {
    std::lock_guard lock(mutex_);
    return death_;
}

}  // namespace shimmy
