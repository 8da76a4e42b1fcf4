#include "cpu/window.h"

#include <algorithm>
#include <optional>
#include <string>

#include "cpu/alignment.h"
#include "cpu/onednn.h"
#include "cpu/parts.h"
#include "cpu/tile.h"
#include "cpu/window_loops.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

using dnnl::memory;

int64_t aligned_size(const memory::desc& desc) {
  return aligned(static_cast<int64_t>(desc.get_size()));
}

/// The images of a batch cut into equal parts, but for the last.
struct Batch {
  int64_t size, part;

  int64_t count() const { return (size + part - 1) / part; }
  int64_t length(int64_t i) const { return std::min(part, size - i * part); }
};

/// Hands out scratch memory, piece by piece.
class ScratchPlan {
 public:
  int64_t add(int64_t bytes) {
    const int64_t at = bytes_;
    bytes_ += aligned(bytes);
    return at;
  }
  int64_t bytes() const { return bytes_; }

 private:
  int64_t bytes_ = 0;
};

/// A tensor on its way between the plain layout and the one that a primitive wants.
class Reordering {
 public:
  Reordering(const memory::desc& from, const memory::desc& to, int64_t slots)
      : is_needed_(from != to) {
    if (!is_needed_) return;
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    const dnnl::engine& engine = onednn_engine();
    const dnnl::reorder::primitive_desc desc(engine, from, engine, to, attributes);
    primitive_.emplace(
        dnnl::reorder(desc), desc.scratchpad_desc(),
        std::initializer_list<BoundPrimitive::Argument>{{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}},
        slots);
  }

  bool is_needed() const { return is_needed_; }
  int64_t scratchpad_bytes() const { return is_needed_ ? primitive_->scratchpad_bytes() : 0; }

  /// Where the tensor is afterwards: at `to`, or still at `from` when the layouts are one.
  const void* run(int64_t slot, const void* from, void* to, void* scratchpad,
                  std::atomic<dnnl_status_t>& status) {
    if (!is_needed_) return from;
    primitive_->run(slot, {from, to}, scratchpad, status);
    return to;
  }

 private:
  bool is_needed_;
  std::optional<BoundPrimitive> primitive_;
};

/// Sizes of one convolution, whichever of the three tensors is computed; shapes as users see them.
struct Convolution {
  Window window;
  Shape x, w, out;

  memory::dims stride() const { return {window.stride[0], window.stride[1]}; }
  memory::dims dilation() const { return {window.dilation[0] - 1, window.dilation[1] - 1}; }
  memory::dims padding() const { return {window.padding[0], window.padding[1]}; }
  int64_t image_elements(const Shape& shape) const { return shape[1] * shape[2] * shape[3]; }

  int64_t image_cost() const { return 100 + image_elements(out) * w[1] * w[2] * w[3] / 30; }

  std::string operation(const char* name) const {
    return std::string(name) + " of images " + to_string(x) + " and filters " + to_string(w);
  }
};

memory::dims dims_of(const Shape& shape, int64_t images) {
  return {images, shape[1], shape[2], shape[3]};
}
memory::dims dims_of(const Shape& shape) { return dims_of(shape, shape[0]); }

