// Random kernels that are not elementwise. (Uniform numbers are a source of the block interpreter,
// over the same generator: philox.h.)
#pragma once

#include <cstdint>

#include "cpu/kernel.h"

namespace cyxwiz::cpu {

/// inputs[0]: two 64-bit words {seed, stream}, as an int64 tensor [2]; outputs[0]: int64 [n]. An
/// unbiased shuffle of 0 … n−1 that only seed, stream and n determine.
KernelPtr make_permutation(int64_t n);

}  // namespace cyxwiz::cpu
