#pragma once

#include <string>

#include "errors.h"

namespace shimmy {

// `value`; throws InvalidRequestError naming `param` when it lies outside of low..high, as NaN does.
template <typename Number>
Number in_range(const char * param, Number value, Number low, Number high) {
    if (!(value >= low && value <= high)) {
        throw InvalidRequestError(std::string(param) + " is " + std::to_string(value) + ", it must be between " +
                                      std::to_string(low) + " and " + std::to_string(high),
                                  param);
    }
    return value;
}

}  // namespace shimmy
