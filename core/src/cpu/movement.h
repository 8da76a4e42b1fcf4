// Movement that copies: writing a part into a whole, and joining two arrays.
#pragma once

#include <cstdint>
#include <vector>

#include "cpu/kernel.h"

namespace cyxwiz::cpu {

/// inputs: base, of out's shape, and part; output: base with part written at `starts` in `steps`.
KernelPtr make_slice_update(const Layout& base, const Layout& part, const Layout& out,
                            const std::vector<int64_t>& starts, const std::vector<int64_t>& steps);

/// inputs: a and b, alike but along `axis`; output: a, then b along it.
KernelPtr make_concatenate(const Layout& a, const Layout& b, const Layout& out, int axis);

}  // namespace cyxwiz::cpu
