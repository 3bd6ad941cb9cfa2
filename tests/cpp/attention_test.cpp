// ggml's attention as we compile it (csrc/ggml), against its definition in double precision.
#include <doctest/doctest.h>
#include <ggml-backend.h>
#include <ggml-cpu.h>
#include <ggml.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace {

struct Shape {
    int n_keys = 128;    // numbers of a key and a query
    int n_values = 128;  // of a value
    int n_heads = 4;
    int n_kv_heads = 2;
    int n_rows = 1;
    int n_cells = 256;
    int n_batches = 1;
    float max_bias = 0.0F;
    float softcap = 0.0F;
    bool sinks = false;
    double seen = 1.0;  // share of the cells that a row sees
    int n_threads = 2;
};

std::string described(const Shape & shape) {
    std::ostringstream text;
    text << "keys " << shape.n_keys << ", values " << shape.n_values << ", heads " << shape.n_heads << "/"
         << shape.n_kv_heads << ", rows " << shape.n_rows << ", cells " << shape.n_cells << ", batches "
         << shape.n_batches << ", bias " << shape.max_bias << ", cap " << shape.softcap << ", sinks " << shape.sinks
         << ", seen " << shape.seen << ", threads " << shape.n_threads;
    return text.str();
}

// An attention node with random numbers in the layout that a KV cache has: the heads of a cell lie together.
class Attention {
  public:
    Attention(const Shape & shape, unsigned seed) : shape_(shape), random_(seed) {
        ggml_init_params params{};
        params.mem_size = size_t{64} << 20;
        context_.reset(ggml_init(params));
        q_ = ggml_new_tensor_4d(context_.get(), GGML_TYPE_F32, shape.n_keys, shape.n_rows, shape.n_heads,
                                shape.n_batches);
        k_ = cache(shape.n_keys);
        v_ = cache(shape.n_values);
        mask_ = ggml_new_tensor_4d(context_.get(), GGML_TYPE_F16, shape.n_cells, shape.n_rows, 1, shape.n_batches);
        fill(q_, 1.0F);
        fill_mask();
        result_ = ggml_flash_attn_ext(context_.get(), q_, ggml_permute(context_.get(), k_, 0, 2, 1, 3),
                                      ggml_permute(context_.get(), v_, 0, 2, 1, 3), mask_, scale(), shape.max_bias,
                                      shape.softcap);
        if (shape.sinks) {
            sinks_ = ggml_new_tensor_1d(context_.get(), GGML_TYPE_F32, shape.n_heads);
            fill(sinks_, 2.0F);
            ggml_flash_attn_ext_add_sinks(result_, sinks_);
        }
    }

    void compute() {
        auto * graph = ggml_new_graph(context_.get());
        ggml_build_forward_expand(graph, result_);
        const std::unique_ptr<ggml_backend, decltype(&ggml_backend_free)> cpu(ggml_backend_cpu_init(),
                                                                              ggml_backend_free);
        ggml_backend_cpu_set_n_threads(cpu.get(), shape_.n_threads);
        REQUIRE(ggml_backend_graph_compute(cpu.get(), graph) == GGML_STATUS_SUCCESS);
    }

    // The largest difference to the definition, over all rows, heads and values.
    double error() const {
        double largest = 0;
        for (int batch = 0; batch < shape_.n_batches; ++batch) {
            for (int head = 0; head < shape_.n_heads; ++head) {
                for (int row = 0; row < shape_.n_rows; ++row) {
                    const auto expected = attended(head, row, batch);
                    for (int d = 0; d < shape_.n_values; ++d) {
                        const auto value = at<float>(result_, d, head, row, batch);
                        const auto difference = std::abs(value - expected[static_cast<size_t>(d)]);
                        largest = std::isnan(difference) ? std::numeric_limits<double>::infinity()
                                                         : std::max(largest, difference);
                    }
                }
            }
        }
        return largest;
    }

    std::vector<float> result() const {
        const auto * first = static_cast<const float *>(result_->data);
        return {first, first + ggml_nelements(result_)};
    }

