// The mask of a batch (csrc/ggml/kq_mask.h) against its definition.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <unordered_map>
#include <vector>

#include "ggml/kq_mask.h"

namespace {

constexpr char keep = 'k';
constexpr char drop = 'd';

struct Batch {
    std::vector<llama_pos> positions;
    std::vector<llama_seq_id> ids;

    std::vector<llama_seq_id *> pointers() {
        std::vector<llama_seq_id *> result;
        std::transform(ids.begin(), ids.end(), std::back_inserter(result), [](llama_seq_id & id) { return &id; });
        return result;
    }
};

// Sequences whose tokens lie anywhere, some in cells of several sequences, some cells empty. Batches hold their last
// tokens.
class Cache {
  public:
    Cache(int n_sequences, int n_cells, unsigned seed) : random_(seed) {
        cells_.resize(static_cast<uint32_t>(n_cells));
        lengths_.resize(static_cast<size_t>(n_sequences));
        for (uint32_t cell = 0; cell < cells_.size(); ++cell) {
            const auto sequence = pick(n_sequences + n_sequences / 4);
            if (sequence >= n_sequences) {
                continue;  // empty
            }
            const auto position = lengths_[static_cast<size_t>(sequence)];
            cells_.pos_set(cell, position);
            for (int other = 0; other < n_sequences; ++other) {
                if (other == sequence || (lengths_[static_cast<size_t>(other)] == position && pick(8) == 0)) {
                    cells_.seq_add(cell, other);
                    ++lengths_[static_cast<size_t>(other)];
                }
            }
        }
    }

    // Up to `most` of the last tokens of each sequence.
    Batch last_tokens(int most) {
        Batch batch;
        for (llama_seq_id id = 0; id < static_cast<llama_seq_id>(lengths_.size()); ++id) {
            const auto length = lengths_[static_cast<size_t>(id)];
            for (llama_pos p = length - std::min(length, 1 + pick(most)); p < length; ++p) {
                batch.positions.push_back(p);
                batch.ids.push_back(id);
            }
        }
        return batch;
    }

    const llama_kv_cells & cells() const { return cells_; }

  private:
    int pick(int end) { return std::uniform_int_distribution<int>(0, end - 1)(random_); }

    std::mt19937 random_;
    llama_kv_cells cells_;
    std::vector<llama_pos> lengths_;
};

}  // namespace

TEST_CASE("first rows of sequences are the mask, but for the cells that are listed") {
    for (unsigned seed = 0; seed < 40; ++seed) {
        for (const llama_pos window : {0, 7, 40}) {
            INFO("seed " << seed << ", window " << window);
            Cache cache(seed % 5 == 0 ? 70 : 2 + static_cast<int>(seed) % 9, 500, seed);
            auto batch = cache.last_tokens(seed % 2 == 0 ? 1 : 6);
            const auto ids = batch.pointers();
            const auto & cells = cache.cells();
            const auto n_rows = static_cast<uint32_t>(batch.ids.size());
            const int64_t n_kv = cells.size();
            const llama_pos near = window + 4;
            const auto masked = [&](llama_pos p0, llama_pos p1) { return window > 0 && p1 - p0 >= window; };

            std::vector<llama_pos> pos_min(LLAMA_MAX_SEQ, INT32_MAX);
            for (uint32_t i = 0; i < n_rows; ++i) {
                auto & lowest = pos_min[static_cast<size_t>(batch.ids[i])];
                lowest = std::min(lowest, batch.positions[i]);
            }
            std::vector<char> data(static_cast<size_t>(n_kv) * n_rows, 'x');
            std::unordered_map<llama_seq_id, uint32_t> first_row;
            std::unordered_map<llama_seq_id, std::vector<uint32_t>> unsettled;
            shimmy::fill_first_rows(cells, batch.positions.data(), ids.data(), 0, n_rows, n_kv, pos_min.data(), near,
                                    keep, drop, masked, data.data(), first_row, unsettled);

            for (uint32_t i = 0; i < n_rows; ++i) {
                const auto id = batch.ids[i];
                const bool first = i == 0 || batch.ids[i - 1] != id;
                REQUIRE((first_row.at(id) == i) == first);
                for (uint32_t cell = 0; cell < cells.size(); ++cell) {
                    const auto & listed = unsettled[id];
                    const auto value = data[static_cast<size_t>(n_kv) * i + cell];
                    const bool own = !cells.is_empty(cell) && cells.seq_has(cell, id);
                    const bool is_near = own && cells.pos_get(cell) + near >= pos_min[static_cast<size_t>(id)];
                    REQUIRE((std::count(listed.begin(), listed.end(), cell) == 1) == is_near);
                    if (!first) {
                        REQUIRE(value == 'x');
                    } else if (!is_near) {
                        REQUIRE(value == (own && !masked(cells.pos_get(cell), batch.positions[i]) ? keep : drop));
                    }
                }
            }
        }
    }
}

