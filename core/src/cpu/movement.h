// Movement that copies: writing parts into a whole, and joining arrays.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cpu/kernel.h"

namespace cyxwiz::cpu {

/// inputs: base, of out's shape, and parts; output: base with each part in turn written over a
/// slice of it. `slices` holds, for each part, the starts along all axes and then the steps.
KernelPtr make_slice_update(const std::vector<Layout>& in, const Layout& out,
                            std::span<const int64_t> slices);

/// inputs: arrays alike but along `axis`; output: one after another along it.
KernelPtr make_concatenate(const std::vector<Layout>& in, const Layout& out, int axis);

}  // namespace cyxwiz::cpu
