// Scalar forms of the elementwise operations, written so that GCC vectorises loops over them.
// Included by tile_kernels.cpp only, once for each instruction set.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

// glibc's libmvec has vector forms of these (up to 4 ulp); a declaration is what it takes to use
// them.
#if defined(__x86_64__) && defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
extern "C" {
#define VECTOR(name)                                                     \
  _Pragma("omp declare simd notinbranch") float name##f(float) noexcept; \
  _Pragma("omp declare simd notinbranch") double name(double) noexcept;
#pragma omp declare simd notinbranch
double exp(double) noexcept;
#pragma omp declare simd notinbranch
double log(double) noexcept;
VECTOR(expm1)
VECTOR(log1p)
VECTOR(log2)
VECTOR(log10)
VECTOR(sin)
VECTOR(cos)
VECTOR(tan)
VECTOR(asin)
VECTOR(acos)
VECTOR(atan)
VECTOR(sinh)
VECTOR(cosh)
VECTOR(tanh)
VECTOR(asinh)
VECTOR(acosh)
VECTOR(atanh)
VECTOR(erf)
#undef VECTOR
#pragma omp declare simd notinbranch
float powf(float, float) noexcept;
#pragma omp declare simd notinbranch
double pow(double, double) noexcept;
#pragma omp declare simd notinbranch
float atan2f(float, float) noexcept;
#pragma omp declare simd notinbranch
double atan2(double, double) noexcept;
}
#endif

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE::m {

#define FLOATING(name)                                \
  inline float name(float a) { return ::name##f(a); } \
  inline double name(double a) { return ::name(a); }
FLOATING(expm1)
FLOATING(log1p)
FLOATING(log2)
FLOATING(log10)
FLOATING(sqrt)
FLOATING(sin)
FLOATING(cos)
FLOATING(tan)
FLOATING(asin)
FLOATING(acos)
FLOATING(atan)
FLOATING(sinh)
FLOATING(cosh)
FLOATING(tanh)
FLOATING(asinh)
FLOATING(acosh)
FLOATING(atanh)
FLOATING(erf)
#undef FLOATING

/// a · b + c, rounded once where the processor can.
inline float multiply_add(float a, float b, float c) {
#if defined(__FMA__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}

// exp and log in float32 are our own: libmvec leaves the vectors for scalar code wherever a lane
// overflows, is infinite or is negative, and a mask of -inf in front of a softmax is full of those
// (12 times slower). Polynomials fitted for the least maximal error; ln 2 in two parts, the first
// with so few bits that its multiples are exact.
inline constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

/// Within 1 ulp; smaller than the least normal number: 0 (denormals are flushed).
inline float exp(float a) {
  // Adding 1.5 · 2²³ rounds to a whole number, which then stands in the last bits.
  constexpr float kRounding = 12582912.0f, kLog2E = 1.44269504f;
  const float x = a > 89.0f ? 89.0f : a < -104.0f ? -104.0f : a;  // NaN stays
  const float rounded = multiply_add(x, kLog2E, kRounding);
  const float n = rounded - kRounding;
  const float r = multiply_add(n, -kLn2Low, multiply_add(n, -kLn2High, x));
  float p = 0.00138131424f;
  p = multiply_add(p, r, 0.00836941879f);
  p = multiply_add(p, r, 0.041668456f);
  p = multiply_add(p, r, 0.16666515f);
  p = multiply_add(p, r, 0.49999994f);
  p = multiply_add(p, r * r, r) + 1.0f;
  // 2ⁿ in two factors: n may be one more than the largest exponent, or below the least.
  const int32_t whole = std::bit_cast<int32_t>(rounded) - std::bit_cast<int32_t>(kRounding);
  const int32_t half = whole >> 1, one = std::bit_cast<int32_t>(1.0f);
  const float first = std::bit_cast<float>((half << 23) + one);
  const float second = std::bit_cast<float>(((whole - half) << 23) + one);
  return p * first * second;
}
inline double exp(double a) { return ::exp(a); }

/// Within 1 ulp. Denormals count as 0.
inline float log(float a) {
  // a = 2ᵉ (1 + f) with 1 + f in [2/3, 4/3).
  const int32_t bits = std::bit_cast<int32_t>(a);
  const int32_t e = (bits - std::bit_cast<int32_t>(2.0f / 3)) >> 23;
  const float f = std::bit_cast<float>(bits - (e << 23)) - 1.0f;
  const auto n = static_cast<float>(e);
  float p = -0.12891601f;
  p = multiply_add(p, f, 0.13984467f);
  p = multiply_add(p, f, -0.12184278f);
  p = multiply_add(p, f, 0.14005862f);
  p = multiply_add(p, f, -0.16680487f);
  p = multiply_add(p, f, 0.20010406f);
  p = multiply_add(p, f, -0.24999797f);
  p = multiply_add(p, f, 0.33333215f);
  const float square = f * f;
  float rest = p * f * square;
  rest = multiply_add(n, kLn2Low, rest);
  rest = multiply_add(square, -0.5f, rest);
  const float finite = multiply_add(n, kLn2High, f + rest);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float low = a < 0.0f ? std::numeric_limits<float>::quiet_NaN() : -kInfinity;
  const float known = a < std::numeric_limits<float>::min() ? low : finite;
  return a < kInfinity ? known : a;  // infinity, and NaN
}
inline double log(double a) { return ::log(a); }

inline float atan2(float a, float b) { return ::atan2f(a, b); }
inline double atan2(double a, double b) { return ::atan2(a, b); }

template <class T>
inline constexpr bool kIsFloat = std::is_floating_point_v<T>;

// The source is built with -fwrapv: signed arithmetic wraps, as NumPy's does.
template <class T>
inline T negative(T a) {
  return -a;
}
template <class T>
inline T add(T a, T b) {
  return a + b;
}
template <class T>
inline T subtract(T a, T b) {
  return a - b;
}
template <class T>
inline T multiply(T a, T b) {
  return a * b;
}

template <class T>
inline T absolute(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a);
  return a < 0 ? -a : a;
}

template <class T>
inline T sign(T a) {
  const T s = static_cast<T>((a > T(0)) - (a < T(0)));
  if constexpr (kIsFloat<T>) return a != a ? a : s;
  return s;
}

#define ROUNDING(name, function)                   \
  template <class T>                               \
  inline T name(T a) {                             \
    if constexpr (kIsFloat<T>) return function(a); \
    return a;                                      \
  }
ROUNDING(floor, std::floor)
ROUNDING(ceil, std::ceil)
ROUNDING(round, std::rint)  // half to even, in the default rounding mode
ROUNDING(trunc, std::trunc)
#undef ROUNDING

template <class T>
inline T softplus(T a) {
  return (a > T(0) ? a : T(0)) + log1p(exp(-std::fabs(a)));
}

template <class T>
inline bool isinf(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a) == std::numeric_limits<T>::infinity();
  return false;
}

template <class T>
inline bool isfinite(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a) < std::numeric_limits<T>::infinity();
  return true;
}

