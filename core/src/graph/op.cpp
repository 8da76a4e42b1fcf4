#include "cyxwiz/op.h"

#include <iterator>
#include <string>

#include "cyxwiz/error.h"

namespace cyxwiz {

std::string_view name(Op op) {
  static constexpr std::string_view kNames[] = {
      "input",
      "scalar",
#define UNARY(name, ...) #name,
#define BINARY(name, ...) #name,
#include "cyxwiz/elementwise_table.h"
      "where",
      "cast",
      "copy",
      "iota",
      "uniform",
      "alias",
      "reshape",
      "permute",
      "broadcast",
      "slice",
      "slice_update",
      "concatenate",
      "sum",
      "prod",
      "max",
      "min",
      "argmax",
      "argmin",
      "matmul",
      "conv2d",
      "conv2d_input_grad",
      "conv2d_weight_grad",
      "max_pool2d",
      "max_pool2d_grad",
      "max_pool2d_pick",
      "avg_pool2d",
      "avg_pool2d_grad",
      "gather",
      "scatter_add",
      "permutation",
  };
  static_assert(std::size(kNames) == static_cast<size_t>(Op::kCount));
  return kNames[static_cast<size_t>(op)];
}

Op op_from_name(std::string_view wanted) {
  for (int i = 0; i < static_cast<int>(Op::kCount); ++i) {
    if (name(static_cast<Op>(i)) == wanted) return static_cast<Op>(i);
  }
  throw ValueError("there is no operation '" + std::string(wanted) + "'");
}

}  // namespace cyxwiz
