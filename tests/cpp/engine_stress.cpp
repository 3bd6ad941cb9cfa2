#include "engine_stress.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "errors.h"
#include "stress_requests.h"

namespace shimmy {
namespace {

using std::chrono::milliseconds;

const std::shared_ptr<Model> & draft_model() {
    static const auto model = Model::load(demo_data() + "shimmy-mini-draft.gguf");
    return model;
}

}  // namespace

EngineStress::EngineStress(const Options & options) : options_(options) {
    engine_ = std::make_unique<Engine>(demo_model(), options.context, options.engine,
                                       options.draft ? draft_model() : nullptr);
}

EngineStress::~EngineStress() = default;

void EngineStress::problem(const std::string & what) {
    std::lock_guard lock(mutex_);
    problems_.insert(what);
}

// A thread that takes turns for as long as load is wanted. What callers have to expect is no problem.
void EngineStress::start(const std::function<void(Random &)> & turn) {
    threads_.emplace_back([this, turn, seed = static_cast<uint32_t>(threads_.size())] {
        Random random(seed);
        while (loaded_) {
            try {
                turn(random);
            } catch (const QueueFullError &) {
                std::this_thread::sleep_for(milliseconds(5));
            } catch (const ModelNotFoundError &) {
                std::this_thread::sleep_for(milliseconds(1));
            } catch (const EngineDeadError & error) {
                if (!shut_down_) {
                    problem(error.what());
                }
                return;
            } catch (const std::exception & error) {
                problem(error.what());
            }
        }
    });
}

void EngineStress::add(Random & random) {
    auto request = random_request(random);
    const RequestId id = engine_->add_request(request);
    RequestId newest = newest_;
    while (newest < id && !newest_.compare_exchange_weak(newest, id)) {
    }
    std::lock_guard lock(mutex_);
    asked_.emplace(id, std::move(request));
}

// Requests that wait, run, have ended or do not exist yet.
void EngineStress::cancel(Random & random) {
    const RequestId newest = newest_ + 2;
    const RequestId id = newest - std::min<RequestId>(newest, below(random, 48));
    bool some = false;  // a third of what was asked, so that some answers come to their end
    {
        std::lock_guard lock(mutex_);
        some = cancelled_.size() < newest / 3 && cancelled_.insert(id).second;
    }
    if (some) {
        engine_->cancel(id);
    }
    const auto stats = engine_->stats();
    if (stats.kv_cells_used > stats.kv_cells_total || stats.running > options_.engine.max_num_seqs) {
        problem("stats: " + std::to_string(stats.kv_cells_used) + " cells, " + std::to_string(stats.running) +
                " running");
    }
    std::this_thread::sleep_for(milliseconds(below(random, 20)));
}

void EngineStress::swap_adapters(Random & random) {
    const auto & name = adapter_names[below(random, 2)];
    if (one_in(random, 3)) {
        engine_->unload_adapter(name);
    } else {
        engine_->load_adapter(name, demo_data() + "shimmy-mini-" + adapter_names[below(random, 2)] + "-lora.gguf");
    }
    ++n_swaps_;
    if (engine_->adapters().size() > adapter_names.size()) {
        problem("more adapters than names");
    }
    std::this_thread::sleep_for(milliseconds(below(random, 200)));
}

void EngineStress::use_prefixes(Random & random) {
    Engine::PrefixOwner owner{some_tenant(random), {}};
    if (one_in(random, 4)) {
        owner.lora = {{adapter_names[below(random, 2)], 1.0}};
    }
    auto tokens = chat(below(random, 4), below(random, max_turns));
    tokens.resize(tokens.size() - below(random, tokens.size() / 2));
    std::this_thread::sleep_for(milliseconds(below(random, 20)));
    try {
        switch (below(random, 4)) {
            case 0: {
                const auto state = engine_->save_prefix(owner, tokens);
                owner.tenant = some_tenant(random);
                if (engine_->load_prefix(owner, state) != tokens) {
                    problem("a loaded prefix has other tokens than the saved one");
                }
                break;
            }
            case 1:
                engine_->pin_prefix(owner, tokens);
                std::this_thread::sleep_for(milliseconds(below(random, 20)));
                engine_->unpin_prefix(owner, tokens);
                break;
            case 2: {
                const size_t n_discard = 1 + below(random, 8);
                if (engine_->shift_prefix(owner, tokens, 4, n_discard).size() + n_discard != tokens.size()) {
                    problem("a shifted prefix has the wrong number of tokens");
                }
                break;
            }
            default:
                engine_->unpin_prefix(owner, tokens);
        }
        ++n_prefix_calls_;
    } catch (const InvalidRequestError & error) {
        if (error.param != "tokens" && error.param != "state") {
            throw;
        }
    }
}

void EngineStress::collect() {
    for (;;) {
        const bool last_call = collected_;
        const auto outputs = engine_->wait(milliseconds(20));
        std::lock_guard lock(mutex_);
        for (const auto & output : outputs) {
            auto & told = told_[output.id];
            told.more_after_last = told.more_after_last || told.n_last > 0;
            told.text += output.text;
            told.n_tokens += output.tokens.size();
            told.n_answered += output.n_answered;
            told.n_logprobs += output.logprobs.size();
            told.n_prompt_logprobs += output.prompt_logprobs.size();
            if (output.finish_reason != FinishReason::None) {
                ++told.n_last;
                told.reason = output.finish_reason;
                told.error = output.error;
                told.usage = output.usage;
            }
        }
        if (last_call && outputs.empty()) {
            return;
        }
    }
}

void EngineStress::run(double seconds, bool shut_down) {
    collector_ = std::thread([this] { collect(); });
    std::atomic<bool> stepping{true};
    for (int i = 0; i < 3; ++i) {
        start([this](Random & random) { add(random); });
    }
    for (int i = 0; i < (options_.stepped ? 2 : 0); ++i) {
        steppers_.emplace_back([&] {
            while (stepping) {
                engine_->step();
            }
        });
    }
    if (!options_.stepped) {
        engine_->start();
    }
    start([this](Random & random) { cancel(random); });
    start([this](Random & random) { swap_adapters(random); });
    start([this](Random & random) { swap_adapters(random); });
    start([this](Random & random) { use_prefixes(random); });
    start([this](Random & random) { use_prefixes(random); });
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));

    if (shut_down) {
        shut_down_ = true;
        std::thread other([&] { engine_->shutdown(); });
        engine_->shutdown();
        other.join();
    }
    loaded_ = false;
    for (auto & thread : threads_) {
        thread.join();
    }
    if (!shut_down) {
        fill_cache();
    }
    stepping = false;
    for (auto & thread : steppers_) {
        thread.join();
    }
    engine_->shutdown();
    collected_ = true;
    collector_.join();
    check_told();
    check_counts();
    check_cells();
    Request late;
    late.prompt = chat(0, 0);
    CHECK_THROWS_AS(engine_->add_request(late), EngineDeadError);
}

