#pragma once
// The mask of attention, for llama-kv-cache.cpp. llama.cpp asks every cell anew for each sequence: in a pool of 13,000
// cells 64 sequences ask 800,000 times for each step, which takes longer than the attention of a GPU. Here each cell is
// asked once, for all of them. And of a prompt llama.cpp asks the batch's own cells for each of its tokens, 4,000,000
// times for 2,048; here a row is the one before it and the cells of its own position.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ggml-backend.h"
#include "llama-kv-cells.h"

namespace shimmy {

// llama_kv_cells tells of one sequence at a time, or of the only one. An explicit instantiation may name a private
// member.
const std::vector<llama_kv_cells::seq_set_t> & sequences_of(const llama_kv_cells & cells);
template <auto Member>
struct CellSequences {
    friend const std::vector<llama_kv_cells::seq_set_t> & sequences_of(const llama_kv_cells & cells) {
        return cells.*Member;
    }
};
template struct CellSequences<&llama_kv_cells::seq>;

// By so many cells at a time the part of a cache grows that graphs are made for, `n_used` cells being in use. llama.cpp
// takes 256, which 64 rows that decode fill in four steps: then another graph is built, and captured by CUDA after a
// step without, which takes 5 ms. At most a quarter more, since attention may compute them all.
inline uint32_t cells_at_once(size_t n_rows, uint32_t n_used, bool on_cuda) {
    const size_t n_steps = on_cuda ? 64 : 16;
    uint32_t n_cells = 256;
    while (n_rows <= 128 && n_cells < 64 * n_steps && n_cells < n_rows * n_steps && 8 * n_cells <= n_used) {
        n_cells *= 2;
    }
    return n_cells;
}

template <typename Model>
bool has_cuda(const Model & model) {
    return std::any_of(model.devices.begin(), model.devices.end(), [](const auto & device) {
        return std::strncmp(ggml_backend_dev_name(device.dev), "CUDA", 4) == 0;
    });
}

// Whether a cell that any sequence of `ubatch` sees is seen by two of them at most, on average. Looks at some 512
// cells.
template <typename Ubatch>
bool mostly_apart(const llama_kv_cells & cells, const Ubatch & ubatch) {
    llama_kv_cells::seq_set_t wanted;
    for (uint32_t i = 0; i < ubatch.n_tokens; ++i) {
        wanted.set(static_cast<size_t>(ubatch.seq_id[i][0]));
    }
    const auto & sequences = sequences_of(cells);
    const uint32_t n_cells = cells.used_max_p1();
    const uint32_t stride = std::max(1U, n_cells / 512);
    size_t n_seen = 0;
    size_t n_views = 0;
    for (uint32_t j = 0; j < n_cells; j += stride) {
        const size_t n = (sequences[j] & wanted).count();
        n_seen += n > 0 ? 1 : 0;
        n_views += n;
    }
    return n_views <= 2 * n_seen;
}

// Fill the first row of each sequence in the rows [begin, end) of a batch, which share `cells`, but for the cells that
// its rows may see otherwise than one another (`near`): those are listed in `unsettled`, as llama.cpp would have
// listed them, and have any value. `first_row` gets the row of each sequence. One sequence: nothing is done.
//   positions  of the batch's rows;  pos_min  lowest position in the batch by sequence
//   near       cells from so many positions before pos_min on
//   is_masked  (p0, p1): whether a row at p1 does not see a cell at p0 < p1
//   data       row i begins at data + i * n_kv
template <typename T, typename IsMasked>
void fill_first_rows(const llama_kv_cells & cells, const llama_pos * positions, llama_seq_id * const * seq_ids,
                     uint32_t begin, uint32_t end, int64_t n_kv, const llama_pos * pos_min, llama_pos near, T keep,
                     T drop, IsMasked is_masked, T * data, std::unordered_map<llama_seq_id, uint32_t> & first_row,
                     std::unordered_map<llama_seq_id, std::vector<uint32_t>> & unsettled) {
    using Words = std::array<uint64_t, LLAMA_MAX_SEQ / 64>;
    static_assert(sizeof(Words) == sizeof(llama_kv_cells::seq_set_t) && LLAMA_MAX_SEQ % 64 == 0);

    struct Row {
        T * data = nullptr;
        llama_pos position = 0;
        llama_pos near_from = 0;
        std::vector<uint32_t> * unsettled = nullptr;
    };
    std::array<Row, LLAMA_MAX_SEQ> rows;
    Words wanted{};
    for (uint32_t i = begin; i < end; ++i) {
        const llama_seq_id id = seq_ids[i][0];
        if (rows[id].data == nullptr) {
            rows[id] = {data + n_kv * i, positions[i], pos_min[id] - near, nullptr};
            wanted[id / 64] |= uint64_t{1} << (id % 64);
            first_row[id] = i;
        }
    }
    if (first_row.size() < 2) {
        first_row.clear();
        return;
    }
    for (const auto & [id, i] : first_row) {
        std::fill(rows[id].data, rows[id].data + n_kv, drop);
        rows[id].unsettled = &unsettled[id];
    }

    const auto & sequences = sequences_of(cells);
    for (uint32_t j = 0; j < n_kv; ++j) {
        if (cells.is_empty(j)) {
            continue;
        }
        Words words;
        std::memcpy(words.data(), &sequences[j], sizeof(words));
        const llama_pos p0 = cells.pos_get(j);
        for (size_t w = 0; w < words.size(); ++w) {
            for (uint64_t left = words[w] & wanted[w]; left != 0; left &= left - 1) {
                const Row & row = rows[w * 64 + static_cast<size_t>(__builtin_ctzll(left))];
                if (p0 >= row.near_from) {
                    row.unsettled->push_back(j);
                } else if (!is_masked(p0, row.position)) {
                    row.data[j] = keep;
                }
            }
        }
    }
}

// The further rows of sequences, where a token sees all that is not behind it.
class NextRows {
  public:
    // Fill the row `row` of sequence `id`, whose first row, or what was filled last, is there. False, and nothing is
    // written, if that has a later position.
    //   positions  of the batch's rows;  first  the row of `id` that llama.cpp filled
    //   unsettled  cells of `id` from some position before the batch on;  data  row i begins at data + i * n_kv
    template <typename T>
    bool fill(const llama_kv_cells & cells, const llama_pos * positions, uint32_t first, uint32_t row, llama_seq_id id,
              const std::vector<uint32_t> & unsettled, int64_t n_kv, T keep, T * data) {
        const auto [found, is_new] = sequences_.try_emplace(id);
        auto & last = found->second;
        if (is_new) {
            last.row = first;
            for (const uint32_t cell : unsettled) {
                if (cells.pos_get(cell) > positions[first]) {
                    last.hidden.emplace_back(cells.pos_get(cell), cell);
                }
            }
            std::sort(last.hidden.begin(), last.hidden.end(), std::greater<>());
        }
        if (positions[row] < positions[last.row]) {
            return false;
        }
        std::copy_n(data + n_kv * last.row, n_kv, data + n_kv * row);
        while (!last.hidden.empty() && last.hidden.back().first <= positions[row]) {
            data[n_kv * row + last.hidden.back().second] = keep;
            last.hidden.pop_back();
        }
        last.row = row;
        return true;
    }

  private:
    struct Last {
        uint32_t row = 0;
        std::vector<std::pair<llama_pos, uint32_t>> hidden;  // from it, the nearest last: position and cell
    };
    std::unordered_map<llama_seq_id, Last> sequences_;
};

}  // namespace shimmy
