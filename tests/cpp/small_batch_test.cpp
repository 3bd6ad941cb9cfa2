// Products of quantised weights as we compile them, with few rows (csrc/ggml/small_batch.h) and with many
// (csrc/ggml/tile_products.h), against their definition.
#include <doctest/doctest.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

namespace {

using Context = std::unique_ptr<ggml_context, decltype(&ggml_free)>;

// Computes nodes, and returns what the first of them is.
std::vector<float> computed(ggml_context * context, const std::vector<ggml_tensor *> & nodes, int n_threads = 2) {
    auto * graph = ggml_new_graph(context);
    for (auto * node : nodes) {
        ggml_build_forward_expand(graph, node);
    }
    const std::unique_ptr<ggml_backend, decltype(&ggml_backend_free)> cpu(ggml_backend_cpu_init(), ggml_backend_free);
    ggml_backend_cpu_set_n_threads(cpu.get(), n_threads);
    REQUIRE(ggml_backend_graph_compute(cpu.get(), graph) == GGML_STATUS_SUCCESS);
    const auto * first = static_cast<const float *>(nodes.front()->data);
    return {first, first + ggml_nelements(nodes.front())};
}

// The largest difference to products in double precision, relative to the largest product.
double error(ggml_type type, int n_numbers, int n_weights, int n_rows, int n_threads) {
    ggml_init_params params{};
    params.mem_size = size_t{64} << 20;
    const Context context(ggml_init(params), ggml_free);
    auto * weights = ggml_new_tensor_2d(context.get(), type, n_numbers, n_weights);
    auto * rows = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, n_numbers, n_rows);
    auto * product = ggml_mul_mat(context.get(), weights, rows);

    std::mt19937 random(static_cast<unsigned>(n_numbers + n_weights + n_rows));
    std::normal_distribution<float> normal(0.3F, 1.0F);
    std::vector<float> exact(static_cast<size_t>(n_numbers) * static_cast<size_t>(n_weights));
    std::generate(exact.begin(), exact.end(), [&] { return normal(random); });
    ggml_quantize_chunk(type, exact.data(), weights->data, 0, n_weights, n_numbers, nullptr);
    ggml_get_type_traits(type)->to_float(weights->data, exact.data(), static_cast<int64_t>(exact.size()));

    // Whole numbers with a highest of 127 in each block of 32 are quantised to 8 bits without a loss.
    auto * x = static_cast<float *>(rows->data);
    for (int64_t i = 0; i < ggml_nelements(rows); ++i) {
        x[i] = i % 32 == 7 ? 127.0F : static_cast<float>(static_cast<int>(random() % 255) - 127);
    }

    const auto products = computed(context.get(), {product}, n_threads);

    double largest = 0;
    double difference = 0;
    for (int row = 0; row < n_rows; ++row) {
        for (int weight = 0; weight < n_weights; ++weight) {
            double expected = 0;
            for (int i = 0; i < n_numbers; ++i) {
                expected +=
                    static_cast<double>(
                        exact[static_cast<size_t>(weight) * static_cast<size_t>(n_numbers) + static_cast<size_t>(i)]) *
                    x[static_cast<size_t>(row) * static_cast<size_t>(n_numbers) + static_cast<size_t>(i)];
            }
            const double value =
                products[static_cast<size_t>(row) * static_cast<size_t>(n_weights) + static_cast<size_t>(weight)];
            largest = std::max(largest, std::abs(expected));
            difference = std::isnan(value) ? INFINITY : std::max(difference, std::abs(expected - value));
        }
    }
    return difference / largest;
}

// Whether so many rows are multiplied in tiles, as bfloat16.
bool in_tiles(int n_rows) {
    return n_rows > 10 && ggml_cpu_has_amx_int8() != 0;
}

double allowed(int n_rows) {
    return in_tiles(n_rows) ? 4e-3 : 1e-4;
}

}  // namespace

