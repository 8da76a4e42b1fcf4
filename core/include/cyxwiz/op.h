// The operations that Nodes and Programs are made of, and what each is called.
#pragma once

#include <cstdint>
#include <string_view>

namespace cyxwiz {

enum class Op : uint16_t {
  kInput,   ///< a Program's argument; in the graph, a Node that has its value (or, traced, will get
            ///< one)
  kScalar,  ///< a number given by the caller; an argument of the Program, never part of its
            ///< structure
#define UNARY(name, ...) k_##name,
#define BINARY(name, ...) k_##name,
#include "cyxwiz/elementwise_table.h"
  k_where,  ///< the first elementwise operation that is not a row of the table
  k_cast,
  k_copy,     ///< the same elements, dense: how a Backend makes a view into a value of its own
  k_iota,     ///< 0, 1, 2, … over the elements
  k_uniform,  ///< Philox numbers in [0, 1); input: int64 {seed, stream}
  // movement: views
  k_alias,  ///< the input itself; attribute: 1 when no gradient flows through
  k_reshape,
  k_permute,    ///< attributes: the axes
  k_broadcast,  ///< to the Node's shape
  k_slice,      ///< attributes: the starts, then the steps
  // movement: copies
  k_slice_update,  ///< (base, part): base with part written at a slice; attributes as k_slice
  k_concatenate,   ///< two inputs; attribute: the axis
  // reduce; attribute: a bit mask of the reduced axes; the Node's shape keeps them as 1
  k_sum,
  k_prod,
  k_max,
  k_min,
  k_argmax,
  k_argmin,
  // contraction
  k_matmul,  ///< (a, b[, bias]); attributes: 1 when relu follows, a Precision
  // window; attributes: kernel, stride, padding, dilation, two each; gradients: plus the result's
  // shape
  k_conv2d,
  k_conv2d_input_grad,
  k_conv2d_weight_grad,
  k_max_pool2d,
  k_max_pool2d_grad,
  k_max_pool2d_pick,
  k_avg_pool2d,
  k_avg_pool2d_grad,
  // index
  k_gather,
  k_scatter_add,
  // random
  k_permutation,
  kCount
};

constexpr bool is_elementwise(Op op) { return op > Op::kScalar && op <= Op::k_uniform; }
constexpr bool is_source(Op op) { return op == Op::k_iota || op == Op::k_uniform; }
constexpr bool is_view(Op op) { return op >= Op::k_alias && op <= Op::k_slice; }
constexpr bool is_reduction(Op op) { return op >= Op::k_sum && op <= Op::k_argmin; }

/// What a product of float32 operands is computed in. kBfloat16: operands may be rounded to
/// bfloat16 (8 significant bits) where that is faster; sums are float32 all the same.
enum class Precision : int64_t { kFloat32, kBfloat16 };

/// The operation's name as users write it: `add`, `conv2d`.
std::string_view name(Op op);
/// The operation of that name; throws ValueError for one that there is not.
Op op_from_name(std::string_view name);

}  // namespace cyxwiz
