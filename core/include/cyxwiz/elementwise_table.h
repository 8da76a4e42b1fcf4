// The elementwise operations: one row holds everything about each. No include guard: the includer
// defines UNARY and BINARY for what it needs, and this file undefines them.
//
//   UNARY (name, result, kernel, derivative)    kernel: the value from `a` in the computed type T
//   BINARY(name, result, kernel, derivative)            … from `a` and `b`
//
// result: same      the input's dtype (the promoted one for two inputs); not bool
//         floating  integers and bools are computed as float32
//         boolean   any input, bool result
//         logical   inputs are converted to bool, bool result
//         integral  integers and bools only
// derivative: how the gradient `g` of the result `y` flows to the input `x` (or to `a` and `b`), as
//         Tensor expressions; NONE where it is zero almost everywhere or the result is not
//         floating.

#ifndef UNARY
#define UNARY(name, result, kernel, ...)
#endif
#ifndef BINARY
#define BINARY(name, result, kernel, ...)
#endif
#ifndef NONE
#define NONE
#endif

// clang-format off
UNARY(negative,    same,     m::negative(a),                  { return {-g}; })
UNARY(absolute,    same,     m::absolute(a),                  { return {g * sign(x)}; })
UNARY(sign,        same,     m::sign(a),                      NONE)
UNARY(square,      same,     m::multiply(a, a),               { return {g * (x + x)}; })
UNARY(relu,        same,     m::relu(a),                      { return {where(y > 0, g, 0)}; })
UNARY(floor,       same,     m::floor(a),                     NONE)
UNARY(ceil,        same,     m::ceil(a),                      NONE)
UNARY(round,       same,     m::round(a),                     NONE)
UNARY(trunc,       same,     m::trunc(a),                     NONE)
UNARY(exp,         floating, m::exp(a),                       { return {g * y}; })
UNARY(expm1,       floating, m::expm1(a),                     { return {g * (y + 1)}; })
UNARY(log,         floating, m::log(a),                       { return {g / x}; })
UNARY(log1p,       floating, m::log1p(a),                     { return {g / (x + 1)}; })
UNARY(log2,        floating, m::log2(a),                      { return {g / (x * std::numbers::ln2)}; })
UNARY(log10,       floating, m::log10(a),                     { return {g / (x * std::numbers::ln10)}; })
UNARY(sqrt,        floating, m::sqrt(a),                      { return {g * 0.5 / y}; })
UNARY(rsqrt,       floating, 1 / m::sqrt(a),                  { return {g * -0.5 * y / x}; })
UNARY(reciprocal,  floating, 1 / a,                           { return {-g * y * y}; })
UNARY(sin,         floating, m::sin(a),                       { return {g * cos(x)}; })
UNARY(cos,         floating, m::cos(a),                       { return {-g * sin(x)}; })
UNARY(tan,         floating, m::tan(a),                       { return {g * (y * y + 1)}; })
UNARY(asin,        floating, m::asin(a),                      { return {g * rsqrt(1 - x * x)}; })
UNARY(acos,        floating, m::acos(a),                      { return {-g * rsqrt(1 - x * x)}; })
UNARY(atan,        floating, m::atan(a),                      { return {g / (x * x + 1)}; })
UNARY(sinh,        floating, m::sinh(a),                      { return {g * cosh(x)}; })
UNARY(cosh,        floating, m::cosh(a),                      { return {g * sinh(x)}; })
UNARY(tanh,        floating, m::tanh(a),                      { return {g * (1 - y * y)}; })
UNARY(asinh,       floating, m::asinh(a),                     { return {g * rsqrt(x * x + 1)}; })
UNARY(acosh,       floating, m::acosh(a),                     { return {g * rsqrt(x * x - 1)}; })
UNARY(atanh,       floating, m::atanh(a),                     { return {g / (1 - x * x)}; })
UNARY(erf,         floating, m::erf(a),                       { return {g * exp(-x * x) * (2 * std::numbers::inv_sqrtpi)}; })
UNARY(sigmoid,     floating, m::sigmoid(a),                   { return {g * y * (1 - y)}; })
UNARY(softplus,    floating, m::softplus(a),                  { return {g * sigmoid(x)}; })
UNARY(isnan,       boolean,  a != a,                          NONE)
UNARY(isinf,       boolean,  m::isinf(a),                     NONE)
UNARY(isfinite,    boolean,  m::isfinite(a),                  NONE)
UNARY(logical_not, logical,  !a,                              NONE)
UNARY(bitwise_not, integral, ~a,                              NONE)

BINARY(add,           same,     m::add(a, b),                 { return {g, g}; })
BINARY(subtract,      same,     m::subtract(a, b),            { return {g, -g}; })
BINARY(multiply,      same,     m::multiply(a, b),            { return {g * b, g * a}; })
BINARY(divide,        floating, a / b,                        { return {g / b, -g * y / b}; })
BINARY(floor_divide,  same,     m::floor_divide(a, b),        NONE)
BINARY(remainder,     same,     m::remainder(a, b),           { return {g, -g * floor_divide(a, b)}; })
BINARY(power,         same,     m::power(a, b),               { return {g * b * power(a, b - 1), g * where(a > 0, y * log(a), 0)}; })
BINARY(maximum,       same,     m::maximum(a, b),             { return {where(a > b, g, where(equal(a, b), g * 0.5, 0)), where(b > a, g, where(equal(a, b), g * 0.5, 0))}; })
BINARY(minimum,       same,     m::minimum(a, b),             { return {where(a < b, g, where(equal(a, b), g * 0.5, 0)), where(b < a, g, where(equal(a, b), g * 0.5, 0))}; })
BINARY(atan2,         floating, m::atan2(a, b),               { return {g * b / (a * a + b * b), -g * a / (a * a + b * b)}; })
BINARY(equal,         boolean,  a == b,                       NONE)
BINARY(not_equal,     boolean,  a != b,                       NONE)
BINARY(less,          boolean,  a < b,                        NONE)
BINARY(less_equal,    boolean,  a <= b,                       NONE)
BINARY(greater,       boolean,  a > b,                        NONE)
BINARY(greater_equal, boolean,  a >= b,                       NONE)
BINARY(logical_and,   logical,  a & b,                        NONE)
BINARY(logical_or,    logical,  a | b,                        NONE)
BINARY(logical_xor,   logical,  a ^ b,                        NONE)
BINARY(bitwise_and,   integral, a & b,                        NONE)
BINARY(bitwise_or,    integral, a | b,                        NONE)
BINARY(bitwise_xor,   integral, a ^ b,                        NONE)
// clang-format on

#undef UNARY
#undef BINARY
#undef NONE
