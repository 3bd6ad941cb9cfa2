#include "engine/engine.h"

#include <algorithm>
#include <locale>
#include <sstream>
#include <utility>

#include "engine/alora.h"
#include "engine/engine_params.h"
#include "engine/prefix_state.h"
#include "errors.h"

namespace shimmy {
namespace {

// Models that cannot take tokens back, and engines whose steps are of fixed shape, do without.
int32_t max_draft(const Model & model, const EngineParams & params) {
    const bool possible = !params.deterministic && !model.is_recurrent() && model.n_swa() == 0;
    return possible ? static_cast<int32_t>(params.max_draft) : 0;
}

Context make_context(std::shared_ptr<Model> model, ContextParams context, const EngineParams & params) {
    const auto made = for_engine(*model, std::move(context), params);
    const auto place = sampling_place(*model, made, params);
    return Context(std::move(model), made, place);
}

std::unique_ptr<DraftModel> make_draft_model(std::shared_ptr<Model> draft, const Context & target) {
    if (!draft) {
        return nullptr;
    }
    return std::make_unique<DraftModel>(std::move(draft), *target.model(), target.params(), target.n_seq_max(),
                                        target.n_ctx());
}

}  // namespace

Engine::Engine(std::shared_ptr<Model> model, ContextParams context, const EngineParams & params,
               std::shared_ptr<Model> draft)
    : model_(std::move(model)),
      params_(checked(params)),
      context_(make_context(model_, std::move(context), params_)),
      tokenizer_(std::make_shared<Tokenizer>(model_)),
      n_ctx_(context_.n_ctx_seq()),
      rules_{tokenizer_,
             n_ctx_,
             params_.deterministic ? fixed_chunk : 0,
             max_draft(*model_, params_),
             std::min(1 + most_forced, static_cast<int32_t>(context_.n_batch())),
             cells_per_decode(*model_, context_.params())},
      inbox_(params_.max_waiting, params_.max_waiting_tokens),
      batcher_(context_, inbox_, rules_, params_,
               rules_.max_draft > 0 ? make_draft_model(std::move(draft), context_) : nullptr) {
    publish();
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
    inbox_.stop();
    context_.abort();
    if (thread_.joinable()) {
        thread_.join();
    }
    {
        std::lock_guard step_lock(step_mutex_);
        batcher_.end_all(FinishReason::Cancelled);
        publish();
    }
    outbox_.close();
}

template <typename Call>
void Engine::or_die(Call call) {
    try {
        call();
    } catch (const std::exception & error) {
        inbox_.die(std::string("the engine died: ") + error.what());
        batcher_.end_all(FinishReason::Failed, inbox_.death());
    }
}

void Engine::loop() {
    {
        std::lock_guard step_lock(step_mutex_);
        or_die([this] { batcher_.probe(); });
        publish();
    }
    // Whether there is work changes on this thread only, so asking needs no step lock.
    while (inbox_.wait(batcher_.busy())) {
        let_callers_in();
        std::lock_guard step_lock(step_mutex_);
        run_step();
    }
}

// Steps follow each other at once, and a mutex is not fair: those who wait for their turn between two come first.
void Engine::let_callers_in() {
    turn_.lock();
    turn_.unlock();
}

std::shared_ptr<const PrefixTokens> Engine::vocabulary_texts() {
    std::lock_guard lock(texts_mutex_);
    if (!texts_) {
        texts_ = std::make_shared<PrefixTokens>(tokenizer_);
    }
    return texts_;
}

AdapterPlan Engine::plan_adapters(const Lora & lora, std::span<const Token> prompt) {
    AdapterPlan plan{adapters_.intern(lora), {}, 0};
    Lora others;
    std::shared_ptr<const LoraAdapter> activated;
    for (const auto & entry : lora) {
        if (entry.second == 0) {
            continue;
        }
        auto found = adapters_.activated(entry.first);
        if (found && activated) {
            throw InvalidRequestError("adapter '" + entry.first +
                                          "' and another one are activated by tokens of the prompt; a request can have "
                                          "one such adapter",
                                      "lora");
        }
        if (found) {
            activated = std::move(found);
        } else {
            others.push_back(entry);
        }
    }
    if (!activated) {
        return plan;
    }
    plan.before = adapters_.intern(others);
    const auto start = activation_start(prompt, activated->invocation_tokens());
    if (!start) {
        plan.all = plan.before;
    } else {
        plan.switch_at = static_cast<int32_t>(*start);
    }
    return plan;
}

RequestId Engine::add_request(Request request) {
    const size_t n_tokens = request.prompt.size() + request.answered.size();
    const RequestId id = inbox_.enter_queue(n_tokens);
    try {
        auto adapters = plan_adapters(request.lora, request.prompt);
        auto texts = request.token_healing ? vocabulary_texts() : nullptr;
        inbox_.put(std::make_unique<Sequence>(id, std::move(request), std::move(adapters), rules_, std::move(texts)));
    } catch (...) {
        inbox_.leave_queue(n_tokens);
        throw;
    }
    return id;
}

void Engine::cancel(RequestId id) {
    inbox_.cancel(id, [this] { context_.abort(); });
}

bool Engine::step() {
    let_callers_in();
    std::lock_guard step_lock(step_mutex_);
    if (started_) {
        throw InvalidRequestError("the engine steps by itself since start()");
    }
    return run_step();
}

bool Engine::run_step() {
    bool busy = true;
    or_die([&] { busy = batcher_.step(); });
    publish();
    return busy;
}

void Engine::load_adapter(const std::string & name, const std::string & path) {
    adapters_.put(name, LoraAdapter::load(model_, path));
}

void Engine::publish() {
    {
        std::lock_guard lock(stats_mutex_);
        published_ = batcher_.stats();
    }
    outbox_.put(batcher_.take_outputs());
}

// The set that a request computes these tokens with, and keeps them under.
AdapterSets::Interned Engine::adapters_of(const PrefixOwner & owner, std::span<const Token> tokens) {
    auto plan = plan_adapters(owner.lora, tokens);
    if (plan.switch_at > 0) {
        const auto activated = std::find_if(owner.lora.begin(), owner.lora.end(), [&](const auto & entry) {
            return adapters_.activated(entry.first) != nullptr;
        });
        throw InvalidRequestError((activated == owner.lora.end() ? "an adapter" : "'" + activated->first + "'") +
                                      " applies from token " + std::to_string(plan.switch_at) +
                                      " on, and what it computes is not kept: give the tokens before that",
                                  "tokens");
    }
    return std::move(plan.all);
}

template <typename Call>
auto Engine::between_steps(const CacheSpace & space, Call call) {
    std::lock_guard turn(turn_);
    std::lock_guard step_lock(step_mutex_);
    inbox_.check_open();
    return call(batcher_.slots(), space);
}

template <typename Call>
auto Engine::between_steps(const PrefixOwner & owner, std::span<const Token> tokens, Call call) {
    return between_steps(CacheSpace{owner.tenant, adapters_of(owner, tokens).id}, call);
}

// Bytes are framed, checked and copied outside of the step: only the cells themselves are read and set between two. The
// adapters are looked up once: one that is replaced meanwhile is another set, which these cells are not of.
std::vector<uint8_t> Engine::save_prefix(const PrefixOwner & owner, std::span<const Token> tokens) {
    const auto adapters = adapters_of(owner, tokens);
    const auto cells =
        between_steps(CacheSpace{owner.tenant, adapters.id},
                      [&](Slots & slots, const CacheSpace & space) { return slots.extract(space, tokens); });
    return write_prefix_state(context_, adapters_fingerprint(adapters.set),
                              {{tokens.begin(), tokens.end()}, cells.n_cells, *cells.state});
}

std::vector<Token> Engine::load_prefix(const PrefixOwner & owner, std::span<const uint8_t> state) {
    inbox_.check_open();
    const auto adapters = adapters_of(owner, {});
    auto prefix = read_prefix_state(context_, adapters_fingerprint(adapters.set), state);
    HostCache::State copy;
    if (batcher_.slots().goes_to_host(prefix.state.size())) {
        copy = std::make_shared<const std::vector<uint8_t>>(prefix.state.begin(), prefix.state.end());
    }
    between_steps(CacheSpace{owner.tenant, adapters.id},
                  [&](Slots & slots, const CacheSpace & space) { slots.insert(space, prefix, copy); });
    return std::move(prefix.tokens);
}

size_t Engine::cached_prefix(const PrefixOwner & owner, std::span<const Token> tokens) {
    return between_steps(owner, tokens,
                         [&](Slots & slots, const CacheSpace & space) { return slots.cached(space, tokens); });
}

std::string Engine::prefix_settings() const {
    std::ostringstream text;
    text.imbue(std::locale::classic());
    text << "model=" << std::hex << model_->fingerprint() << std::dec << ' ' << state_settings(context_)
         << " flash_attn=" << context_.params().flash_attn << " deterministic=" << params_.deterministic;
    return text.str();
}

uint64_t Engine::prefix_adapters(const PrefixOwner & owner, std::span<const Token> tokens) {
    return adapters_fingerprint(adapters_of(owner, tokens).set);
}

void Engine::pin_prefix(const PrefixOwner & owner, std::span<const Token> tokens) {
    between_steps(owner, tokens, [&](Slots & slots, const CacheSpace & space) { slots.pin(space, tokens); });
}

void Engine::unpin_prefix(const PrefixOwner & owner, std::span<const Token> tokens) {
    between_steps(owner, tokens, [&](Slots & slots, const CacheSpace & space) { slots.unpin(space, tokens); });
}

std::vector<Token> Engine::shift_prefix(const PrefixOwner & owner, std::span<const Token> tokens, size_t n_keep,
                                        size_t n_discard) {
    return between_steps(owner, tokens, [&](Slots & slots, const CacheSpace & space) {
        return slots.shift(space, tokens, n_keep, n_discard);
    });
}

std::vector<DeviceMemory> Engine::memory() {
    std::lock_guard turn(turn_);
    std::lock_guard step_lock(step_mutex_);
    return context_.memory();
}

EngineStats Engine::stats() const {
    EngineStats stats;
    {
        std::lock_guard lock(stats_mutex_);
        stats = published_;
    }
    stats.waiting = inbox_.n_waiting();
    return stats;
}

}  // namespace shimmy
