#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "cpu/pool_kernels.h"
#include "cpu/threads.h"
#include "cpu/window.h"
#include "cpu/window_loops.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

void check_windows(const char* operation, const Window& window, const Shape& image,
                   const Shape& out) {
  for (int axis = 0; axis < 2; ++axis) {
    const WindowAxis a = window_axis(window, image, axis);
    for (int64_t i = 0; i < out[2 + axis]; ++i) {
      const WindowAxis::Range taps = a.taps_inside(i);
      if (taps.first < taps.last) continue;
      throw ShapeError(std::string(operation) + ": padding " + std::to_string(a.padding) +
                       " leaves window " + std::to_string(i) + " of images " + to_string(image) +
                       " without an element: it needs at most half the kernel's " +
                       std::to_string(a.kernel));
    }
  }
}

/// Images with the channels last: a window's taps are runs of neighbouring channels. Each image is
/// visited by itself, in blocks of channels where the images are few.
class Pooling : public Kernel {
 public:
  Pooling(const Window& window, const Shape& image, const Shape& out)
      : rows_(window_axis(window, image, 0)),
        columns_(window_axis(window, image, 1)),
        images_(image[0]),
        channels_(image[1]),
        block_(images_ < kFewImages ? std::min(channels_, kBlock) : channels_),
        out_rows_(out[2]),
        out_columns_(out[3]) {}

 protected:
  /// A block of channels of one image: where it starts in an image and in the windows' results.
  struct Block {
    int64_t image, out, channels;
  };

  template <class Body>
  void for_blocks(Body&& body) const {
    const int64_t blocks = block_ > 0 ? (channels_ + block_ - 1) / block_ : 0;
    const int64_t taps = rows_.kernel * columns_.kernel;
    const int64_t cost = images_ * channels_ * (image_size() + out_size() * taps) / 8;
    parallel_ranges(images_ * blocks, cost, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        const int64_t image = i / blocks, channel = i % blocks * block_;
        body(Block{image * image_size() * channels_ + channel,
                   image * out_size() * channels_ + channel,
                   std::min(block_, channels_ - channel)});
      }
    });
  }

  /// Calls `body(out, taps)` for every window: where its result lies, counted from the block's, and
  /// where its taps do, in row-major order; all of them inside the image.
  template <class Body>
  void for_windows(Body&& body) const {
    std::vector<int64_t> taps;
    for (int64_t i = 0; i < out_rows_; ++i) {
      const WindowAxis::Range rows = rows_.taps_inside(i);
      for (int64_t j = 0; j < out_columns_; ++j) {
        const WindowAxis::Range columns = columns_.taps_inside(j);
        taps.clear();
        for (int64_t ki = rows.first; ki < rows.last; ++ki) {
          for (int64_t kj = columns.first; kj < columns.last; ++kj) {
            taps.push_back((rows_.position(i, ki) * columns_.size + columns_.position(j, kj)) *
                           channels_);
          }
        }
        body((i * out_columns_ + j) * channels_, std::span<const int64_t>(taps));
      }
    }
  }

  template <class T>
  void clear_image(T* to, int64_t channels) const {
    for (int64_t i = 0; i < image_size(); ++i) {
      std::fill(to + i * channels_, to + i * channels_ + channels, T{0});
    }
  }

  int64_t image_size() const { return rows_.size * columns_.size; }
  int64_t out_size() const { return out_rows_ * out_columns_; }

  const WindowAxis rows_, columns_;
  const int64_t images_, channels_, block_;
  const int64_t out_rows_, out_columns_;

 private:
  static constexpr int64_t kFewImages = 16, kBlock = 16;
};

template <class T>
class MaxPool final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    auto* out = static_cast<T*>(outputs[0]);
    const auto& kernels = std::get<PoolKernels<T>>(pool_table());
    for_blocks([&](const Block& block) {
      for_windows([&](int64_t window, std::span<const int64_t> taps) {
        kernels.maximum(x + block.image, taps.data(), std::ssize(taps), block.channels,
                        out + block.out + window);
      });
    });
  }
};