    // Sees what `other` sees, in other cells: its cell i lies in place(i).
    template <class Place>
    void take(const Attention & other, Place && place) {
        std::memcpy(q_->data, other.q_->data, ggml_nbytes(q_));
        const auto masked = ggml_fp32_to_fp16(-std::numeric_limits<float>::infinity());
        std::fill_n(static_cast<ggml_fp16_t *>(mask_->data), ggml_nelements(mask_), masked);
        for (int cell = 0; cell < other.shape_.n_cells; ++cell) {
            std::memcpy(&at<char>(k_, 0, 0, place(cell), 0), &at<char>(other.k_, 0, 0, cell, 0), k_->nb[2]);
            std::memcpy(&at<char>(v_, 0, 0, place(cell), 0), &at<char>(other.v_, 0, 0, cell, 0), v_->nb[2]);
            for (int row = 0; row < shape_.n_rows; ++row) {
                at<ggml_fp16_t>(mask_, place(cell), row, 0, 0) = at<ggml_fp16_t>(other.mask_, cell, row, 0, 0);
            }
        }
    }

  private:
    float scale() const { return 1.0F / std::sqrt(static_cast<float>(shape_.n_keys)); }

    template <class Number>
    static Number & at(const ggml_tensor * tensor, int i0, int i1, int i2, int i3) {
        return *reinterpret_cast<Number *>(static_cast<char *>(tensor->data) + static_cast<size_t>(i0) * tensor->nb[0] +
                                           static_cast<size_t>(i1) * tensor->nb[1] +
                                           static_cast<size_t>(i2) * tensor->nb[2] +
                                           static_cast<size_t>(i3) * tensor->nb[3]);
    }

    void fill(ggml_tensor * tensor, float spread) {
        std::normal_distribution<float> normal(0.0F, spread);
        for (int64_t i = 0; i < ggml_nelements(tensor); ++i) {
            if (tensor->type == GGML_TYPE_F16) {
                static_cast<ggml_fp16_t *>(tensor->data)[i] = ggml_fp32_to_fp16(normal(random_));
            } else {
                static_cast<float *>(tensor->data)[i] = normal(random_);
            }
        }
    }

    ggml_tensor * cache(int size) {
        auto * tensor = ggml_new_tensor_4d(context_.get(), GGML_TYPE_F16, size, shape_.n_kv_heads, shape_.n_cells,
                                           shape_.n_batches);
        fill(tensor, 1.0F);
        return tensor;
    }

    // Rows see random cells, with a bias (as with ALiBi) or without; the last of several rows sees none.
    void fill_mask() {
        std::bernoulli_distribution seen(shape_.seen);
        std::uniform_real_distribution<float> bias(-3.0F, 0.0F);
        for (int batch = 0; batch < shape_.n_batches; ++batch) {
            for (int row = 0; row < shape_.n_rows; ++row) {
                const bool blind = row > 0 && row == shape_.n_rows - 1;
                for (int cell = 0; cell < shape_.n_cells; ++cell) {
                    const float value = shape_.max_bias > 0.0F ? bias(random_) : 0.0F;
                    at<ggml_fp16_t>(mask_, cell, row, 0, batch) =
                        ggml_fp32_to_fp16(!blind && seen(random_) ? value : -std::numeric_limits<float>::infinity());
                }
            }
        }
    }

    double slope(int head) const {
        if (shape_.max_bias <= 0.0F) {
            return 1.0;
        }
        const int n = 1 << static_cast<int>(std::log2(shape_.n_heads));
        return head < n ? std::pow(2.0, -shape_.max_bias / n * (head + 1))
                        : std::pow(2.0, -shape_.max_bias / 2.0 / n * (2 * (head - n) + 1));
    }

