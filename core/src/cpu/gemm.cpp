#include "cpu/gemm.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <string>

#include "cpu/gemm_kernels.h"
#include "cpu/parts.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

template <class T>
class ThinProduct final : public Kernel {
 public:
  explicit ThinProduct(const Product& product)
      : p_(product),
        kernels_(std::get<GemmKernels<T>>(gemm_table())),
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
      : p_(product), kernels_(std::get<GemmKernels<T>>(gemm_table())), items_(p_.items()) {
    // Packing pays where an operand is read often enough, and from memory that lies unfavourably; a
    // block that threads share has to be worth a parallel region too.
    const bool shared = items_ == 1 || p_.cost_per_item() > kLargeItem;
    const bool lies_well = p_.b_column == 1 && p_.b_inner >= p_.n;
    const bool is_close = p_.b_inner * static_cast<int64_t>(sizeof(T)) < kFarRow;
    const int64_t many_rows = shared && is_close ? kVeryManyRows : kManyRows;
    packs_b_ = !lies_well || (p_.m >= many_rows && (!shared || p_.k * p_.n >= kManyElements));
    packs_a_ = (p_.n >= kManyColumns && p_.m * p_.k >= kManyElements) ||
               (p_.a_row != 1 && p_.a_inner != 1);
    const bool packs_both = packs_a_ && packs_b_;
    tiles_ = packs_both ? &kernels_.tall : &kernels_.flat;
    width_ = tiles_->vectors * kernels_.lanes;
    const int64_t most = packs_both ? kPanelBytes / (width_ * static_cast<int64_t>(sizeof(T)))
                         : packs_a_ || packs_b_ ? kPackedDepth
                                                : kPlainDepth;
    const int64_t cuts = std::max<int64_t>(1, (p_.k + most - 1) / most);
    depth_ = std::min(p_.k, round_up((p_.k + cuts - 1) / cuts, kernels_.lanes));
    if (items_ == 1) parts_ = sum_parts();
    in_parallel_ = items_ * parts_ == 1 || (parts_ == 1 && p_.cost_per_item() > kLargeItem);
    // A panel that few groups of a's rows go through is packed for each of them, by their thread.
    const int64_t row_bytes = depth_ * static_cast<int64_t>(sizeof(T));
    const int64_t a_bytes = round_up(p_.m, tiles_->rows) * row_bytes;
    const bool many_groups = a_bytes > (p_.b_column == 1 ? 2 : 1) * kGroupBytes;
    shares_b_ = packs_b_ && in_parallel_ && (many_groups || is_small(depth_, p_.n));
    rows_ = std::min(round_up(p_.m, tiles_->rows), round_up(kRows, tiles_->rows));
    columns_ = shares_b_ ? std::min(round_up(p_.n, width_), round_up(kColumns, width_)) : p_.n;
    slots_ = in_parallel_ ? 1 : slot_count(items_ * parts_);
  }

  int64_t scratch_bytes() const override {
    return (slots_ * slot_elements() + partial_elements()) * static_cast<int64_t>(sizeof(T));
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    if (items_ == 0 || p_.m == 0 || p_.n == 0) return;
    const Operands all = operands(inputs, outputs);
    T* const partial = static_cast<T*>(scratch) + slots_ * slot_elements();
    const auto run_piece = [&](int64_t slot, int64_t piece, bool parallel) {
      const int64_t index = piece / parts_, part = piece % parts_;
      const Product::Item start = p_.item(index);
      Operands o = all;
      o.from = p_.k * part / parts_;
      o.to = p_.k * (part + 1) / parts_;
      o.a += start.a;
      o.b += start.b;
      if (!parallel && index + 1 < items_) {
        const Product::Item next = p_.item(index + 1);
        o.next_a = all.a + next.a;
        o.next_b = all.b + next.b;
      }
      o.out = (parts_ == 1 ? all.out : partial + part * p_.m * p_.n) + index * p_.m * p_.n;
      multiply(o, static_cast<T*>(scratch) + slot * slot_elements(), parallel);
    };
    const int64_t pieces = items_ * parts_;
    if (in_parallel_) {
      for (int64_t i = 0; i < pieces; ++i) run_piece(0, i, true);
    } else {
      parallel_parts(pieces, slots_, items_ * p_.cost_per_item(),
                     [&](int64_t slot, int64_t i) { run_piece(slot, i, false); });
    }
    if (!tiles_finish()) {
      kernels_.finish({parts_, p_.m * p_.n, bias(inputs), p_.bias_stride, p_.epilogue.relu},
                      parts_ == 1 ? all.out : partial, all.out, items_ * p_.m, p_.n, p_.n);
    }
  }

