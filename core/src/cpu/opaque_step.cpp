#include "cpu/opaque_step.h"

#include <algorithm>

#include "cpu/contraction.h"
#include "cpu/index.h"
#include "cpu/kernel.h"
#include "cpu/movement.h"
#include "cpu/random.h"
#include "cpu/window.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

Window window_of(const LoweredValue& value) {
  const std::vector<int64_t>& a = value.attributes;
  return {{a[0], a[1]}, {a[2], a[3]}, {a[4], a[5]}, {a[6], a[7]}};
}

/// Does an elementwise step read the value, as the update of a weight does?
bool is_read_by_elements(const Lowered& lowered, int v) {
  return std::any_of(lowered.values.begin(), lowered.values.end(), [v](const LoweredValue& it) {
    return is_elementwise(it.op) && std::any_of(it.inputs.begin(), it.inputs.end(),
                                                [v](const Access& read) { return read.base == v; });
  });
}

KernelPtr make_kernel(const Lowered& lowered, const LoweredValue& it, const std::vector<Layout>& in,
                      const Layout& out) {
  switch (it.op) {
    case Op::k_matmul: {
      Epilogue epilogue;
      epilogue.bias = in.size() > 2;
      epilogue.relu = it.attributes[0] != 0;
      return make_matmul(in[0], in[1], out, epilogue, static_cast<Precision>(it.attributes[1]),
                         is_read_by_elements(lowered, it.inputs[1].base));
    }
    case Op::k_conv2d:
      return make_conv2d(window_of(it), in[0], in[1], out, in.size() > 2,
                         it.attributes.back() != 0);
    case Op::k_conv2d_input_grad:
      return make_conv2d_input_grad(window_of(it), in[0], in[1], out);
    case Op::k_conv2d_weight_grad:
      return make_conv2d_weight_grad(window_of(it), in[0], in[1], out);
    case Op::k_max_pool2d:
      return make_max_pool2d(window_of(it), in[0], out);
    case Op::k_max_pool2d_grad:
      return make_max_pool2d_grad(window_of(it), in[0], in[1], out);
    case Op::k_max_pool2d_pick:
      return make_max_pool2d_pick(window_of(it), in[0], in[1], out);
    case Op::k_avg_pool2d:
      return make_avg_pool2d(window_of(it), in[0], out);
    case Op::k_avg_pool2d_grad:
      return make_avg_pool2d_grad(window_of(it), in[0], out);
    case Op::k_gather:
      return make_gather(in[0], in[1], out);
    case Op::k_scatter_add:
      return make_scatter_add(in[0], in[1], out);
    case Op::k_permutation:
      return make_permutation(out.shape[0]);
    case Op::k_concatenate:
      return make_concatenate(in, out, static_cast<int>(it.attributes[0]));
    case Op::k_slice_update:
      return make_slice_update(in, out, it.attributes);
    default:
      throw ValueError("the CPU backend has no kernel for " + std::string(name(it.op)));
  }
}

class KernelStep final : public Step {
 public:
  KernelStep(const Lowered& lowered, int v) : out_value_(v) {
    const LoweredValue& it = lowered.values[static_cast<size_t>(v)];
    std::vector<Layout> in;
    for (size_t i = 0; i < it.inputs.size(); ++i) {
      const DType dtype = lowered.values[static_cast<size_t>(it.inputs[i].base)].dtype;
      in.push_back({dtype, it.input_shapes[i], it.inputs[i].strides});
      in_.push_back({it.inputs[i].base, it.inputs[i].offset * item_size(dtype), {}});
    }
    inputs_.resize(in_.size());
    const Layout out{it.dtype, it.shape, contiguous_strides(it.shape)};
    kernel_ = make_kernel(lowered, it, in, out);
    text_ = std::string(name(it.op)) + " → " + to_string(it.shape);
  }

  void bind(const std::vector<Place>& place_of) override {
    for (Input& input : in_) input.place = place_of[static_cast<size_t>(input.value)];
    out_ = place_of[static_cast<size_t>(out_value_)];
  }

  void run(char* const* slots, char* scratch) override {
    for (size_t i = 0; i < in_.size(); ++i) {
      inputs_[i] = slots[in_[i].place.slot] + in_[i].place.offset + in_[i].offset;
    }
    void* const output = slots[out_.slot] + out_.offset;
    kernel_->run(inputs_, {&output, 1}, scratch);
  }

  int64_t scratch_bytes() const override { return kernel_->scratch_bytes(); }
  std::string describe() const override { return text_; }

 private:
  struct Input {
    int value;
    int64_t offset;  // bytes
    Place place;
  };
  KernelPtr kernel_;
  std::vector<Input> in_;
  std::vector<const void*> inputs_;  // where they are, in the run in progress
  int out_value_;
  Place out_;
  std::string text_;
};

}  // namespace

StepPtr make_opaque_step(const Lowered& lowered, int v) {
  return std::make_unique<KernelStep>(lowered, v);
}

}  // namespace cyxwiz::cpu
