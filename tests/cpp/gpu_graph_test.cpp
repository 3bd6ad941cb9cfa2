// What we add to ggml's GPU backends (csrc/ggml/cuda_*), against the same graph on the CPU. Without a GPU it tests
// nothing; SHIMMY_TEST_BACKENDS names the libraries, with colons between, of backends that are not built in.
#include <doctest/doctest.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

constexpr int seqs_param = 5;  // csrc/ggml/cuda_pool_attention.h

void load_backends() {
    static const bool once = [] {
        const char * names = std::getenv("SHIMMY_TEST_BACKENDS");
        std::istringstream libraries(names ? names : "");
        for (std::string library; std::getline(libraries, library, ':');) {
            REQUIRE(ggml_backend_load(library.c_str()));
        }
        return true;
    }();
    REQUIRE(once);
}

std::vector<ggml_backend_dev_t> gpus() {
    load_backends();
    std::vector<ggml_backend_dev_t> found;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        auto * device = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(device) == GGML_BACKEND_DEVICE_TYPE_GPU) {
            found.push_back(device);
        }
    }
    return found;
}

ggml_backend_dev_t cpu() {
    return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
}

using Bytes = std::vector<uint8_t>;
using Values = std::vector<float>;

// Builds tensors and says what they contain.
class Builder {
  public:
    Builder() {
        ggml_init_params params{};
        params.mem_size = 256 * ggml_tensor_overhead() + ggml_graph_overhead();
        params.no_alloc = true;
        context_.reset(ggml_init(params));
    }

    ggml_context * context() const { return context_.get(); }

    ggml_tensor * input(ggml_type type, std::vector<int64_t> shape, Bytes bytes) {
        auto * tensor = ggml_new_tensor(context(), type, static_cast<int>(shape.size()), shape.data());
        REQUIRE(ggml_nbytes(tensor) == bytes.size());
        inputs_.push_back({tensor, std::move(bytes)});
        return tensor;
    }

    // Numbers around 0, in any type.
    ggml_tensor * random(ggml_type type, std::vector<int64_t> shape, unsigned seed, float scale = 1.0F) {
        int64_t n = 1;
        for (const auto size : shape) {
            n *= size;
        }
        std::mt19937 generator(seed);
        std::normal_distribution<float> draw(0.0F, scale);
        Values values(static_cast<size_t>(n));
        std::generate(values.begin(), values.end(), [&] { return draw(generator); });
        Bytes bytes(static_cast<size_t>(n / ggml_blck_size(type)) * ggml_type_size(type));
        const Values importance(static_cast<size_t>(shape[0]), 1.0F);  // which the smallest types ask for
        ggml_quantize_chunk(type, values.data(), bytes.data(), 0, n / shape[0], shape[0], importance.data());
        return input(type, std::move(shape), std::move(bytes));
    }

    // What `results` have when the graph up to them is computed there.
    std::vector<Values> compute(ggml_backend_dev_t device, const std::vector<ggml_tensor *> & results) {
        const std::unique_ptr<ggml_backend, decltype(&ggml_backend_free)> backend(
            ggml_backend_dev_init(device, nullptr), ggml_backend_free);
        auto * graph = ggml_new_graph(context());
        for (auto * result : results) {
            ggml_set_output(result);
            ggml_build_forward_expand(graph, result);
        }
        const std::unique_ptr<ggml_backend_buffer, decltype(&ggml_backend_buffer_free)> buffer(
            ggml_backend_alloc_ctx_tensors(context(), backend.get()), ggml_backend_buffer_free);
        REQUIRE(buffer);
        for (const auto & [tensor, bytes] : inputs_) {
            ggml_backend_tensor_set(tensor, bytes.data(), 0, bytes.size());
        }
        std::vector<Values> values;
        for (int round = 0; round < 3; ++round) {  // the second captures a graph, the third has it
            REQUIRE(ggml_backend_graph_compute(backend.get(), graph) == GGML_STATUS_SUCCESS);
        }
        for (auto * result : results) {
            auto & found = values.emplace_back(static_cast<size_t>(ggml_nelements(result)));
            ggml_backend_tensor_get(result, found.data(), 0, ggml_nbytes(result));
        }
        return values;
    }

