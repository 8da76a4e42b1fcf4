#include "cpu/contraction.h"

#include <string>
#include <utility>

#include "cpu/gemm.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

/// Whether the rows of a, one by one, are faster than anything that packs (measured).
bool prefers_thin_product(const Product& p) {
  if (!is_thin_product_possible(p)) return false;
  const int64_t volume = p.m * p.n * p.k;
  if (p.m == 1) return true;
  if (p.b_column == 1) return volume <= 4096 || (p.m <= 4 && volume <= 20'000);
  return volume <= 128;
}

/// Rounded operands are for oneDNN, which has the instructions for them, where they gain more than
/// calling it costs (measured). Exact products are our own: at one thread 10 to 40 % faster than
/// oneDNN 3.2 for every size tried, and cut so that threads find their operands in their caches.
bool prefers_onednn_product(const Product& p) {
  if (p.precision != Precision::kBfloat16 || p.m == 1) return false;
  return p.m * p.n * p.k > (p.b_column == 1 ? 8192 : 1024);
}

void check_layouts(const Layout& a, const Layout& b, const Layout& out) {
  const int rank = out.shape.rank();
  const auto fail = [&](const char* what) {
    throw ShapeError("matmul: " + std::string(what) + ": " + to_string(a.shape) + " · " +
                     to_string(b.shape) + " into " + to_string(out.shape));
  };
  if (rank < 2 || a.shape.rank() != rank || b.shape.rank() != rank) fail("the ranks differ");
  for (int i = 0; i < rank - 2; ++i) {
    if (a.shape[i] != out.shape[i] || b.shape[i] != out.shape[i]) fail("the batch axes differ");
  }
  if (a.shape[rank - 1] != b.shape[rank - 2]) fail("the inner sizes differ");
  if (a.shape[rank - 2] != out.shape[rank - 2] || b.shape[rank - 1] != out.shape[rank - 1]) {
    fail("the outer sizes differ");
  }
  if (a.dtype != b.dtype || a.dtype != out.dtype) {
    throw DTypeError("matmul: the dtypes differ: " + std::string(name(a.dtype)) + " · " +
                     std::string(name(b.dtype)) + " into " + std::string(name(out.dtype)));
  }
}

/// Drops axes of one element, and folds neighbours into one axis where both operands allow it.
std::vector<Product::BatchAxis> collapse_batch(const Layout& a, const Layout& b) {
  std::vector<Product::BatchAxis> axes;
  for (int i = 0; i < a.shape.rank() - 2; ++i) {
    const Product::BatchAxis axis{a.shape[i], a.strides[i], b.strides[i]};
    if (axis.size == 1) continue;
    if (!axes.empty() && axes.back().a_stride == axis.size * axis.a_stride &&
        axes.back().b_stride == axis.size * axis.b_stride) {
      axes.back() = {axes.back().size * axis.size, axis.a_stride, axis.b_stride};
    } else {
      axes.push_back(axis);
    }
  }
  return axes;
}

/// Many matrices times one are one taller matrix, when the rows go on at the same stride.
void fold_batch_into_rows(Product& p) {
  while (!p.batch.empty() && p.batch.back().b_stride == 0) {
    const Product::BatchAxis axis = p.batch.back();
    if (p.m != 1 && axis.a_stride != p.m * p.a_row) return;
    if (p.m == 1) p.a_row = axis.a_stride;
    p.m *= axis.size;
    p.batch.pop_back();
  }
}

/// A matrix times a column is a row times the transposed matrix; the output lies the same.
void turn_column_into_row(Product& p) {
  if (p.n != 1 || p.m == 1) return;
  std::swap(p.m, p.n);
  std::swap(p.a_row, p.b_column);
  std::swap(p.a_inner, p.b_inner);
  std::swap(p.a_input, p.b_input);
  for (Product::BatchAxis& axis : p.batch) std::swap(axis.a_stride, axis.b_stride);
  p.bias_stride = 0;
}

/// Strides along axes of one element mean nothing: gives them those that the fast paths look for.
void normalise_strides(Product& p) {
  if (p.k == 1) {
    p.a_inner = 1;
    p.b_inner = p.b_column == 1 ? p.n : 1;
  }
  if (p.m == 1) p.a_row = p.a_inner == 1 ? p.k : 1;
  if (p.n == 1) p.b_column = p.b_inner == 1 ? p.k : 1;
}

}  // namespace

int64_t Product::items() const {
  int64_t count = 1;
  for (const BatchAxis& axis : batch) count *= axis.size;
  return count;
}

Product::Item Product::item(int64_t index) const {
  Item start{0, 0};
  for (size_t i = batch.size(); i-- > 0;) {
    const int64_t position = index % batch[i].size;
    index /= batch[i].size;
    start.a += position * batch[i].a_stride;
    start.b += position * batch[i].b_stride;
  }
  return start;
}

int64_t Product::cost_per_item() const {
  const int64_t per_nanosecond = dtype == DType::kFloat32 ? 80 : dtype == DType::kInt64 ? 4 : 20;
  return 20 + m * n * k / per_nanosecond;
}

KernelPtr make_matmul(const Layout& a, const Layout& b, const Layout& out, const Epilogue& epilogue,
                      Precision precision, bool b_is_updated) {
  check_layouts(a, b, out);
  const int rank = out.shape.rank();
  Product p;
  p.dtype = out.dtype;
  p.m = a.shape[rank - 2];
  p.k = a.shape[rank - 1];
  p.n = b.shape[rank - 1];
  p.a_row = a.strides[rank - 2];
  p.a_inner = a.strides[rank - 1];
  p.b_inner = b.strides[rank - 2];
  p.b_column = b.strides[rank - 1];
  p.batch = collapse_batch(a, b);
  p.epilogue = epilogue;
  p.precision = precision;
  p.b_is_updated = b_is_updated;
  p.operation = "matmul " + to_string(a.shape) + " · " + to_string(b.shape);
  fold_batch_into_rows(p);
  turn_column_into_row(p);
  normalise_strides(p);

  if (element_count(out.shape) > 0 && p.k > 0) {
    if (prefers_thin_product(p)) return make_thin_product(p);
    if (prefers_onednn_product(p)) return make_onednn_product(p);
  }
  return make_blocked_product(p);
}

}  // namespace cyxwiz::cpu
