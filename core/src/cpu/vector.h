// Vectors as wide as the processor's registers, and what C++ has no operator for. Included by the
// kernel sources only, once for each instruction set, so that everything here lies in a namespace
// of its own for each: the linker must not merge code that some processors can't run.
#pragma once

#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T, int Lanes = kLanes<T>>
using Vector = typename VectorOf<T, Lanes>::type;

using Floats = Vector<float>;

template <class V, class T>
inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

template <class V, class T>
inline void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}

/// What a vector, or a number, is made of.
template <class T>
using Element = std::conditional_t<std::same_as<T, Floats>, float, T>;

/// The number, or a vector of it.
template <class T>
inline T all(Element<T> a) {
  return a - T{};
}

// The first `count` lanes from and to memory; the others repeat the first.
#if defined(__AVX512F__)
inline Floats load_part(const float* p, int64_t count) {
  return _mm512_mask_loadu_ps(all<Floats>(*p), static_cast<__mmask16>((1 << count) - 1), p);
}
inline void store_part(float* p, Floats v, int64_t count) {
  _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1 << count) - 1), v);
}
#else
inline Floats load_part(const float* p, int64_t count) {
  float lanes[kLanes<float>];
  store(lanes, all<Floats>(*p));
  std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  return load<Floats>(lanes);
}
inline void store_part(float* p, Floats v, int64_t count) {
  std::memcpy(p, &v, static_cast<size_t>(count) * sizeof(float));
}
#endif

/// f(a...) of each lane. (libmvec's functions are found where f is one of its.)
template <class F, class... From>
inline Floats each(F f, From... a) {
  struct Lanes {
    explicit Lanes(Floats v) { store(of, v); }
    float of[kLanes<float>];
  };
  return [f](const auto&... lanes) {
    float results[kLanes<float>];
#pragma omp simd
    for (int i = 0; i < kLanes<float>; ++i) results[i] = f(lanes.of[i]...);
    return load<Floats>(results);
  }(Lanes(a)...);
}

/// The bits of a float, or of a vector of them, and back.
constexpr int32_t bits(float a) { return std::bit_cast<int32_t>(a); }
inline Vector<int32_t> bits(Floats a) { return std::bit_cast<Vector<int32_t>>(a); }
inline float from_bits(int32_t a) { return std::bit_cast<float>(a); }
inline Floats from_bits(Vector<int32_t> a) { return std::bit_cast<Floats>(a); }

inline float as_float(int32_t a) { return static_cast<float>(a); }
inline Floats as_float(Vector<int32_t> a) { return __builtin_convertvector(a, Floats); }

constexpr int32_t kSignBit = std::numeric_limits<int32_t>::min();

/// |a|
template <class T>
inline T magnitude(T a) {
  return from_bits(bits(a) & ~kSignBit);
}

inline double magnitude(double a) { return std::fabs(a); }

/// Of a's magnitude and b's sign.
inline double copysign(double a, double b) { return std::copysign(a, b); }
inline Floats copysign(Floats a, Floats b) {
  return from_bits((bits(a) & ~kSignBit) | (bits(b) & kSignBit));
}

/// a · b + c, rounded once where the processor can.
template <class T>
inline T multiply_add(T a, T b, T c) {
#if defined(__FMA__)
  return std::fma(a, b, c);
#else
  return a * b + c;
#endif
}

/// a < b ? a : b, and a > b ? a : b: b where either is NaN.
template <class T>
inline T lesser(T a, T b) {
  return a < b ? a : b;
}
template <class T>
inline T greater(T a, T b) {
  return a > b ? a : b;
}

inline float sqrt(float a) { return std::sqrt(a); }
inline double truncated(double a) { return std::trunc(a); }

#if defined(__AVX512F__)
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
// GCC 12 warns of its own header's uninitialised values, but for the masked forms.
constexpr __mmask16 kAllLanes = 0xffff;
inline Floats lesser(Floats a, Floats b) { return _mm512_maskz_min_ps(kAllLanes, a, b); }
inline Floats greater(Floats a, Floats b) { return _mm512_maskz_max_ps(kAllLanes, a, b); }
inline Floats truncated(Floats a) {
  return _mm512_maskz_roundscale_ps(kAllLanes, a, _MM_FROUND_TO_ZERO);
}
inline bool any_greater(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
/// The processor's own takes twice as long; rounded correctly all the same. (Markstein,
/// "Computation of elementary functions on the IBM RISC System/6000 processor", 1990.)
inline Floats sqrt(Floats a) {
  const Floats estimate = _mm512_maskz_rsqrt14_ps(kAllLanes, a);
  Floats half = estimate * 0.5f, root = a * estimate;
  // Zero, infinity and what is below zero give NaN; what is left of the least numbers would be
  // flushed to zero.
  if (_mm512_cmp_ps_mask(root, all<Floats>(0x1p-50f), _CMP_NGE_UQ) != 0) [[unlikely]] {
    return _mm512_maskz_sqrt_ps(kAllLanes, a);
  }
  const Floats error = multiply_add(-root, half, all<Floats>(0.5f));
  half = multiply_add(half, error, half);
  root = multiply_add(root, error, root);
  return multiply_add(multiply_add(-root, root, a), half, root);
}
#elif defined(__AVX2__)
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats lesser(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats greater(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats truncated(Floats a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO); }
inline bool any_greater(Floats a, Floats b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
}
inline Floats sqrt(Floats a) { return _mm256_sqrt_ps(a); }
#else
inline bool any_greater(Floats a, Floats b) {
  const Vector<int32_t> is_greater = a > b;
  int32_t any = 0;
  for (int i = 0; i < kLanes<float>; ++i) any |= is_greater[i];
  return any != 0;
}
inline Floats sqrt(Floats a) {
#if defined(__SSE2__)
  return _mm_sqrt_ps(a);
#else
  return each([](float x) { return std::sqrt(x); }, a);
#endif
}
#endif
inline bool any_greater(double a, double b) { return a > b; }

/// c0 + c1 x + c2 x² + …
template <class T>
inline T polynomial(T, float c0) {
  return all<T>(c0);
}
template <class T, class... Rest>
inline T polynomial(T x, float c0, Rest... rest) {
  return multiply_add(polynomial(x, rest...), x, all<T>(c0));
}

/// Adding this rounds a float to a whole number (half to even), which then stands in the sum's last
/// bits: 1.5 · 2²³.
constexpr float kRounding = 12582912.0f;

/// a · 2ⁿ, where n = rounded − kRounding, from -150 to 128.
template <class T>
inline T scaled(T a, T rounded) {
  // In two factors: n may be one more than the largest exponent, or below the least.
  const auto n = bits(rounded) - bits(kRounding);
  const auto half = n >> 1;
  const int32_t one = bits(1.0f);
  return a * from_bits((half << 23) + one) * from_bits(((n - half) << 23) + one);
}
#if defined(__AVX512F__)
inline Floats scaled(Floats a, Floats rounded) {
  return _mm512_maskz_scalef_ps(kAllLanes, a, rounded - kRounding);
}
#endif

}  // namespace
}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
