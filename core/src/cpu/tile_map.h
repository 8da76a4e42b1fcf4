// What the tile kernels share: operands, the loop over a tile, and a functor for each row of the
// table. Included by the kernel sources only, once for each instruction set, so that everything
// here lies in a namespace of its own for each: the linker must not merge code that some processors
// can't run.
#pragma once

#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/math.h"
#include "cpu/tile.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

/// An operand that is one element for the whole tile.
template <class T>
struct Same {
  T value;
  T operator[](int64_t) const { return value; }
};

// An operand's elements from i on, as many as a vector has or `count`.
inline Floats vector_at(const float* from, int64_t i) { return load<Floats>(from + i); }
inline Floats vector_at(Same<float> from, int64_t) { return all<Floats>(from.value); }
inline Floats part_at(const float* from, int64_t i, int64_t count) {
  return load_part(from + i, count);
}
inline Floats part_at(Same<float> from, int64_t, int64_t) { return all<Floats>(from.value); }

/// Can F be applied to vectors of such operands?
template <class F, class R, class... From>
concept TakesVectors = std::same_as<R, float> && requires(const From&... from) {
  { F::apply(vector_at(from, 0)...) } -> std::same_as<Floats>;
};

/// `ahead`: what to fetch meanwhile, as much as is written; or null.
template <class F, class... From>
void map_vectors(const float* ahead, float* to, int64_t n, const From&... from) {
  // Several at once, so that one's operations fill the gaps between the other's.
  constexpr int64_t kVectors = 4, kWidth = kLanes<float>;
  int64_t i = 0;
  for (; i + kVectors * kWidth <= n; i += kVectors * kWidth) {
    Floats results[kVectors];
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v)
      results[v] = F::apply(vector_at(from, i + v * kWidth)...);
    if (ahead) {
#pragma GCC unroll 4
      for (int64_t v = 0; v < kVectors; ++v) __builtin_prefetch(ahead + i + v * kWidth);
    }
#pragma GCC unroll 4
    for (int64_t v = 0; v < kVectors; ++v) store(to + i + v * kWidth, results[v]);
  }
  for (; i + kWidth <= n; i += kWidth) store(to + i, F::apply(vector_at(from, i)...));
  if (i < n) store_part(to + i, F::apply(part_at(from, i, n - i)...), n - i);
}

// A vector function and its scalar twin differ in the last bit. So that an element's value does not
// depend on where in a tile it lies, the last few elements go through the vector loop as well.
constexpr int64_t kFew = 16;

/// A few elements of an operand, in memory of their own; the first fills what is left. Not inlined:
/// it is needed once a tile at most, by hundreds of kernels.
template <class T>
struct Few {
  [[gnu::noinline]] Few(const T* from, int64_t count) {
    const T first = *from;
#pragma omp simd
    for (int64_t i = 0; i < kFew; ++i) data[i] = first;
    if (count > 1) std::memcpy(data, from, static_cast<size_t>(count) * sizeof(T));
  }
  T operator[](int64_t i) const { return data[i]; }
  T data[kFew];
};
template <class T>
Few<T> few_at(const T* from, int64_t first, int64_t count) {
  return {from + first, count};
}
template <class T>
Same<T> few_at(Same<T> from, int64_t, int64_t) {
  return from;
}

template <class F, class R, class... From>
inline void loop(R* to, int64_t n, const From&... from) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = static_cast<R>(F::apply(from[i]...));
}

template <class T>
T* at(char* const* pointers, uint16_t index) {
  return reinterpret_cast<T*>(pointers[index]);
}

/// An instruction that applies F to operands, each a pointer or a Same, and stores what R holds.
template <class F, class R, class... From>
inline void map(const TileInstruction& in, char* const* p, const Tile& tile, From... from) {
  R* const to = at<R>(p, in.to);
  const int64_t n = tile.count[in.level];
  if constexpr (TakesVectors<F, R, From...>) {
    const bool fetches = in.fetches != TileInstruction::kNothing;
    map_vectors<F>(fetches ? at<float>(p, in.fetches) + n : nullptr, to, n, from...);
  } else {
    const int64_t body = n / kFew * kFew;
    loop<F>(to, body, from...);
    if (body == n) return;
    R tail[kFew];
    loop<F>(tail, kFew, few_at(from, body, n - body)...);
    std::memcpy(to + body, tail, static_cast<size_t>(n - body) * sizeof(R));
  }
}

/// An expression's value as it is stored: C++ makes an int of `uint8_t & uint8_t`.
template <class T, class R>
auto as(R value) {
  if constexpr (std::is_same_v<R, bool>) {
    return value;
  } else {
    return static_cast<T>(value);
  }
}

// One functor for each row of the table, for the types that its expression is made for.
#define UNARY(name, result, kernel, ...)   \
  struct name##_op {                       \
    template <class T>                     \
    static auto apply(T a)                 \
      requires requires { as<T>(kernel); } \
    {                                      \
      return as<T>(kernel);                \
    }                                      \
  };
#define BINARY(name, result, kernel, ...)  \
  struct name##_op {                       \
    template <class T>                     \
    static auto apply(T a, T b)            \
      requires requires { as<T>(kernel); } \
    {                                      \
      return as<T>(kernel);                \
    }                                      \
  };
#include "cyxwiz/elementwise_table.h"

constexpr size_t at(Compute t) { return static_cast<size_t>(t); }
constexpr size_t at(DType t) { return static_cast<size_t>(t); }
constexpr size_t at(Op op) { return static_cast<size_t>(op); }
constexpr size_t reduce_at(Op op) { return at(op) - at(Op::k_sum); }

}  // namespace

// Each source's part of the table.
void fill_forms(TileKernels& k);
void fill_reductions(TileKernels& k);

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
