#include "cpu/gemm.h"

#include <algorithm>
#include <memory>
#include <string>

#include "cpu/gemm_kernels.h"
#include "cpu/isa.h"
#include "cpu/parts.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

const GemmTable& gemm_table() {
#if defined(CYXWIZ_X86_KERNELS)
  if (isa() == Isa::kAvx512) return avx512::gemm_table();
  if (isa() == Isa::kAvx2) return avx2::gemm_table();
#endif
  return baseline::gemm_table();
}

template <class T>
const GemmKernels<T>& gemm_kernels();
template <>
const GemmKernels<float>& gemm_kernels() {
  return gemm_table().float32;
}
template <>
const GemmKernels<double>& gemm_kernels() {
  return gemm_table().float64;
}
template <>
const GemmKernels<int32_t>& gemm_kernels() {
  return gemm_table().int32;
}
template <>
const GemmKernels<int64_t>& gemm_kernels() {
  return gemm_table().int64;
}

constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
class ThinProduct final : public Kernel {
 public:
  explicit ThinProduct(const Product& product)
      : p_(product),
        kernels_(gemm_kernels<T>()),
        combines_(p_.b_column == 1),
        copies_vector_(!combines_ && p_.a_inner != 1),
        items_(p_.items()),
        blocks_((p_.n + block() - 1) / block()) {
    const int64_t outputs = items_ * p_.m * p_.n;
    if (outputs <= kFewOutputs && p_.k >= 2 * kLongPart) parts_ = p_.k / kLongPart;
    if (parts_ > 1) partial_elements_ = parts_ * outputs;
  }

  int64_t scratch_bytes() const override {
    const int64_t vectors = copies_vector_ ? p_.m * p_.k : 0;
    return (partial_elements_ + vectors) * static_cast<int64_t>(sizeof(T));
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    const T* a = static_cast<const T*>(inputs[p_.a_input]);
    const T* b = static_cast<const T*>(inputs[p_.b_input]);
    const T* bias = p_.epilogue.bias ? static_cast<const T*>(inputs[2]) : nullptr;
    T* out = static_cast<T*>(outputs[0]);
    T* partial = static_cast<T*>(scratch);
    int64_t a_row = p_.a_row, a_inner = p_.a_inner;
    if (copies_vector_) {
      T* copy = partial + partial_elements_;
      for (int64_t i = 0; i < p_.m; ++i) {
        for (int64_t e = 0; e < p_.k; ++e) copy[i * p_.k + e] = a[i * a_row + e * a_inner];
      }
      a = copy;
      a_row = p_.k;
      a_inner = 1;
    }

    const bool add = p_.epilogue.accumulate && parts_ == 1;
    parallel_ranges(items_ * blocks_ * parts_, items_ * cost(), [&](int64_t first, int64_t last) {
      for (int64_t w = first; w < last; ++w) {
        const int64_t item = w / (blocks_ * parts_), part = w / blocks_ % parts_;
        const int64_t column = w % blocks_ * block(), n = std::min(block(), p_.n - column);
        const int64_t from = p_.k * part / parts_, k = p_.k * (part + 1) / parts_ - from;
        const Product::Item start = p_.item(item);
        const T* v = a + start.a + from * a_inner;
        const T* matrix = b + start.b + column * p_.b_column + from * p_.b_inner;
        T* sums = (parts_ == 1 ? out : partial + part * items_ * p_.m * p_.n) + item * p_.m * p_.n +
                  column;
        for (int64_t i = 0; i < p_.m; ++i, v += a_row, sums += p_.n) {
          if (combines_) {
            kernels_.combine(k, v, a_inner, matrix, p_.b_inner, n, sums, add);
          } else {
            kernels_.dot(k, v, matrix, p_.b_column, n, sums, add);
          }
          if (parts_ == 1) finish(sums, 1, n, bias ? bias + column * p_.bias_stride : nullptr);
        }
      }
    });
    if (parts_ > 1) add_parts(partial, bias, out);
  }

 private:
  static constexpr int64_t kFewOutputs = 64;
  static constexpr int64_t kLongPart = 32768;

  /// Columns that are computed together.
  int64_t block() const { return combines_ ? 8 * 64 / static_cast<int64_t>(sizeof(T)) : 32; }

  /// What limits these is reading the matrix.
  int64_t cost() const {
    return 10 * p_.m + p_.m * p_.n * p_.k * static_cast<int64_t>(sizeof(T)) / 50;
  }

