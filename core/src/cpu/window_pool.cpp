#include <algorithm>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

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

/// Calls `body` with the stride, as a constant where that lets the compiler vectorise.
template <class Body>
void with_stride(int64_t stride, Body&& body) {
  if (stride == 1) {
    body(std::integral_constant<int64_t, 1>{});
  } else if (stride == 2) {
    body(std::integral_constant<int64_t, 2>{});
  } else {
    body(stride);
  }
}

/// The planes of images and windows, and how they are visited.
class Pooling : public Kernel {
 public:
  Pooling(const Window& window, const Shape& image, const Shape& out)
      : rows_(window_axis(window, image, 0)),
        columns_(window_axis(window, image, 1)),
        planes_(image[0] * image[1]),
        out_rows_(out[2]),
        out_columns_(out[3]) {
    for (int64_t i = 0; i < out_rows_; ++i) row_taps_.push_back(rows_.taps_inside(i));
    for (int64_t j = 0; j < out_columns_; ++j) column_taps_.push_back(columns_.taps_inside(j));
  }

 protected:
  using Range = WindowAxis::Range;

  const Range& row_taps(int64_t i) const { return row_taps_[static_cast<size_t>(i)]; }
  const Range& column_taps(int64_t j) const { return column_taps_[static_cast<size_t>(j)]; }
  int64_t elements_inside(int64_t i, int64_t j) const {
    return (row_taps(i).last - row_taps(i).first) * (column_taps(j).last - column_taps(j).first);
  }
  int64_t image_size() const { return rows_.size * columns_.size; }
  int64_t out_size() const { return out_rows_ * out_columns_; }
  int64_t cost() const {
    return planes_ * (image_size() / 4 + out_size() * rows_.kernel * columns_.kernel);
  }

  template <class Body>
  void for_planes(Body&& body) const {
    parallel_ranges(planes_, cost(), [&](int64_t first, int64_t last) {
      for (int64_t plane = first; plane < last; ++plane) body(plane);
    });
  }

  /// Calls `body(image, out, count)` for every tap and every piece of a row of windows that it
  /// reads inside a plane; `image` moves by the stride, `out` by 1.
  template <class Body>
  void for_tap_rows(Body&& body) const {
    for (int64_t i = 0; i < out_rows_; ++i) {
      const Range ki_inside = row_taps(i);
      for (int64_t ki = ki_inside.first; ki < ki_inside.last; ++ki) {
        const int64_t row = rows_.position(i, ki) * columns_.size;
        for (int64_t kj = 0; kj < columns_.kernel; ++kj) {
          const Range c = columns_.windows_inside(kj, out_columns_);
          if (c.first == c.last) continue;
          body(row + columns_.position(c.first, kj), i * out_columns_ + c.first, c.last - c.first);
        }
      }
    }
  }

  /// Where window (i, j) has its first maximum, or its first NaN.
  template <class T>
  int64_t first_maximum(const T* image, int64_t i, int64_t j) const {
    const Range ki_inside = row_taps(i), kj_inside = column_taps(j);
    int64_t best_at =
        rows_.position(i, ki_inside.first) * columns_.size + columns_.position(j, kj_inside.first);
    T best = image[best_at];
    for (int64_t ki = ki_inside.first; ki < ki_inside.last; ++ki) {
      const int64_t row = rows_.position(i, ki) * columns_.size;
      for (int64_t kj = kj_inside.first; kj < kj_inside.last; ++kj) {
        const int64_t at = row + columns_.position(j, kj);
        const T value = image[at];
        // Selections rather than a branch, which would often be mispredicted. A NaN is beaten by
        // none.
        const bool takes = (best == best) & !(value <= best);
        best = takes ? value : best;
        best_at = takes ? at : best_at;
      }
    }
    return best_at;
  }

  /// Calls `body(window, maximum)` for every window of a plane: its number, and where its maximum
  /// is.
  template <class T, class Body>
  void for_maxima(const T* image, Body&& body) const {
    for (int64_t i = 0; i < out_rows_; ++i) {
      for (int64_t j = 0; j < out_columns_; ++j) {
        body(i * out_columns_ + j, first_maximum(image, i, j));
      }
    }
  }

  const WindowAxis rows_, columns_;
  const int64_t planes_, out_rows_, out_columns_;

 private:
  std::vector<Range> row_taps_, column_taps_;  // Which taps of each row and column of windows read.
};

template <class T>
class MaxPool final : public Pooling {
 public:
  using Pooling::Pooling;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    auto* out = static_cast<T*>(outputs[0]);
    for_planes([&](int64_t plane) {
      const T* image = x + plane * image_size();
      T* best = out + plane * out_size();
      std::fill(best, best + out_size(), -std::numeric_limits<T>::infinity());
      for_tap_rows([&](int64_t from, int64_t to, int64_t count) {
        with_stride(columns_.stride, [&](auto stride) {
          for (int64_t j = 0; j < count; ++j) {
            const T value = image[from + j * stride], old = best[to + j];
            const bool takes = (old == old) & !(value <= old);
            best[to + j] = takes ? value : old;
          }
        });
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
    for_planes([&](int64_t plane) {
      const T* gradient = g + plane * out_size();
      T* to = out + plane * image_size();
      std::fill(to, to + image_size(), T{0});
      for_maxima(x + plane * image_size(),
                 [&](int64_t window, int64_t maximum) { to[maximum] += gradient[window]; });
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
    for_planes([&](int64_t plane) {
      const T* values = v + plane * image_size();
      T* to = out + plane * out_size();
      for_maxima(x + plane * image_size(),
                 [&](int64_t window, int64_t maximum) { to[window] = values[maximum]; });
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
    for_planes([&](int64_t plane) {
      const T* image = x + plane * image_size();
      T* sum = out + plane * out_size();
      std::fill(sum, sum + out_size(), T{0});
      for_tap_rows([&](int64_t from, int64_t to, int64_t count) {
        with_stride(columns_.stride, [&](auto stride) {
          for (int64_t j = 0; j < count; ++j) sum[to + j] += image[from + j * stride];
        });
      });
      for (int64_t i = 0; i < out_rows_; ++i) {
        for (int64_t j = 0; j < out_columns_; ++j) {
          sum[i * out_columns_ + j] /= static_cast<T>(elements_inside(i, j));
        }
      }
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
    for_planes([&](int64_t plane) {
      const T* gradient = g + plane * out_size();
      T* to = out + plane * image_size();
      std::fill(to, to + image_size(), T{0});
      for (int64_t i = 0; i < out_rows_; ++i) {
        const Range ki_inside = row_taps(i);
        for (int64_t j = 0; j < out_columns_; ++j) {
          const Range kj_inside = column_taps(j);
          const T share = gradient[i * out_columns_ + j] / static_cast<T>(elements_inside(i, j));
          for (int64_t ki = ki_inside.first; ki < ki_inside.last; ++ki) {
            T* row = to + rows_.position(i, ki) * columns_.size;
            for (int64_t kj = kj_inside.first; kj < kj_inside.last; ++kj) {
              row[columns_.position(j, kj)] += share;
            }
          }
        }
      }
    });
  }
};

template <template <class> class Pool>
KernelPtr make_pooling(const char* operation, const Window& window, const Layout& image,
                       const Layout& out) {
  check_windows(operation, window, image.shape, out.shape);
  if (image.dtype == DType::kFloat32) {
    return std::make_unique<Pool<float>>(window, image.shape, out.shape);
  }
  if (image.dtype == DType::kFloat64) {
    return std::make_unique<Pool<double>>(window, image.shape, out.shape);
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
