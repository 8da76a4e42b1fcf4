// Contractions: batched matrix products, with what may follow them in the same step.
#pragma once

#include "cpu/kernel.h"
#include "cyxwiz/op.h"

namespace cyxwiz::cpu {

/// What a contraction does beyond the product: out = relu(a · b + bias), each part if asked for.
struct Epilogue {
  bool bias = false;  ///< inputs[2] holds N contiguous elements, added to every row.
  bool relu = false;  ///< Negative results become 0; NaN stays.
};

/// inputs[0] = a [..., M, K], inputs[1] = b [..., K, N], outputs[0] = out [..., M, N]. The three
/// have one rank (>= 2), one dtype (float32, float64, int32 or int64; integers wrap) and equal
/// batch axes; strides of a and b are any non-negative numbers (0 where a batch axis is broadcast),
/// `out` is contiguous. Any size may be 0; K = 0 gives zeros before the epilogue. The result has
/// the same bits for any number of threads. `b_is_updated`: the Program also works on b's elements,
/// so that each thread has a share of its rows in its own cache.
KernelPtr make_matmul(const Layout& a, const Layout& b, const Layout& out,
                      const Epilogue& epilogue = {}, Precision precision = Precision::kFloat32,
                      bool b_is_updated = false);

}  // namespace cyxwiz::cpu
