// Lowering: views become strides; what a kernel can't read through strides becomes a dense copy.
#include <algorithm>
#include <array>
#include <unordered_map>

#include "program/fuse.h"
#include "program/lowered.h"

namespace cyxwiz {
namespace {

// A step that copies parts takes up to twice as many: planning grows with the square of it.
constexpr size_t kMostParts = 128;

/// A value of the Graph as its readers see it.
struct View {
  Access access;
  Shape shape;
};

bool is_dense(const View& view) {
  const Strides dense = contiguous_strides(view.shape);
  for (int i = 0; i < view.shape.rank(); ++i) {
    if (view.shape[i] > 1 && view.access.strides[i] != dense[i]) return false;
  }
  return true;
}

/// The strides with which a reshaped view reads the same elements, if strides can say it.
bool reshape_strides(const View& from, const Shape& to, Strides& strides) {
  strides = contiguous_strides(to);
  if (element_count(to) == 0) return true;
  // Match runs of axes that hold the same number of elements; within a run the old axes must be
  // dense with respect to each other.
  const Shape old_shape = squeezed(from.shape);
  const Strides old_strides = squeezed(from.access.strides, from.shape);
  int o = 0, n = 0;
  while (o < old_shape.rank()) {
    int64_t old_size = old_shape[o], new_size = to[n];
    int o_end = o + 1, n_end = n + 1;
    while (old_size != new_size) {
      if (old_size < new_size) {
        old_size *= old_shape[o_end++];
      } else {
        new_size *= to[n_end++];
      }
    }
    for (int i = o; i + 1 < o_end; ++i) {
      if (old_strides[i] != old_strides[i + 1] * old_shape[i + 1]) return false;
    }
    int64_t stride = old_strides[o_end - 1];
    for (int i = n_end - 1; i >= n; --i) {
      strides[i] = stride;
      stride *= to[i];
    }
    o = o_end;
    n = n_end;
  }
  return true;
}

Strides broadcast_strides(const View& from, const Shape& to) {
  Strides strides;
  strides.resize(to.rank());
  const int extra = to.rank() - from.shape.rank();
  for (int i = extra; i < to.rank(); ++i) {
    strides[i] = from.shape[i - extra] == 1 ? 0 : from.access.strides[i - extra];
  }
  return strides;
}

// Images are [N, C, H, W] to users, but what windows slide over lies with the channels last,
// [N, H, W, C]: that vectorises best, and oneDNN's convolutions are as fast with it as with layouts
// of their own. Elementwise steps between them keep it, so that nothing is rearranged on the way.
using Axes = std::array<int, 4>;
constexpr Axes kChannelsLast{0, 2, 3, 1}, kChannelsFirst{0, 3, 1, 2};

template <class Sizes>
Sizes permuted(const Sizes& sizes, const Axes& axes) {
  Sizes result = sizes;
  for (int i = 0; i < 4; ++i) result[i] = sizes[axes[static_cast<size_t>(i)]];
  return result;
}
View permuted(const View& view, const Axes& axes) {
  const Access& access = view.access;
  return {{access.base, access.offset, permuted(access.strides, axes)}, permuted(view.shape, axes)};
}

bool is_channels_last(const View& view) {
  return view.shape.rank() == 4 && !is_dense(view) && is_dense(permuted(view, kChannelsLast));
}

class Lowering {
 public:
  explicit Lowering(const Graph& graph) : graph_(graph) {}

  Lowered run() {
    uses_.assign(graph_.values.size(), 0);
    reader_.assign(graph_.values.size(), -1);
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      for (int input : graph_.values[id].operands()) {
        uses_[at(input)] += 1;
        reader_[at(input)] = static_cast<int>(id);
      }
    }
    for (int output : graph_.outputs) uses_[at(output)] += 1;
    for (size_t id = 0; id < graph_.values.size(); ++id) {
      views_.push_back(lower_value(static_cast<int>(id)));
    }
    for (int input : graph_.inputs) result_.inputs.push_back(views_[at(input)].access.base);
    result_.donated = graph_.donated;
    for (int output : graph_.outputs) {
      View view = views_[at(output)];
      const LoweredValue& base = result_.values[at(view.access.base)];
      // A number given at run time has no Buffer to hand out.
      if (!is_dense(view) || (base.op == Op::kInput && base.shape.rank() == 0)) view = copied(view);
      result_.outputs.push_back({view.access.base, view.access.offset});
    }
    fuse(result_);
    return std::move(result_);
  }

 private:
  static size_t at(int i) { return static_cast<size_t>(i); }

  View emit(LoweredValue value) {
    const View view{{static_cast<int>(result_.values.size()), 0, contiguous_strides(value.shape)},
                    value.shape};
    result_.values.push_back(std::move(value));
    return view;
  }

  View copied(const View& view) {
    const DType dtype = result_.values[at(view.access.base)].dtype;
    return emit({.op = Op::k_copy,
                 .dtype = dtype,
                 .shape = view.shape,
                 .domain = view.shape,
                 .inputs = {view.access},
                 .input_shapes = {view.shape},
                 .attributes = {}});
  }