TEST_CASE("products of quantised weights with few and with many rows") {
    for (const auto type : {GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0}) {
        CAPTURE(ggml_type_name(type));
        for (const int n_rows : {1, 2, 3, 4, 7, 8, 16, 23, 24, 25, 40}) {
            CAPTURE(n_rows);
            CHECK(error(type, 1024, 64, n_rows, 2) < allowed(n_rows));
            CHECK(error(type, 256, 8, n_rows, 1) < allowed(n_rows));
        }
        for (const int n_rows : {17, 32, 33, 512, 513, 540}) {
            CAPTURE(n_rows);
            CHECK(error(type, 768, 70, n_rows, 2) < allowed(n_rows));
        }
        for (const int n_weights : {1, 2, 3, 6, 30, 31, 1000}) {
            for (const int n_threads : {1, 3, 8}) {
                CAPTURE(n_weights);
                CAPTURE(n_threads);
                CHECK(error(type, 512, n_weights, 5, n_threads) < 1e-4);
                CHECK(error(type, 512, n_weights, 40, n_threads) < allowed(40));
            }
        }
    }
}

TEST_CASE("a row that is not finite gives no finite product, and spoils no other row") {
    if (ggml_cpu_has_avx512_vnni() == 0) {
        return;  // llama.cpp's own products lose it on some processors
    }
    for (const auto type : {GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0}) {
        for (const auto & [broken, n_rows] : {std::pair{NAN, 3}, {INFINITY, 3}, {NAN, 40}, {INFINITY, 40}}) {
            ggml_init_params params{};
            params.mem_size = size_t{16} << 20;
            const Context context(ggml_init(params), ggml_free);
            auto * weights = ggml_new_tensor_2d(context.get(), type, 512, 16);
            auto * rows = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 512, n_rows);
            const std::vector<float> ones(size_t{512} * 16, 1.0F);
            ggml_quantize_chunk(type, ones.data(), weights->data, 0, 16, 512, nullptr);
            std::fill_n(static_cast<float *>(rows->data), ggml_nelements(rows), 1.0F);
            static_cast<float *>(rows->data)[512 + 300] = broken;
            const auto products = computed(context.get(), {ggml_mul_mat(context.get(), weights, rows)});
            for (size_t i = 0; i < products.size(); ++i) {
                CHECK(std::isfinite(products[i]) == (i / 16 != 1));
            }
        }
    }
}

TEST_CASE("each row's products are the same alone and in any small batch") {
    // Bit-equal: what a request computes must not depend on who computes beside it.
    for (const auto type : {GGML_TYPE_Q4_K, GGML_TYPE_Q5_K, GGML_TYPE_Q6_K, GGML_TYPE_Q8_0}) {
        CAPTURE(ggml_type_name(type));
        ggml_init_params params{};
        params.mem_size = size_t{64} << 20;
        const Context context(ggml_init(params), ggml_free);
        const int64_t n_rows = type == GGML_TYPE_Q8_0 && !in_tiles(40) ? 40 : 7;  // those of Q8_0 are ggml's
        auto * weights = ggml_new_tensor_2d(context.get(), type, 1024, 96);
        auto * rows = ggml_new_tensor_2d(context.get(), GGML_TYPE_F32, 1024, n_rows);
        std::mt19937 random(3);
        std::normal_distribution<float> normal;
        std::vector<float> exact(size_t{1024} * 96);
        std::generate(exact.begin(), exact.end(), [&] { return normal(random); });
        ggml_quantize_chunk(type, exact.data(), weights->data, 0, 96, 1024, nullptr);
        std::generate_n(static_cast<float *>(rows->data), ggml_nelements(rows), [&] { return normal(random); });

        auto * together = ggml_mul_mat(context.get(), weights, rows);
        std::vector<ggml_tensor *> nodes{together};
        for (const int64_t n : {1, 2, 5}) {
            nodes.push_back(ggml_mul_mat(context.get(), weights,
                                         ggml_view_2d(context.get(), rows, 1024, n, rows->nb[1], rows->nb[1])));
        }
        const auto products = computed(context.get(), nodes);
        for (size_t i = 1; i < nodes.size(); ++i) {
            const auto * fewer = static_cast<const float *>(nodes[i]->data);
            CHECK(std::equal(fewer, fewer + ggml_nelements(nodes[i]), products.begin() + 96));
        }
    }
}
