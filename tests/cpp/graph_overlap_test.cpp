// When a graph may get its places while a device computes (csrc/ggml/graph_overlap.h), by schedulers made by hand.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "ggml-backend-impl.h"
#include "ggml/graph_overlap.h"

namespace {

// A backend that has a name and can or cannot use the host's memory, and computes nothing.
struct Backend {
    std::string name;
    bool uses_host_memory = false;
    ggml_backend_device device{};
    ggml_backend backend{};

    ggml_backend_t get() {
        device.context = backend.context = this;
        backend.device = &device;
        backend.iface.get_name = [](ggml_backend_t one) { return static_cast<Backend *>(one->context)->name.c_str(); };
        device.iface.supports_buft = [](ggml_backend_dev_t one, ggml_backend_buffer_type_t) {
            return static_cast<Backend *>(one->context)->uses_host_memory;
        };
        return &backend;
    }
};

// The fields of ggml_backend_sched that are looked at.
struct Scheduler {
    int n_backends = 0;
    int n_copies = 1;
    ggml_backend_t backends[4] = {};
    ggml_backend_buffer_type_t bufts[4] = {};
    std::vector<int> leaf_backend_ids;

    struct {
        int n_leafs = 0;
        std::vector<ggml_tensor *> leafs;
    } graph;
};

// Devices by name, the host last, and a graph with a weight on the first device and an input on the host.
class Example {
  public:
    explicit Example(const std::vector<std::string> & names, bool uses_host_memory = false) {
        backends_.reserve(names.size());
        for (const auto & name : names) {
            auto & backend = backends_.emplace_back();
            backend.name = name;
            backend.uses_host_memory = uses_host_memory;
            scheduler.backends[scheduler.n_backends++] = backend.get();
        }
        input_.flags = GGML_TENSOR_FLAG_INPUT;
        scheduler.graph.leafs = {&weight_, &input_};
        scheduler.graph.n_leafs = 2;
        scheduler.leaf_backend_ids = {0, scheduler.n_backends - 1};
    }

    bool overlaps() const { return shimmy::may_place_while_computing(scheduler); }

    Scheduler scheduler;

  private:
    std::vector<Backend> backends_;
    ggml_tensor weight_{};
    ggml_tensor input_{};
};

}  // namespace

TEST_CASE("graphs are placed while one discrete CUDA device computes") {
    CHECK(Example({"CUDA0", "CPU"}).overlaps());
    CHECK(Example({"CUDA1", "CPU"}).overlaps());
}

TEST_CASE("graphs wait for devices of which that is not known") {
    CHECK_FALSE(Example({"CPU"}).overlaps());
    CHECK_FALSE(Example({"Vulkan0", "CPU"}).overlaps());
    CHECK_FALSE(Example({"ROCm0", "CPU"}).overlaps());
    CHECK_FALSE(Example({"CUDA0", "CUDA1", "CPU"}).overlaps());
    CHECK_FALSE(Example({"CUDA0", "BLAS", "CPU"}).overlaps());
}

TEST_CASE("graphs wait for a device that reads the host's memory in place") {
    CHECK_FALSE(Example({"CUDA0", "CPU"}, true).overlaps());
}

TEST_CASE("graphs wait where the device itself holds an input") {
    Example example({"CUDA0", "CPU"});
    example.scheduler.leaf_backend_ids[1] = 0;
    CHECK_FALSE(example.overlaps());
}

TEST_CASE("graphs wait where several copies of their inputs are in use") {
    Example example({"CUDA0", "CPU"});
    example.scheduler.n_copies = 2;
    CHECK_FALSE(example.overlaps());
}