// A NaN on either side wins, as in NumPy. The first choice is one instruction, and keeps a NaN in
// b.
template <class T>
inline T maximum(T a, T b) {
  const T greater = a > b ? a : b;
  return a != a ? a : greater;
}
template <class T>
inline T minimum(T a, T b) {
  const T less = a < b ? a : b;
  return a != a ? a : less;
}

/// Python's: the result has the divisor's sign. An integer divided by 0 gives 0.
template <class T>
inline T remainder(T a, T b) {
  if constexpr (kIsFloat<T>) {
    const T r = std::fmod(a, b);
    if (r == T(0)) return std::copysign(T(0), b);
    return (r < T(0)) != (b < T(0)) ? r + b : r;
  } else {
    // -1 divides the most negative number into one that does not exist; the hardware would trap.
    if (b == 0 || b == -1) return 0;
    const T r = static_cast<T>(a % b);
    return r != 0 && (r < 0) != (b < 0) ? static_cast<T>(r + b) : r;
  }
}

/// The largest whole number not above a / b, consistent with remainder().
template <class T>
inline T floor_divide(T a, T b) {
  if constexpr (kIsFloat<T>) {
    if (b == T(0)) return a / b;
    const T r = std::fmod(a, b);
    T quotient = (a - r) / b;
    if (r != T(0) && (r < T(0)) != (b < T(0))) quotient -= T(1);
    // The division above is inexact: the true quotient is the whole number next to it.
    const T whole = std::floor(quotient);
    return quotient - whole > T(0.5) ? whole + T(1) : whole;
  } else {
    if (b == 0) return 0;
    if (b == -1) return -a;
    const T q = static_cast<T>(a / b);
    return a % b != 0 && (a < 0) != (b < 0) ? static_cast<T>(q - 1) : q;
  }
}

inline float power(float a, float b) { return ::powf(a, b); }
inline double power(double a, double b) { return ::pow(a, b); }
template <class T>
inline T power(T a, T b) {
  if (b < 0) return a == 1 ? T(1) : a == -1 ? (b % 2 ? T(-1) : T(1)) : T(0);
  T result = 1;
  for (; b > 0; b >>= 1) {
    if (b & 1) result *= a;
    a *= a;
  }
  return result;
}

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE::m
