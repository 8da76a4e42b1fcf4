// Convolution in plain loops: float64, and tensors without elements. window.h says what they
// compute.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/window.h"

namespace cyxwiz::cpu {

KernelPtr make_conv2d_loops(const Window& window, DType dtype, const Shape& x, const Shape& w,
                            const Shape& out);
KernelPtr make_conv2d_input_grad_loops(const Window& window, DType dtype, const Shape& x,
                                       const Shape& w, const Shape& out);
KernelPtr make_conv2d_weight_grad_loops(const Window& window, DType dtype, const Shape& x,
                                        const Shape& w, const Shape& out);

/// One axis of a Window over an axis of `size` elements.
struct WindowAxis {
  int64_t size, kernel, stride, padding, dilation;

  /// Where tap `tap` of window `i` reads; it may lie in the padding.
  int64_t position(int64_t i, int64_t tap) const { return i * stride - padding + tap * dilation; }

  /// The windows [first, last) of `windows` whose tap `tap` lies inside.
  struct Range {
    int64_t first, last;
  };
  Range windows_inside(int64_t tap, int64_t windows) const {
    const int64_t offset = tap * dilation - padding;
    const int64_t first = offset < 0 ? (-offset + stride - 1) / stride : 0;
    const int64_t last = size - offset <= 0 ? 0 : (size - offset + stride - 1) / stride;
    return {std::min(first, windows), std::clamp(last, std::min(first, windows), windows)};
  }

  /// The taps [first, last) of window `i` that lie inside.
  Range taps_inside(int64_t i) const {
    const int64_t start = i * stride - padding;
    const int64_t first = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const int64_t last = size - start <= 0 ? 0 : (size - start + dilation - 1) / dilation;
    return {std::min(first, kernel), std::clamp(last, std::min(first, kernel), kernel)};
  }

  /// Does every element belong to exactly one of the windows?
  bool is_divided_into(int64_t windows) const {
    return padding == 0 && dilation == 1 && stride == kernel && size == windows * kernel;
  }
};

inline WindowAxis window_axis(const Window& window, const Shape& image, int axis) {
  const auto i = static_cast<size_t>(axis);
  return {image[2 + axis], window.kernel[i], window.stride[i], window.padding[i],
          window.dilation[i]};
}

}  // namespace cyxwiz::cpu