  View dense(const View& view) { return is_dense(view) ? view : copied(view); }

  /// Which of its operands an operation on windows reads (bit by bit) and whether it gives images
  /// with the channels last. Convolutions in float64 are loops of our own over planes.
  struct WindowLayout {
    unsigned operands = 0;
    bool result = false;
  };
  static WindowLayout window_layout(const Value& value) {
    switch (value.op) {
      case Op::k_conv2d:
      case Op::k_conv2d_input_grad:
        return value.dtype == DType::kFloat32 ? WindowLayout{0b01, true} : WindowLayout();
      case Op::k_conv2d_weight_grad:
        return value.dtype == DType::kFloat32 ? WindowLayout{0b11, false} : WindowLayout();
      case Op::k_max_pool2d:
      case Op::k_max_pool2d_grad:
      case Op::k_max_pool2d_pick:
      case Op::k_avg_pool2d:
      case Op::k_avg_pool2d_grad:
        return {0b11, true};
      default:
        return {};
    }
  }

  /// Is the value computed with the channels last because what it reads lies so?
  bool keeps_channels_last(const Value& value) const {
    if (is_reduction(value.op)) {
      // The index that argmax gives counts in the order of the axes.
      return value.op != Op::k_argmax && value.op != Op::k_argmin &&
             is_channels_last(views_[at(value.inputs[0])]);
    }
    if (!is_elementwise(value.op) || is_source(value.op)) return false;
    for (int input : value.operands()) {  // the first that is not broadcast decides
      const View& view = views_[at(input)];
      if (view.shape == value.shape) return is_channels_last(view);
    }
    return false;
  }

  View lower_view(const Value& value) {
    View view = views_[at(value.inputs[0])];
    Access& access = view.access;
    switch (value.op) {
      case Op::k_broadcast:
        access.strides = broadcast_strides(view, value.shape);
        break;
      case Op::k_permute: {
        Strides strides = access.strides;
        for (int i = 0; i < strides.rank(); ++i) {
          strides[i] = access.strides[static_cast<int>(value.attributes[at(i)])];
        }
        access.strides = strides;
        break;
      }
      case Op::k_slice:
        for (int i = 0; i < value.shape.rank(); ++i) {
          access.offset += value.attributes[at(i)] * access.strides[i];
          access.strides[i] *= value.attributes[at(i + value.shape.rank())];
        }
        break;
      case Op::k_reshape: {
        Strides strides;
        if (!reshape_strides(view, value.shape, strides)) {
          view = copied(view);
          reshape_strides(view, value.shape, strides);
        }
        view.access.strides = strides;
        break;
      }
      default:
        break;  // k_alias: the input itself
    }
    view.shape = value.shape;
    return view;
  }

  /// What an opaque operation's kernel can't read through strides is copied first.
  View readable(Op op, int operand, const View& view) {
    switch (op) {
      case Op::k_matmul: {
        const bool forward = std::all_of(view.access.strides.begin(), view.access.strides.end(),
                                         [](int64_t stride) { return stride >= 0; });
        return operand < 2 && forward ? view : dense(view);
      }
      case Op::k_slice_update:
      case Op::k_concatenate:
        return view;
      case Op::k_gather: {
        // Rows may lie apart; each must be dense.
        View row = view;
        if (row.shape.rank() > 0) row.shape[0] = 1;
        return operand == 0 && is_dense(row) && view.access.strides[0] >= 0 ? view : dense(view);
      }
      default:
        return dense(view);
    }
  }

  static int64_t& relu_after(LoweredValue& product) {
    return product.op == Op::k_matmul ? product.attributes[0] : product.attributes.back();
  }

  /// Takes a bias or a relu that follows a matrix product or a convolution, and nothing else reads
  /// that, into the product's own step.
  bool joins_product(const Value& value, View& joined) {
    if (value.op != Op::k_add && value.op != Op::k_relu) return false;
    for (int side = 0; side < value.input_count; ++side) {
      const int id = value.inputs[at(side)];
      const View& view = views_[at(id)];
      LoweredValue& product = result_.values[at(view.access.base)];
      // What it reads must be the whole product itself, or the sum that took its place.
      const Op read = graph_.values[at(id)].op;
      const bool convolves = product.op == Op::k_conv2d && product.dtype == DType::kFloat32 &&
                             element_count(product.input_shapes[0]) > 0 &&
                             element_count(product.input_shapes[1]) > 0;
      if ((product.op != Op::k_matmul && !convolves) || (read != product.op && read != Op::k_add) ||
          uses_[at(id)] != 1 || value.shape != view.shape || relu_after(product) != 0) {
        continue;
      }
      if (value.op == Op::k_add) {
        const View& other = views_[at(value.inputs[at(1 - side)])];
        const Strides strides = broadcast_strides(other, value.shape);
        const int axis = convolves ? 1 : strides.rank() - 1;
        // It must be there when the product runs.
        bool is_row = other.access.base < view.access.base ||
                      result_.values[at(other.access.base)].op == Op::kInput;
        is_row &= strides[axis] == 1;
        for (int i = 0; i < strides.rank(); ++i) {
          is_row &= i == axis || strides[i] == 0 || value.shape[i] == 1;
        }
        if (!is_row || product.inputs.size() > 2) continue;
        const Shape row{value.shape[axis]};
        product.inputs.push_back({other.access.base, other.access.offset, contiguous_strides(row)});
        product.input_shapes.push_back(row);
      } else {
        relu_after(product) = 1;
      }
      joined = view;
      return true;
    }
    return false;
  }