  private:
    std::unique_ptr<ggml_context, decltype(&ggml_free)> context_{nullptr, ggml_free};
    std::vector<std::pair<ggml_tensor *, Bytes>> inputs_;
};

// Mean square of the differences over that of what is expected.
double relative_error(const Values & found, const Values & expected) {
    REQUIRE(found.size() == expected.size());
    double error = 0;
    double size = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        error += std::pow(double{found[i]} - double{expected[i]}, 2);
        size += std::pow(double{expected[i]}, 2);
    }
    return error / size;
}

struct Pool {
    int n_values, n_heads, n_kv_heads, n_rows, n_cells, n_seqs;
    bool sinks = false;
};

// Whether each row sees each cell: those of its sequence, those of all (a prefix that is shared), and of a sequence
// that computes a prompt not the ones behind it.
Bytes pool_mask(const Pool & pool) {
    std::mt19937 random(7);
    std::vector<int> owner(static_cast<size_t>(pool.n_cells));
    for (auto & seq : owner) {
        seq = static_cast<int>(random() % static_cast<unsigned>(pool.n_seqs + 2)) - 1;  // -1: of all, n_seqs: of nobody
    }
    Bytes bytes(static_cast<size_t>(pool.n_cells) * static_cast<size_t>(pool.n_rows) * sizeof(ggml_fp16_t));
    auto * mask = reinterpret_cast<ggml_fp16_t *>(bytes.data());
    for (int row = 0; row < pool.n_rows; ++row) {
        const int seq = std::min(row, pool.n_seqs - 1);  // the last one has all rows that are left
        const int end = pool.n_cells - (seq < pool.n_seqs - 1 ? 0 : pool.n_rows - 1 - row);
        bool any = false;
        for (int cell = 0; cell < pool.n_cells; ++cell) {
            const int who = owner[static_cast<size_t>(cell)];
            const bool sees = cell < end && (who == seq || (who == -1 && cell < pool.n_cells / 4));
            any = any || sees;
            mask[row * pool.n_cells + cell] = ggml_fp32_to_fp16(sees ? 0.0F : -std::numeric_limits<float>::infinity());
        }
        if (!any) {
            mask[row * pool.n_cells] = ggml_fp32_to_fp16(0.0F);
        }
    }
    return bytes;
}

std::vector<Values> attend(ggml_backend_dev_t device, const Pool & pool, int n_seqs) {
    Builder graph;
    auto * ctx = graph.context();
    auto * mask = graph.input(GGML_TYPE_F16, {pool.n_cells, pool.n_rows}, pool_mask(pool));
    std::vector<ggml_tensor *> layers;
    for (unsigned layer = 0; layer < 2; ++layer) {
        auto cache = [&](unsigned seed) {
            auto * cells = graph.random(GGML_TYPE_F16, {pool.n_values, pool.n_kv_heads, pool.n_cells}, seed + layer);
            return ggml_permute(ctx, cells, 0, 2, 1, 3);
        };
        auto * q = graph.random(GGML_TYPE_F32, {pool.n_values, pool.n_rows, pool.n_heads}, 1 + layer);
        layers.push_back(ggml_flash_attn_ext(ctx, q, cache(10), cache(20), mask,
                                             1.0F / std::sqrt(static_cast<float>(pool.n_values)), 0.0F, 0.0F));
        if (pool.sinks) {
            ggml_flash_attn_ext_add_sinks(layers.back(), graph.random(GGML_TYPE_F32, {pool.n_heads}, 30 + layer));
        }
        layers.back()->op_params[seqs_param] = n_seqs;
    }
    return graph.compute(device, layers);
}

