#include <algorithm>
#include <array>
#include <optional>

#include "cpu/gemm.h"
#include "cpu/onednn.h"
#include "cpu/parts.h"

namespace cyxwiz::cpu {
namespace {

constexpr int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
constexpr int64_t aligned_bytes(int64_t elements) { return round_up(elements * 4, 64); }

/// An axis cut into equal parts, but for the last.
struct Cut {
  int64_t size = 0, part = 0;

  int64_t count() const { return (size + part - 1) / part; }
  int64_t first(int64_t i) const { return i * part; }
  int64_t length(int64_t i) const { return std::min(part, size - i * part); }
  bool is_short(int64_t i) const { return length(i) < part; }
  int64_t rest() const { return size % part; }
};

/// An operand in strides that oneDNN takes: [lines][length], one of the strides being 1.
class Operand {
 public:
  /// Which operands are taken as they lie; others are packed. oneDNN 3.2 rounds to bfloat16 only
  /// what is dense.
  enum class Takes { kStrided, kDense, kDenseRows };

  Operand(int64_t lines, int64_t length, int64_t line_stride, int64_t stride,
          std::vector<std::array<int64_t, 2>> batch, Takes takes)
      : lines_(lines), length_(length), from_line_(line_stride), from_stride_(stride) {
    const bool strided = takes == Takes::kStrided;
    const bool rows = stride == 1 && (strided ? line_stride >= length : line_stride == length);
    const bool columns = takes != Takes::kDenseRows && line_stride == 1 &&
                         (strided ? stride >= lines : stride == lines);
    if (rows || columns) return;
    packed_items_ = 1;
    for (const auto& [size, batch_stride] : batch) {
      if (batch_stride == 0) continue;
      from_batch_.push_back({size, batch_stride});
      packed_items_ *= size;
    }
  }

  bool is_packed() const { return packed_items_ > 0; }
  int64_t line_stride() const { return is_packed() ? length_ : from_line_; }
  int64_t stride() const { return is_packed() ? 1 : from_stride_; }
  int64_t packed_bytes() const { return aligned_bytes(packed_items_ * lines_ * length_); }

  /// The strides of the packed items along the batch axes given at creation.
  void set_batch_strides(std::vector<Product::BatchAxis>& batch,
                         int64_t Product::BatchAxis::* stride) const {
    int64_t next = lines_ * length_;
    for (size_t i = batch.size(); i-- > 0;) {
      if (batch[i].*stride == 0) continue;
      batch[i].*stride = next;
      next *= batch[i].size;
    }
  }

  void pack(const float* from, float* to) const {
    const int64_t all_lines = packed_items_ * lines_;
    parallel_ranges(all_lines, all_lines * length_ / 2, [&](int64_t first, int64_t last) {
      for (int64_t line = first; line < last; ++line) {
        const float* start = from + line % lines_ * from_line_;
        int64_t item = line / lines_;
        for (size_t i = from_batch_.size(); i-- > 0;) {
          start += item % from_batch_[i][0] * from_batch_[i][1];
          item /= from_batch_[i][0];
        }
        float* copy = to + line * length_;
        for (int64_t e = 0; e < length_; ++e) copy[e] = start[e * from_stride_];
      }
    });
  }

 private:
  int64_t lines_, length_, from_line_, from_stride_;
  std::vector<std::array<int64_t, 2>> from_batch_;
  int64_t packed_items_ = 0;
};

std::vector<std::array<int64_t, 2>> batch_of(const Product& p,
                                             int64_t Product::BatchAxis::* stride) {
  std::vector<std::array<int64_t, 2>> axes;
  for (const Product::BatchAxis& axis : p.batch) axes.push_back({axis.size, axis.*stride});
  return axes;
}

class OnednnProduct final : public Kernel {
 public:
  explicit OnednnProduct(const Product& product)
      : p_(product),
        items_(p_.items()),
        a_(p_.m, p_.k, p_.a_row, p_.a_inner, batch_of(p_, &Product::BatchAxis::a_stride),
           is_rounded() ? Operand::Takes::kDenseRows : Operand::Takes::kStrided),
        b_(p_.k, p_.n, p_.b_inner, p_.b_column, batch_of(p_, &Product::BatchAxis::b_stride),
           is_rounded() ? Operand::Takes::kDense : Operand::Takes::kStrided) {
    if (a_.is_packed()) a_.set_batch_strides(p_.batch, &Product::BatchAxis::a_stride);
    if (b_.is_packed()) b_.set_batch_strides(p_.batch, &Product::BatchAxis::b_stride);
    cut();
    slots_ = slot_count(items_ * rows_.count() * columns_.count() * depths_.count());
    for (const bool short_row : {false, true}) {
      for (const bool short_column : {false, true}) {
        for (const bool short_depth : {false, true}) {
          if ((short_row && rows_.rest() == 0) || (short_column && columns_.rest() == 0) ||
              (short_depth && depths_.rest() == 0)) {
            continue;
          }
          make(short_row, short_column, short_depth);
        }
      }
    }
  }