  Rows rows() const override {
    const bool packs = packs_a_ || packs_b_;
    const bool in_one_go = items_ == 1 && parts_ == 1 && depth_ == p_.k && tiles_finish();
    if (packs || !in_one_go || p_.a_input != 0 || !is_small(p_.k, p_.n)) return {};
    return {p_.m, tiles_->rows, p_.cost_per_item()};
  }

  void run_rows(std::span<const void* const> inputs, std::span<void* const> outputs, int64_t first,
                int64_t last) override {
    multiply_part(block(operands(inputs, outputs), nullptr, 0, 0, 0), first, last - first, 0, p_.n);
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
  // The same where the rows of b that follow each other lie fewer bytes apart than this: L1 and L2
  // hold many of them at a time (256 × 784 · 784 × 256: 360 us became 266).
  static constexpr int64_t kVeryManyRows = 600, kFarRow = 2048;
  // Of a, what a thread takes through all of b's panels: it stays in L2 beside one panel, and
  // the more there is of it, the less often b, which does not, is read.
  static constexpr int64_t kGroupBytes = 768 << 10;
  // Elements of the rows that copy_tail copies: one of three vectors, or some whose elements
  // together fill no more than one vector.
  static constexpr int64_t kMostTail = 16 * 16;
  // Nanoseconds from which an item of a batch is worth its own parallel regions.
  static constexpr int64_t kLargeItem = 100'000;
  // A part of a sum that is worth adding up: multiplications, and elements of b.
  static constexpr int64_t kPartVolume = 1'500'000, kMostParts = 16;

  struct Operands {
    const T *a, *b, *bias;
    T* out;
    int64_t from, to;  // the part of the sum that is wanted
    bool relu;
    const T *next_a = nullptr, *next_b = nullptr;  // of the next item
  };

  const T* bias(std::span<const void* const> inputs) const {
    return p_.epilogue.bias ? static_cast<const T*>(inputs[2]) : nullptr;
  }

  /// Do the tiles finish the results? Along a row of equal biases they would read beyond it.
  bool tiles_finish() const { return parts_ == 1 && (!p_.epilogue.bias || p_.bias_stride == 1); }

  Operands operands(std::span<const void* const> inputs, std::span<void* const> outputs) const {
    const bool finish = tiles_finish();
    return {static_cast<const T*>(inputs[p_.a_input]),
            static_cast<const T*>(inputs[p_.b_input]),
            finish ? bias(inputs) : nullptr,
            static_cast<T*>(outputs[0]),
            0,
            p_.k,
            finish && p_.epilogue.relu};
  }

  /// Can every thread read all of b, from L2?
  static bool is_small(int64_t k, int64_t n) {
    return k * n * static_cast<int64_t>(sizeof(T)) <= kGroupBytes;
  }

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
  int64_t b_elements() const { return shares_b_ ? round_up(depth_ * columns_, 64) : 0; }
  int64_t slot_elements() const { return a_elements() + b_elements(); }
  int64_t partial_elements() const { return parts_ > 1 ? parts_ * p_.m * p_.n : 0; }

  void multiply(const Operands& o, T* scratch, bool parallel) const {
    if (o.from == o.to) {
      std::fill(o.out, o.out + p_.m * p_.n, T{});
      return kernels_.finish({1, 0, o.bias, 1, o.relu}, o.out, o.out, p_.m, p_.n, p_.n);
    }
    for (int64_t e = o.from; e < o.to; e += depth_) {
      for (int64_t j = 0; j < p_.n; j += columns_) {
        if (shares_b_) {
          const Block all_rows = block(o, scratch, e, 0, j);
          pack(tiles_->pack_b, width_, all_rows.b, all_rows.n, p_.b_column, all_rows.tile.k,
               p_.b_inner, all_rows.packed_b, parallel);
        }
        for (int64_t i = 0; i < p_.m; i += rows_) {
          const Block here = block(o, scratch, e, i, j);
          if (packs_a_) {
            pack(tiles_->pack_a, tiles_->rows, o.a + i * p_.a_row + e * p_.a_inner, here.m,
                 p_.a_row, here.tile.k, p_.a_inner, scratch, parallel);
          }
          multiply_block(here, parallel);
        }
      }
    }
  }

  /// Some of the results, for a part of the sum.
  struct Block {
    int64_t m, n;
    const T *a, *b;
    T* packed_b;
    GemmTile<T> tile;  // what its tiles have in common
  };

  /// From element e of the sum, row i and column j on.
  Block block(const Operands& o, T* scratch, int64_t e, int64_t i, int64_t j) const {
    Block made;
    made.m = std::min(rows_, p_.m - i);
    made.n = std::min(columns_, p_.n - j);
    made.a = packs_a_ ? scratch : o.a + i * p_.a_row + e * p_.a_inner;
    made.b = o.b + e * p_.b_inner + j * p_.b_column;
    made.packed_b = scratch + a_elements();
    made.tile.k = std::min(depth_, o.to - e);
    made.tile.next_a = o.next_a;
    made.tile.next_b = o.next_b;
    made.tile.out = o.out + i * p_.n + j;
    made.tile.out_row = p_.n;
    made.tile.add = e > o.from;
    if (e + made.tile.k == o.to) {
      made.tile.bias = o.bias ? o.bias + j : nullptr;
      made.tile.relu = o.relu;
    }
    return made;
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
    if ((lines >= columns || splits_evenly(lines)) && is_small(block.tile.k, block.n)) {
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
    T* own_panel = nullptr;
    if (packs_b_ && !shares_b_) {
      own_panel =
          reinterpret_cast<T*>(thread_memory(depth_ * width_ * static_cast<int64_t>(sizeof(T))));
    }
    T tail[kMostTail];
    const int64_t end = j + n;
    for (int64_t panels = (n + width_ - 1) / width_; panels > 0; --panels) {
      // Where they need not be as they were packed, panels are of like width: a narrow one would
      // wait for the operands.
      const int64_t even = round_up((end - j + panels - 1) / panels, kernels_.lanes);
      const int64_t columns = std::min(packs_b_ ? width_ : even, end - j);
      const int64_t whole = round_up(columns, kernels_.lanes);
      // Whole vectors of b's rows are packed on the way, by the first rows of the result.
      const bool on_the_way = own_panel && !packs_a_ && p_.a_inner == 1 && p_.b_column == 1 &&
                              columns == whole && m >= tiles_->rows;
      tile.panel = on_the_way ? own_panel : nullptr;
      const bool in_place = !packs_b_ || on_the_way;
      // What a batch packs on the way was fetched into L2 while its last item was computed.
      tile.fetches_b = in_place && (in_parallel_ || !on_the_way);
      if (in_place) {
        tile.b = block.b + j;
        tile.b_inner = p_.b_inner;
        if (whole > columns) {
          tile.tail = tail;
          tile.tail_rows = copy_tail(tile, columns, whole, tail);
        }
      } else {
        T* const panel = shares_b_ ? block.packed_b + j * tile.k : own_panel;
        if (!shares_b_) {
          tiles_->pack_b(block.b + j * p_.b_column, columns, p_.b_column, tile.k, p_.b_inner,
                         panel);
        }
        tile.b = panel;
      }
      if (block.tile.next_a) {
        const int64_t fetched = j * m / width_ * tiles_->fetches;
        tile.next_a = block.tile.next_a + fetched;
        tile.next_b = block.tile.next_b + fetched;
      }
      tile.out = block.tile.out + i * p_.n + j;
      if (block.tile.bias) tile.bias = block.tile.bias + j;
      tiles_->run(tile, m, columns);
      j += columns;
    }
  }

  /// Copies the last rows of a panel of b, from which whole vectors would reach beyond b's end, and
  /// returns their number.
  int64_t copy_tail(const GemmTile<T>& tile, int64_t columns, int64_t whole, T* tail) const {
    const int64_t rows = std::min(tile.k, (whole - columns + p_.b_inner - 1) / p_.b_inner);
    const T* from = tile.b + (tile.k - rows) * p_.b_inner;
    for (int64_t e = 0; e < rows; ++e, from += p_.b_inner, tail += whole) {
      std::copy_n(from, columns, tail);
      std::fill(tail + columns, tail + whole, T{});
    }
    return rows;
  }

  const Product p_;
  const GemmKernels<T>& kernels_;
  const int64_t items_;
  bool packs_a_, packs_b_;
  bool shares_b_;  // It is packed as a whole, for all threads; else panel by panel.
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