  /// Is the value read only by one that copies more into the same memory? A tree of joins, or the
  /// assignments of a loop, then become one step, which copies each element once.
  bool is_continued(int id, const LoweredValue& lowered) const {
    const Value& value = graph_.values[at(id)];
    if (uses_[at(id)] != 1 || reader_[at(id)] < 0) return false;
    const Value& reader = graph_.values[at(reader_[at(id)])];
    if (value.op != reader.op || lowered.inputs.size() > kMostParts) return false;
    if (value.op == Op::k_concatenate) return value.attributes == reader.attributes;
    if (value.op != Op::k_slice_update || reader.inputs[0] != id) return false;
    // All parts are in memory together: no more of them than the whole has elements.
    int64_t parts = element_count(graph_.values[at(reader.inputs[1])].shape);
    for (size_t i = 1; i < lowered.input_shapes.size(); ++i) {
      parts += element_count(lowered.input_shapes[i]);
    }
    return parts <= element_count(value.shape);
  }

  View lower_value(int id) {
    const Value& value = graph_.values[at(id)];
    if (is_view(value.op)) return lower_view(value);
    if (View joined; joins_product(value, joined)) return joined;
    const WindowLayout window = window_layout(value);
    const bool keeps = keeps_channels_last(value), turned = keeps || window.result;
    LoweredValue lowered{.op = value.op,
                         .dtype = value.dtype,
                         .shape = value.shape,
                         .domain = {},
                         .inputs = {},
                         .input_shapes = {},
                         .attributes = {}};
    if (turned) lowered.shape = permuted(value.shape, kChannelsLast);
    lowered.domain = lowered.shape;
    for (int i = 0; i < value.input_count; ++i) {
      if (const auto found = unfinished_.find(value.inputs[at(i)]); found != unfinished_.end()) {
        LoweredValue& first = found->second;
        lowered.inputs.insert(lowered.inputs.end(), first.inputs.begin(), first.inputs.end());
        lowered.input_shapes.insert(lowered.input_shapes.end(), first.input_shapes.begin(),
                                    first.input_shapes.end());
        if (value.op == Op::k_slice_update) lowered.attributes = std::move(first.attributes);
        unfinished_.erase(found);
        continue;
      }
      View view = views_[at(value.inputs[at(i)])];
      if (is_elementwise(value.op) && !is_source(value.op)) {
        view.access.strides = broadcast_strides(view, value.shape);
        view.shape = value.shape;
        if (keeps) view = permuted(view, kChannelsLast);
      } else if (is_reduction(value.op)) {
        if (keeps) view = permuted(view, kChannelsLast);
        lowered.domain = view.shape;
      } else if (window.operands >> i & 1) {
        view = dense(permuted(view, kChannelsLast));
      } else {
        view = readable(value.op, i, view);
      }
      lowered.inputs.push_back(view.access);
      lowered.input_shapes.push_back(view.shape);
    }
    lowered.attributes.insert(lowered.attributes.end(), value.attributes.begin(),
                              value.attributes.end());
    if (is_continued(id, lowered)) {
      unfinished_.emplace(id, std::move(lowered));
      return {};
    }
    if (keeps && is_reduction(value.op)) {
      const int64_t mask = value.attributes[0];
      lowered.attributes[0] = 0;
      for (size_t i = 0; i < 4; ++i) lowered.attributes[0] |= (mask >> kChannelsLast[i] & 1) << i;
    }
    if (value.op == Op::k_conv2d) lowered.attributes.push_back(0);  // no relu yet
    const View made = emit(std::move(lowered));
    return turned ? permuted(made, kChannelsFirst) : made;
  }

  const Graph& graph_;
  std::vector<int> uses_;    // how often each of the Graph's values is read
  std::vector<int> reader_;  // the last value that reads it, -1 for none
  std::unordered_map<int, LoweredValue> unfinished_;  // values that their reader takes in
  Lowered result_;
  std::vector<View> views_;
};

}  // namespace

Shape squeezed(const Shape& shape) {
  Shape result;
  for (int64_t size : shape) {
    if (size != 1) result.push_back(size);
  }
  return result;
}

Strides squeezed(const Strides& strides, const Shape& shape) {
  Strides result;
  for (int i = 0; i < shape.rank(); ++i) {
    if (shape[i] != 1) result.push_back(strides[i]);
  }
  return result;
}

Lowered lower(const Graph& graph) { return Lowering(graph).run(); }

}  // namespace cyxwiz
