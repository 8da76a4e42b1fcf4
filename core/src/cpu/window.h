// Operations that slide a window over images: convolution and pooling, their first derivatives, and
// the pieces that second derivatives need. All tensors are contiguous, float32 or float64. Images
// lie with the channels last, [N, H, W, C], but for convolutions in float64, where they lie as
// [N, C, H, W]; filters always as [O, C, kh, kw]. Results have the same bits for any number of
// threads.
#pragma once

#include <array>
#include <cstdint>

#include "cpu/kernel.h"

namespace cyxwiz::cpu {

/// Each pair is (vertical, horizontal). Padding is the same on both sides of an axis; a dilation of
/// 1 means adjacent taps. An output axis has (size + 2·padding − dilation·(kernel − 1) − 1) /
/// stride + 1 elements.
struct Window {
  std::array<int64_t, 2> kernel{1, 1};
  std::array<int64_t, 2> stride{1, 1};
  std::array<int64_t, 2> padding{0, 0};
  std::array<int64_t, 2> dilation{1, 1};
};

/// inputs: x, w, and, if there is a bias, a number for each of the O channels; output: each image's
/// H' × W' sums, plus the bias, and then negative ones 0 if `relu` (NaN stays). float64 has
/// neither.
KernelPtr make_conv2d(const Window& window, const Layout& x, const Layout& w, const Layout& out,
                      bool bias = false, bool relu = false);

/// inputs: g (of the output's shape), w; output: the gradient of x.
KernelPtr make_conv2d_input_grad(const Window& window, const Layout& g, const Layout& w,
                                 const Layout& x_out);

/// inputs: x, g; output: the gradient of w.
KernelPtr make_conv2d_weight_grad(const Window& window, const Layout& x, const Layout& g,
                                  const Layout& w_out);

/// input: x; output: each window's maximum. Padding never wins; NaN
/// always does. Throws ShapeError when a window could lie in the padding altogether.
KernelPtr make_max_pool2d(const Window& window, const Layout& x, const Layout& out);

/// inputs: x, g; output: the gradient of x. A window's gradient goes to
/// its first maximum in row-major order (its first NaN where it has one).
KernelPtr make_max_pool2d_grad(const Window& window, const Layout& x, const Layout& g,
                               const Layout& x_out);

/// inputs: x and v, of one shape; output, of g's shape: the element of v at the position
/// where make_max_pool2d_grad would send the window's gradient.
KernelPtr make_max_pool2d_pick(const Window& window, const Layout& x, const Layout& v,
                               const Layout& out);

/// input: x; output: each window's mean, where padding is not counted.
/// Throws ShapeError when a window could lie in the padding altogether.
KernelPtr make_avg_pool2d(const Window& window, const Layout& x, const Layout& out);

/// input: g; output: the gradient of x.
KernelPtr make_avg_pool2d_grad(const Window& window, const Layout& g, const Layout& x_out);

}  // namespace cyxwiz::cpu
