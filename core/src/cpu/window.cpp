#include "cpu/window.h"

#include <algorithm>
#include <optional>
#include <string>

#include "cpu/onednn.h"
#include "cpu/parts.h"
#include "cpu/window_loops.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

using dnnl::memory;

constexpr int64_t kAlignment = 64;

constexpr int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}
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

/// Sizes, layouts and the cut of one convolution, whichever of the three tensors is computed.
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

memory::desc any_layout(const memory::dims& sizes) {
  return {sizes, memory::data_type::f32, memory::format_tag::any};
}

dnnl::primitive_attr user_scratchpad() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

using Forward = dnnl::convolution_forward;
using BackwardData = dnnl::convolution_backward_data;
using BackwardWeights = dnnl::convolution_backward_weights;

Forward::primitive_desc forward_desc(const Convolution& c, int64_t images) {
  return Forward::primitive_desc(onednn_engine(), dnnl::prop_kind::forward_training,
                                 dnnl::algorithm::convolution_direct,
                                 any_layout(dims_of(c.x, images)), any_layout(dims_of(c.w)),
                                 any_layout(dims_of(c.out, images)), c.stride(), c.dilation(),
                                 c.padding(), c.padding(), user_scratchpad());
}

/// Forward and data gradient: images in, filters, images out, each part of the batch by itself.
class ImageConvolution final : public Kernel {
 public:
  enum class Direction { kForward, kInputGrad };

  ImageConvolution(const Convolution& convolution, Direction direction)
      : c_(convolution),
        direction_(direction),
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
    ScratchPlan shared, own;
    int64_t shared_pad = 0;
    for (Part* part : {&*whole_, rest_ ? &*rest_ : nullptr}) {
      if (!part) continue;
      part->filters_at = shared.add(aligned_size(part->filters_desc));
      shared_pad = std::max(shared_pad, part->filters.scratchpad_bytes());
      scratchpad_bytes_ =
          std::max({scratchpad_bytes_, part->input.scratchpad_bytes(),
                    part->output.scratchpad_bytes(), part->convolution.scratchpad_bytes()});
    }
    shared_pad_at_ = shared.add(shared_pad);
    input_at_ = own.add(aligned_size(whole_->input_desc));
    output_at_ = own.add(aligned_size(whole_->output_desc));
    scratchpad_at_ = own.add(scratchpad_bytes_);
    shared_bytes_ = shared.bytes();
    slot_bytes_ = own.bytes();
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
          char* const own = memory + shared_bytes_ + slot * slot_bytes_;
          const float* images = from + i * batch_.part * c_.image_elements(from_);
          float* results = to + i * batch_.part * c_.image_elements(to_);
          const void* input =
              part.input.run(slot, images, own + input_at_, own + scratchpad_at_, status);
          void* output = part.output.is_needed() ? own + output_at_ : static_cast<void*>(results);
          part.convolution.run(slot, {input, is_whole ? whole_filters : rest_filters, output},
                               own + scratchpad_at_, status);
          part.output.run(slot, output, results, own + scratchpad_at_, status);
        });
    check_onednn(status, name_);
  }

 private:
  /// What runs on a part of the batch.
  struct Part {
    BoundPrimitive convolution;
    memory::desc input_desc, filters_desc, output_desc;
    Reordering input, filters, output;
    int64_t filters_at = 0;
  };

  // Nanoseconds of work that a part of the batch should have at least.
  static constexpr int64_t kPartCost = 100'000;

  Part make(int64_t images) const {
    const Forward::primitive_desc forward = forward_desc(c_, images);
    if (direction_ == Direction::kForward) {
      return bind(images, Forward(forward), forward.scratchpad_desc(),
                  {DNNL_ARG_SRC, forward.src_desc()}, {DNNL_ARG_WEIGHTS, forward.weights_desc()},
                  {DNNL_ARG_DST, forward.dst_desc()});
    }
    const BackwardData::primitive_desc backward(
        onednn_engine(), dnnl::algorithm::convolution_direct, any_layout(dims_of(c_.x, images)),
        any_layout(dims_of(c_.w)), any_layout(dims_of(c_.out, images)), c_.stride(), c_.dilation(),
        c_.padding(), c_.padding(), forward, user_scratchpad());
    return bind(images, BackwardData(backward), backward.scratchpad_desc(),
                {DNNL_ARG_DIFF_DST, backward.diff_dst_desc()},
                {DNNL_ARG_WEIGHTS, backward.weights_desc()},
                {DNNL_ARG_DIFF_SRC, backward.diff_src_desc()});
  }

  Part bind(int64_t images, const dnnl::primitive& primitive, const memory::desc& scratchpad,
            const BoundPrimitive::Argument& input, const BoundPrimitive::Argument& filters,
            const BoundPrimitive::Argument& output) const {
    return {BoundPrimitive(primitive, scratchpad, {input, filters, output}, slots_),
            input.desc,
            filters.desc,
            output.desc,
            Reordering(onednn_floats(dims_of(from_, images)), input.desc, slots_),
            Reordering(onednn_floats(dims_of(c_.w)), filters.desc, 1),
            Reordering(output.desc, onednn_floats(dims_of(to_, images)), slots_)};
  }

  const Convolution c_;
  const Direction direction_;
  const Shape from_, to_;
  const std::string name_;
  const Batch batch_;
  const int64_t slots_;
  std::optional<Part> whole_, rest_;
  int64_t shared_pad_at_ = 0, scratchpad_bytes_ = 0;
  int64_t input_at_ = 0, output_at_ = 0, scratchpad_at_ = 0;
  int64_t shared_bytes_ = 0, slot_bytes_ = 0;
};