template <class T>
class MaxPoolGrad final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    const auto* g = static_cast<const T*>(inputs[1]);
    auto* out = static_cast<T*>(outputs[0]);
    const auto& kernels = std::get<PoolKernels<T>>(pool_table());
    // Elements of one window each need not be added to.
    const bool adds = !rows_.is_divided_into(out_rows_) || !columns_.is_divided_into(out_columns_);
    for_blocks([&](const Block& block) {
      T* const to = out + block.image;
      if (adds) clear_image(to, block.channels);
      for_windows([&](int64_t window, std::span<const int64_t> taps) {
        kernels.give_to_maximum(x + block.image, taps.data(), std::ssize(taps), block.channels,
                                g + block.out + window, adds, to);
      });
    });
  }
};

template <class T>
class MaxPoolPick final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    const auto* v = static_cast<const T*>(inputs[1]);
    auto* out = static_cast<T*>(outputs[0]);
    const auto& kernels = std::get<PoolKernels<T>>(pool_table());
    for_blocks([&](const Block& block) {
      for_windows([&](int64_t window, std::span<const int64_t> taps) {
        kernels.pick_at_maximum(x + block.image, taps.data(), std::ssize(taps), block.channels,
                                v + block.image, out + block.out + window);
      });
    });
  }
};

template <class T>
class AvgPool final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    auto* out = static_cast<T*>(outputs[0]);
    for_blocks([&](const Block& block) {
      for_windows([&](int64_t window, std::span<const int64_t> taps) {
        T* const mean = out + block.out + window;
        std::fill(mean, mean + block.channels, T{0});
        for (const int64_t tap : taps) {
          const T* from = x + block.image + tap;
          for (int64_t c = 0; c < block.channels; ++c) mean[c] += from[c];
        }
        for (int64_t c = 0; c < block.channels; ++c) mean[c] /= static_cast<T>(taps.size());
      });
    });
  }
};

template <class T>
class AvgPoolGrad final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* g = static_cast<const T*>(inputs[0]);
    auto* out = static_cast<T*>(outputs[0]);
    for_blocks([&](const Block& block) {
      T* const to = out + block.image;
      clear_image(to, block.channels);
      for_windows([&](int64_t window, std::span<const int64_t> taps) {
        const T* const gradient = g + block.out + window;
        for (const int64_t tap : taps) {
          for (int64_t c = 0; c < block.channels; ++c) {
            to[tap + c] += gradient[c] / static_cast<T>(taps.size());
          }
        }
      });
    });
  }
};

template <template <class> class Pool>
KernelPtr make_pooling(const char* operation, const Window& window, const Layout& image,
                       const Layout& out) {
  const auto seen = [](const Shape& s) { return Shape{s[0], s[3], s[1], s[2]}; };
  const Shape image_shape = seen(image.shape), out_shape = seen(out.shape);
  check_windows(operation, window, image_shape, out_shape);
  if (image.dtype == DType::kFloat32) {
    return std::make_unique<Pool<float>>(window, image_shape, out_shape);
  }
  if (image.dtype == DType::kFloat64) {
    return std::make_unique<Pool<double>>(window, image_shape, out_shape);
  }
  throw DTypeError(std::string(operation) + ": it computes in float32 or float64, not " +
                   std::string(name(image.dtype)));
}

}  // namespace

KernelPtr make_max_pool2d(const Window& window, const Layout& x, const Layout& out) {
  return make_pooling<MaxPool>("max_pool2d", window, x, out);
}

KernelPtr make_max_pool2d_grad(const Window& window, const Layout& x, const Layout& g,
                               const Layout&) {
  return make_pooling<MaxPoolGrad>("max_pool2d's gradient", window, x, g);
}

KernelPtr make_max_pool2d_pick(const Window& window, const Layout& x, const Layout&,
                               const Layout& out) {
  return make_pooling<MaxPoolPick>("max_pool2d's pick", window, x, out);
}

KernelPtr make_avg_pool2d(const Window& window, const Layout& x, const Layout& out) {
  return make_pooling<AvgPool>("avg_pool2d", window, x, out);
}

KernelPtr make_avg_pool2d_grad(const Window& window, const Layout& g, const Layout& x_out) {
  return make_pooling<AvgPoolGrad>("avg_pool2d's gradient", window, x_out, g);
}

}  // namespace cyxwiz::cpu
