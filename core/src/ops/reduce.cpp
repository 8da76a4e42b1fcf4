#include <string>

#include "cyxwiz/autograd.h"
#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

/// The named axes as a bit mask; empty names all.
int64_t mask_of(const char* operation, const Axes& axes, int rank) {
  if (axes.empty()) return (int64_t{1} << rank) - 1;
  int64_t mask = 0;
  for (int64_t axis : axes) {
    const int64_t bit = int64_t{1} << normalize_axis(operation, axis, rank);
    if (mask & bit) {
      throw ValueError(std::string(operation) + ": axis " + std::to_string(axis) +
                       " is named twice");
    }
    mask |= bit;
  }
  return mask;
}

Shape reduced_shape(const Shape& shape, int64_t mask, bool keep) {
  Shape result;
  for (int i = 0; i < shape.rank(); ++i) {
    if (!(mask >> i & 1)) {
      result.push_back(shape[i]);
    } else if (keep) {
      result.push_back(1);
    }
  }
  return result;
}

int64_t reduced_count(const Shape& shape, int64_t mask) {
  int64_t count = 1;
  for (int i = 0; i < shape.rank(); ++i) {
    if (mask >> i & 1) count *= shape[i];
  }
  return count;
}

Tensor reduce(Op op, const Tensor& x, const Axes& axes, bool keep, DType result) {
  const char* operation = name(op).data();
  const int64_t mask = mask_of(operation, axes, x.rank());
  const bool needs_elements = op != Op::k_sum && op != Op::k_prod;
  if (needs_elements && reduced_count(x.shape(), mask) == 0 && x.shape().rank() > 0) {
    throw ValueError(std::string(operation) + ": no elements to reduce in a tensor of shape " +
                     to_string(x.shape()));
  }
  const Shape kept_shape = reduced_shape(x.shape(), mask, true);
  Tensor kept;
  const DeviceScope scope(x.device());
  if (x.size() == 0) {  // the sum of nothing is 0, the product 1, and no backend is asked
    kept = full(kept_shape, op == Op::k_prod ? 1 : 0, result);
  } else if (reduced_count(x.shape(), mask) ==
             1) {  // one element is its own sum, and the first extreme
    kept = op == Op::k_argmax || op == Op::k_argmin ? zeros(kept_shape, result) : x;
  } else {
    kept = record(op, result, kept_shape, {x}, {mask});
  }
  return keep ? kept : reshape(kept, reduced_shape(x.shape(), mask, false));
}

/// Integers and bools add up as int64, as in NumPy.
Tensor widened(const Tensor& x) { return is_floating(x.dtype()) ? x : astype(x, DType::kInt64); }

Tensor arg(Op op, const Tensor& x, std::optional<int64_t> axis, bool keep) {
  if (axis) return reduce(op, x, {*axis}, keep, DType::kInt64);
  return reduce(op, x, {}, keep, DType::kInt64);
}

}  // namespace

Tensor sum(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor wide = widened(x);
  return reduce(Op::k_sum, wide, axes, keep, wide.dtype());
}

Tensor prod(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor wide = widened(x);
  return reduce(Op::k_prod, wide, axes, keep, wide.dtype());
}

Tensor max(const Tensor& x, const Axes& axes, bool keep) {
  return reduce(Op::k_max, x, axes, keep, x.dtype());
}

Tensor min(const Tensor& x, const Axes& axes, bool keep) {
  return reduce(Op::k_min, x, axes, keep, x.dtype());
}

Tensor any(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor truth = astype(x, DType::kBool);
  if (x.size() == 0) return astype(sum(truth, axes, keep), DType::kBool);
  return max(truth, axes, keep);
}

Tensor all(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor truth = astype(x, DType::kBool);
  if (x.size() == 0) return astype(prod(truth, axes, keep), DType::kBool);
  return min(truth, axes, keep);
}

Tensor mean(const Tensor& x, const Axes& axes, bool keep) {
  const Tensor real = astype(x, to_floating(x.dtype()));
  const int64_t count = reduced_count(x.shape(), mask_of("mean", axes, x.rank()));
  return sum(real, axes, keep) * (1.0 / static_cast<double>(count));
}

Tensor var(const Tensor& x, const Axes& axes, bool keep, double ddof) {
  const Tensor real = astype(x, to_floating(x.dtype()));
  const auto count = static_cast<double>(reduced_count(x.shape(), mask_of("var", axes, x.rank())));
  // Two passes, as in NumPy: the one-pass formula cancels.
  return sum(square(real - mean(real, axes, true)), axes, keep) *
         (1.0 / std::max(count - ddof, 0.0));
}