/// Each part of the batch gives a gradient of its own; they are added in order.
class WeightGradConvolution final : public Kernel {
 public:
  explicit WeightGradConvolution(const Convolution& convolution)
      : c_(convolution),
        name_(c_.operation("conv2d's filter gradient")),
        batch_{c_.x[0], std::max((c_.x[0] + kMaxParts - 1) / kMaxParts,
                                 std::clamp<int64_t>(kPartCost / c_.image_cost(), 1, c_.x[0]))},
        slots_(slot_count(batch_.count())) {
    with_onednn(name_, [&] {
      whole_.emplace(make(batch_.part));
      if (batch_.size % batch_.part > 0) rest_.emplace(make(batch_.size % batch_.part));
    });
    ScratchPlan own;
    for (Part* part : {&*whole_, rest_ ? &*rest_ : nullptr}) {
      if (!part) continue;
      gradient_bytes_ = std::max(gradient_bytes_, aligned_size(part->gradient_desc));
      scratchpad_bytes_ = std::max(
          {scratchpad_bytes_, part->images.scratchpad_bytes(), part->gradients.scratchpad_bytes(),
           part->result.scratchpad_bytes(), part->convolution.scratchpad_bytes()});
    }
    images_at_ = own.add(aligned_size(whole_->images_desc));
    gradients_at_ = own.add(aligned_size(whole_->gradients_desc));
    blocked_at_ = own.add(gradient_bytes_);
    scratchpad_at_ = own.add(scratchpad_bytes_);
    slot_bytes_ = own.bytes();
    plain_bytes_ = aligned(element_count(c_.w) * item_size(DType::kFloat32));
  }

