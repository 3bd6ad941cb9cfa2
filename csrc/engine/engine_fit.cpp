#include "engine/engine_fit.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "engine/engine_params.h"
#include "engine/layer_fit.h"
#include "in_range.h"
#include "llama/context.h"
#include "llama/context_params.h"
#include "llama/model.h"

namespace shimmy {
namespace {

constexpr uint32_t least_n_ctx = 4096;
constexpr int32_t most_margin_mib = 1 << 24;

// Measures plans; those that differ in their context only share the model, whose vocabulary takes longest.
class Measurement {
  public:
    Measurement(std::string path, ModelParams model, ContextParams context, const EngineParams & engine)
        : path_(std::move(path)), model_(std::move(model)), context_(std::move(context)), engine_(engine) {}

    const Model & model(int32_t n_gpu_layers, int32_t n_cpu_moe) {
        if (!loaded_ || model_.n_gpu_layers != n_gpu_layers || model_.n_cpu_moe != n_cpu_moe) {
            model_.n_gpu_layers = n_gpu_layers;
            model_.n_cpu_moe = n_cpu_moe;
            loaded_.reset();
            loaded_ = Model::measured(path_, model_);
        }
        return *loaded_;
    }

    std::vector<DeviceMemory> memory(const LayerPlan & plan) {
        model(plan.n_gpu_layers, plan.n_cpu_moe);
        auto params = context_;
        params.n_ctx = plan.n_ctx;
        const auto checked = loaded_->can_generate() ? for_engine(*loaded_, params, engine_) : params;
        return Context(loaded_, checked).memory();
    }

  private:
    std::string path_;
    ModelParams model_;
    ContextParams context_;
    const EngineParams & engine_;
    std::shared_ptr<Model> loaded_;
};

std::vector<MemoryNeed> needs_of(const std::vector<DeviceMemory> & memory, uint64_t margin) {
    std::vector<MemoryNeed> needs;
    for (const auto & device : memory) {
        if (device.type != "cpu") {
            // What does not tell is taken as it is.
            const bool tells = device.memory_total > 0;
            needs.push_back({tells ? device.used() : 0, device.memory_free - std::min(device.memory_free, margin)});
        }
    }
    return needs;
}

}  // namespace

EngineFit fit_engine(const std::string & path, const ModelParams & model, const ContextParams & context,
                     const EngineParams & engine) {
    const auto margin = static_cast<uint64_t>(in_range("gpu_margin_mib", model.gpu_margin_mib, 0, most_margin_mib))
                        << 20;
    EngineFit fit{model.n_gpu_layers, model.n_cpu_moe, context.n_ctx, 0, true, {}};
    if (model.n_gpu_layers != -1 || model.vocab_only) {
        return fit;
    }
    Measurement measurement(path, model, context, engine);
    const auto & probe = measurement.model(-1, model.n_cpu_moe);
    fit.n_layer = probe.n_layer();
    if (!probe.uses_gpu()) {
        return fit;
    }
    FitQuestion question;
    question.n_layer = probe.n_layer();
    question.has_experts = probe.has_experts() && model.n_cpu_moe == 0 && model.tensor_overrides.empty();
    question.n_cpu_moe = model.n_cpu_moe;
    question.n_ctx = context.n_ctx;
    question.n_ctx_most = default_n_ctx(probe, context);
    question.n_ctx_least = std::min(question.n_ctx_most, least_n_ctx);
    const auto found =
        fit_layers(question, [&](const LayerPlan & plan) { return needs_of(measurement.memory(plan), margin); });
    fit.n_gpu_layers = found.plan.n_gpu_layers;
    fit.n_cpu_moe = found.plan.n_cpu_moe;
    fit.n_ctx = found.plan.n_ctx;
    fit.fits = found.fits;
    fit.memory = measurement.memory(found.plan);
    return fit;
}

}  // namespace shimmy