memory::desc images_desc(const Shape& shape, int64_t images) {
  return {dims_of(shape, images), memory::data_type::f32, memory::format_tag::nhwc};
}
memory::desc filters_desc(const Shape& shape) {
  return {dims_of(shape), memory::data_type::f32, memory::format_tag::any};
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

Forward::primitive_desc forward_desc(const Convolution& c, int64_t images, bool bias = false) {
  return Forward::primitive_desc(
      onednn_engine(), dnnl::prop_kind::forward_training, dnnl::algorithm::convolution_direct,
      images_desc(c.x, images), filters_desc(c.w),
      bias ? onednn_floats({c.out[1]}) : memory::desc(), images_desc(c.out, images), c.stride(),
      c.dilation(), c.padding(), c.padding(), user_scratchpad());
}

/// Makes negative numbers 0. (oneDNN's relu would make NaN 0 as well.)
void relu_in_place(float* values, int64_t count) {
  TileInstruction instruction;
  char* pointers[] = {reinterpret_cast<char*>(values)};
  Tile tile;
  tile.count[0] = count;
  tile_kernels().map[static_cast<size_t>(Op::k_relu)][static_cast<size_t>(Compute::kFloat32)](
      instruction, pointers, tile);
}

/// Forward and data gradient: images in, filters, images out, each part of the batch by itself.
class ImageConvolution final : public Kernel {
 public:
  enum class Direction { kForward, kInputGrad };

  ImageConvolution(const Convolution& convolution, Direction direction, bool bias, bool relu)
      : c_(convolution),
        direction_(direction),
        bias_(bias),
        relu_(relu),
        from_(direction == Direction::kForward ? c_.x : c_.out),
        to_(direction == Direction::kForward ? c_.out : c_.x),
        name_(
            c_.operation(direction == Direction::kForward ? "conv2d" : "conv2d's input gradient")),
        batch_{from_[0], std::clamp<int64_t>(kPartCost / c_.image_cost(), 1, from_[0])},
        slots_(slot_count(batch_.count())) {
    with_onednn(name_, [&] {
      whole_.emplace(make(batch_.part));
      if (batch_.size % batch_.part > 0) rest_.emplace(make(batch_.size % batch_.part));
    });
    // The filters' layout may depend on the number of images, so each kind of part has its own
    // copy.
    ScratchPlan shared;
    int64_t shared_pad = 0;
    for (Part* part : {&*whole_, rest_ ? &*rest_ : nullptr}) {
      if (!part) continue;
      part->filters_at = shared.add(aligned_size(part->filters_desc));
      shared_pad = std::max(shared_pad, part->filters.scratchpad_bytes());
      slot_bytes_ = std::max(slot_bytes_, aligned(part->convolution.scratchpad_bytes()));
    }
    shared_pad_at_ = shared.add(shared_pad);
    shared_bytes_ = shared.bytes();
  }

  int64_t scratch_bytes() const override { return shared_bytes_ + slots_ * slot_bytes_; }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    auto* const memory = static_cast<char*>(scratch);
    const auto* from = static_cast<const float*>(inputs[0]);
    auto* to = static_cast<float*>(outputs[0]);
    std::atomic<dnnl_status_t> status{dnnl_success};
    const auto prepare = [&](Part& part) {
      return part.filters.run(0, inputs[1], memory + part.filters_at, memory + shared_pad_at_,
                              status);
    };
    const void* const whole_filters = prepare(*whole_);
    const void* const rest_filters = rest_ ? prepare(*rest_) : nullptr;
    parallel_parts(
        batch_.count(), slots_, batch_.size * c_.image_cost(), [&](int64_t slot, int64_t i) {
          const bool is_whole = batch_.length(i) == batch_.part;
          Part& part = is_whole ? *whole_ : *rest_;
          const void* const filters = is_whole ? whole_filters : rest_filters;
          char* const pad = memory + shared_bytes_ + slot * slot_bytes_;
          const float* images = from + i * batch_.part * c_.image_elements(from_);
          float* results = to + i * batch_.part * c_.image_elements(to_);
          if (bias_) {
            part.convolution.run(slot, {images, filters, results, inputs[2]}, pad, status);
          } else {
            part.convolution.run(slot, {images, filters, results}, pad, status);
          }
          if (relu_) relu_in_place(results, batch_.length(i) * c_.image_elements(to_));
        });
    check_onednn(status, name_);
  }

 private:
  /// What runs on a part of the batch.
  struct Part {
    BoundPrimitive convolution;
    memory::desc filters_desc;
    Reordering filters;
    int64_t filters_at = 0;
  };

  // Nanoseconds of work that a part of the batch should have at least.
  static constexpr int64_t kPartCost = 100'000;

  Part make(int64_t images) const {
    if (direction_ == Direction::kForward) {
      const Forward::primitive_desc forward = forward_desc(c_, images, bias_);
      std::vector<BoundPrimitive::Argument> arguments{{DNNL_ARG_SRC, forward.src_desc()},
                                                      {DNNL_ARG_WEIGHTS, forward.weights_desc()},
                                                      {DNNL_ARG_DST, forward.dst_desc()}};
      if (bias_) arguments.push_back({DNNL_ARG_BIAS, forward.bias_desc()});
      return bind(Forward(forward), forward.scratchpad_desc(), arguments);
    }
    const BackwardData::primitive_desc backward(
        onednn_engine(), dnnl::algorithm::convolution_direct, images_desc(c_.x, images),
        filters_desc(c_.w), images_desc(c_.out, images), c_.stride(), c_.dilation(), c_.padding(),
        c_.padding(), forward_desc(c_, images), user_scratchpad());
    return bind(BackwardData(backward), backward.scratchpad_desc(),
                {{DNNL_ARG_DIFF_DST, backward.diff_dst_desc()},
                 {DNNL_ARG_WEIGHTS, backward.weights_desc()},
                 {DNNL_ARG_DIFF_SRC, backward.diff_src_desc()}});
  }

  Part bind(const dnnl::primitive& primitive, const memory::desc& scratchpad,
            const std::vector<BoundPrimitive::Argument>& arguments) const {
    const memory::desc& filters = arguments[1].desc;
    return {BoundPrimitive(primitive, scratchpad, arguments, slots_), filters,
            Reordering(onednn_floats(dims_of(c_.w)), filters, 1)};
  }

  const Convolution c_;
  const Direction direction_;
  const bool bias_, relu_;
  const Shape from_, to_;
  const std::string name_;
  const Batch batch_;
  const int64_t slots_;
  std::optional<Part> whole_, rest_;
  int64_t shared_pad_at_ = 0, shared_bytes_ = 0, slot_bytes_ = 0;
};

