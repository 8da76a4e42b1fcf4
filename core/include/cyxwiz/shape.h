// Shapes and strides: small value types, and the arithmetic on them, checked for overflow once,
// here.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace cyxwiz {

/// The largest number of axes a Tensor has.
inline constexpr int kMaxRank = 8;

/// Up to kMaxRank integers, held in place: the sizes of a Tensor's axes, or its strides in
/// elements.
class Extents {
 public:
  Extents() = default;
  Extents(std::initializer_list<int64_t> values);
  explicit Extents(std::span<const int64_t> values);  ///< Throws ShapeError above kMaxRank.

  int rank() const { return rank_; }
  bool empty() const { return rank_ == 0; }
  int64_t& operator[](int i) { return values_[static_cast<size_t>(i)]; }
  int64_t operator[](int i) const { return values_[static_cast<size_t>(i)]; }
  int64_t back() const { return values_[static_cast<size_t>(rank_ - 1)]; }
  const int64_t* begin() const { return values_.data(); }
  const int64_t* end() const { return values_.data() + rank_; }
  size_t size() const { return static_cast<size_t>(rank_); }
  void push_back(int64_t value);  ///< Throws ShapeError above kMaxRank.
  void resize(int rank, int64_t fill = 0);
  bool operator==(const Extents& other) const;

 private:
  std::array<int64_t, kMaxRank> values_{};
  int rank_ = 0;
};

using Shape = Extents;
using Strides = Extents;

/// The product of the sizes; throws ShapeError when a size is negative or the product overflows.
int64_t element_count(const Shape& shape);

/// The row-major strides of a dense array of that shape, in elements.
Strides contiguous_strides(const Shape& shape);

/// `[2, 3]`: how every message writes a shape.
std::string to_string(const Shape& shape);

/// `axis`, counted from the end when negative; throws IndexError that names `operation` when it is
/// outside.
int normalize_axis(const char* operation, int64_t axis, int rank);

/// The shape that both broadcast to (NumPy's rule); throws ShapeError that names `operation`.
Shape broadcast(const char* operation, const Shape& a, const Shape& b);

}  // namespace cyxwiz
