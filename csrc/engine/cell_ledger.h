#pragma once
// Policy: how many KV cells are taken, when forked sequences share theirs.

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace shimmy {

// A slot's cells are runs in order of position. A run belongs to all that were forked from the slot that computed it,
// each of which has a leading part of it. Equal tokens that were computed twice are two runs: llama.cpp keeps both.
class CellLedger {
  public:
    explicit CellLedger(size_t n_slots) : slots_(n_slots) {}

    void append(size_t slot, size_t n);                     // n cells were computed, or read from a saved state
    void truncate(size_t slot, size_t n);                   // keep the first n, if there are more
    void share(size_t donor, size_t slot, size_t n);        // an empty slot takes the donor's first n
    uint64_t used() const { return used_; }                 // shared cells counted once
    uint64_t used_by(std::span<const size_t> slots) const;  // by any of these slots
    size_t held(size_t slot) const;                         // by the slot, shared or not
    size_t exclusive(size_t slot) const;                    // that would become free without the slot
    size_t shared_end(size_t slot) const;                   // behind the last cell that another slot has too

  private:
    struct Part {
        uint64_t run;
        size_t n;  // leading cells of the run
    };

    size_t others(size_t slot, uint64_t run) const;  // the longest part that another slot has

    std::vector<std::vector<Part>> slots_;
    std::unordered_map<uint64_t, size_t> longest_;  // run -> its cells in use
    uint64_t used_ = 0;
    uint64_t next_run_ = 0;
};

}  // namespace shimmy