/// Each part of the batch gives a gradient of its own, in the layout of the primitive; they are
/// added in order, and the sum rearranged.
class WeightGradConvolution final : public Kernel {
 public:
  explicit WeightGradConvolution(const Convolution& convolution)
      : c_(convolution),
        name_(c_.operation("conv2d's filter gradient")),
        batch_{c_.x[0], std::max((c_.x[0] + kMaxParts - 1) / kMaxParts,
                                 std::clamp<int64_t>(kPartCost / c_.image_cost(), 1, c_.x[0]))},
        slots_(slot_count(batch_.count())) {
    with_onednn(name_, [&] {
      const memory::desc plain = onednn_floats(dims_of(c_.w));
      const BackwardWeights::primitive_desc desc = make_desc(batch_.part, filters_desc(c_.w));
      gradient_desc_ = desc.diff_weights_desc();
      whole_.emplace(bind(desc));
      if (const int64_t left = batch_.size % batch_.part; left > 0) {
        rest_.emplace(bind(make_desc(left, gradient_desc_)));
      }
      result_.emplace(gradient_desc_, plain, 1);
    });
    gradient_bytes_ = aligned_size(gradient_desc_);
    slot_bytes_ = aligned(
        std::max(whole_->scratchpad_bytes(), rest_ ? rest_->scratchpad_bytes() : int64_t{0}));
  }

  int64_t scratch_bytes() const override {
    return batch_.count() * gradient_bytes_ +
           std::max(slots_ * slot_bytes_, result_->scratchpad_bytes());
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    auto* const memory = static_cast<char*>(scratch);
    const auto* x = static_cast<const float*>(inputs[0]);
    const auto* g = static_cast<const float*>(inputs[1]);
    const int64_t parts = batch_.count();
    char* const pads = memory + parts * gradient_bytes_;
    std::atomic<dnnl_status_t> status{dnnl_success};
    parallel_parts(parts, slots_, batch_.size * c_.image_cost(), [&](int64_t slot, int64_t i) {
      BoundPrimitive& part = batch_.length(i) == batch_.part ? *whole_ : *rest_;
      part.run(slot,
               {x + i * batch_.part * c_.image_elements(c_.x),
                g + i * batch_.part * c_.image_elements(c_.out), memory + i * gradient_bytes_},
               pads + slot * slot_bytes_, status);
    });
    void* const out = outputs[0];
    void* const sum = result_->is_needed() ? memory : out;
    add_parts(memory, static_cast<float*>(sum));
    result_->run(0, sum, out, pads, status);
    check_onednn(status, name_);
  }

 private:
  // Each part costs a gradient's memory, so their number is bounded.
  static constexpr int64_t kPartCost = 200'000, kMaxParts = 16;

