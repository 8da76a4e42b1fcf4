#include "cyxwiz/shape.h"

#include <algorithm>

#include "cyxwiz/error.h"

namespace cyxwiz {

Extents::Extents(std::initializer_list<int64_t> values)
    : Extents(std::span<const int64_t>(values.begin(), values.size())) {}

Extents::Extents(std::span<const int64_t> values) {
  if (values.size() > kMaxRank) {
    throw ShapeError("a tensor has at most " + std::to_string(kMaxRank) + " axes, got " +
                     std::to_string(values.size()));
  }
  std::copy(values.begin(), values.end(), values_.begin());
  rank_ = static_cast<int>(values.size());
}

void Extents::push_back(int64_t value) {
  resize(rank_ + 1);
  values_[static_cast<size_t>(rank_ - 1)] = value;
}

void Extents::resize(int rank, int64_t fill) {
  if (rank > kMaxRank) {
    throw ShapeError("a tensor has at most " + std::to_string(kMaxRank) + " axes, got " +
                     std::to_string(rank));
  }
  for (int i = rank_; i < rank; ++i) values_[static_cast<size_t>(i)] = fill;
  rank_ = rank;
}

bool Extents::operator==(const Extents& other) const {
  return rank_ == other.rank_ && std::equal(begin(), end(), other.begin());
}

int64_t element_count(const Shape& shape) {
  int64_t count = 1;
  bool overflow = false;
  for (int64_t size : shape) {
    if (size < 0) throw ShapeError("a size is negative: " + to_string(shape));
    overflow |= __builtin_mul_overflow(count, size, &count);
  }
  // A zero anywhere makes the product zero, whatever overflowed on the way.
  for (int64_t size : shape) {
    if (size == 0) return 0;
  }
  if (overflow || count > (int64_t{1} << 56)) {
    throw ShapeError("a tensor of shape " + to_string(shape) + " has too many elements");
  }
  return count;
}

Strides contiguous_strides(const Shape& shape) {
  Strides strides;
  strides.resize(shape.rank());
  int64_t stride = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = stride;
    stride *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (int i = 0; i < shape.rank(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

int normalize_axis(const char* operation, int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    throw IndexError(std::string(operation) + ": axis " + std::to_string(axis) +
                     " is out of range for a tensor of " + std::to_string(rank) +
                     (rank == 1 ? " axis" : " axes"));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

Shape broadcast(const char* operation, const Shape& a, const Shape& b) {
  if (a == b) return a;
  Shape result;
  result.resize(std::max(a.rank(), b.rank()));
  for (int i = 1; i <= result.rank(); ++i) {
    const int64_t x = i <= a.rank() ? a[a.rank() - i] : 1;
    const int64_t y = i <= b.rank() ? b[b.rank() - i] : 1;
    if (x != y && x != 1 && y != 1) {
      throw ShapeError(std::string(operation) + ": the shapes don't broadcast: " + to_string(a) +
                       " and " + to_string(b) + " (" + std::to_string(x) + " ≠ " +
                       std::to_string(y) + " at axis " + std::to_string(-i) + ")");
    }
    result[result.rank() - i] = x == 1 ? y : x;
  }
  return result;
}

}  // namespace cyxwiz
