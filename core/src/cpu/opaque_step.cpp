#include "cpu/opaque_step.h"

#include <algorithm>

#include "cpu/alignment.h"
#include "cpu/contraction.h"
#include "cpu/index.h"
#include "cpu/kernel.h"
#include "cpu/movement.h"
#include "cpu/random.h"
#include "cpu/threads.h"
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

/// A kernel with its operands.
class Call {
 public:
  Call(const Lowered& lowered, int v) : out_value_(v) {
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
    first_in_ = in[0];
    out_layout_ = out;
    text_ = std::string(name(it.op)) + " → " + to_string(it.shape);
  }

  const Kernel& kernel() const { return *kernel_; }
  const std::string& text() const { return text_; }

  /// Does the first operand lie as that call's result does, which is in no other operand?
  bool continues(const Call& last) const {
    const auto reads = [&](const Input& input) { return input.value == last.out_value_; };
    return reads(in_[0]) && std::count_if(in_.begin(), in_.end(), reads) == 1 &&
           first_in_.shape == last.out_layout_.shape &&
           first_in_.strides == last.out_layout_.strides;
  }

  void bind(const std::vector<Place>& place_of) {
    for (Input& input : in_) input.place = place_of[static_cast<size_t>(input.value)];
    out_ = place_of[static_cast<size_t>(out_value_)];
  }

  /// To be called before what follows, in every run.
  void find_operands(char* const* slots, char* scratch) {
    for (size_t i = 0; i < in_.size(); ++i) {
      inputs_[i] = slots[in_[i].place.slot] + in_[i].place.offset + in_[i].offset;
    }
    output_ = slots[out_.slot] + out_.offset;
    scratch_ = scratch;
  }

  void run() { kernel_->run(inputs_, {&output_, 1}, scratch_); }
  void run_rows(int64_t first, int64_t last) {
    kernel_->run_rows(inputs_, {&output_, 1}, first, last);
  }

 private:
  struct Input {
    int value;
    int64_t offset;  // bytes
    Place place;
  };
  KernelPtr kernel_;
  std::vector<Input> in_;
  int out_value_;
  Layout first_in_, out_layout_;
  Place out_;
  std::string text_;
  // Where they are, in the run in progress.
  std::vector<const void*> inputs_;
  void* output_ = nullptr;
  void* scratch_ = nullptr;
};

/// One kernel; or several, where each row depends on the same row of the one before: a thread takes
/// its rows through all of them, and finds them in its cache.
class KernelStep final : public Step {
 public:
  KernelStep(const Lowered& lowered, int v) { calls_.emplace_back(lowered, v); }

  bool append(Step& next) override {
    auto* const step = dynamic_cast<KernelStep*>(&next);
    if (!step || step->calls_.size() > 1 || !step->calls_[0].continues(calls_.back())) return false;
    const int64_t count = calls_[0].kernel().rows().count;
    if (count == 0 || step->calls_[0].kernel().rows().count != count) return false;
    calls_.push_back(std::move(step->calls_[0]));
    return true;
  }

  void bind(const std::vector<Place>& place_of) override {
    for (Call& call : calls_) call.bind(place_of);
  }

  void run(char* const* slots, char* scratch) override {
    for (Call& call : calls_) {
      call.find_operands(slots, scratch);
      scratch += aligned(call.kernel().scratch_bytes());
    }
    if (calls_.size() > 1 && run_by_rows()) return;
    for (Call& call : calls_) call.run();
  }

  int64_t scratch_bytes() const override {
    int64_t bytes = 0;
    for (const Call& call : calls_) bytes += aligned(call.kernel().scratch_bytes());
    return bytes;
  }

  std::string describe() const override {
    std::string text = calls_[0].text();
    for (size_t i = 1; i < calls_.size(); ++i) text += ", by rows " + calls_[i].text();
    return text;
  }

 private:
  /// False where the rows can't be shared out evenly.
  bool run_by_rows() {
    int64_t unit = 1, cost = 0;
    for (const Call& call : calls_) {
      const Kernel::Rows rows = call.kernel().rows();
      unit = std::max(unit, rows.unit);
      cost += rows.cost;
    }
    const int64_t count = calls_[0].kernel().rows().count, units = (count + unit - 1) / unit;
    if (!splits_evenly(units)) return false;
    parallel_ranges(units, cost, [&](int64_t first, int64_t last) {
      for (Call& call : calls_) call.run_rows(first * unit, std::min(last * unit, count));
    });
    return true;
  }

  std::vector<Call> calls_;
};

}  // namespace

StepPtr make_opaque_step(const Lowered& lowered, int v) {
  return std::make_unique<KernelStep>(lowered, v);
}

}  // namespace cyxwiz::cpu
