#pragma once
// A model's weights in two layouts: repacked for few tokens at once, as in the file for many.

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

struct ggml_backend_buffer;
struct ggml_tensor;
struct llama_model;

namespace shimmy {

class MappedFile;

// llama.cpp repacks Q4_K and Q2_K on x86, for products with few rows. With AVX-512 VNNI its tiled product of many rows,
// which takes only the file's layout, is faster: 1.4 to 1.5 x from 48 rows (bench/README.md). So the file is mapped
// beside the repacked copy, and the tensors are pointed at one or the other between computations.
class WeightLayouts {
  public:
    // Null when nothing is repacked that would be faster otherwise, when memory has no room for the file's pages, when
    // the file cannot be mapped, and where other devices compute: llama.cpp decides by a tensor's buffer, once for many
    // steps, who computes with it, and those cannot read repacked ones. `path`: the model's file, or its first one.
    static std::unique_ptr<WeightLayouts> map(const llama_model * model, const std::string & path);

    ~WeightLayouts();
    WeightLayouts(const WeightLayouts &) = delete;
    WeightLayouts & operator=(const WeightLayouts &) = delete;

    // Held by a context while it computes. All that compute at one time share a layout.
    class Use {
      public:
        Use() = default;
        explicit Use(WeightLayouts & layouts) : layouts_(&layouts) {}
        Use(Use && other) noexcept : layouts_(std::exchange(other.layouts_, nullptr)) {}
        Use & operator=(Use && other) noexcept {
            std::swap(layouts_, other.layouts_);
            return *this;
        }
        ~Use();

      private:
        WeightLayouts * layouts_ = nullptr;
    };

    // The layout that is faster for `n_tokens`, or the one that others have in use at this moment.
    Use use_faster(int32_t n_tokens);

    // The repacked layout, once nobody has the other in use. Who waits for it goes before all that come later.
    Use use_repacked();

    uint64_t bytes() const { return bytes_; }  // of the weights that there are two of

  private:
    enum class Layout { Repacked, AsInFile };

    struct Place {
        ggml_backend_buffer * buffer;
        void * data;
        void * extra;
    };
    struct Weight {
        ggml_tensor * tensor;
        Place repacked;
        Place as_in_file;
    };
    struct BufferDeleter {
        void operator()(ggml_backend_buffer * buffer) const;
    };
    struct File {
        std::unique_ptr<MappedFile> bytes;
        std::unique_ptr<ggml_backend_buffer, BufferDeleter> buffer;
    };

    WeightLayouts() = default;
    void point_at(Layout layout);

    std::vector<File> files_;
    std::vector<Weight> weights_;
    uint64_t bytes_ = 0;

    std::mutex mutex_;
    std::condition_variable changed_;
    Layout layout_ = Layout::Repacked;
    int32_t n_users_ = 0;
    int32_t n_waiting_ = 0;  // for the repacked layout
};

}  // namespace shimmy
