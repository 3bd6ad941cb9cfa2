#pragma once
// e^x in single precision without branches or calls, so that loops over it become vector instructions.

#include <bit>
#include <cstdint>

namespace shimmy {

// e^x for x <= 0, within 2e-7 of its value; 0 below -87 and for NaN. x is split into n * ln 2 + r with |r| <= ln 2 / 2:
// e^r is its Taylor series, 2^n is written into the exponent.
inline float exp_of_negative(float x) {
    constexpr float to_integer = 12582912.0F;  // 1.5 * 2^23: adding it rounds, and leaves n in the low bits
    constexpr float log2_e = 1.44269504F;
    constexpr float ln2_high = 0.693359375F;  // few bits, so that n times it is exact
    constexpr float ln2_low = -2.12194440e-4F;
    const float shifted = x * log2_e + to_integer;
    const float n = shifted - to_integer;
    const float r = (x - n * ln2_high) - n * ln2_low;
    float series = 1.0F / 5040;
    series = series * r + 1.0F / 720;
    series = series * r + 1.0F / 120;
    series = series * r + 1.0F / 24;
    series = series * r + 1.0F / 6;
    series = series * r + 0.5F;
    series = series * r + 1.0F;
    series = series * r + 1.0F;
    const uint32_t exponent = (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(to_integer) + 127U) << 23U;
    return x > -87.0F ? series * std::bit_cast<float>(exponent) : 0.0F;
}

}  // namespace shimmy