  void finish(T* out, int64_t rows, int64_t n, const T* bias) const {
    if (bias || p_.epilogue.relu) {
      finish_rows(out, rows, n, p_.n, bias, p_.bias_stride, p_.epilogue.relu);
    }
  }

  void add_parts(const T* partial, const T* bias, T* out) const {
    const int64_t outputs = items_ * p_.m * p_.n;
    for (int64_t i = 0; i < outputs; ++i) {
      T sum = p_.epilogue.accumulate ? out[i] : T{0};
      for (int64_t part = 0; part < parts_; ++part) sum = sum + partial[part * outputs + i];
      out[i] = sum;
    }
    finish(out, items_ * p_.m, p_.n, bias);
  }

  const Product p_;
  const GemmKernels<T>& kernels_;
  const bool combines_;       // The matrix's rows are contiguous: add them up; else: dot products.
  const bool copies_vector_;  // Dot products need the vector contiguous too.
  const int64_t items_;
  const int64_t blocks_;
  int64_t parts_ = 1;  // Of long sums with few results: each part's sums apart, added in order.
  int64_t partial_elements_ = 0;
};

template <class T>
class PackedProduct final : public Kernel {
 public:
  explicit PackedProduct(const Product& product)
      : p_(product), kernels_(gemm_kernels<T>()), items_(p_.items()) {
    depth_ = std::min(p_.k, kDepth);
    rows_ = std::min(round_up(p_.m, kernels_.rows), round_up(kRows, kernels_.rows));
    columns_ = std::min(round_up(p_.n, kernels_.columns), round_up(kColumns, kernels_.columns));
    item_in_parallel_ = items_ == 1 || p_.cost_per_item() > kLargeItem;
    slots_ = item_in_parallel_ ? 1 : slot_count(items_);
  }

  int64_t scratch_bytes() const override {
    return slots_ * slot_elements() * static_cast<int64_t>(sizeof(T));
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    if (items_ == 0 || p_.m == 0 || p_.n == 0) return;
    const T* a = static_cast<const T*>(inputs[p_.a_input]);
    const T* b = static_cast<const T*>(inputs[p_.b_input]);
    const T* bias = p_.epilogue.bias ? static_cast<const T*>(inputs[2]) : nullptr;
    T* out = static_cast<T*>(outputs[0]);
    const auto run_item = [&](int64_t slot, int64_t index, bool parallel) {
      const Product::Item start = p_.item(index);
      multiply(a + start.a, b + start.b, bias, out + index * p_.m * p_.n,
               static_cast<T*>(scratch) + slot * slot_elements(), parallel);
    };
    if (item_in_parallel_) {
      for (int64_t i = 0; i < items_; ++i) run_item(0, i, true);
    } else {
      parallel_parts(items_, slots_, items_ * p_.cost_per_item(),
                     [&](int64_t slot, int64_t i) { run_item(slot, i, false); });
    }
  }

 private:
  // Blocks that are packed at a time. A panel of a (depth × the tile's rows) stays in L1, the
  // panels of a group in L2.
  static constexpr int64_t kDepth = 256, kRows = 1536, kColumns = 3072;
  // Panels of a and of b that one thread takes at a time.
  static constexpr int64_t kRowPanels = 12, kColumnPanels = 8;
  // Nanoseconds from which an item of a batch is worth its own parallel regions.
  static constexpr int64_t kLargeItem = 200'000;

  /// Rounded so that every slot and both packed blocks are aligned.
  int64_t slot_elements() const {
    return round_up(depth_ * rows_, 64) + round_up(depth_ * columns_, 64);
  }

  void multiply(const T* a, const T* b, const T* bias, T* out, T* scratch, bool parallel) const {
    T* const packed_a = scratch;
    T* const packed_b = scratch + round_up(depth_ * rows_, 64);
    if (p_.k == 0) {
      if (!p_.epilogue.accumulate) std::fill(out, out + p_.m * p_.n, T{0});
      if (bias || p_.epilogue.relu) {
        finish_rows(out, p_.m, p_.n, p_.n, bias, p_.bias_stride, p_.epilogue.relu);
      }
    }
    for (int64_t e = 0; e < p_.k; e += depth_) {
      const int64_t k = std::min(depth_, p_.k - e);
      for (int64_t j = 0; j < p_.n; j += columns_) {
        const int64_t n = std::min(columns_, p_.n - j);
        pack(kernels_.pack_b, kernels_.columns, b + e * p_.b_inner + j * p_.b_column, n,
             p_.b_column, k, p_.b_inner, packed_b, parallel);
        for (int64_t i = 0; i < p_.m; i += rows_) {
          const int64_t m = std::min(rows_, p_.m - i);
          pack(kernels_.pack_a, kernels_.rows, a + i * p_.a_row + e * p_.a_inner, m, p_.a_row, k,
               p_.a_inner, packed_a, parallel);
          multiply_block(packed_a, packed_b, m, n, k, out + i * p_.n + j,
                         bias ? bias + j * p_.bias_stride : nullptr, e, parallel);
        }
      }
    }
  }

