// How a matrix product can be computed: contraction.cpp brings it into this form and picks one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cpu/contraction.h"

namespace cyxwiz::cpu {

/// A batch of products out[i][j] = Σ_e a[i][e] · b[e][j], i < m, j < n, e < k. Strides count
/// elements; the outputs of the batch's items lie one after the other, each contiguous.
struct Product {
  /// Items are numbered in row-major order of these axes.
  struct BatchAxis {
    int64_t size, a_stride, b_stride;
  };
  struct Item {
    int64_t a, b;  ///< Where the operands start.
  };

  DType dtype = DType::kFloat32;
  Precision precision = Precision::kFloat32;  ///< Only oneDNN has loops that gain from less.
  int64_t m = 0, n = 0, k = 0;
  int64_t a_row = 0, a_inner = 0;
  int64_t b_inner = 0, b_column = 0;
  std::vector<BatchAxis> batch;
  size_t a_input = 0, b_input = 1;  ///< Which of the inputs the operands are.
  Epilogue epilogue;
  int64_t bias_stride = 1;    ///< 0 where one element is added to all of a row.
  bool b_is_updated = false;  ///< As make_matmul has it.
  std::string operation;      ///< For messages: the name and the shapes.

  int64_t items() const;
  Item item(int64_t index) const;

  /// An estimate for one item, in nanoseconds on one thread.
  int64_t cost_per_item() const;
};

/// Whether make_thin_product takes it: a matrix whose lines are contiguous one way or the other.
bool is_thin_product_possible(const Product& product);

/// Row by row of a, without packing: for vectors and the smallest matrices.
KernelPtr make_thin_product(const Product& product);

/// In register tiles and cache blocks, packed where that pays; takes any strides and sizes.
KernelPtr make_blocked_product(const Product& product);

/// float32 with operands rounded to bfloat16, through oneDNN; no size may be 0, and m must be above
/// 1.
KernelPtr make_onednn_product(const Product& product);

}  // namespace cyxwiz::cpu