  int64_t scratch_bytes() const override {
    return a_.packed_bytes() + b_.packed_bytes() + partial_bytes() + slots_ * scratchpad_bytes_;
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    auto* const packed_a = static_cast<char*>(scratch);
    auto* const packed_b = packed_a + a_.packed_bytes();
    auto* const partial = reinterpret_cast<float*>(packed_b + b_.packed_bytes());
    auto* const scratchpads = packed_b + b_.packed_bytes() + partial_bytes();
    const auto operand = [](const Operand& o, const void* input, char* packed) {
      if (!o.is_packed()) return static_cast<const float*>(input);
      o.pack(static_cast<const float*>(input), reinterpret_cast<float*>(packed));
      return reinterpret_cast<const float*>(packed);
    };
    const float* a = operand(a_, inputs[p_.a_input], packed_a);
    const float* b = operand(b_, inputs[p_.b_input], packed_b);
    const float* bias = p_.epilogue.bias ? static_cast<const float*>(inputs[2]) : nullptr;
    float* out = static_cast<float*>(outputs[0]);

    std::atomic<dnnl_status_t> status{dnnl_success};
    const int64_t rows = rows_.count(), columns = columns_.count(), depths = depths_.count();
    parallel_parts(
        items_ * rows * columns * depths, slots_, items_ * p_.cost_per_item(),
        [&](int64_t slot, int64_t part) {
          const int64_t column = part % columns, row = part / columns % rows;
          const int64_t depth = part / columns / rows % depths;
          const int64_t index = part / columns / rows / depths;
          const Product::Item start = p_.item(index);
          const int64_t i = rows_.first(row), j = columns_.first(column), e = depths_.first(depth);
          const float* tile_a = a + start.a + i * a_.line_stride() + e * a_.stride();
          const float* tile_b = b + start.b + e * b_.line_stride() + j * b_.stride();
          float* to = (depths > 1 ? partial + depth * p_.m * p_.n : out + index * p_.m * p_.n) +
                      i * p_.n + j;
          BoundPrimitive& primitive = *primitives_[variant(
              rows_.is_short(row), columns_.is_short(column), depths_.is_short(depth))];
          char* scratchpad = scratchpads + slot * scratchpad_bytes_;
          if (bias && depths == 1) {
            primitive.run(slot, {tile_a, tile_b, to, bias + j}, scratchpad, status);
          } else {
            primitive.run(slot, {tile_a, tile_b, to}, scratchpad, status);
          }
          // oneDNN's relu turns NaN into 0.
          if (p_.epilogue.relu && depths == 1) {
            finish_rows<float>(to, rows_.length(row), columns_.length(column), p_.n, nullptr, 1,
                               true);
          }
        });
    check_onednn(status, p_.operation);
    if (depths > 1) add_partial(partial, bias, out);
  }

 private:
  // A part should be large enough to be worth a call and a thread, and small enough that there are
  // parts for every thread. Few rows make packing a transposed b dear, few columns reading a.
  static constexpr int64_t kPartVolume = 1'500'000, kEnoughParts = 16;
  static constexpr int64_t kRowUnit = 16, kMaxRows = 128, kMaxColumns = 256;
  // Every part rounds all of b: fewer and larger ones.
  static constexpr int64_t kRoundedParts = 8, kMaxRoundedRows = 512;
  // Long sums of few results, as in weight gradients, are cut too.
  static constexpr int64_t kLongDepth = 8192;

  bool is_rounded() const { return p_.precision == Precision::kBfloat16; }