  template <class Pack>
  void pack(Pack pack_panels, int64_t width, const T* from, int64_t count, int64_t line_stride,
            int64_t k, int64_t stride, T* to, bool parallel) const {
    const int64_t panels = round_up(count, width) / width;
    parallel_ranges(panels, parallel ? count * k / 2 : 0, [&](int64_t first, int64_t last) {
      const int64_t lines = std::min(last * width, count) - first * width;
      pack_panels(from + first * width * line_stride, lines, line_stride, k, stride,
                  to + first * width * k);
    });
  }

  /// The product of packed blocks, of which the k's from `e` on are summed here.
  void multiply_block(const T* packed_a, const T* packed_b, int64_t m, int64_t n, int64_t k, T* out,
                      const T* bias, int64_t e, bool parallel) const {
    const int64_t group_rows = kRowPanels * kernels_.rows;
    const int64_t group_columns = kColumnPanels * kernels_.columns;
    const int64_t row_groups = round_up(m, group_rows) / group_rows;
    const int64_t column_groups = round_up(n, group_columns) / group_columns;
    const bool add = e > 0 || p_.epilogue.accumulate;
    const bool finish = e + k == p_.k && (bias || p_.epilogue.relu);
    const int64_t cost = parallel ? p_.cost_per_item() * k / p_.k * m / p_.m * n / p_.n : 0;
    parallel_ranges(row_groups * column_groups, cost, [&](int64_t first, int64_t last) {
      for (int64_t group = first; group < last; ++group) {
        const int64_t i0 = group % row_groups * group_rows;
        const int64_t j0 = group / row_groups * group_columns;
        const int64_t i1 = std::min(i0 + group_rows, m), j1 = std::min(j0 + group_columns, n);
        for (int64_t j = j0; j < j1; j += kernels_.columns) {
          const int64_t columns = std::min(kernels_.columns, n - j);
          for (int64_t i = i0; i < i1; i += kernels_.rows) {
            const int64_t rows = std::min(kernels_.rows, m - i);
            T* to = out + i * p_.n + j;
            kernels_.tile(k, packed_a + i * k, packed_b + j * k, to, p_.n, rows, columns, add);
            if (finish) {
              finish_rows(to, rows, columns, p_.n, bias ? bias + j * p_.bias_stride : nullptr,
                          p_.bias_stride, p_.epilogue.relu);
            }
          }
        }
      }
    });
  }

  const Product p_;
  const GemmKernels<T>& kernels_;
  const int64_t items_;
  int64_t depth_, rows_, columns_;
  bool item_in_parallel_;
  int64_t slots_;
};

template <template <class> class Kind>
KernelPtr make_for_dtype(const Product& product) {
  switch (product.dtype) {
    case DType::kFloat32:
      return std::make_unique<Kind<float>>(product);
    case DType::kFloat64:
      return std::make_unique<Kind<double>>(product);
    case DType::kInt32:
      return std::make_unique<Kind<int32_t>>(product);
    case DType::kInt64:
      return std::make_unique<Kind<int64_t>>(product);
    default:
      throw DTypeError("matmul: it computes in float32, float64, int32 or int64, not " +
                       std::string(name(product.dtype)));
  }
}

}  // namespace

bool is_thin_product_possible(const Product& p) {
  if (p.b_column == 1) return true;
  // The copy of a strided vector is made once a run, for one item.
  return p.b_inner == 1 && (p.a_inner == 1 || p.batch.empty());
}

KernelPtr make_thin_product(const Product& product) { return make_for_dtype<ThinProduct>(product); }

KernelPtr make_packed_product(const Product& product) {
  return make_for_dtype<PackedProduct>(product);
}

}  // namespace cyxwiz::cpu
