#include "cpu/gemm.h"

#include <algorithm>
#include <bit>
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
            kernels_.combine(k, v, a_inner, matrix, p_.b_inner, n, sums);
          } else {
            kernels_.dot(k, v, matrix, p_.b_column, n, sums);
          }
          if (parts_ == 1) {
            finish(sums, sums, 1, n, bias ? bias + column * p_.bias_stride : nullptr);
          }
        }
      }
    });
    if (parts_ > 1) finish(partial, out, items_ * p_.m, p_.n, bias);
  }

 private:
  static constexpr int64_t kFewOutputs = 64, kManyColumns = 512;
  static constexpr int64_t kLongPart = 32768;

  /// Columns that are computed together: few where there are few, so that threads can share them.
  int64_t block() const {
    if (!combines_) return 32;
    return (p_.n < kManyColumns ? 256 : 512) / static_cast<int64_t>(sizeof(T));
  }

  /// What limits these is reading the matrix.
  int64_t cost() const {
    return 10 * p_.m + p_.m * p_.n * p_.k * static_cast<int64_t>(sizeof(T)) / 50;
  }

  void finish(const T* from, T* out, int64_t rows, int64_t n, const T* bias) const {
    kernels_.finish({parts_, items_ * p_.m * p_.n, bias, p_.bias_stride, p_.epilogue.relu}, from,
                    out, rows, n, p_.n);
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
class BlockedProduct final : public Kernel {
 public:
  explicit BlockedProduct(const Product& product)
      : p_(product), kernels_(gemm_kernels<T>()), items_(p_.items()) {
    // Packing pays where an operand is read often enough, and from memory that lies unfavourably; a
    // block that threads share has to be worth a parallel region too.
    const bool shared = items_ == 1 || p_.cost_per_item() > kLargeItem;
    packs_b_ = p_.b_column != 1 || (p_.m >= kManyRows && (!shared || p_.k * p_.n >= kManyElements));
    packs_a_ = p_.n >= kManyColumns && p_.m * p_.k >= kManyElements;
    const bool packs_both = packs_a_ && packs_b_;
    tiles_ = packs_both ? &kernels_.tall : &kernels_.flat;
    width_ = tiles_->vectors * kernels_.lanes;
    const int64_t most = packs_both ? kPanelBytes / (width_ * static_cast<int64_t>(sizeof(T)))
                         : packs_a_ || packs_b_ ? kPackedDepth
                                                : kPlainDepth;
    const int64_t cuts = std::max<int64_t>(1, (p_.k + most - 1) / most);
    depth_ = std::min(p_.k, round_up((p_.k + cuts - 1) / cuts, kernels_.lanes));
    if (items_ == 1) parts_ = sum_parts();
    rows_ = std::min(round_up(p_.m, tiles_->rows), round_up(kRows, tiles_->rows));
    columns_ = packs_b_ ? std::min(round_up(p_.n, width_), round_up(kColumns, width_)) : p_.n;
    in_parallel_ = items_ * parts_ == 1 || (parts_ == 1 && p_.cost_per_item() > kLargeItem);
    slots_ = in_parallel_ ? 1 : slot_count(items_ * parts_);
  }

  int64_t scratch_bytes() const override {
    return (slots_ * slot_elements() + partial_elements()) * static_cast<int64_t>(sizeof(T));
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    if (items_ == 0 || p_.m == 0 || p_.n == 0) return;
    const T* a = static_cast<const T*>(inputs[p_.a_input]);
    const T* b = static_cast<const T*>(inputs[p_.b_input]);
    const T* bias = p_.epilogue.bias ? static_cast<const T*>(inputs[2]) : nullptr;
    T* const out = static_cast<T*>(outputs[0]);
    T* const partial = static_cast<T*>(scratch) + slots_ * slot_elements();
    // Along a row of equal biases the tiles would read beyond it.
    const bool finishes = parts_ == 1 && (!bias || p_.bias_stride == 1);
    const auto run_piece = [&](int64_t slot, int64_t piece, bool parallel) {
      const int64_t index = piece / parts_, part = piece % parts_;
      const Product::Item start = p_.item(index);
      Operands o;
      o.from = p_.k * part / parts_;
      o.to = p_.k * (part + 1) / parts_;
      o.a = a + start.a;
      o.b = b + start.b;
      o.bias = finishes ? bias : nullptr;
      o.relu = finishes && p_.epilogue.relu;
      o.out = (parts_ == 1 ? out : partial + part * p_.m * p_.n) + index * p_.m * p_.n;
      multiply(o, static_cast<T*>(scratch) + slot * slot_elements(), parallel);
    };
    const int64_t pieces = items_ * parts_;
    if (in_parallel_) {
      for (int64_t i = 0; i < pieces; ++i) run_piece(0, i, true);
    } else {
      parallel_parts(pieces, slots_, items_ * p_.cost_per_item(),
                     [&](int64_t slot, int64_t i) { run_piece(slot, i, false); });
    }
    if (!finishes) {
      kernels_.finish({parts_, p_.m * p_.n, bias, p_.bias_stride, p_.epilogue.relu},
                      parts_ == 1 ? out : partial, out, items_ * p_.m, p_.n, p_.n);
    }
  }

 private:
  // A panel of b that stays in L1, where both operands are packed.
  static constexpr int64_t kPanelBytes = 32 << 10;
  // How much of a sum is computed at a time else: panels of b stay in L2, packed ones of a in L1.
  static constexpr int64_t kPackedDepth = 512, kPlainDepth = 1024;
  // What is packed at a time.
  static constexpr int64_t kRows = 2048, kColumns = 4096;
  // From where on a block is worth packing: rows or columns of the result, elements of its own.
  static constexpr int64_t kManyRows = 64, kManyColumns = 192, kManyElements = 160'000;
  // Of a, what a thread takes through all of b's panels: it stays in L2 beside one panel, and
  // the more there is of it, the less often b, which does not, is read.
  static constexpr int64_t kGroupBytes = 768 << 10;
  // Nanoseconds from which an item of a batch is worth its own parallel regions.
  static constexpr int64_t kLargeItem = 200'000;
  // A part of a sum that is worth adding up: multiplications, and elements of b.
  static constexpr int64_t kPartVolume = 1'500'000, kMostParts = 16;

  struct Operands {
    const T *a, *b, *bias;
    T* out;
    int64_t from, to;  // the part of the sum that is wanted
    bool relu;
  };

  /// Into how many parts the sum is cut. Where few results come of long sums this gives every
  /// thread work. And the thread that updates some rows of the weights b, and so has them in its
  /// cache, is then the one that multiplies by them (44 us became 26 for 32 × 784 · 784 × 128 in a
  /// training step on two threads; outside of one 22 became 24).
  int64_t sum_parts() const {
    const int64_t most = std::min(
        {p_.m * p_.n * p_.k / kPartVolume, p_.k / std::max<int64_t>(2 * p_.m, 1), kMostParts});
    const bool rows_suffice = p_.m >= most * tiles_->rows;
    if (most < 2 || (rows_suffice && !p_.b_is_updated)) return 1;
    return static_cast<int64_t>(std::bit_floor(static_cast<uint64_t>(most)));
  }

  /// Rounded so that every slot and both packed blocks are aligned.
  int64_t a_elements() const { return packs_a_ ? round_up(depth_ * rows_, 64) : 0; }
  int64_t b_elements() const {
    return round_up(depth_ * (packs_b_ ? columns_ : kernels_.lanes * tiles_->vectors), 64);
  }
  int64_t slot_elements() const { return a_elements() + b_elements(); }
  int64_t partial_elements() const { return parts_ > 1 ? parts_ * p_.m * p_.n : 0; }

  void multiply(const Operands& o, T* scratch, bool parallel) const {
    T* const packed_a = scratch;
    T* const packed_b = scratch + a_elements();
    if (o.from == o.to) {
      std::fill(o.out, o.out + p_.m * p_.n, T{});
      return kernels_.finish({1, 0, o.bias, 1, o.relu}, o.out, o.out, p_.m, p_.n, p_.n);
    }
    for (int64_t e = o.from; e < o.to; e += depth_) {
      const int64_t k = std::min(depth_, o.to - e);
      for (int64_t j = 0; j < p_.n; j += columns_) {
        const int64_t n = std::min(columns_, p_.n - j);
        const T* b = o.b + e * p_.b_inner + j * p_.b_column;
        // Where b is read in place, only a last panel that is no whole vectors is packed.
        const int64_t packed = packs_b_ ? 0 : n % kernels_.lanes == 0 ? n : n / width_ * width_;
        pack(tiles_->pack_b, width_, b + packed * p_.b_column, n - packed, p_.b_column, k,
             p_.b_inner, packed_b, parallel);
        for (int64_t i = 0; i < p_.m; i += rows_) {
          const int64_t m = std::min(rows_, p_.m - i);
          const T* a = o.a + i * p_.a_row + e * p_.a_inner;
          if (packs_a_) {
            pack(tiles_->pack_a, tiles_->rows, a, m, p_.a_row, k, p_.a_inner, packed_a, parallel);
          }
          Block block{packs_a_ ? packed_a : a, b, packed_b, packed, m, n, {}};
          block.tile.k = k;
          block.tile.out = o.out + i * p_.n + j;
          block.tile.out_row = p_.n;
          block.tile.add = e > o.from;
          if (e + k == o.to) {
            block.tile.bias = o.bias ? o.bias + j : nullptr;
            block.tile.relu = o.relu;
          }
          multiply_block(block, parallel);
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

  /// m × n of the results, for a part of the sum.
  struct Block {
    const T *a, *b, *packed_b;
    int64_t packed;  // the column from which on b is packed
    int64_t m, n;
    GemmTile<T> tile;  // what its tiles have in common
  };

  void multiply_block(const Block& block, bool parallel) const {
    const int64_t unit = packs_b_ ? width_ : kernels_.lanes;
    const int64_t lines = round_up(block.m, tiles_->rows) / tiles_->rows;
    const int64_t columns = round_up(block.n, unit) / unit;
    const double share = static_cast<double>(block.m * block.n * block.tile.k) /
                         static_cast<double>(p_.m * p_.n * p_.k);
    const auto cost =
        parallel ? static_cast<int64_t>(static_cast<double>(p_.cost_per_item()) * share) : 0;
    const int64_t line_bytes = tiles_->rows * block.tile.k * static_cast<int64_t>(sizeof(T));
    const int64_t most = std::max<int64_t>(1, kGroupBytes / line_bytes);
    const int64_t b_bytes = block.n * block.tile.k * static_cast<int64_t>(sizeof(T));
    if (lines >= columns && b_bytes <= kGroupBytes) {  // Every thread reads all of b, from L2.
      parallel_ranges(lines, cost, [&](int64_t first, int64_t last) {
        for (int64_t line = first; line < last; line += most) {
          const int64_t i = line * tiles_->rows;
          const int64_t end = std::min(line + most, last) * tiles_->rows;
          multiply_part(block, i, std::min(end, block.m) - i, 0, block.n);
        }
      });
      return;
    }
    // A thread keeps a group of a's lines, and takes it through a share of b's panels.
    const int64_t groups = (lines + most - 1) / most;
    parallel_ranges(groups * columns, cost, [&](int64_t first, int64_t last) {
      while (first < last) {
        const int64_t group = first / columns, end = std::min(last, (group + 1) * columns);
        const int64_t i = lines * group / groups * tiles_->rows;
        const int64_t next = lines * (group + 1) / groups * tiles_->rows;
        const int64_t j = first % columns * unit;
        multiply_part(block, i, std::min(next, block.m) - i, j,
                      std::min((end - group * columns) * unit, block.n) - j);
        first = end;
      }
    });
  }

  void multiply_part(const Block& block, int64_t i, int64_t m, int64_t j, int64_t n) const {
    GemmTile<T> tile = block.tile;
    tile.a = block.a + i * (packs_a_ ? tile.k : p_.a_row);
    tile.a_row = packs_a_ ? 1 : p_.a_row;
    tile.a_inner = packs_a_ ? tiles_->rows : p_.a_inner;
    tile.a_tile = tiles_->rows * (packs_a_ ? tile.k : p_.a_row);
    for (const int64_t end = j + n; j < end;) {
      int64_t columns = std::min(width_, end - j);
      if (j >= block.packed) {
        const int64_t panel = j - (j - block.packed) % width_;
        tile.b = block.packed_b + (panel - block.packed) * tile.k + (j - panel);
        tile.b_inner = std::min(width_, round_up(block.n - panel, kernels_.lanes));
        columns = std::min(columns, panel + width_ - j);
      } else {
        columns = std::min(columns, block.packed - j);
        tile.b = block.b + j;
        tile.b_inner = p_.b_inner;
      }
      tile.out = block.tile.out + i * p_.n + j;
      if (block.tile.bias) tile.bias = block.tile.bias + j;
      tiles_->run(tile, m, columns);
      j += columns;
    }
  }

  const Product p_;
  const GemmKernels<T>& kernels_;
  const int64_t items_;
  bool packs_a_, packs_b_;
  const GemmTiles<T>* tiles_;
  int64_t width_;  // of a panel of b
  int64_t depth_, rows_, columns_;
  int64_t parts_ = 1;
  bool in_parallel_;
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

KernelPtr make_blocked_product(const Product& product) {
  return make_for_dtype<BlockedProduct>(product);
}

}  // namespace cyxwiz::cpu
