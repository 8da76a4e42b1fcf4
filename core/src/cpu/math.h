// The elementwise operations on one element, written so that GCC vectorises loops over them; where
// that is not good enough, also on a vector of floats (Floats). Included by the kernel sources
// only, once for each instruction set.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cpu/vector.h"

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

inline double sqrt(double a) { return ::sqrt(a); }
using CYXWIZ_ISA_NAMESPACE::sqrt;

// Functions of float32 that are our own: libmvec is slower, and leaves the vectors for scalar code
// wherever a lane overflows, is infinite or is negative; a mask of -inf in front of a softmax is
// full of those (12 times slower). The polynomials are fitted for the least maximal error.
template <class T>
concept Float32 = std::same_as<T, float> || std::same_as<T, Floats>;

// ln 2 in two parts, the first with so few bits that its multiples are exact.
inline constexpr float kLn2High = 0.693359375f, kLn2Low = -2.12194440e-4f;

/// Within 1 ulp; smaller than the least normal number: 0 (denormals are flushed).
template <Float32 T>
inline T exp(T a) {
  const T x = lesser(all<T>(89), greater(all<T>(-104), a));  // NaN stays
  const T rounded = multiply_add(x, all<T>(1.44269504f), all<T>(kRounding));
  const T n = rounded - kRounding;
  const T r = multiply_add(n, all<T>(-kLn2Low), multiply_add(n, all<T>(-kLn2High), x));
  return scaled(polynomial(r, 1.0f, 1.0f, 0.49999994f, 0.16666515f, 0.041668456f, 0.00836941879f,
                           0.00138131424f),
                rounded);
}
inline double exp(double a) { return ::exp(a); }

/// Within 1 ulp. Denormals count as 0.
template <Float32 T>
inline T log(T a) {
  // a = 2ᵉ (1 + f) with 1 + f in [2/3, 4/3).
  const auto e = (bits(a) - bits(2.0f / 3)) >> 23;
  const T f = from_bits(bits(a) - (e << 23)) - 1.0f;
  const T n = as_float(e);
  const T p = polynomial(f, 0.33333215f, -0.24999797f, 0.20010406f, -0.16680487f, 0.14005862f,
                         -0.12184278f, 0.13984467f, -0.12891601f);
  const T square = f * f;
  T rest = p * f * square;
  rest = multiply_add(n, all<T>(kLn2Low), rest);
  rest = multiply_add(square, all<T>(-0.5f), rest);
  const T finite = multiply_add(n, all<T>(kLn2High), f + rest);
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const T low = a < 0.0f ? all<T>(std::numeric_limits<float>::quiet_NaN()) : all<T>(-kInfinity);
  const T known = a < std::numeric_limits<float>::min() ? low : finite;
  return a < kInfinity ? known : a;  // infinity, and NaN
}
inline double log(double a) { return ::log(a); }

// Where a product and a sum are rounded once, multiples of π need no more than three parts of it,
// up to `kReach`. Each part is less than what is left of π, so that −0 stays what it is.
#if defined(__FMA__)
inline constexpr float kPi[] = {3.1415925f, 1.50995788e-7f, 1.07806559e-14f};
inline constexpr float kInversePi = 0.318309886f, kReach = 1e5f;

/// sin(a − n π), negated where the last bit of `rounded` is set.
inline Floats sine(Floats a, Floats n, Floats rounded) {
  Floats r = a;
  for (const float part : kPi) r = multiply_add(n, all<Floats>(-part), r);
  const Floats square = r * r;
  const Floats p =
      polynomial(square, -0.166666612f, 8.33307579e-3f, -1.98093112e-4f, 2.60408979e-6f);
  const Floats rest = multiply_add(p, square, Floats{});  // 0 where r is; a product would be −0
  return from_bits(bits(multiply_add(rest, r, r)) ^ bits(rounded) << 31);
}

/// The result, but f(a) where |a| is beyond kReach.
template <class F>
[[gnu::noinline, gnu::cold]] Floats corrected(Floats result, Floats a, F f) {
  return each([f](float r, float x) { return magnitude(x) > kReach ? f(x) : r; }, result, a);
}

/// Within 2 ulp.
inline Floats sin(Floats a) {
  const Floats rounded = multiply_add(a, all<Floats>(kInversePi), all<Floats>(kRounding));
  const Floats result = sine(a, rounded - kRounding, rounded);
  return any_greater(magnitude(a), all<Floats>(kReach)) ? corrected(result, a, ::sinf) : result;
}

/// Within 2 ulp.
inline Floats cos(Floats a) {
  // cos(a) = sin(a + π / 2), and a + π / 2 lies around k π where a lies around (k − 1/2) π.
  const Floats rounded = multiply_add(a, all<Floats>(kInversePi), all<Floats>(0.5f)) + kRounding;
  const Floats result = sine(a, rounded - kRounding - 0.5f, rounded);
  return any_greater(magnitude(a), all<Floats>(kReach)) ? corrected(result, a, ::cosf) : result;
}
#else
inline Floats sin(Floats a) {
  return each([](float x) { return ::sinf(x); }, a);
}
inline Floats cos(Floats a) {
  return each([](float x) { return ::cosf(x); }, a);
}
#endif
inline float sin(float a) { return ::sinf(a); }
inline float cos(float a) { return ::cosf(a); }
inline double sin(double a) { return ::sin(a); }
inline double cos(double a) { return ::cos(a); }

