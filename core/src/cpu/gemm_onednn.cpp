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

/// An operand as oneDNN 3.2 rounds it to bfloat16: dense, [lines][length]. Others are packed.
class Operand {
 public:
  /// `takes_columns`: [length][lines] will do too.
  Operand(int64_t lines, int64_t length, int64_t line_stride, int64_t stride,
          std::vector<std::array<int64_t, 2>> batch, bool takes_columns)
      : lines_(lines), length_(length), from_line_(line_stride), from_stride_(stride) {
    const bool rows = stride == 1 && line_stride == length;
    const bool columns = takes_columns && line_stride == 1 && stride == lines;
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
           /*takes_columns=*/false),
        b_(p_.k, p_.n, p_.b_inner, p_.b_column, batch_of(p_, &Product::BatchAxis::b_stride),
           /*takes_columns=*/true) {
    if (a_.is_packed()) a_.set_batch_strides(p_.batch, &Product::BatchAxis::a_stride);
    if (b_.is_packed()) b_.set_batch_strides(p_.batch, &Product::BatchAxis::b_stride);
    const int64_t least = round_up(kPartVolume / (p_.n * p_.k) + 1, kRowUnit);
    const int64_t even = round_up(p_.m / kEnoughParts + 1, kRowUnit);
    part_rows_ = std::min(p_.m, std::max(least, std::min(even, kMaxRows)));
    parts_ = (p_.m + part_rows_ - 1) / part_rows_;
    slots_ = slot_count(items_ * parts_);
    make(whole_, part_rows_);
    if (p_.m % part_rows_ != 0) make(last_, p_.m % part_rows_);
  }

  int64_t scratch_bytes() const override {
    return a_.packed_bytes() + b_.packed_bytes() + slots_ * scratchpad_bytes_;
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    auto* const packed_a = static_cast<char*>(scratch);
    auto* const packed_b = packed_a + a_.packed_bytes();
    auto* const scratchpads = packed_b + b_.packed_bytes();
    const auto operand = [](const Operand& o, const void* input, char* packed) {
      if (!o.is_packed()) return static_cast<const float*>(input);
      o.pack(static_cast<const float*>(input), reinterpret_cast<float*>(packed));
      return reinterpret_cast<const float*>(packed);
    };
    const float* a = operand(a_, inputs[p_.a_input], packed_a);
    const float* b = operand(b_, inputs[p_.b_input], packed_b);
    float* out = static_cast<float*>(outputs[0]);

    std::atomic<dnnl_status_t> status{dnnl_success};
    parallel_parts(
        items_ * parts_, slots_, items_ * p_.cost_per_item(), [&](int64_t slot, int64_t part) {
          const int64_t index = part / parts_, row = part % parts_ * part_rows_;
          const int64_t rows = std::min(part_rows_, p_.m - row);
          const Product::Item start = p_.item(index);
          const float* tile_a = a + start.a + row * a_.line_stride();
          float* to = out + (index * p_.m + row) * p_.n;
          BoundPrimitive& primitive = rows == part_rows_ ? *whole_ : *last_;
          char* scratchpad = scratchpads + slot * scratchpad_bytes_;
          if (p_.epilogue.bias) {
            primitive.run(slot, {tile_a, b + start.b, to, inputs[2]}, scratchpad, status);
          } else {
            primitive.run(slot, {tile_a, b + start.b, to}, scratchpad, status);
          }
          // oneDNN's relu turns NaN into 0.
          if (p_.epilogue.relu) {
            std::transform(to, to + rows * p_.n, to, [](float v) { return v < 0.0f ? 0.0f : v; });
          }
        });
    check_onednn(status, p_.operation);
  }

 private:
  // A part should be large enough to be worth a call and a thread, and small enough that there are
  // parts for every thread; but each rounds all of b.
  static constexpr int64_t kPartVolume = 1'500'000, kEnoughParts = 8;
  static constexpr int64_t kRowUnit = 16, kMaxRows = 512;

  void make(std::optional<BoundPrimitive>& primitive, int64_t rows) {
    with_onednn(p_.operation, [&] {
      const auto a = onednn_floats({rows, p_.k}, {a_.line_stride(), a_.stride()});
      const auto b = onednn_floats({p_.k, p_.n}, {b_.line_stride(), b_.stride()});
      const auto out = onednn_floats({rows, p_.n}, {p_.n, 1});
      const auto bias = onednn_floats({1, p_.n});
      dnnl::primitive_attr attributes;
      attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
      attributes.set_fpmath_mode(dnnl::fpmath_mode::bf16);
      using Matmul = dnnl::matmul;
      const dnnl::engine& engine = onednn_engine();
      if (p_.epilogue.bias) {
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

  Product p_;
  const int64_t items_;
  Operand a_, b_;
  int64_t part_rows_ = 0, parts_ = 0;
  int64_t slots_ = 0;
  int64_t scratchpad_bytes_ = 0;
  std::optional<BoundPrimitive> whole_, last_;  // of part_rows_ rows, and of those left
};

}  // namespace

KernelPtr make_onednn_product(const Product& product) {
  return std::make_unique<OnednnProduct>(product);
}

}  // namespace cyxwiz::cpu