// When all have ended, each sequence can take as much as there is: nothing has leaked.
void EngineStress::fill_cache() {
    const auto n_ctx = static_cast<size_t>(engine_->n_ctx());
    std::vector<Token> prompt;
    while (prompt.size() < n_ctx - 1) {
        const auto turn = chat(0, 0);
        prompt.insert(prompt.end(), turn.begin(), turn.end());
    }
    prompt.resize(n_ctx - 1);
    const uint32_t n = options_.context.kv_unified ? 1 : options_.engine.max_num_seqs;
    for (uint32_t i = 0; i < n; ++i) {
        Request request;
        request.prompt = prompt;
        request.max_tokens = 1;
        request.ignore_eos = true;
        request.tenant = "filler " + std::to_string(i);
        for (;;) {
            try {
                const RequestId id = engine_->add_request(request);
                std::lock_guard lock(mutex_);
                asked_.emplace(id, request);
                cancelled_.erase(id);
                break;
            } catch (const QueueFullError &) {
                std::this_thread::sleep_for(milliseconds(1));
            }
        }
    }
    const auto ended = [&] {
        std::lock_guard lock(mutex_);
        return std::all_of(asked_.begin(), asked_.end(), [&](const auto & entry) {
            const auto found = told_.find(entry.first);
            return found != told_.end() && found->second.n_last > 0;
        });
    };
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(10);  // sanitizers are slow
    while (!ended() && engine_->death().empty() && std::chrono::steady_clock::now() < give_up) {
        std::this_thread::sleep_for(milliseconds(5));
    }
}

}  // namespace shimmy