// Products with the same rows, which are also products' own results: q, k, v, then another two with q.
std::vector<Values> multiply(ggml_backend_dev_t device, int64_t n_rows, bool share) {
    Builder graph;
    auto * ctx = graph.context();
    auto * rows = graph.random(GGML_TYPE_F32, {512, n_rows}, 1);
    auto source = [&] { return share ? ggml_scale(ctx, rows, 0.5F) : nullptr; };
    auto * first = source();
    unsigned seed = 2;
    auto product = [&](ggml_type type, ggml_tensor * with, ggml_tensor * shared) {
        auto * weights = graph.random(type, {512, 512}, seed++, 0.05F);
        return ggml_mul_mat(ctx, weights, shared ? shared : ggml_scale(ctx, with, 0.5F));
    };
    std::vector<ggml_tensor *> results;
    for (const auto type : {GGML_TYPE_Q4_K, GGML_TYPE_Q6_K, GGML_TYPE_Q4_K, GGML_TYPE_Q8_0, GGML_TYPE_Q5_0}) {
        results.push_back(product(type, rows, first));
    }
    auto * second = share ? ggml_scale(ctx, results[0], 0.5F) : nullptr;
    results.push_back(product(GGML_TYPE_Q4_K, results[0], second));
    results.push_back(product(GGML_TYPE_Q6_K, results[0], second));
    results.push_back(product(GGML_TYPE_Q4_K, rows, first));  // after others
    return graph.compute(device, results);
}

// The products of two layers of experts with the same rows.
std::vector<Values> multiply_by_experts(ggml_backend_dev_t device, ggml_type type, int64_t n_rows, bool share) {
    constexpr int64_t n_experts = 8;
    constexpr int64_t n_used = 2;
    Builder graph;
    auto * ctx = graph.context();
    auto * rows = graph.random(GGML_TYPE_F32, {512, 1, n_rows}, 1);
    Bytes chosen(static_cast<size_t>(n_used * n_rows) * sizeof(int32_t));
    for (int64_t i = 0; i < n_used * n_rows; ++i) {
        reinterpret_cast<int32_t *>(chosen.data())[i] = static_cast<int32_t>((i * 3 + i / n_used) % n_experts);
    }
    auto * ids = graph.input(GGML_TYPE_I32, {n_used, n_rows}, chosen);
    auto * shared = ggml_scale(ctx, rows, 0.5F);
    std::vector<ggml_tensor *> results;
    for (unsigned seed = 2; seed < 4; ++seed) {
        auto * weights = graph.random(type, {512, 256, n_experts}, seed, 0.05F);
        results.push_back(ggml_mul_mat_id(ctx, weights, share ? shared : ggml_scale(ctx, rows, 0.5F), ids));
    }
    return graph.compute(device, results);
}

struct Product {
    ggml_type type;
    int64_t n_values, n_outputs, n_rows;
};

std::vector<Values> multiply_once(ggml_backend_dev_t device, const Product & product) {
    Builder graph;
    auto * weights = graph.random(product.type, {product.n_values, product.n_outputs}, 1, 0.05F);
    auto * rows = graph.random(GGML_TYPE_F32, {product.n_values, product.n_rows}, 2);
    return graph.compute(device, {ggml_mul_mat(graph.context(), weights, rows)});
}

}  // namespace

