#include <algorithm>
#include <string>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

std::vector<int64_t> flatten(const Slice& slice) {
  std::vector<int64_t> attributes = slice.starts;
  attributes.insert(attributes.end(), slice.steps.begin(), slice.steps.end());
  return attributes;
}

Slice slice_of(const Node& node, const Shape& shape) {
  const auto half =
      node.attributes.begin() + static_cast<std::ptrdiff_t>(node.attributes.size() / 2);
  return {{node.attributes.begin(), half}, {half, node.attributes.end()}, shape};
}

Slice whole(const Shape& shape) {
  const auto rank = static_cast<size_t>(shape.rank());
  return {std::vector<int64_t>(rank, 0), std::vector<int64_t>(rank, 1), shape};
}

void check_slice(const char* operation, const Tensor& x, const Slice& slice) {
  const auto rank = static_cast<size_t>(x.rank());
  if (slice.starts.size() != rank || slice.steps.size() != rank || slice.shape.rank() != x.rank()) {
    throw ShapeError(std::string(operation) + ": the slice does not name every axis of " +
                     to_string(x.shape()));
  }
  for (int i = 0; i < x.rank(); ++i) {
    if (slice.shape[i] == 0) continue;
    const int64_t first = slice.starts[static_cast<size_t>(i)];
    const int64_t last = first + (slice.shape[i] - 1) * slice.steps[static_cast<size_t>(i)];
    if (std::min(first, last) < 0 || std::max(first, last) >= x.shape()[i]) {
      throw IndexError(std::string(operation) + ": elements " + std::to_string(first) + " to " +
                       std::to_string(last) + " of axis " + std::to_string(i) + " are outside " +
                       to_string(x.shape()));
    }
  }
}

}  // namespace

Tensor full(const Shape& shape, const Tensor& value, DType dtype) {
  Tensor fill = astype(value, dtype);
  const Node& node = *fill.node();
  if (node.weak) {
    // No plain number any more: it keeps its dtype whatever it meets.
    if (node.op == Op::kScalar) {
      fill =
          is_floating(dtype) ? scalar(node.number.real, dtype) : scalar(node.number.integer, dtype);
    } else {
      fill = record(Op::k_alias, dtype, fill.shape(), {fill});
      fill.node()->weak = false;
    }
  }
  return broadcast_to(fill, shape);
}
Tensor zeros(const Shape& shape, DType dtype) { return full(shape, 0, dtype); }
Tensor ones(const Shape& shape, DType dtype) { return full(shape, 1, dtype); }

Tensor arange(const Tensor& start, const Tensor& step, int64_t count, DType dtype) {
  if (count < 0) throw ValueError("arange: the count is negative");
  const bool wide = is_floating(dtype);
  const Tensor index = record(Op::k_iota, wide ? DType::kFloat64 : DType::kInt64, {count}, {});
  return astype(start + index * step, dtype);
}

Tensor reshape(const Tensor& x, std::span<const int64_t> shape) {
  Shape wanted(shape);
  int inferred = -1;
  int64_t known = 1;
  for (int i = 0; i < wanted.rank(); ++i) {
    if (wanted[i] == -1 && inferred < 0) {
      inferred = i;
    } else if (wanted[i] < 0) {
      throw ShapeError("reshape: " + to_string(wanted) + " has a negative size (one may be -1)");
    } else {
      known *= wanted[i];
    }
  }
  if (inferred >= 0 && known > 0 && x.size() % known == 0) wanted[inferred] = x.size() / known;
  if (wanted == x.shape()) return x;
  if ((inferred >= 0 && wanted[inferred] < 0) || element_count(wanted) != x.size()) {
    throw ShapeError("reshape: " + to_string(x.shape()) + " has " + std::to_string(x.size()) +
                     " elements, which do not fill " + to_string(Shape(shape)));
  }
  return record(Op::k_reshape, x.dtype(), wanted, {x});
}

