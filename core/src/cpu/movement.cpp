#include "cpu/movement.h"

#include <cstring>

#include "cpu/threads.h"

namespace cyxwiz::cpu {
namespace {

/// Copies a strided array onto another of the same shape: rows along the last axis, in parallel.
class Copy {
 public:
  Copy(const Shape& shape, const Strides& to, const Strides& from, int64_t item) : item_(item) {
    // Neighbouring axes that both sides walk as one become one, so that rows are long.
    for (int i = 0; i < shape.rank(); ++i) {
      if (shape[i] == 1) continue;
      const int last = shape_.rank() - 1;
      if (last >= 0 && to_[last] == to[i] * shape[i] && from_[last] == from[i] * shape[i]) {
        shape_[last] *= shape[i];
        to_[last] = to[i];
        from_[last] = from[i];
      } else {
        shape_.push_back(shape[i]);
        to_.push_back(to[i]);
        from_.push_back(from[i]);
      }
    }
    if (shape_.empty()) {
      shape_.push_back(1);
      to_.push_back(1);
      from_.push_back(1);
    }
  }

  void run(char* to, const char* from) const {
    const int last = shape_.rank() - 1;
    const int64_t cols = shape_[last], count = element_count(shape_);
    if (count == 0) return;
    parallel_ranges(count / cols, count * item_ / 8, [&](int64_t first, int64_t end) {
      for (int64_t row = first; row < end; ++row) {
        int64_t rest = row, to_offset = 0, from_offset = 0;
        for (int i = last - 1; i >= 0; --i) {
          to_offset += rest % shape_[i] * to_[i];
          from_offset += rest % shape_[i] * from_[i];
          rest /= shape_[i];
        }
        copy_row(to + to_offset * item_, from + from_offset * item_, cols);
      }
    });
  }

 private:
  void copy_row(char* to, const char* from, int64_t n) const {
    const int last = shape_.rank() - 1;
    const auto item = static_cast<size_t>(item_);
    if (to_[last] == 1 && from_[last] == 1) {
      std::memcpy(to, from, static_cast<size_t>(n) * item);
      return;
    }
    switch (item_) {
      case 1:
        return copy_items<uint8_t>(to, from, n);
      case 2:
        return copy_items<uint16_t>(to, from, n);
      case 4:
        return copy_items<uint32_t>(to, from, n);
      default:
        return copy_items<uint64_t>(to, from, n);
    }
  }

  template <class T>
  void copy_items(char* to, const char* from, int64_t n) const {
    const int last = shape_.rank() - 1;
    auto* target = reinterpret_cast<T*>(to);
    const auto* source = reinterpret_cast<const T*>(from);
    for (int64_t i = 0; i < n; ++i) target[i * to_[last]] = source[i * from_[last]];
  }

  Shape shape_;
  Strides to_, from_;
  int64_t item_;
};

/// Two copies into one output, the second at an offset.
class TwoCopies final : public Kernel {
 public:
  TwoCopies(Copy first, Copy second, int64_t offset)
      : first_(std::move(first)), second_(std::move(second)), offset_(offset) {}

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    auto* out = static_cast<char*>(outputs[0]);
    first_.run(out, static_cast<const char*>(inputs[0]));
    second_.run(out + offset_, static_cast<const char*>(inputs[1]));
  }

 private:
  Copy first_, second_;
  int64_t offset_;
};

}  // namespace

KernelPtr make_slice_update(const Layout& base, const Layout& part, const Layout& out,
                            const std::vector<int64_t>& starts, const std::vector<int64_t>& steps) {
  const int64_t item = item_size(out.dtype);
  Strides within = out.strides;
  int64_t offset = 0;
  for (int i = 0; i < out.shape.rank(); ++i) {
    offset += starts[static_cast<size_t>(i)] * out.strides[i];
    within[i] *= steps[static_cast<size_t>(i)];
  }
  return std::make_unique<TwoCopies>(Copy(out.shape, out.strides, base.strides, item),
                                     Copy(part.shape, within, part.strides, item), offset * item);
}

KernelPtr make_concatenate(const Layout& a, const Layout& b, const Layout& out, int axis) {
  const int64_t item = item_size(out.dtype);
  return std::make_unique<TwoCopies>(Copy(a.shape, out.strides, a.strides, item),
                                     Copy(b.shape, out.strides, b.strides, item),
                                     a.shape[axis] * out.strides[axis] * item);
}

}  // namespace cyxwiz::cpu
