#include <atomic>
#include <string>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

std::atomic<Precision> precision_now = Precision::kFloat32;

/// The dtype matmul computes in: narrow integers and bools in one that holds their products.
DType contraction_dtype(DType t) {
  if (is_floating(t) || t == DType::kInt64) return t;
  return t == DType::kBool ? DType::kInt64 : DType::kInt32;
}

/// Swaps the last two axes.
Tensor swapped(const Tensor& x) {
  Axes axes;
  for (int i = 0; i < x.rank(); ++i) axes.push_back(i);
  std::swap(axes[axes.size() - 1], axes[axes.size() - 2]);
  return permute(x, axes);
}

Shape with_tail(const Shape& shape, int64_t rows, int64_t columns) {
  Shape result = shape;
  result[shape.rank() - 2] = rows;
  result[shape.rank() - 1] = columns;
  return result;
}

Tensor product(const Tensor& a, const Tensor& b, Precision wanted) {
  if (a.rank() == 0 || b.rank() == 0) {
    throw ShapeError("matmul: it takes tensors of at least one axis, got " + to_string(a.shape()) +
                     " · " + to_string(b.shape()) + "; use * for numbers");
  }
  const Tensor left = a.rank() == 1 ? expand_dims(a, 0) : a;
  const Tensor right = b.rank() == 1 ? expand_dims(b, 1) : b;
  const int64_t inner = left.shape().back(), other = right.shape()[right.rank() - 2];
  if (inner != other) {
    throw ShapeError("matmul: the inner sizes differ: " + to_string(a.shape()) + " · " +
                     to_string(b.shape()) + " (" + std::to_string(inner) + " ≠ " +
                     std::to_string(other) + ")");
  }
  const int64_t rows = left.shape()[left.rank() - 2], columns = right.shape().back();
  const Shape batch =
      broadcast("matmul", with_tail(left.shape(), 1, 1), with_tail(right.shape(), 1, 1));
  const DType met = promote(a.dtype(), b.dtype()), t = contraction_dtype(met);
  const auto precision = static_cast<int64_t>(t == DType::kFloat32 ? wanted : Precision::kFloat32);
  // A matrix on the right serves every row of every batch: one tall product instead of many.
  Tensor result;
  if (left.rank() > 2 && right.rank() == 2) {
    const Tensor tall = reshape(left, Shape{left.size() / std::max<int64_t>(inner, 1), inner});
    if (inner > 0) {
      result = record(Op::k_matmul, t, {tall.shape()[0], columns},
                      {astype(tall, t), astype(right, t)}, {0, precision});
      result = reshape(result, with_tail(batch, rows, columns));
    }
  }
  if (!result.defined()) {
    result = record(Op::k_matmul, t, with_tail(batch, rows, columns),
                    {astype(broadcast_to(left, with_tail(batch, rows, inner)), t),
                     astype(broadcast_to(right, with_tail(batch, inner, columns)), t)},
                    {0, precision});
  }
  if (a.rank() == 1) result = squeeze(result, {-2});
  if (b.rank() == 1) result = squeeze(result, {-1});
  return met == DType::kBool ? astype(result, met) : astype(result, is_floating(met) ? t : met);
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) { return product(a, b, matmul_precision()); }

void set_matmul_precision(Precision precision) { precision_now = precision; }

Precision matmul_precision() { return precision_now.load(std::memory_order_relaxed); }

Precision precision_from_name(std::string_view name) {
  if (name == "float32" || name == "highest" || name == "high") return Precision::kFloat32;
  if (name == "bfloat16" || name == "medium") return Precision::kBfloat16;
  throw ValueError(
      "set_matmul_precision: it takes \"float32\" (or \"highest\", \"high\") or "
      "\"bfloat16\" (or \"medium\"), got \"" +
      std::string(name) + "\"");
}

std::string_view name(Precision precision) {
  return precision == Precision::kFloat32 ? "float32" : "bfloat16";
}

void add_contraction_rules(Rules& rules) {
  rules[Op::k_matmul] = [](const Node& node, const Tensor&,
                           const Tensor& g) -> std::vector<Tensor> {
    const auto precision = static_cast<Precision>(node.attributes[1]);
    return {product(g, swapped(input(node, 1)), precision),
            product(swapped(input(node, 0)), g, precision)};
  };
}

}  // namespace cyxwiz
