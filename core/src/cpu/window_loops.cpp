#include "cpu/window_loops.h"

#include <algorithm>
#include <string>

#include "cpu/threads.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

/// Calls `body(x, out, count)` for every piece of a row of windows that tap (ki, kj) reads inside
/// one image plane: `x` and `out` are offsets in the planes; x moves by the stride, out by 1.
template <class Body>
void for_rows(const WindowAxis& rows, const WindowAxis& columns, int64_t out_rows,
              int64_t out_columns, int64_t ki, int64_t kj, Body&& body) {
  const WindowAxis::Range r = rows.windows_inside(ki, out_rows);
  const WindowAxis::Range c = columns.windows_inside(kj, out_columns);
  if (c.first == c.last) return;
  for (int64_t i = r.first; i < r.last; ++i) {
    body(rows.position(i, ki) * columns.size + columns.position(c.first, kj),
         i * out_columns + c.first, c.last - c.first);
  }
}

template <class T>
class ConvolutionLoops : public Kernel {
 public:
  ConvolutionLoops(const Window& window, const Shape& x, const Shape& w, const Shape& out)
      : rows_(window_axis(window, x, 0)),
        columns_(window_axis(window, x, 1)),
        images_(x[0]),
        channels_(x[1]),
        filters_(w[0]),
        taps_(w[2] * w[3]),
        out_rows_(out[2]),
        out_columns_(out[3]) {}

 protected:
  int64_t x_plane() const { return rows_.size * columns_.size; }
  int64_t out_plane() const { return out_rows_ * out_columns_; }
  int64_t cost() const { return images_ * channels_ * filters_ * taps_ * out_plane() / 2; }

  /// For every tap: its number, and its rows as for_rows gives them.
  template <class Body>
  void for_taps(Body&& body) const {
    for (int64_t tap = 0; tap < taps_; ++tap) {
      for_rows(rows_, columns_, out_rows_, out_columns_, tap / columns_.kernel,
               tap % columns_.kernel,
               [&](int64_t x, int64_t out, int64_t count) { body(tap, x, out, count); });
    }
  }

  const WindowAxis rows_, columns_;
  const int64_t images_, channels_, filters_, taps_, out_rows_, out_columns_;
};

template <class T>
class ForwardLoops final : public ConvolutionLoops<T> {
 public:
  using ConvolutionLoops<T>::ConvolutionLoops;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    const auto* w = static_cast<const T*>(inputs[1]);
    auto* out = static_cast<T*>(outputs[0]);
    const int64_t stride = this->columns_.stride;
    const int64_t planes = this->images_ * this->filters_;
    parallel_ranges(planes, this->cost(), [&](int64_t first, int64_t last) {
      for (int64_t plane = first; plane < last; ++plane) {
        const int64_t image = plane / this->filters_, filter = plane % this->filters_;
        T* to = out + plane * this->out_plane();
        std::fill(to, to + this->out_plane(), T{0});
        for (int64_t channel = 0; channel < this->channels_; ++channel) {
          const T* from = x + (image * this->channels_ + channel) * this->x_plane();
          const T* taps = w + (filter * this->channels_ + channel) * this->taps_;
          this->for_taps([&](int64_t tap, int64_t at_x, int64_t at_out, int64_t count) {
            for (int64_t j = 0; j < count; ++j) {
              to[at_out + j] += taps[tap] * from[at_x + j * stride];
            }
          });
        }
      }
    });
  }
};

template <class T>
class InputGradLoops final : public ConvolutionLoops<T> {
 public:
  using ConvolutionLoops<T>::ConvolutionLoops;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* g = static_cast<const T*>(inputs[0]);
    const auto* w = static_cast<const T*>(inputs[1]);
    auto* out = static_cast<T*>(outputs[0]);
    const int64_t stride = this->columns_.stride;
    const int64_t planes = this->images_ * this->channels_;
    parallel_ranges(planes, this->cost(), [&](int64_t first, int64_t last) {
      for (int64_t plane = first; plane < last; ++plane) {
        const int64_t image = plane / this->channels_, channel = plane % this->channels_;
        T* to = out + plane * this->x_plane();
        std::fill(to, to + this->x_plane(), T{0});
        for (int64_t filter = 0; filter < this->filters_; ++filter) {
          const T* from = g + (image * this->filters_ + filter) * this->out_plane();
          const T* taps = w + (filter * this->channels_ + channel) * this->taps_;
          this->for_taps([&](int64_t tap, int64_t at_x, int64_t at_out, int64_t count) {
            for (int64_t j = 0; j < count; ++j) {
              to[at_x + j * stride] += taps[tap] * from[at_out + j];
            }
          });
        }
      }
    });
  }
};

template <class T>
class WeightGradLoops final : public ConvolutionLoops<T> {
 public:
  using ConvolutionLoops<T>::ConvolutionLoops;

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const T*>(inputs[0]);
    const auto* g = static_cast<const T*>(inputs[1]);
    auto* out = static_cast<T*>(outputs[0]);
    const int64_t stride = this->columns_.stride;
    const int64_t pairs = this->filters_ * this->channels_;
    parallel_ranges(pairs, this->cost(), [&](int64_t first, int64_t last) {
      for (int64_t pair = first; pair < last; ++pair) {
        const int64_t filter = pair / this->channels_, channel = pair % this->channels_;
        T* taps = out + pair * this->taps_;
        std::fill(taps, taps + this->taps_, T{0});
        for (int64_t image = 0; image < this->images_; ++image) {
          const T* from = x + (image * this->channels_ + channel) * this->x_plane();
          const T* gradient = g + (image * this->filters_ + filter) * this->out_plane();
          this->for_taps([&](int64_t tap, int64_t at_x, int64_t at_out, int64_t count) {
            T sum{0};
            for (int64_t j = 0; j < count; ++j) {
              sum += gradient[at_out + j] * from[at_x + j * stride];
            }
            taps[tap] += sum;
          });
        }
      }
    });
  }
};

template <template <class> class Loops>
KernelPtr make_for_dtype(const Window& window, DType dtype, const Shape& x, const Shape& w,
                         const Shape& out) {
  if (dtype == DType::kFloat32) return std::make_unique<Loops<float>>(window, x, w, out);
  if (dtype == DType::kFloat64) return std::make_unique<Loops<double>>(window, x, w, out);
  throw DTypeError("conv2d: it computes in float32 or float64, not " + std::string(name(dtype)));
}

}  // namespace

KernelPtr make_conv2d_loops(const Window& window, DType dtype, const Shape& x, const Shape& w,
                            const Shape& out) {
  return make_for_dtype<ForwardLoops>(window, dtype, x, w, out);
}

KernelPtr make_conv2d_input_grad_loops(const Window& window, DType dtype, const Shape& x,
                                       const Shape& w, const Shape& out) {
  return make_for_dtype<InputGradLoops>(window, dtype, x, w, out);
}

KernelPtr make_conv2d_weight_grad_loops(const Window& window, DType dtype, const Shape& x,
                                        const Shape& w, const Shape& out) {
  return make_for_dtype<WeightGradLoops>(window, dtype, x, w, out);
}

}  // namespace cyxwiz::cpu
