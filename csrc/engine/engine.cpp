#include "engine/engine.h"

#include <algorithm>
#include <utility>

#include "errors.h"

namespace shimmy {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

EngineParams checked(EngineParams params) {
    const auto range = [](const char * name, uint32_t value, uint32_t low, uint32_t high) {
        if (value < low || value > high) {
            throw InvalidRequestError(std::string(name) + " is " + std::to_string(value) + ", it must be between " +
                                          std::to_string(low) + " and " + std::to_string(high),
                                      name);
        }
    };
    range("max_num_seqs", params.max_num_seqs, 1, 256);
    range("max_waiting", params.max_waiting, 1, 1U << 20);
    range("prefill_budget", params.prefill_budget, static_cast<uint32_t>(min_chunk), 65536);
    return params;
}

size_t tokens_in(const StepPlan & plan) {
    size_t n = 0;
    for (const auto & share : plan.shares) {
        n += static_cast<size_t>(share.n_tokens);
    }
    return n;
}

ContextParams for_engine(const Model & model, ContextParams context, const EngineParams & params) {
    if (!model.has_decoder() || model.has_encoder()) {
        throw InvalidRequestError(model.path() + " is no decoder-only model: the engine cannot generate with it");
    }
    context.n_seq_max = context.n_ctx > 0 ? std::min(params.max_num_seqs, context.n_ctx) : params.max_num_seqs;
    context.n_batch = std::max(context.n_batch, context.n_seq_max);
    context.n_outputs_max = context.n_seq_max;
    return context;
}

}  // namespace

Engine::Engine(std::shared_ptr<Model> model, ContextParams context, const EngineParams & params)
    : model_(std::move(model)),
      params_(checked(params)),
      context_(model_, for_engine(*model_, std::move(context), params_)),
      tokenizer_(std::make_shared<Tokenizer>(model_)),
      n_ctx_(context_.n_ctx_seq()),
      slots_(context_, params_.prefix_cache) {
    published_.kv_cells_total = context_.n_ctx();
}

Engine::~Engine() {
    shutdown();
}

void Engine::start() {
    std::scoped_lock lock(lifecycle_mutex_, step_mutex_);
    if (!std::exchange(started_, true)) {
        thread_ = std::thread([this] { loop(); });
    }
}

void Engine::shutdown() {
    std::lock_guard lifecycle(lifecycle_mutex_);
    {
        std::lock_guard lock(inbox_mutex_);
        stopping_ = true;
    }
    context_.abort();
    work_.notify_all();
    if (thread_.joinable()) {
        thread_.join();
    }
    {
        std::lock_guard step_lock(step_mutex_);
        take_inbox();
        end_all(FinishReason::Cancelled, "");
        publish_stats();
        outbox_.put(std::exchange(step_outputs_, {}));
    }
    outbox_.close();
}

void Engine::loop() {
    for (;;) {
        {
            std::unique_lock lock(inbox_mutex_);
            // running_ and queue_ change on this thread only, so reading them here needs no step lock.
            work_.wait(lock, [this] {
                return stopping_ || !arrivals_.empty() || !cancellations_.empty() || !running_.empty() ||
                       !queue_.empty();
            });
            if (stopping_) {
                return;
            }
        }
        std::lock_guard step_lock(step_mutex_);
        run_step();
    }
}

void Engine::check_open() const {
    if (stopping_ || !death_.empty()) {
        throw EngineDeadError(death_.empty() ? "the engine was shut down" : death_);
    }
}

RequestId Engine::add_request(Request request) {
    RequestId id = 0;
    {
        std::lock_guard lock(inbox_mutex_);
        check_open();
        if (n_waiting_ >= params_.max_waiting) {
            throw QueueFullError(std::to_string(n_waiting_) + " requests are waiting already, the queue holds " +
                                 std::to_string(params_.max_waiting));
        }
        ++n_waiting_;
        id = next_id_++;
    }
    try {
        auto adapters = adapters_.intern(request.lora);
        auto sequence = std::make_unique<Sequence>(id, std::move(request), std::move(adapters), tokenizer_, n_ctx_);
        std::lock_guard lock(inbox_mutex_);
        check_open();  // again: nobody would answer what arrives after the end
        arrivals_.push_back(std::move(sequence));
    } catch (...) {
        std::lock_guard lock(inbox_mutex_);
        --n_waiting_;
        throw;
    }
    work_.notify_one();
    return id;
}

void Engine::cancel(RequestId id) {
    {
        std::lock_guard lock(inbox_mutex_);
        cancellations_.insert(id);
        if (in_flight_.count(id) > 0) {
            context_.abort();
        }
    }
    work_.notify_one();
}

bool Engine::step() {
    std::lock_guard step_lock(step_mutex_);
    if (started_) {
        throw InvalidRequestError("the engine steps by itself since start()");
    }
    return run_step();
}