Tensor stddev(const Tensor& x, const Axes& axes, bool keep, double ddof) {
  mask_of("std", axes, x.rank());
  return sqrt(var(x, axes, keep, ddof));
}

Tensor argmax(const Tensor& x, std::optional<int64_t> axis, bool keep) {
  return arg(Op::k_argmax, x, axis, keep);
}

Tensor argmin(const Tensor& x, std::optional<int64_t> axis, bool keep) {
  return arg(Op::k_argmin, x, axis, keep);
}

Tensor sum_to(const Tensor& x, const Shape& shape) {
  if (x.shape() == shape) return x;
  Axes axes;
  const int extra = x.rank() - shape.rank();
  for (int i = 0; i < x.rank(); ++i) {
    if (i < extra || (shape[i - extra] == 1 && x.shape()[i] != 1)) axes.push_back(i);
  }
  // Each window's gradient goes to one of its taps, so over whole images there is as much of it as
  // was given: in fewer elements.
  const Node& before = *x.node();
  const bool whole_images = axes.size() >= 2 && axes[axes.size() - 2] == 2 && axes.back() == 3;
  if (before.op == Op::k_max_pool2d_grad && before.traced && whole_images) {
    return sum_to(input(before, 1), shape);
  }
  return reshape(axes.empty() ? x : sum(x, axes, true), shape);
}

Tensor logsumexp(const Tensor& x, const Axes& axes, bool keep) {
  mask_of("logsumexp", axes, x.rank());
  const Tensor real = astype(x, to_floating(x.dtype()));
  // Where the largest is infinite, shifting by it would give NaN.
  const Tensor top = max(stop_gradient(real), axes, true);
  const Tensor shift = where(isfinite(top), top, 0);
  const Tensor kept = log(sum(exp(real - shift), axes, true)) + shift;
  if (keep) return kept;
  return reshape(kept, reduced_shape(x.shape(), mask_of("logsumexp", axes, x.rank()), false));
}

Tensor softmax(const Tensor& x, int64_t axis) {
  axis = normalize_axis("softmax", axis, x.rank());
  const Tensor real = astype(x, to_floating(x.dtype()));
  const Tensor e = exp(real - max(stop_gradient(real), {axis}, true));
  return e * reciprocal(sum(e, {axis}, true));  // a division a row instead of one an element
}

Tensor log_softmax(const Tensor& x, int64_t axis) {
  axis = normalize_axis("log_softmax", axis, x.rank());
  const Tensor real = astype(x, to_floating(x.dtype()));
  const Tensor shifted = real - max(stop_gradient(real), {axis}, true);
  return shifted - log(sum(exp(shifted), {axis}, true));
}

void add_reduce_rules(Rules& rules) {
  rules[Op::k_sum] = [](const Node& node, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    return {broadcast_to(g, node.inputs[0]->shape)};
  };
  rules[Op::k_prod] = [](const Node& node, const Tensor& y,
                         const Tensor& g) -> std::vector<Tensor> {
    // With one zero, only its own place has a derivative: the product of the others; with two,
    // none.
    const Tensor x = input(node, 0);
    const Tensor zero = equal(x, 0);
    const Tensor zeros_count = broadcast_to(record(Op::k_sum, DType::kInt64, node.shape,
                                                   {astype(zero, DType::kInt64)}, node.attributes),
                                            x.shape());
    const Tensor filled = where(zero, 1, x);
    const Tensor others = record(Op::k_prod, node.dtype, node.shape, {filled}, node.attributes);
    const Tensor at_zero = where(equal(zeros_count, 1), others, 0);
    return {g * where(zero, at_zero, where(equal(zeros_count, 0), y / filled, 0))};
  };
  const Rule extreme = [](const Node& node, const Tensor& y,
                          const Tensor& g) -> std::vector<Tensor> {
    // Ties share the gradient equally.
    const Tensor hit = astype(equal(input(node, 0), y), g.dtype());
    const Tensor ties = record(Op::k_sum, g.dtype(), node.shape, {hit}, node.attributes);
    return {hit * (g / ties)};
  };
  rules[Op::k_max] = extreme;
  rules[Op::k_min] = extreme;
}

}  // namespace cyxwiz