  int64_t scratch_bytes() const override {
    return batch_.count() * plain_bytes_ + slots_ * slot_bytes_;
  }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs,
           void* scratch) override {
    auto* const memory = static_cast<char*>(scratch);
    const auto* x = static_cast<const float*>(inputs[0]);
    const auto* g = static_cast<const float*>(inputs[1]);
    const int64_t parts = batch_.count();
    std::atomic<dnnl_status_t> status{dnnl_success};
    parallel_parts(parts, slots_, batch_.size * c_.image_cost(), [&](int64_t slot, int64_t i) {
      Part& part = batch_.length(i) == batch_.part ? *whole_ : *rest_;
      char* const own = memory + parts * plain_bytes_ + slot * slot_bytes_;
      char* const pad = own + scratchpad_at_;
      const void* images = part.images.run(slot, x + i * batch_.part * c_.image_elements(c_.x),
                                           own + images_at_, pad, status);
      const void* gradients = part.gradients.run(
          slot, g + i * batch_.part * c_.image_elements(c_.out), own + gradients_at_, pad, status);
      char* const plain = memory + i * plain_bytes_;
      char* const result = part.result.is_needed() ? own + blocked_at_ : plain;
      part.convolution.run(slot, {images, gradients, result}, pad, status);
      part.result.run(slot, result, plain, pad, status);
    });
    check_onednn(status, name_);
    add_parts(memory, static_cast<float*>(outputs[0]));
  }

 private:
  struct Part {
    BoundPrimitive convolution;
    memory::desc images_desc, gradients_desc, gradient_desc;
    Reordering images, gradients, result;
  };

  // Each part costs a gradient's memory, so their number is bounded.
  static constexpr int64_t kPartCost = 200'000, kMaxParts = 16;

  Part make(int64_t images) const {
    const BackwardWeights::primitive_desc desc(
        onednn_engine(), dnnl::algorithm::convolution_direct, any_layout(dims_of(c_.x, images)),
        any_layout(dims_of(c_.w)), any_layout(dims_of(c_.out, images)), c_.stride(), c_.dilation(),
        c_.padding(), c_.padding(), forward_desc(c_, images), user_scratchpad());
    return {BoundPrimitive(BackwardWeights(desc), desc.scratchpad_desc(),
                           {{DNNL_ARG_SRC, desc.src_desc()},
                            {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                            {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}},
                           slots_),
            desc.src_desc(),
            desc.diff_dst_desc(),
            desc.diff_weights_desc(),
            Reordering(onednn_floats(dims_of(c_.x, images)), desc.src_desc(), slots_),
            Reordering(onednn_floats(dims_of(c_.out, images)), desc.diff_dst_desc(), slots_),
            Reordering(desc.diff_weights_desc(), onednn_floats(dims_of(c_.w)), slots_)};
  }

  void add_parts(const char* memory, float* out) const {
    const int64_t parts = batch_.count(), size = element_count(c_.w);
    parallel_ranges(size, size * parts / 4, [&](int64_t first, int64_t last) {
      const auto part = [&](int64_t i) {
        return reinterpret_cast<const float*>(memory + i * plain_bytes_);
      };
      std::copy(part(0) + first, part(0) + last, out + first);
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
  std::optional<Part> whole_, rest_;
  int64_t gradient_bytes_ = 0, scratchpad_bytes_ = 0;
  int64_t images_at_ = 0, gradients_at_ = 0, blocked_at_ = 0, scratchpad_at_ = 0;
  int64_t slot_bytes_ = 0, plain_bytes_ = 0;
};

/// Checks what all makers rely on: a message here means a mistake in the caller's shape rule.
Convolution checked(const Window& window, const Layout& x, const Layout& w, const Layout& out) {
  const Convolution c{window, x.shape, w.shape, out.shape};
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

KernelPtr make_conv2d(const Window& window, const Layout& x, const Layout& w, const Layout& out) {
  const Convolution c = checked(window, x, w, out);
  if (!uses_onednn(c, x)) return make_conv2d_loops(window, x, w, out);
  return std::make_unique<ImageConvolution>(c, ImageConvolution::Direction::kForward);
}

KernelPtr make_conv2d_input_grad(const Window& window, const Layout& g, const Layout& w,
                                 const Layout& x_out) {
  const Convolution c = checked(window, x_out, w, g);
  if (!uses_onednn(c, g)) return make_conv2d_input_grad_loops(window, g, w, x_out);
  return std::make_unique<ImageConvolution>(c, ImageConvolution::Direction::kInputGrad);
}

KernelPtr make_conv2d_weight_grad(const Window& window, const Layout& x, const Layout& g,
                                  const Layout& w_out) {
  const Convolution c = checked(window, x, w_out, g);
  if (!uses_onednn(c, x)) return make_conv2d_weight_grad_loops(window, x, g, w_out);
  return std::make_unique<WeightGradConvolution>(c);
}

}  // namespace cyxwiz::cpu