inline float atan2(float a, float b) { return ::atan2f(a, b); }
inline double atan2(double a, double b) { return ::atan2(a, b); }

/// A float, a double or an integer: not a vector.
template <class T>
concept Number = std::is_arithmetic_v<T>;
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
inline T relu(T a) {
  return greater(T{}, a);  // NaN stays
}

template <Number T>
inline T absolute(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a);
  return a < 0 ? -a : a;
}

template <Number T>
inline T sign(T a) {
  const T s = static_cast<T>((a > T(0)) - (a < T(0)));
  if constexpr (kIsFloat<T>) return a != a ? a : s;
  return s;
}

#define ROUNDING(name, function)                   \
  template <Number T>                              \
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
inline T sigmoid(T a) {
  return 1 / (1 + exp(-a));
}

template <Number T>
inline T softplus(T a) {
  return (a > T(0) ? a : T(0)) + log1p(exp(-std::fabs(a)));
}

template <Number T>
inline bool isinf(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a) == std::numeric_limits<T>::infinity();
  return false;
}

template <Number T>
inline bool isfinite(T a) {
  if constexpr (kIsFloat<T>) return std::fabs(a) < std::numeric_limits<T>::infinity();
  return true;
}

// A NaN on either side wins, as in NumPy. The first choice is one instruction, and keeps a NaN in
// b.
template <class T>
inline T maximum(T a, T b) {
  const T greatest = greater(a, b);
  return a != a ? a : greatest;
}
template <class T>
inline T minimum(T a, T b) {
  const T least = lesser(a, b);
  return a != a ? a : least;
}

/// The largest whole number not above a / b, and what is left: of b's sign, as in Python.
template <class T>
struct Division {
  T quotient, rest;
};

/// For all numbers.
template <std::floating_point T>
Division<T> divided(T a, T b) {
  const T rest = std::fmod(a, b);
  if (b == 0) return {a / b, rest};
  const bool crosses = rest != 0 && (rest < 0) != (b < 0);
  const T quotient = (a - rest) / b - (crosses ? 1 : 0);
  // The division above is inexact: the true quotient is the whole number next to it.
  const T whole = std::floor(quotient);
  const T nearest = quotient - whole > T(0.5) ? whole + 1 : whole;
  return {nearest == 0 ? std::copysign(T(0), a / b) : nearest, rest == 0 ? std::copysign(T(0), b)
                                                               : crosses ? rest + b
                                                                         : rest};
}

template <std::integral T>
Division<T> divided(T a, T b) {
  // An integer divided by 0 gives 0. -1 divides the most negative number into one that does not
  // exist; the hardware would trap.
  if (b == 0) return {0, 0};
  if (b == -1) return {static_cast<T>(-a), 0};
  const T rest = static_cast<T>(a % b);
  const bool crosses = rest != 0 && (rest < 0) != (b < 0);
  return {static_cast<T>(a / b - crosses), static_cast<T>(crosses ? rest + b : rest)};
}

#if defined(__FMA__)
/// For finite b and quotients whose whole numbers are exact: ten times as fast, the same values.
template <class T>
Division<T> divided_fast(T a, T b) {
  // Rounded, the ratio may be one too far from zero. The rest is exact, and then of b's sign or one
  // b short of it.
  const T whole = truncated(a / b), rest = multiply_add(-whole, b, a);
  const auto crosses = ((rest < 0) ^ (b < 0)) & (rest != 0);
  return {crosses ? whole - 1 : whole, crosses ? rest + b : rest == 0 ? copysign(T{}, b) : rest};
}

template <class T>
bool is_beyond_fast_division(T a, T b) {
  using Number = Element<T>;
  constexpr auto kExact = static_cast<Number>(int64_t{1} << (sizeof(Number) == 8 ? 51 : 22));
  return any_greater(magnitude(a / b), all<T>(kExact)) ||
         any_greater(magnitude(b), all<T>(std::numeric_limits<Number>::max()));
}

inline Floats remainder(Floats a, Floats b) {
  if (!is_beyond_fast_division(a, b)) return divided_fast(a, b).rest;
  return each([](float x, float y) { return divided(x, y).rest; }, a, b);
}
inline Floats floor_divide(Floats a, Floats b) {
  if (!is_beyond_fast_division(a, b)) return divided_fast(a, b).quotient;
  return each([](float x, float y) { return divided(x, y).quotient; }, a, b);
}
inline Division<double> divided(double a, double b) {
  return is_beyond_fast_division(a, b) ? divided<double>(a, b) : divided_fast(a, b);
}
#endif
template <Number T>
inline T remainder(T a, T b) {
  return divided(a, b).rest;
}
template <Number T>
inline T floor_divide(T a, T b) {
  return divided(a, b).quotient;
}

inline float power(float a, float b) { return ::powf(a, b); }
inline double power(double a, double b) { return ::pow(a, b); }
template <Number T>
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