bool Engine::run_step() {
    bool busy = true;
    try {
        busy = compute_step();
    } catch (const std::exception & error) {
        die(error.what());
    }
    publish_stats();
    outbox_.put(std::exchange(step_outputs_, {}));
    return busy;
}

bool Engine::compute_step() {
    const auto start = Clock::now();
    end_cancelled(take_inbox());
    admit();
    if (running_.empty()) {
        return !step_outputs_.empty();
    }
    ++step_;
    const auto plan = this->plan();
    slots_.evict_for(tokens_in(plan));
    switch (decode(plan)) {
        case DecodeStatus::Ok:
            advance(plan);
            break;
        case DecodeStatus::Aborted:
            undo(plan);
            break;
        case DecodeStatus::NoKvSlot:
            if (!make_room(plan)) {
                die("the KV cache has no room for a single request");
            }
            break;
        case DecodeStatus::Invalid:
            die("llama.cpp refused a batch of the engine");
            break;
        case DecodeStatus::Failed:
            die("llama.cpp failed while decoding");
            break;
    }
    ++counters_.steps;
    counters_.step_seconds += seconds_since(start);
    return true;
}

std::set<RequestId> Engine::take_inbox() {
    std::lock_guard lock(inbox_mutex_);
    for (auto & sequence : arrivals_) {
        if (sequence->wants_tokens()) {
            queue_.push_back(std::move(sequence));
            continue;
        }
        Output output;
        output.id = sequence->id();
        sequence->finish(FinishReason::Length, output);
        send(std::move(output));
        --n_waiting_;
    }
    arrivals_.clear();
    return std::exchange(cancellations_, {});
}

void Engine::end_cancelled(const std::set<RequestId> & ids) {
    if (ids.empty()) {
        return;
    }
    const auto cancelled = [&](Sequence & sequence) {
        if (ids.count(sequence.id()) == 0) {
            return false;
        }
        Output output;
        output.id = sequence.id();
        sequence.finish(FinishReason::Cancelled, output);
        send(std::move(output));
        return true;
    };
    const size_t before = queue_.size();
    std::erase_if(queue_, [&](auto & sequence) { return cancelled(*sequence); });
    {
        std::lock_guard lock(inbox_mutex_);
        n_waiting_ -= before - queue_.size();
    }
    std::erase_if(running_, [&](size_t index) {
        if (!cancelled(*slots_[index].sequence)) {
            return false;
        }
        slots_.release(index, true);
        return true;
    });
}

size_t Engine::cells_of_running() const {
    size_t cells = 0;
    for (const size_t index : running_) {
        cells += slots_[index].sequence->tokens().size();
    }
    return cells;
}

void Engine::admit() {
    while (!queue_.empty()) {
        const auto & next = *queue_.front();
        // Room for one more token each, so that a resumed request is not preempted again at once.
        const size_t wanted = cells_of_running() + next.tokens().size() + running_.size() + 1;
        if (!running_.empty() && context_.params().kv_unified && wanted > static_cast<size_t>(n_ctx_)) {
            return;
        }
        const auto slot = slots_.place(queue_.front(), step_);
        if (!slot) {
            return;
        }
        running_.push_back(*slot);
        queue_.pop_front();
        std::lock_guard lock(inbox_mutex_);
        --n_waiting_;
    }
}

StepPlan Engine::plan() const {
    std::vector<RunningView> views;
    for (const size_t index : running_) {
        const auto & slot = slots_[index];
        views.push_back({slot.sequence->n_pending(), slot.sequence->decoding(), slot.adapters, slot.last_step});
    }
    return plan_step(views, {static_cast<int32_t>(context_.n_batch()), static_cast<int32_t>(params_.prefill_budget)});
}

DecodeStatus Engine::decode(const StepPlan & plan) {
    if (plan.adapters != active_adapters_) {
        context_.set_adapters(slots_[running_[plan.shares.front().index]].sequence->adapters());
        active_adapters_ = plan.adapters;
    }
    batch_.clear();
    std::set<RequestId> worth_aborting;
    for (const auto & share : plan.shares) {
        const size_t index = running_[share.index];
        const auto & sequence = *slots_[index].sequence;
        const Pos end = sequence.n_computed() + share.n_tokens;
        Pos pos = sequence.n_computed();
        for (const Token token : sequence.pending(share.n_tokens)) {
            batch_.add(token, pos, static_cast<SeqId>(index), share.output && pos + 1 == end);
            ++pos;
        }
        if (share.n_tokens > 1 || plan.shares.size() == 1) {
            worth_aborting.insert(sequence.id());
        }
    }
    {
        std::lock_guard lock(inbox_mutex_);
        // What came after the inbox was taken found nothing to abort.
        const auto ended = [&](RequestId id) { return cancellations_.count(id) > 0; };
        if (stopping_ || std::any_of(worth_aborting.begin(), worth_aborting.end(), ended)) {
            return DecodeStatus::Aborted;
        }
        in_flight_ = std::move(worth_aborting);
    }
    const auto start = Clock::now();
    const auto status = context_.decode(batch_);
    counters_.decode_seconds += seconds_since(start);
    std::lock_guard lock(inbox_mutex_);
    in_flight_.clear();
    context_.clear_abort();  // one that came too late for this decode is not meant for the next
    return status;
}