TEST_CASE("attention of many sequences in one pool is what the CPU computes") {
    for (auto * device : gpus()) {
        CAPTURE(ggml_backend_dev_description(device));
        for (const auto & pool : std::vector<Pool>{
                 {128, 16, 8, 64, 4096, 64},
                 {128, 16, 8, 4, 1024, 4},
                 {128, 16, 8, 33, 2304, 33},
                 {128, 16, 8, 191, 4096, 64},
                 {128, 16, 8, 512, 8192, 5},
                 {128, 32, 8, 32, 1536, 32},
                 {128, 32, 8, 100, 1536, 32},
                 {128, 28, 4, 17, 1280, 17},
                 {128, 28, 4, 70, 1280, 17},
                 {128, 32, 4, 64, 2048, 64},
                 {128, 12, 4, 66, 2048, 64},
                 {64, 4, 2, 16, 1024, 16},
                 {64, 4, 2, 90, 1024, 16},
                 {64, 64, 8, 24, 1024, 24, true},
                 {64, 64, 8, 80, 1024, 24, true},
                 {128, 8, 8, 16, 1024, 16},
                 {96, 8, 4, 16, 1024, 16},
             }) {
            CAPTURE(pool.n_values);
            CAPTURE(pool.n_heads);
            CAPTURE(pool.n_kv_heads);
            CAPTURE(pool.n_rows);
            CAPTURE(pool.n_cells);
            const auto expected = attend(cpu(), pool, 0);
            const auto masked = attend(device, pool, 0);
            const auto listed = attend(device, pool, pool.n_seqs);
            for (size_t layer = 0; layer < expected.size(); ++layer) {
                CHECK(relative_error(masked[layer], expected[layer]) < 1e-5);
                CHECK(relative_error(listed[layer], expected[layer]) < 1e-5);
            }
        }
    }
}

TEST_CASE("products that share their rows are what they are alone") {
    for (auto * device : gpus()) {
        CAPTURE(ggml_backend_dev_description(device));
        for (const int64_t n_rows : {1, 2, 8, 9, 64, 130}) {
            CAPTURE(n_rows);
            const auto shared = multiply(device, n_rows, true);
            const auto alone = multiply(device, n_rows, false);
            for (size_t i = 0; i < shared.size(); ++i) {
                CAPTURE(i);
                CHECK(shared[i] == alone[i]);
            }
        }
    }
}

TEST_CASE("experts that share their rows are what they are alone") {
    for (auto * device : gpus()) {
        CAPTURE(ggml_backend_dev_description(device));
        // ggml-cuda multiplies many rows of IQ1_M expert by expert, with tensors that are no nodes of the graph.
        for (const auto type : {GGML_TYPE_Q4_K, GGML_TYPE_IQ1_M}) {
            for (const int64_t n_rows : {1, 8, 32, 64}) {
                CAPTURE(ggml_type_name(type));
                CAPTURE(n_rows);
                const auto shared = multiply_by_experts(device, type, n_rows, true);
                CHECK(shared == multiply_by_experts(device, type, n_rows, false));
            }
        }
    }
}

TEST_CASE("products of few and many tiles are what the CPU computes") {
    for (auto * device : gpus()) {
        CAPTURE(ggml_backend_dev_description(device));
        for (const auto & product : std::vector<Product>{
                 {GGML_TYPE_Q4_K, 256, 512, 9},
                 {GGML_TYPE_Q4_K, 1024, 512, 64},
                 {GGML_TYPE_Q4_K, 3072, 512, 130},
                 {GGML_TYPE_Q4_K, 1024, 3000, 33},
                 {GGML_TYPE_Q4_K, 1024, 3001, 64},
                 {GGML_TYPE_Q4_K, 512, 3000, 512},
                 {GGML_TYPE_Q4_K, 256, 20000, 64},
                 {GGML_TYPE_Q4_K, 512, 20000, 130},
                 {GGML_TYPE_Q6_K, 1024, 1024, 64},
                 {GGML_TYPE_Q8_0, 1056, 1024, 100},
                 {GGML_TYPE_Q8_0, 288, 20000, 64},
                 {GGML_TYPE_Q5_0, 1056, 2000, 200},
             }) {
            CAPTURE(ggml_type_name(product.type));
            CAPTURE(product.n_values);
            CAPTURE(product.n_outputs);
            CAPTURE(product.n_rows);
            const auto expected = multiply_once(cpu(), product);
            const auto found = multiply_once(device, product);
            CHECK(relative_error(found[0], expected[0]) < 1e-3);
        }
    }
}