TEST_CASE("further rows of sequences are the mask, unless they go back") {
    size_t n_refused = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        INFO("seed " << seed);
        Cache cache(1 + static_cast<int>(seed) % 5, 400, seed);
        auto batch = cache.last_tokens(40);
        std::mt19937 random(seed);
        if (seed % 3 == 1) {
            std::shuffle(batch.ids.begin(), batch.ids.end(), random);  // positions ascend no more
        } else if (seed % 3 == 2) {
            std::fill(batch.positions.begin() + static_cast<long>(batch.ids.size() / 2), batch.positions.end(), 7);
        }
        const auto & cells = cache.cells();
        const int64_t n_kv = cells.size();
        const auto expected = [&](uint32_t cell, size_t row) {
            const bool own = !cells.is_empty(cell) && cells.seq_has(cell, batch.ids[row]);
            return own && cells.pos_get(cell) <= batch.positions[row] ? keep : drop;
        };
        std::vector<char> data(static_cast<size_t>(n_kv) * batch.ids.size(), 'x');
        std::unordered_map<llama_seq_id, uint32_t> first_row;
        std::unordered_map<llama_seq_id, llama_pos> last_position;
        shimmy::NextRows rows;
        for (uint32_t i = 0; i < batch.ids.size(); ++i) {
            const auto id = batch.ids[i];
            const auto [first, is_new] = first_row.try_emplace(id, i);
            auto * const row = &data[static_cast<size_t>(n_kv) * i];
            if (is_new) {
                for (uint32_t cell = 0; cell < cells.size(); ++cell) {
                    row[cell] = expected(cell, i);
                }
            } else {
                std::vector<uint32_t> unsettled;
                for (uint32_t cell = 0; cell < cells.size(); ++cell) {
                    if (!cells.is_empty(cell) && cells.seq_has(cell, id)) {
                        unsettled.push_back(cell);
                    }
                }
                const bool goes_back = batch.positions[i] < last_position[id];
                REQUIRE(rows.fill(cells, batch.positions.data(), first->second, i, id, unsettled, n_kv, keep,
                                  data.data()) == !goes_back);
                if (goes_back) {
                    ++n_refused;
                    REQUIRE(std::count(row, row + n_kv, 'x') == n_kv);
                    continue;
                }
            }
            last_position[id] = batch.positions[i];
            for (uint32_t cell = 0; cell < cells.size(); ++cell) {
                REQUIRE(row[cell] == expected(cell, i));
            }
        }
    }
    CHECK(n_refused > 10);
}

TEST_CASE("one sequence is left to llama.cpp") {
    Cache cache(1, 50, 1);
    auto batch = cache.last_tokens(3);
    const auto ids = batch.pointers();
    std::vector<llama_pos> pos_min(LLAMA_MAX_SEQ, 0);
    std::vector<char> data(50 * batch.ids.size(), 'x');
    std::unordered_map<llama_seq_id, uint32_t> first_row;
    std::unordered_map<llama_seq_id, std::vector<uint32_t>> unsettled;
    shimmy::fill_first_rows(
        cache.cells(), batch.positions.data(), ids.data(), 0, static_cast<uint32_t>(batch.ids.size()), 50,
        pos_min.data(), 32, keep, drop, [](llama_pos, llama_pos) { return false; }, data.data(), first_row, unsettled);
    CHECK(first_row.empty());
    CHECK(std::all_of(data.begin(), data.end(), [](char value) { return value == 'x'; }));
}

TEST_CASE("graphs are made for some steps more, and for a quarter of the cells in use at most") {
    CHECK(shimmy::cells_at_once(1, 100000, true) == 256);
    CHECK(shimmy::cells_at_once(8, 100000, false) == 256);
    CHECK(shimmy::cells_at_once(8, 100000, true) == 512);
    CHECK(shimmy::cells_at_once(64, 100000, false) == 1024);
    CHECK(shimmy::cells_at_once(64, 100000, true) == 4096);
    CHECK(shimmy::cells_at_once(128, 100000, true) == 4096);
    CHECK(shimmy::cells_at_once(129, 100000, true) == 256);
    CHECK(shimmy::cells_at_once(64, 16384, true) == 4096);
    CHECK(shimmy::cells_at_once(64, 16383, true) == 2048);
    CHECK(shimmy::cells_at_once(64, 4095, false) == 512);
    CHECK(shimmy::cells_at_once(64, 0, true) == 256);
}

TEST_CASE("cells of a prefix that many share are not apart") {
    struct Ubatch {
        uint32_t n_tokens;
        llama_seq_id ** seq_id;
    };
    constexpr int n_sequences = 16;
    Batch batch;
    for (llama_seq_id id = 0; id < n_sequences; ++id) {
        batch.ids.push_back(id);
    }
    auto ids = batch.pointers();
    const Ubatch all{n_sequences, ids.data()};
    const Ubatch one{1, ids.data()};
    // Behind `n_shared` cells of all sequences 100 of each.
    const auto apart = [&](uint32_t n_shared, const Ubatch & ubatch) {
        llama_kv_cells cells;
        cells.resize(8192);
        for (uint32_t cell = 0; cell < n_shared; ++cell) {
            cells.pos_set(cell, static_cast<llama_pos>(cell));
            for (llama_seq_id id = 0; id < n_sequences; ++id) {
                cells.seq_add(cell, id);
            }
        }
        for (uint32_t i = 0; i < 100 * n_sequences; ++i) {
            cells.pos_set(n_shared + i, static_cast<llama_pos>(n_shared + i / n_sequences));
            cells.seq_add(n_shared + i, static_cast<llama_seq_id>(i % n_sequences));
        }
        return shimmy::mostly_apart(cells, ubatch);
    };
    CHECK(apart(0, all));
    CHECK(apart(60, all));
    CHECK(!apart(400, all));
    CHECK(!apart(4000, all));
    CHECK(apart(4000, one));
    CHECK(shimmy::mostly_apart(llama_kv_cells{}, all));
}
