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

/// Each input copied into the one output, one after another, at an offset of its own.
class Copies final : public Kernel {
 public:
  void add(Copy copy, int64_t offset) { parts_.push_back({std::move(copy), offset}); }

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    auto* out = static_cast<char*>(outputs[0]);
    for (size_t i = 0; i < parts_.size(); ++i) {
      parts_[i].copy.run(out + parts_[i].offset, static_cast<const char*>(inputs[i]));
    }
  }

 private:
  struct Part {
    Copy copy;
    int64_t offset;  // bytes
  };
  std::vector<Part> parts_;
};

}  // namespace

KernelPtr make_slice_update(const std::vector<Layout>& in, const Layout& out,
                            std::span<const int64_t> slices) {
  const int64_t item = item_size(out.dtype);
  auto kernel = std::make_unique<Copies>();
  kernel->add(Copy(out.shape, out.strides, in[0].strides, item), 0);
  const auto rank = static_cast<size_t>(out.shape.rank());
  for (size_t part = 1; part < in.size(); ++part) {
    const auto slice = slices.subspan((part - 1) * 2 * rank, 2 * rank);
    Strides within = out.strides;
    int64_t offset = 0;
    for (size_t i = 0; i < rank; ++i) {
      const auto axis = static_cast<int>(i);
      offset += slice[i] * out.strides[axis];
      within[axis] *= slice[rank + i];
    }
    kernel->add(Copy(in[part].shape, within, in[part].strides, item), offset * item);
  }
  return kernel;
}

KernelPtr make_concatenate(const std::vector<Layout>& in, const Layout& out, int axis) {
  const int64_t item = item_size(out.dtype);
  auto kernel = std::make_unique<Copies>();
  int64_t offset = 0;
  for (const Layout& part : in) {
    kernel->add(Copy(part.shape, out.strides, part.strides, item), offset * item);
    offset += part.shape[axis] * out.strides[axis];
  }
  return kernel;
}

}  // namespace cyxwiz::cpu