    std::vector<double> attended(int head, int row, int batch) const {
        const int kv_head = head / (shape_.n_heads / shape_.n_kv_heads);
        std::vector<double> result(static_cast<size_t>(shape_.n_values));
        double total = shape_.sinks ? std::exp(at<float>(sinks_, head, 0, 0, 0)) : 0.0;
        for (int cell = 0; cell < shape_.n_cells; ++cell) {
            const double mask = ggml_fp16_to_fp32(at<ggml_fp16_t>(mask_, cell, row, 0, batch));
            if (std::isinf(mask)) {
                continue;
            }
            double score = 0;
            for (int d = 0; d < shape_.n_keys; ++d) {
                score += static_cast<double>(at<float>(q_, d, row, head, batch)) *
                         ggml_fp16_to_fp32(at<ggml_fp16_t>(k_, d, kv_head, cell, batch));
            }
            score *= scale();
            if (shape_.softcap != 0.0F) {
                score = shape_.softcap * std::tanh(score / shape_.softcap);
            }
            const double weight = std::exp(score + slope(head) * mask);
            total += weight;
            for (int d = 0; d < shape_.n_values; ++d) {
                result[static_cast<size_t>(d)] +=
                    weight * ggml_fp16_to_fp32(at<ggml_fp16_t>(v_, d, kv_head, cell, batch));
            }
        }
        for (auto & value : result) {
            value = total == 0.0 ? 0.0 : value / total;
        }
        return result;
    }

    Shape shape_;
    std::mt19937 random_;
    std::unique_ptr<ggml_context, decltype(&ggml_free)> context_{nullptr, ggml_free};
    ggml_tensor * q_ = nullptr;
    ggml_tensor * k_ = nullptr;
    ggml_tensor * v_ = nullptr;
    ggml_tensor * mask_ = nullptr;
    ggml_tensor * sinks_ = nullptr;
    ggml_tensor * result_ = nullptr;
};

void check(const Shape & shape, unsigned seed = 1) {
    INFO(described(shape));
    Attention attention(shape, seed);
    attention.compute();
    CHECK(attention.error() < 2e-3);
}

}  // namespace

TEST_CASE("attention of few and of many rows") {
    for (const int n_rows : {1, 2, 5, 31, 63, 64, 65, 130}) {
        for (const int n_cells : {32, 96, 256, 800}) {
            for (const double seen : {1.0, 0.5, 0.02}) {
                Shape shape;
                shape.n_rows = n_rows;
                shape.n_cells = n_cells;
                shape.seen = seen;
                check(shape);
            }
        }
    }
}

TEST_CASE("attention with any number of heads for a KV head, and threads") {
    for (const int group : {1, 2, 3, 4, 5, 7, 8, 16}) {
        for (const int n_rows : {1, 3, 64}) {
            for (const int n_threads : {1, 2, 5}) {
                Shape shape;
                shape.n_kv_heads = 3;
                shape.n_heads = shape.n_kv_heads * group;
                shape.n_rows = n_rows;
                shape.n_cells = 544;
                shape.n_threads = n_threads;
                shape.seen = 0.7;
                check(shape);
            }
        }
    }
}

TEST_CASE("attention with any size of a head") {
    for (const auto & [n_keys, n_values] : {std::pair{16, 16},
                                            {40, 40},
                                            {64, 64},
                                            {72, 72},
                                            {80, 80},
                                            {96, 96},
                                            {112, 112},
                                            {192, 128},
                                            {256, 256},
                                            {576, 512}}) {
        for (const int n_rows : {1, 4, 64}) {
            Shape shape;
            shape.n_keys = n_keys;
            shape.n_values = n_values;
            shape.n_rows = n_rows;
            check(shape);
        }
    }
}

TEST_CASE("attention with ALiBi, a soft cap, sinks and batches") {
    for (const int n_rows : {1, 4, 64}) {
        for (const int n_cells : {256, 768}) {
            Shape shape;
            shape.n_heads = 6;
            shape.n_rows = n_rows;
            shape.n_cells = n_cells;
            shape.seen = 0.5;
            check(shape);
            shape.sinks = true;
            check(shape);
            shape.max_bias = 8.0F;
            check(shape);
            shape.softcap = 5.0F;
            check(shape);
            shape.n_batches = 2;
            check(shape);
        }
    }
}

TEST_CASE("a row's attention does not depend on the cells of others") {
    Shape shape;
    shape.n_rows = 3;
    shape.n_cells = 96;
    Attention alone(shape, 1);
    shape.n_cells = 800;
    Attention among_others(shape, 2);
    among_others.take(alone, [](int cell) { return 5 + cell * 8 + cell % 3; });
    alone.compute();
    among_others.compute();
    CHECK(alone.result() == among_others.result());
}