  void cut() {
    if (is_rounded()) {
      columns_ = {p_.n, p_.n};
      depths_ = {p_.k, p_.k};
      const int64_t least = round_up(kPartVolume / (p_.n * p_.k) + 1, kRowUnit);
      const int64_t even = round_up(p_.m / kRoundedParts + 1, kRowUnit);
      rows_ = {p_.m, std::min(p_.m, std::max(least, std::min(even, kMaxRoundedRows)))};
      return;
    }
    columns_ = {p_.n, p_.n < 2 * kMaxColumns ? p_.n : kMaxColumns};
    const int64_t least = round_up(kPartVolume / (columns_.part * p_.k) + 1, kRowUnit);
    const int64_t even = round_up(p_.m * columns_.count() / kEnoughParts, kRowUnit);
    const int64_t wanted = std::max(least, std::min(even, kMaxRows));
    // Equal parts rather than a small last one.
    const int64_t count = (p_.m + wanted - 1) / wanted;
    rows_ = {p_.m, std::min(p_.m, round_up((p_.m + count - 1) / count, 8))};
    depths_ = {p_.k, p_.k};
    const int64_t parts = rows_.count() * columns_.count();
    if (items_ == 1 && parts < kEnoughParts && p_.k >= kLongDepth) {
      const int64_t deep = kPartVolume / (rows_.part * columns_.part) + 1;
      const int64_t even = (p_.k * parts + kEnoughParts - 1) / kEnoughParts;
      depths_.part = std::min(p_.k, round_up(std::max({deep, even, kLongDepth / 2}), 64));
    }
  }

  int64_t partial_bytes() const {
    return depths_.count() > 1 ? aligned_bytes(depths_.count() * p_.m * p_.n) : 0;
  }

  static size_t variant(bool short_row, bool short_column, bool short_depth) {
    return static_cast<size_t>(short_row) * 4 + static_cast<size_t>(short_column) * 2 +
           static_cast<size_t>(short_depth);
  }

  void make(bool short_row, bool short_column, bool short_depth) {
    const int64_t m = short_row ? rows_.rest() : rows_.part;
    const int64_t n = short_column ? columns_.rest() : columns_.part;
    const int64_t k = short_depth ? depths_.rest() : depths_.part;
    const bool whole = depths_.count() == 1;
    with_onednn(p_.operation, [&] {
      const auto a = onednn_floats({m, k}, {a_.line_stride(), a_.stride()});
      const auto b = onednn_floats({k, n}, {b_.line_stride(), b_.stride()});
      const auto out = onednn_floats({m, n}, {p_.n, 1});
      const auto bias = onednn_floats({1, n});
      dnnl::primitive_attr attributes;
      attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
      if (is_rounded()) attributes.set_fpmath_mode(dnnl::fpmath_mode::bf16);
      if (p_.epilogue.accumulate && whole) {
        dnnl::post_ops after;
        after.append_sum();
        attributes.set_post_ops(after);
      }
      using Matmul = dnnl::matmul;
      const dnnl::engine& engine = onednn_engine();
      std::optional<BoundPrimitive>& primitive =
          primitives_[variant(short_row, short_column, short_depth)];
      if (p_.epilogue.bias && whole) {
        const Matmul::primitive_desc desc(engine, a, b, bias, out, attributes);
        primitive.emplace(Matmul(desc), desc.scratchpad_desc(),
                          std::initializer_list<BoundPrimitive::Argument>{{DNNL_ARG_SRC, a},
                                                                          {DNNL_ARG_WEIGHTS, b},
                                                                          {DNNL_ARG_DST, out},
                                                                          {DNNL_ARG_BIAS, bias}},
                          slots_);
      } else {
        const Matmul::primitive_desc desc(engine, a, b, out, attributes);
        primitive.emplace(Matmul(desc), desc.scratchpad_desc(),
                          std::initializer_list<BoundPrimitive::Argument>{
                              {DNNL_ARG_SRC, a}, {DNNL_ARG_WEIGHTS, b}, {DNNL_ARG_DST, out}},
                          slots_);
      }
      scratchpad_bytes_ = std::max(scratchpad_bytes_, round_up(primitive->scratchpad_bytes(), 64));
    });
  }

  void add_partial(const float* partial, const float* bias, float* out) const {
    const int64_t depths = depths_.count(), size = p_.m * p_.n;
    parallel_ranges(p_.m, size * depths / 4, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        float* row = out + i * p_.n;
        const float* from = partial + i * p_.n;
        for (int64_t j = 0; j < p_.n; ++j) {
          row[j] = p_.epilogue.accumulate ? row[j] + from[j] : from[j];
        }
        for (int64_t depth = 1; depth < depths; ++depth) {
          from += size;
          for (int64_t j = 0; j < p_.n; ++j) row[j] += from[j];
        }
      }
      finish_rows(out + first * p_.n, last - first, p_.n, p_.n, bias, int64_t{1}, p_.epilogue.relu);
    });
  }

  Product p_;
  const int64_t items_;
  Operand a_, b_;
  Cut rows_, columns_, depths_;
  int64_t slots_ = 0;
  int64_t scratchpad_bytes_ = 0;
  std::array<std::optional<BoundPrimitive>, 8> primitives_;
};

}  // namespace

KernelPtr make_onednn_product(const Product& product) {
  return std::make_unique<OnednnProduct>(product);
}

}  // namespace cyxwiz::cpu
