#include "cyxwiz/op.h"

#include <iterator>

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

}  // namespace cyxwiz