Tensor permute(const Tensor& x, const Axes& axes) {
  Shape shape;
  std::vector<int64_t> order;
  unsigned seen = 0;
  for (int64_t axis : axes) {
    const int a = normalize_axis("permute", axis, x.rank());
    seen |= 1u << a;
    order.push_back(a);
    shape.push_back(x.shape()[a]);
  }
  if (seen + 1 != 1u << x.rank() || shape.rank() != x.rank()) {
    throw ShapeError("permute: the axes must name each of the " + std::to_string(x.rank()) +
                     " axes once");
  }
  if (std::is_sorted(order.begin(), order.end())) return x;
  return record(Op::k_permute, x.dtype(), shape, {x}, std::move(order));
}

Tensor transpose(const Tensor& x) {
  Axes axes;
  for (int i = x.rank() - 1; i >= 0; --i) axes.push_back(i);
  return permute(x, axes);
}

Tensor broadcast_to(const Tensor& x, const Shape& shape) {
  element_count(shape);
  if (x.shape() == shape) return x;
  if (x.rank() > shape.rank() || broadcast("broadcast_to", x.shape(), shape) != shape) {
    throw ShapeError("broadcast_to: " + to_string(x.shape()) + " does not broadcast to " +
                     to_string(shape));
  }
  return record(Op::k_broadcast, x.dtype(), shape, {x});
}

Tensor expand_dims(const Tensor& x, int64_t axis) {
  const int at = normalize_axis("expand_dims", axis, x.rank() + 1);
  std::vector<int64_t> shape(x.shape().begin(), x.shape().end());
  shape.insert(shape.begin() + at, 1);
  return reshape(x, shape);
}

Tensor squeeze(const Tensor& x, const Axes& axes) {
  unsigned dropped = 0;
  for (int64_t axis : axes) {
    const int a = normalize_axis("squeeze", axis, x.rank());
    if (x.shape()[a] != 1) {
      throw ShapeError("squeeze: axis " + std::to_string(axis) + " of " + to_string(x.shape()) +
                       " has size " + std::to_string(x.shape()[a]) + ", not 1");
    }
    dropped |= 1u << a;
  }
  Shape shape;
  for (int i = 0; i < x.rank(); ++i) {
    const bool drop = axes.empty() ? x.shape()[i] == 1 : (dropped >> i & 1) != 0;
    if (!drop) shape.push_back(x.shape()[i]);
  }
  return reshape(x, shape);
}

Tensor flip(const Tensor& x, const Axes& axes) {
  Slice all = whole(x.shape());
  unsigned flipped = axes.empty() ? ~0u : 0u;
  for (int64_t axis : axes) flipped |= 1u << normalize_axis("flip", axis, x.rank());
  for (int i = 0; i < x.rank(); ++i) {
    if (!(flipped >> i & 1) || x.shape()[i] == 0) continue;
    all.starts[static_cast<size_t>(i)] = x.shape()[i] - 1;
    all.steps[static_cast<size_t>(i)] = -1;
  }
  return slice(x, all);
}

Tensor slice(const Tensor& x, const Slice& slice) {
  check_slice("slice", x, slice);
  const Slice all = whole(x.shape());
  if (slice.shape == x.shape() && slice.starts == all.starts && slice.steps == all.steps) return x;
  return record(Op::k_slice, x.dtype(), slice.shape, {x}, flatten(slice));
}

Tensor slice_update(const Tensor& x, const Tensor& part, const Slice& slice) {
  check_slice("slice_update", x, slice);
  Tensor fitted = part;
  // As NumPy does in an assignment, leading axes of size 1 are ignored.
  while (fitted.rank() > slice.shape.rank() && fitted.shape()[0] == 1)
    fitted = squeeze(fitted, {0});
  return record(Op::k_slice_update, x.dtype(), x.shape(),
                {x, broadcast_to(astype(fitted, x.dtype()), slice.shape)}, flatten(slice));
}

