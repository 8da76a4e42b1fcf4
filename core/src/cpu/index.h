// Gather and its adjoint along axis 0. An index counts from the end when negative; one outside the
// axis throws IndexError, on the calling thread and before anything is written.
#pragma once

#include "cpu/kernel.h"

namespace cyxwiz::cpu {

/// inputs: x [R, rest...] of any dtype, rows at any stride, each row contiguous; indices
/// [shape...], int32 or int64, contiguous. output [shape..., rest...], contiguous: row x[i] for
/// each index i.
KernelPtr make_gather(const Layout& x, const Layout& indices, const Layout& out);

/// inputs: g [shape..., rest...], indices [shape...] as above, both contiguous. output [R,
/// rest...], contiguous: zeros, to which each row of g is added at its index, in the order of the
/// indices (so with the same bits for any number of threads). float32, float64, int32 or int64;
/// integers wrap.
KernelPtr make_scatter_add(const Layout& g, const Layout& indices, const Layout& out);

}  // namespace cyxwiz::cpu