  BackwardWeights::primitive_desc make_desc(int64_t images, const memory::desc& gradient) const {
    return BackwardWeights::primitive_desc(
        onednn_engine(), dnnl::algorithm::convolution_direct, images_desc(c_.x, images), gradient,
        images_desc(c_.out, images), c_.stride(), c_.dilation(), c_.padding(), c_.padding(),
        forward_desc(c_, images), user_scratchpad());
  }

  BoundPrimitive bind(const BackwardWeights::primitive_desc& desc) const {
    return BoundPrimitive(BackwardWeights(desc), desc.scratchpad_desc(),
                          {{DNNL_ARG_SRC, desc.src_desc()},
                           {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                           {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}},
                          slots_);
  }

  /// `out` may be the first part's own memory.
  void add_parts(const char* memory, float* out) const {
    const int64_t parts = batch_.count();
    const auto size = static_cast<int64_t>(gradient_desc_.get_size() / sizeof(float));
    parallel_ranges(size, size * parts / 4, [&](int64_t first, int64_t last) {
      const auto part = [&](int64_t i) {
        return reinterpret_cast<const float*>(memory + i * gradient_bytes_);
      };
      if (out != part(0)) std::copy(part(0) + first, part(0) + last, out + first);
      for (int64_t i = 1; i < parts; ++i) {
        const float* from = part(i);
        for (int64_t e = first; e < last; ++e) out[e] += from[e];
      }
    });
  }

  const Convolution c_;
  const std::string name_;
  const Batch batch_;
  const int64_t slots_;
  memory::desc gradient_desc_;
  std::optional<BoundPrimitive> whole_, rest_;
  std::optional<Reordering> result_;
  int64_t gradient_bytes_ = 0, slot_bytes_ = 0;
};

/// Checks what all makers rely on: a message here means a mistake in the caller's shape rule.
Convolution checked(const Window& window, const Layout& x, const Layout& w, const Layout& out) {
  const auto seen = [&](const Layout& images) {
    const Shape& s = images.shape;
    return images.dtype == DType::kFloat32 ? Shape{s[0], s[3], s[1], s[2]} : s;
  };
  const Convolution c{window, seen(x), w.shape, seen(out)};
  const bool ranks = c.x.rank() == 4 && c.w.rank() == 4 && c.out.rank() == 4;
  if (!ranks || c.x[1] != c.w[1] || c.w[0] != c.out[1] || c.x[0] != c.out[0] ||
      c.w[2] != window.kernel[0] || c.w[3] != window.kernel[1]) {
    throw ShapeError("conv2d: the shapes do not fit: " + c.operation("conv2d") + " into " +
                     to_string(c.out));
  }
  return c;
}

bool is_empty(const Convolution& c) {
  return element_count(c.x) == 0 || element_count(c.w) == 0 || element_count(c.out) == 0;
}

bool uses_onednn(const Convolution& c, const Layout& x) {
  return x.dtype == DType::kFloat32 && !is_empty(c);
}

}  // namespace

KernelPtr make_conv2d(const Window& window, const Layout& x, const Layout& w, const Layout& out,
                      bool bias, bool relu) {
  const Convolution c = checked(window, x, w, out);
  if (!uses_onednn(c, x)) return make_conv2d_loops(window, x.dtype, c.x, c.w, c.out);
  return std::make_unique<ImageConvolution>(c, ImageConvolution::Direction::kForward, bias, relu);
}

KernelPtr make_conv2d_input_grad(const Window& window, const Layout& g, const Layout& w,
                                 const Layout& x_out) {
  const Convolution c = checked(window, x_out, w, g);
  if (!uses_onednn(c, g)) return make_conv2d_input_grad_loops(window, g.dtype, c.x, c.w, c.out);
  return std::make_unique<ImageConvolution>(c, ImageConvolution::Direction::kInputGrad, false,
                                            false);
}

KernelPtr make_conv2d_weight_grad(const Window& window, const Layout& x, const Layout& g,
                                  const Layout& w_out) {
  const Convolution c = checked(window, x, w_out, g);
  if (!uses_onednn(c, x)) return make_conv2d_weight_grad_loops(window, x.dtype, c.x, c.w, c.out);
  return std::make_unique<WeightGradConvolution>(c);
}

}  // namespace cyxwiz::cpu
