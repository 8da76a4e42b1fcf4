#include "cpu/index.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "cpu/threads.h"
#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

void check_index_dtype(const char* operation, DType dtype) {
  if (dtype == DType::kInt32 || dtype == DType::kInt64) return;
  throw DTypeError(std::string(operation) + ": indices are int32 or int64, not " +
                   std::string(name(dtype)));
}

/// The number of elements of `shape` from axis `first` on.
int64_t count_from(const Shape& shape, int first) {
  int64_t count = 1;
  for (int i = first; i < shape.rank(); ++i) count *= shape[i];
  return count;
}

/// Throws IndexError for the first index that is outside [-rows, rows).
template <class Index>
void check_indices(const char* operation, const Index* indices, int64_t count, int64_t rows) {
  std::atomic<int64_t> first_bad{count};
  parallel_ranges(count, count / 2, [&](int64_t first, int64_t last) {
    bool bad = false;
    for (int64_t i = first; i < last; ++i) bad |= (indices[i] < -rows) | (indices[i] >= rows);
    if (!bad) return;
    int64_t i = first;
    while (indices[i] >= -rows && indices[i] < rows) ++i;
    int64_t known = first_bad.load();
    while (i < known && !first_bad.compare_exchange_weak(known, i)) {
    }
  });
  const int64_t at = first_bad.load();
  if (at == count) return;
  throw IndexError(std::string(operation) + ": index " + std::to_string(indices[at]) +
                   " (at position " + std::to_string(at) +
                   " of the indices) is out of bounds for an axis of size " + std::to_string(rows));
}

template <class Index>
int64_t row_of(Index index, int64_t rows) {
  return index < 0 ? index + rows : index;
}

template <class Index>
class Gather final : public Kernel {
 public:
  Gather(const Layout& x, const Layout& indices)
      : rows_(x.shape[0]),
        row_stride_(x.strides[0] * item_size(x.dtype)),
        row_bytes_(count_from(x.shape, 1) * item_size(x.dtype)),
        count_(element_count(indices.shape)) {}

  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* x = static_cast<const char*>(inputs[0]);
    const auto* indices = static_cast<const Index*>(inputs[1]);
    auto* out = static_cast<char*>(outputs[0]);
    check_indices("take", indices, count_, rows_);
    if (row_bytes_ == 0) return;
    switch (row_bytes_) {
      case 1:
        return copy_rows<1>(x, indices, out);
      case 2:
        return copy_rows<2>(x, indices, out);
      case 4:
        return copy_rows<4>(x, indices, out);
      case 8:
        return copy_rows<8>(x, indices, out);
      case 16:
        return copy_rows<16>(x, indices, out);
      default:
        return copy_rows<0>(x, indices, out);
    }
  }

 private:
  // How many rows ahead memory is asked for, and how much of each.
  static constexpr int64_t kAhead = 2, kAheadBytes = 4096, kLine = 64;

  /// `Bytes`: what a row has when known at compile time, else 0.
  template <int64_t Bytes>
  void copy_rows(const char* x, const Index* indices, char* out) const {
    const int64_t bytes = Bytes > 0 ? Bytes : row_bytes_;
    const int64_t cost = count_ * (2 + bytes / 10);
    parallel_ranges(count_, cost, [&](int64_t first, int64_t last) {
      for (int64_t i = first; i < last; ++i) {
        if constexpr (Bytes == 0) {
          if (i + kAhead < last) {
            const char* next = x + row_of(indices[i + kAhead], rows_) * row_stride_;
            for (int64_t b = 0; b < std::min(bytes, kAheadBytes); b += kLine) {
              __builtin_prefetch(next + b);
            }
          }
        }
        std::memcpy(out + i * bytes, x + row_of(indices[i], rows_) * row_stride_,
                    static_cast<size_t>(bytes));
      }
    });
  }

  const int64_t rows_, row_stride_, row_bytes_, count_;
};

template <class T, class Index>
class ScatterAdd final : public Kernel {
 public:
  ScatterAdd(const Layout& indices, const Layout& out)
      : rows_(out.shape[0]),
        columns_(count_from(out.shape, 1)),
        count_(element_count(indices.shape)) {}

  // Each element of the output belongs to one thread, which adds in the order of the indices:
  // whatever the split, the sums are the same.
  void run(std::span<const void* const> inputs, std::span<void* const> outputs, void*) override {
    const auto* g = static_cast<const T*>(inputs[0]);
    const auto* indices = static_cast<const Index*>(inputs[1]);
    T* out = static_cast<T*>(outputs[0]);
    check_indices("scatter_add", indices, count_, rows_);
    const int64_t cost = (rows_ + 2 * count_) * columns_ / 4 + count_ * 2;
    if (columns_ >= kWide) {
      parallel_ranges(columns_, cost, [&](int64_t first, int64_t last) {
        for (int64_t row = 0; row < rows_; ++row) {
          std::fill(out + row * columns_ + first, out + row * columns_ + last, T{0});
        }
        for (int64_t i = 0; i < count_; ++i) {
          add_row(g + i * columns_, out + row_of(indices[i], rows_) * columns_, first, last);
        }
      });
    } else {
      parallel_ranges(rows_, cost, [&](int64_t first, int64_t last) {
        std::fill(out + first * columns_, out + last * columns_, T{0});
        for (int64_t i = 0; i < count_; ++i) {
          const int64_t row = row_of(indices[i], rows_);
          if (row < first || row >= last) continue;
          add_row(g + i * columns_, out + row * columns_, 0, columns_);
        }
      });
    }
  }

 private:
  // Rows from this many elements on are split by columns, so that each index is worth its visit.
  static constexpr int64_t kWide = 256;

  static void add_row(const T* from, T* to, int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) to[j] += from[j];
  }

  const int64_t rows_, columns_, count_;
};

template <class T>
KernelPtr make_scatter_add_of(const Layout& indices, const Layout& out) {
  if (indices.dtype == DType::kInt32) {
    return std::make_unique<ScatterAdd<T, int32_t>>(indices, out);
  }
  return std::make_unique<ScatterAdd<T, int64_t>>(indices, out);
}

}  // namespace

KernelPtr make_gather(const Layout& x, const Layout& indices, const Layout&) {
  check_index_dtype("take", indices.dtype);
  if (indices.dtype == DType::kInt32) return std::make_unique<Gather<int32_t>>(x, indices);
  return std::make_unique<Gather<int64_t>>(x, indices);
}

KernelPtr make_scatter_add(const Layout& g, const Layout& indices, const Layout& out) {
  check_index_dtype("scatter_add", indices.dtype);
  switch (g.dtype) {
    case DType::kFloat32:
      return make_scatter_add_of<float>(indices, out);
    case DType::kFloat64:
      return make_scatter_add_of<double>(indices, out);
    case DType::kInt32:
      return make_scatter_add_of<int32_t>(indices, out);
    case DType::kInt64:
      return make_scatter_add_of<int64_t>(indices, out);
    default:
      throw DTypeError("scatter_add: it adds float32, float64, int32 or int64, not " +
                       std::string(name(g.dtype)));
  }
}

}  // namespace cyxwiz::cpu