void Engine::advance(const StepPlan & plan) {
    int32_t token = 0;  // index into the batch
    std::set<size_t> finished;
    for (const auto & share : plan.shares) {
        const size_t index = running_[share.index];
        auto & slot = slots_[index];
        slot.last_step = step_;
        slot.sequence->computed(share.n_tokens);
        token += share.n_tokens;
        if (!share.output) {
            continue;
        }
        Output output;
        output.id = slot.sequence->id();
        try {
            slot.sequence->advance(context_.logits(token - 1), output);
        } catch (const std::exception & error) {
            output.error = error.what();
            slot.sequence->finish(FinishReason::Failed, output);
        }
        if (output.finish_reason != FinishReason::None) {
            slots_.release(index, output.finish_reason != FinishReason::Failed);
            finished.insert(index);
        }
        send(std::move(output));
    }
    std::erase_if(running_, [&](size_t index) { return finished.count(index) > 0; });
}

void Engine::undo(const StepPlan & plan) {
    for (const auto & share : plan.shares) {
        slots_.rewind(running_[share.index]);
    }
}

bool Engine::make_room(const StepPlan & plan) {
    if (slots_.evict_oldest() > 0) {
        return true;
    }
    if (running_.size() > 1) {
        const auto newest = std::max_element(running_.begin(), running_.end(), [&](size_t a, size_t b) {
            return slots_[a].sequence->id() < slots_[b].sequence->id();
        });
        queue_.push_front(slots_.preempt(*newest));
        running_.erase(newest);
        ++counters_.preemptions;
        std::lock_guard lock(inbox_mutex_);
        ++n_waiting_;
        return true;
    }
    // One request alone fills the cache: it has reached the end of its context.
    const size_t index = running_.front();
    if (plan.shares.size() != 1 || !slots_[index].sequence->decoding()) {
        return false;
    }
    Output output;
    output.id = slots_[index].sequence->id();
    slots_[index].sequence->finish(FinishReason::Length, output);
    slots_.release(index, true);
    running_.clear();
    send(std::move(output));
    return true;
}

void Engine::send(Output output) {
    counters_.completion_tokens += output.tokens.size();
    if (output.finish_reason != FinishReason::None) {
        ++counters_.requests_finished;
        counters_.prompt_tokens += static_cast<uint64_t>(output.usage.prompt_tokens);
        counters_.cached_tokens += static_cast<uint64_t>(output.usage.cached_tokens);
    }
    step_outputs_.push_back(std::move(output));
}

std::vector<Output> Engine::wait(std::chrono::milliseconds timeout) {
    return outbox_.take(timeout);
}

void Engine::end_all(FinishReason reason, const std::string & error) {
    const auto end = [&](Sequence & sequence) {
        Output output;
        output.id = sequence.id();
        output.error = error;
        sequence.finish(reason, output);
        send(std::move(output));
    };
    for (const size_t index : running_) {
        if (slots_[index].sequence) {
            end(*slots_[index].sequence);
            slots_[index].sequence.reset();
        }
    }
    for (auto & sequence : queue_) {
        end(*sequence);
    }
    {
        std::lock_guard lock(inbox_mutex_);
        n_waiting_ -= queue_.size();
    }
    running_.clear();
    queue_.clear();
}

void Engine::die(const std::string & why) {
    {
        std::lock_guard lock(inbox_mutex_);
        death_ = "the engine died: " + why;
    }
    take_inbox();
    end_all(FinishReason::Failed, death_);
}

std::string Engine::death() const {
    std::lock_guard lock(inbox_mutex_);
    return death_;
}

void Engine::load_adapter(const std::string & name, const std::string & path) {
    adapters_.put(name, LoraAdapter::load(model_, path));
}

void Engine::unload_adapter(const std::string & name) {
    adapters_.remove(name);
}

void Engine::publish_stats() {
    counters_.running = running_.size();
    counters_.kv_cells_used = slots_.cells_used();
    counters_.kv_cells_total = context_.n_ctx();
    std::lock_guard lock(inbox_mutex_);
    published_ = counters_;
}

EngineStats Engine::stats() const {
    std::lock_guard lock(inbox_mutex_);
    auto stats = published_;
    stats.waiting = n_waiting_;
    return stats;
}

}  // namespace shimmy
