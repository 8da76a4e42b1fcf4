#include <string>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

/// Every other axis of `indices` and then the rows' own: what gather gives, and scatter_add takes.
Shape gathered_shape(const Shape& indices, const Shape& x) {
  Shape shape = indices;
  for (int i = 1; i < x.rank(); ++i) shape.push_back(x[i]);
  return shape;
}

/// Axis `from` moved to the place `to`.
Tensor move_axis(const Tensor& x, int from, int to) {
  Axes axes;
  for (int i = 0; i < x.rank(); ++i) {
    if (i != from) axes.push_back(i);
  }
  axes.insert(axes.begin() + to, from);
  return permute(x, axes);
}

}  // namespace

Tensor take(const Tensor& x, const Tensor& indices, int64_t axis) {
  if (x.rank() == 0) throw ShapeError("take: a 0-d tensor has no axis to take from");
  const int at = normalize_axis("take", axis, x.rank());
  if (!is_integer(indices.dtype())) {
    throw DTypeError("take: the indices are integers, not " + std::string(name(indices.dtype())));
  }
  if (x.shape()[at] == 0 && indices.size() > 0) {
    throw IndexError("take: axis " + std::to_string(axis) + " of " + to_string(x.shape()) +
                     " has no elements to take");
  }
  const Tensor rows = move_axis(x, at, 0);
  Tensor result = record(Op::k_gather, x.dtype(), gathered_shape(indices.shape(), rows.shape()),
                         {rows, astype(indices, DType::kInt64)});
  // The new axes stand where the taken one stood.
  for (int i = 0; i < at; ++i) result = move_axis(result, indices.rank() + i, i);
  return result;
}

Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype) {
  if (!is_integer(labels.dtype())) {
    throw DTypeError("one_hot: the labels are integers, not " + std::string(name(labels.dtype())));
  }
  if (classes < 0) {
    throw ValueError("one_hot: the number of classes is negative: " + std::to_string(classes));
  }
  const DeviceScope scope(labels.device());
  // int64 whatever the labels are: 300 classes don't fit uint8.
  return astype(equal(expand_dims(labels, -1), arange(0, 1, classes, DType::kInt64)), dtype);
}

void add_index_rules(Rules& rules) {
  rules[Op::k_gather] = [](const Node& node, const Tensor&,
                           const Tensor& g) -> std::vector<Tensor> {
    return {record(Op::k_scatter_add, node.dtype, node.inputs[0]->shape, {g, input(node, 1)}),
            Tensor()};
  };
  rules[Op::k_scatter_add] = [](const Node& node, const Tensor&,
                                const Tensor& g) -> std::vector<Tensor> {
    const Tensor indices = input(node, 1);
    return {record(Op::k_gather, node.dtype, node.inputs[0]->shape, {g, indices}), Tensor()};
  };
}

}  // namespace cyxwiz
