// Every operation on Tensors. Each checks shapes and dtypes now and records a Node; nothing is
// computed until a value is read. Numbers convert to Tensors that take the dtype of what they meet.
// `axes` empty means all of them; axes count from the end when negative.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "cyxwiz/op.h"
#include "cyxwiz/tensor.h"

namespace cyxwiz {

using Axes = std::vector<int64_t>;

// Creation.
Tensor full(const Shape& shape, const Tensor& value, DType dtype);
Tensor zeros(const Shape& shape, DType dtype = DType::kFloat32);
Tensor ones(const Shape& shape, DType dtype = DType::kFloat32);
/// start, start + step, …: `count` elements.
Tensor arange(const Tensor& start, const Tensor& step, int64_t count, DType dtype);

// Elementwise: the rows of elementwise_table.h.
#define UNARY(name, ...) Tensor name(const Tensor& x);
#define BINARY(name, ...) Tensor name(const Tensor& a, const Tensor& b);
#include "cyxwiz/elementwise_table.h"
Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b);
Tensor astype(const Tensor& x, DType dtype);

inline Tensor operator-(const Tensor& x) { return negative(x); }
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return subtract(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return multiply(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return divide(a, b); }
inline Tensor operator<(const Tensor& a, const Tensor& b) { return less(a, b); }
inline Tensor operator>(const Tensor& a, const Tensor& b) { return greater(a, b); }

// Movement.
/// One size may be -1: it is inferred.
Tensor reshape(const Tensor& x, std::span<const int64_t> shape);
Tensor permute(const Tensor& x, const Axes& axes);
/// The axes reversed.
Tensor transpose(const Tensor& x);
Tensor broadcast_to(const Tensor& x, const Shape& shape);
Tensor expand_dims(const Tensor& x, int64_t axis);
/// Drops the named axes, which must have size 1; empty: every axis of size 1.
Tensor squeeze(const Tensor& x, const Axes& axes = {});
Tensor flip(const Tensor& x, const Axes& axes = {});
Tensor concatenate(std::span<const Tensor> parts, int64_t axis = 0);
/// (before, after) zeros for each axis.
Tensor pad(const Tensor& x, std::span<const std::array<int64_t, 2>> widths);

/// A slice of every axis: element i of the result is element start + i·step of x.
struct Slice {
  std::vector<int64_t> starts, steps;
  Shape shape;
};
Tensor slice(const Tensor& x, const Slice& slice);
/// `x` with `part`, broadcast to the slice, written there.
Tensor slice_update(const Tensor& x, const Tensor& part, const Slice& slice);

// Reduce.
Tensor sum(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor prod(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor max(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor min(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor mean(const Tensor& x, const Axes& axes = {}, bool keep = false);
/// The mean squared distance from the mean, over `count - ddof`.
Tensor var(const Tensor& x, const Axes& axes = {}, bool keep = false, double ddof = 0);
/// The root of var(); not `std`, which would shadow the standard library's namespace.
Tensor stddev(const Tensor& x, const Axes& axes = {}, bool keep = false, double ddof = 0);
Tensor any(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor all(const Tensor& x, const Axes& axes = {}, bool keep = false);
/// The index of the first extreme (the first NaN where there is one), over one axis or all
/// elements.
Tensor argmax(const Tensor& x, std::optional<int64_t> axis = {}, bool keep = false);
Tensor argmin(const Tensor& x, std::optional<int64_t> axis = {}, bool keep = false);
/// Sums `x` down to `shape`, which broadcasts to x's.
Tensor sum_to(const Tensor& x, const Shape& shape);

// Normalise.
Tensor logsumexp(const Tensor& x, const Axes& axes = {}, bool keep = false);
Tensor softmax(const Tensor& x, int64_t axis = -1);
Tensor log_softmax(const Tensor& x, int64_t axis = -1);

// Contraction.
/// NumPy's matmul: 1-D operands are vectors, leading axes broadcast.
Tensor matmul(const Tensor& a, const Tensor& b);
/// The Precision of float32 products that are recorded from now on, by any thread; a product's
/// derivatives have its own. At the start: kFloat32.
void set_matmul_precision(Precision precision);
Precision matmul_precision();
/// By name: "float32" (also "highest", "high") or "bfloat16" (also "medium"); throws ValueError.
Precision precision_from_name(std::string_view name);
std::string_view name(Precision precision);

// Window. Images are [N, C, H, W]; pairs are (vertical, horizontal).
using Pair = std::array<int64_t, 2>;
Tensor conv2d(const Tensor& x, const Tensor& w, Pair stride = {1, 1}, Pair padding = {0, 0},
              Pair dilation = {1, 1});
Tensor max_pool2d(const Tensor& x, Pair kernel, Pair stride, Pair padding = {0, 0});
/// Padding is not counted in the mean.
Tensor avg_pool2d(const Tensor& x, Pair kernel, Pair stride, Pair padding = {0, 0});

// Index.
/// The slices of `x` along `axis` at `indices`; negative ones count from the end. An index outside
/// throws IndexError at evaluation.
Tensor take(const Tensor& x, const Tensor& indices, int64_t axis = 0);
/// 1 where `labels` equals the position along a new last axis of size `classes`, else 0.
Tensor one_hot(const Tensor& labels, int64_t classes, DType dtype = DType::kFloat32);

// Random. Each call draws the next stream of the process's generator (Philox, counter-based).
Tensor random_uniform(const Shape& shape, DType dtype = DType::kFloat32);
Tensor random_normal(const Shape& shape, DType dtype = DType::kFloat32);
Tensor random_permutation(int64_t n);

struct RandomState {
  uint64_t seed = 0, stream = 0;
};
RandomState random_state();
void set_random_state(RandomState state);

}  // namespace cyxwiz
