#pragma once
// Random numbers that depend on a seed and a place alone: whoever goes to the place gets the same ones, whatever was
// drawn before.

#include <cstdint>
#include <limits>

namespace shimmy {

// A UniformRandomBitGenerator: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
// 2014) from a state that is mixed of seed and place.
class RandomNumbers {
  public:
    using result_type = uint64_t;
    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

    explicit RandomNumbers(uint64_t seed = 0) : seed_(mixed(seed + step)) { go_to(0, 0); }

    // What is drawn next is the first number of this place.
    void go_to(uint64_t place, uint64_t attempt) {
        state_ = mixed(seed_ ^ mixed((place + 1) * step)) ^ mixed(~attempt * step);
    }

    result_type operator()() {
        state_ += step;
        return mixed(state_);
    }

  private:
    static constexpr uint64_t step = 0x9E3779B97F4A7C15;  // the golden ratio's

    static constexpr uint64_t mixed(uint64_t z) {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    uint64_t seed_;
    uint64_t state_ = 0;
};

}  // namespace shimmy