Tensor concatenate(std::span<const Tensor> parts, int64_t axis) {
  if (parts.empty()) throw ValueError("concatenate: it needs at least one tensor");
  if (parts.size() == 1) {
    normalize_axis("concatenate", axis, parts[0].rank());
    return parts[0];
  }
  // Halves of halves, since an op has two inputs; lowering makes one step of them.
  const Tensor a = concatenate(parts.first(parts.size() / 2), axis);
  const Tensor b = concatenate(parts.subspan(parts.size() / 2), axis);
  const int at = normalize_axis("concatenate", axis, a.rank());
  Shape shape = a.shape();
  bool fits = a.rank() == b.rank();
  for (int i = 0; fits && i < a.rank(); ++i) fits = i == at || a.shape()[i] == b.shape()[i];
  if (!fits) {
    throw ShapeError("concatenate: the shapes differ beyond axis " + std::to_string(axis) + ": " +
                     to_string(a.shape()) + " and " + to_string(b.shape()));
  }
  shape[at] += b.shape()[at];
  const DType t = promote(a.dtype(), b.dtype());
  return record(Op::k_concatenate, t, shape, {astype(a, t), astype(b, t)}, {at});
}

Tensor pad(const Tensor& x, std::span<const std::array<int64_t, 2>> widths) {
  if (widths.size() != static_cast<size_t>(x.rank())) {
    throw ShapeError("pad: it needs (before, after) for each of the " + std::to_string(x.rank()) +
                     " axes, got " + std::to_string(widths.size()));
  }
  Shape shape = x.shape();
  Slice inner = whole(x.shape());
  for (size_t i = 0; i < widths.size(); ++i) {
    const auto [before, after] = widths[i];
    if (before < 0 || after < 0) throw ValueError("pad: the widths can't be negative");
    int64_t& size = shape[static_cast<int>(i)];
    if (__builtin_add_overflow(size, before, &size) || __builtin_add_overflow(size, after, &size)) {
      throw ShapeError("pad: the widths " + std::to_string(before) + " and " +
                       std::to_string(after) + " are too large");
    }
    inner.starts[i] = before;
  }
  const DeviceScope scope(x.device());
  return slice_update(zeros(shape, x.dtype()), x, inner);
}

void add_movement_rules(Rules& rules) {
  rules[Op::k_alias] = [](const Node&, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    return {g};
  };
  rules[Op::k_reshape] = [](const Node& node, const Tensor&,
                            const Tensor& g) -> std::vector<Tensor> {
    return {reshape(g, node.inputs[0]->shape)};
  };
  rules[Op::k_permute] = [](const Node& node, const Tensor&,
                            const Tensor& g) -> std::vector<Tensor> {
    Axes inverse(node.attributes.size());
    for (size_t i = 0; i < inverse.size(); ++i) {
      inverse[static_cast<size_t>(node.attributes[i])] = static_cast<int64_t>(i);
    }
    return {permute(g, inverse)};
  };
  // The driver sums a gradient down to the input's shape: the whole derivative of a broadcast.
  rules[Op::k_broadcast] = [](const Node&, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    return {g};
  };
  rules[Op::k_slice] = [](const Node& node, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    const Tensor blank = zeros(node.inputs[0]->shape, g.dtype());
    return {slice_update(blank, g, slice_of(node, node.shape))};
  };
  rules[Op::k_slice_update] = [](const Node& node, const Tensor&,
                                 const Tensor& g) -> std::vector<Tensor> {
    const Slice part = slice_of(node, node.inputs[1]->shape);
    return {slice_update(g, 0, part), slice(g, part)};
  };
  rules[Op::k_concatenate] = [](const Node& node, const Tensor&,
                                const Tensor& g) -> std::vector<Tensor> {
    Slice a = whole(node.inputs[0]->shape), b = whole(node.inputs[1]->shape);
    const int axis = static_cast<int>(node.attributes[0]);
    b.starts[static_cast<size_t>(axis)] = a.shape[axis];
    return {slice(g, a), slice(g, b)};
  };
}

}  // namespace cyxwiz
