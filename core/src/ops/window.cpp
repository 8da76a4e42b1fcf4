#include <string>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

using Attributes = std::vector<int64_t>;

// Beyond what any image has, and small enough that sums and products of two never overflow.
constexpr int64_t kLargestWindow = int64_t{1} << 30;

/// kernel, stride, padding, dilation: two each.
Attributes window_attributes(const char* operation, Pair kernel, Pair stride, Pair padding,
                             Pair dilation) {
  const Attributes all = {kernel[0],  kernel[1],  stride[0],   stride[1],
                          padding[0], padding[1], dilation[0], dilation[1]};
  for (size_t i = 0; i < all.size(); ++i) {
    const bool is_padding = i / 2 == 2;
    if (all[i] < (is_padding ? 0 : 1) || all[i] > kLargestWindow) {
      throw ValueError(std::string(operation) +
                       ": kernel, stride and dilation must be at least 1, padding at least 0, and "
                       "none above 2³⁰; got " +
                       std::to_string(all[i]));
    }
  }
  return all;
}

Tensor image(const char* operation, const Tensor& x) {
  if (x.rank() != 4) {
    throw ShapeError(std::string(operation) + ": images are [N, C, H, W], got " +
                     to_string(x.shape()));
  }
  return astype(x, to_floating(x.dtype()));
}

/// The result's height and width.
Pair window_output(const char* operation, const Shape& x, const Attributes& a) {
  Pair out{};
  for (size_t i = 0; i < 2; ++i) {
    const int64_t size = x[2 + static_cast<int>(i)], kernel = a[i], stride = a[2 + i];
    const int64_t padding = a[4 + i], dilation = a[6 + i];
    const int64_t reach = dilation * (kernel - 1) + 1;
    if (size + 2 * padding < reach) {
      throw ShapeError(std::string(operation) +
                       ": the window is larger than the padded image: " + std::to_string(reach) +
                       " > " + std::to_string(size + 2 * padding) + " for images " + to_string(x));
    }
    out[i] = (size + 2 * padding - reach) / stride + 1;
  }
  return out;
}

Tensor pool(Op op, const Tensor& x, Pair kernel, Pair stride, Pair padding) {
  const char* operation = name(op).data();
  const Tensor real = image(operation, x);
  const Attributes attributes = window_attributes(operation, kernel, stride, padding, {1, 1});
  for (size_t i = 0; i < 2; ++i) {
    if (padding[i] >= kernel[i]) {
      throw ValueError(std::string(operation) + ": padding " + std::to_string(padding[i]) +
                       " must be smaller than the window, " + std::to_string(kernel[i]));
    }
  }
  const Pair out = window_output(operation, x.shape(), attributes);
  return record(op, real.dtype(), {x.shape()[0], x.shape()[1], out[0], out[1]}, {real}, attributes);
}

}  // namespace

Tensor conv2d(const Tensor& x, const Tensor& w, Pair stride, Pair padding, Pair dilation) {
  const Tensor real = image("conv2d", x);
  if (w.rank() != 4 || w.shape()[1] != x.shape()[1]) {
    throw ShapeError("conv2d: the filters are [O, C, kh, kw] with the images' C: images " +
                     to_string(x.shape()) + ", filters " + to_string(w.shape()));
  }
  const Attributes attributes =
      window_attributes("conv2d", {w.shape()[2], w.shape()[3]}, stride, padding, dilation);
  const Pair out = window_output("conv2d", x.shape(), attributes);
  const DType t = promote(real.dtype(), to_floating(w.dtype()));
  return record(Op::k_conv2d, t, {x.shape()[0], w.shape()[0], out[0], out[1]},
                {astype(real, t), astype(w, t)}, attributes);
}

Tensor max_pool2d(const Tensor& x, Pair kernel, Pair stride, Pair padding) {
  // The maximum of what relu leaves is what relu leaves of the maximum, and so are the gradients:
  // relu and its derivative come cheaper after the pool. (Only a trace's inputs are sure to stay.)
  const Node& before = *x.node();
  if (before.op == Op::k_relu && before.traced && x.rank() == 4) {
    return relu(max_pool2d(input(before, 0), kernel, stride, padding));
  }
  return pool(Op::k_max_pool2d, x, kernel, stride, padding);
}

Tensor avg_pool2d(const Tensor& x, Pair kernel, Pair stride, Pair padding) {
  return pool(Op::k_avg_pool2d, x, kernel, stride, padding);
}

void add_window_rules(Rules& rules) {
  // Convolution is linear in each input, and so are its two gradients: the three rules close.
  rules[Op::k_conv2d] = [](const Node& node, const Tensor&,
                           const Tensor& g) -> std::vector<Tensor> {
    const Tensor x = input(node, 0), w = input(node, 1);
    return {record(Op::k_conv2d_input_grad, node.dtype, x.shape(), {g, w}, node.attributes),
            record(Op::k_conv2d_weight_grad, node.dtype, w.shape(), {x, g}, node.attributes)};
  };
  rules[Op::k_conv2d_input_grad] = [](const Node& node, const Tensor&,
                                      const Tensor& g) -> std::vector<Tensor> {
    const Tensor v = input(node, 0), w = input(node, 1);
    return {record(Op::k_conv2d, node.dtype, v.shape(), {g, w}, node.attributes),
            record(Op::k_conv2d_weight_grad, node.dtype, w.shape(), {g, v}, node.attributes)};
  };
  rules[Op::k_conv2d_weight_grad] = [](const Node& node, const Tensor&,
                                       const Tensor& g) -> std::vector<Tensor> {
    const Tensor x = input(node, 0), v = input(node, 1);
    return {record(Op::k_conv2d_input_grad, node.dtype, x.shape(), {v, g}, node.attributes),
            record(Op::k_conv2d, node.dtype, v.shape(), {x, g}, node.attributes)};
  };
  rules[Op::k_max_pool2d] = [](const Node& node, const Tensor&,
                               const Tensor& g) -> std::vector<Tensor> {
    const Tensor x = input(node, 0);
    return {record(Op::k_max_pool2d_grad, node.dtype, x.shape(), {x, g}, node.attributes)};
  };
  // Both are linear in their second input; the choice that the first makes is locally constant.
  rules[Op::k_max_pool2d_grad] = [](const Node& node, const Tensor&,
                                    const Tensor& g) -> std::vector<Tensor> {
    const Tensor x = input(node, 0), v = input(node, 1);
    return {Tensor(),
            record(Op::k_max_pool2d_pick, node.dtype, v.shape(), {x, g}, node.attributes)};
  };
  rules[Op::k_max_pool2d_pick] = [](const Node& node, const Tensor&,
                                    const Tensor& g) -> std::vector<Tensor> {
    const Tensor x = input(node, 0);
    return {Tensor(),
            record(Op::k_max_pool2d_grad, node.dtype, x.shape(), {x, g}, node.attributes)};
  };
  rules[Op::k_avg_pool2d] = [](const Node& node, const Tensor&,
                               const Tensor& g) -> std::vector<Tensor> {
    return {record(Op::k_avg_pool2d_grad, node.dtype, node.inputs[0]->shape, {g}, node.attributes)};
  };
  rules[Op::k_avg_pool2d_grad] = [](const Node& node, const Tensor&,
                                    const Tensor& g) -> std::vector<Tensor> {
    return {record(Op::k_avg_pool2d, node.dtype, node.inputs[0]->shape, {g}, node.attributes)};
  };
}

}  // namespace cyxwiz
