#include <numbers>
#include <string>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/rules.h"

namespace cyxwiz {
namespace {

enum class ResultRule { same, floating, boolean, logical, integral };

/// The dtype in which two inputs meet: a weak one (a Python number) takes the other's, unless its
/// kind is higher: then the default dtype of that kind.
DType meet(const Tensor& a, const Tensor& b) {
  const bool a_weak = a.node()->weak, b_weak = b.node()->weak;
  if (a_weak == b_weak) {
    const DType t = promote(a.dtype(), b.dtype());
    // Two plain numbers, outside a trace: the dtype that Tensor(number) has.
    const bool plain = a_weak && !a.node()->traced && !b.node()->traced;
    return plain && is_floating(t) ? DType::kFloat32 : t;
  }
  const DType strong = a_weak ? b.dtype() : a.dtype(), weak = a_weak ? a.dtype() : b.dtype();
  if (is_floating(weak)) return to_floating(strong);
  if (weak == DType::kBool) return strong;
  return strong == DType::kBool ? DType::kInt64 : strong;
}

DType floating_of(const Tensor& x) {
  return x.node()->weak && x.node()->traced ? DType::kFloat64 : to_floating(x.dtype());
}

/// The dtype that an operation computes in, given the one its inputs meet in.
DType computed(Op op, ResultRule rule, DType met) {
  switch (rule) {
    case ResultRule::same:
    case ResultRule::boolean:
      break;
    case ResultRule::floating:
      return to_floating(met);
    case ResultRule::logical:
      return DType::kBool;
    case ResultRule::integral:
      if (is_floating(met)) {
        throw DTypeError(std::string(name(op)) + ": it takes integers or bools, not " +
                         std::string(name(met)) + "; use astype(\"int64\") first");
      }
      break;
  }
  if (rule == ResultRule::same && met == DType::kBool) {
    if (op == Op::k_negative || op == Op::k_subtract) {
      throw DTypeError(std::string(name(op)) + ": it does not take bools; use " +
                       (op == Op::k_negative ? "logical_not" : "logical_xor") + " instead");
    }
    if (op == Op::k_floor_divide || op == Op::k_remainder || op == Op::k_power) {
      throw DTypeError(std::string(name(op)) +
                       ": it does not take bools; use astype(\"int64\") first");
    }
  }
  return met;
}

bool gives_bool(ResultRule rule) {
  return rule == ResultRule::boolean || rule == ResultRule::logical;
}

Tensor unary(Op op, ResultRule rule, const Tensor& x) {
  if (op == Op::k_bitwise_not && x.dtype() == DType::kBool) return logical_not(x);
  const DType met = rule == ResultRule::floating ? floating_of(x) : x.dtype();
  const DType t = computed(op, rule, met);
  return record(op, gives_bool(rule) ? DType::kBool : t, x.shape(), {astype(x, t)});
}

/// Is `x` an integer of the script's that no element of the integer dtype `t` can be?
bool is_beyond(const Tensor& x, DType t) {
  const Node& node = *x.node();
  if (node.op != Op::kScalar || !is_integer(node.dtype)) return false;
  const int bits = static_cast<int>(item_size(t)) * 8 - (t == DType::kUInt8 ? 0 : 1);
  const int64_t most = bits < 63 ? (int64_t{1} << bits) - 1 : INT64_MAX;
  const int64_t least = t == DType::kUInt8 ? 0 : -most - 1;
  return node.number.integer < least || node.number.integer > most;
}

Tensor binary(Op op, ResultRule rule, const Tensor& a, const Tensor& b) {
  DType met = meet(a, b);
  if (rule == ResultRule::floating && a.node()->weak && b.node()->weak) met = DType::kFloat64;
  DType t = computed(op, rule, met);
  if (is_integer(t) && (is_beyond(a, t) || is_beyond(b, t))) {
    // Compared, the number is what it is; computed with, it would wrap without a word.
    if (rule != ResultRule::boolean) {
      const Node& number = *(is_beyond(a, t) ? a : b).node();
      throw OverflowError(std::string(name(op)) + ": the integer " +
                          std::to_string(number.number.integer) + " does not fit " +
                          std::string(name(t)) +
                          "; convert the tensor first, with astype(\"int64\")");
    }
    t = DType::kInt64;
  }
  const DType result = gives_bool(rule) ? DType::kBool : t;
  if (a.dtype() == t && b.dtype() == t && a.shape() == b.shape()) {
    return record(op, result, a.shape(), {a, b});
  }
  const Shape shape = broadcast(name(op).data(), a.shape(), b.shape());
  return record(op, result, shape, {astype(a, t), astype(b, t)});
}

/// The number that `x` is, when it is one that was written in the script.
bool is_number(const Tensor& x, double wanted) {
  const Node& node = *x.node();
  if (node.op != Op::kScalar) return false;
  return (is_floating(node.dtype) ? node.number.real : static_cast<double>(node.number.integer)) ==
         wanted;
}

Tensor binary_power(const Tensor& a, const Tensor& b) {
  // The exponents that people write are cheaper, and exact, as what they mean.
  if (a.dtype() != DType::kBool && !a.node()->weak) {
    if (is_number(b, 2)) return square(a);
    if (is_number(b, 1)) return a;
    if (is_floating(a.dtype()) && is_number(b, 0.5)) return sqrt(a);
    const Node& exponent = *b.node();
    if (!is_floating(a.dtype()) && exponent.op == Op::kScalar && !is_floating(exponent.dtype) &&
        exponent.number.integer < 0) {
      throw ValueError("power: an integer tensor can't be raised to the negative integer " +
                       std::to_string(exponent.number.integer) + "; use a float exponent");
    }
  }
  return binary(Op::k_power, ResultRule::same, a, b);
}

}  // namespace

#define UNARY(name, result, ...) \
  Tensor name(const Tensor& x) { return unary(Op::k_##name, ResultRule::result, x); }
#define BINARY(name, result, ...)                               \
  Tensor name(const Tensor& a, const Tensor& b) {               \
    if (Op::k_##name == Op::k_power) return binary_power(a, b); \
    return binary(Op::k_##name, ResultRule::result, a, b);      \
  }
#include "cyxwiz/elementwise_table.h"

Tensor where(const Tensor& condition, const Tensor& a, const Tensor& b) {
  const DType t = meet(a, b);
  Shape shape = broadcast("where", a.shape(), b.shape());
  shape = broadcast("where", condition.shape(), shape);
  return record(Op::k_where, t, shape,
                {astype(condition, DType::kBool), astype(a, t), astype(b, t)});
}

Tensor astype(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  const Node& node = *x.node();
  if (node.op == Op::kScalar) {
    if (is_floating(node.dtype)) return scalar(node.number.real, dtype);
    return scalar(
        node.dtype == DType::kBool ? int64_t{node.number.integer != 0} : node.number.integer,
        dtype);
  }
  Tensor result = record(Op::k_cast, dtype, x.shape(), {x});
  result.node()->weak = false;
  return result;
}

void add_elementwise_rules(Rules& rules) {
#define NONE return {};
#define UNARY(name, result, kernel, ...)                                              \
  rules[Op::k_##name] = [](const Node& node, [[maybe_unused]] const Tensor& y,        \
                           [[maybe_unused]] const Tensor& g) -> std::vector<Tensor> { \
    [[maybe_unused]] const Tensor x = input(node, 0);                                 \
    __VA_ARGS__                                                                       \
  };
#define BINARY(name, result, kernel, ...)                                             \
  rules[Op::k_##name] = [](const Node& node, [[maybe_unused]] const Tensor& y,        \
                           [[maybe_unused]] const Tensor& g) -> std::vector<Tensor> { \
    [[maybe_unused]] const Tensor a = input(node, 0), b = input(node, 1);             \
    __VA_ARGS__                                                                       \
  };
#include "cyxwiz/elementwise_table.h"
  rules[Op::k_where] = [](const Node& node, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    const Tensor condition = input(node, 0);
    return {Tensor(), where(condition, g, 0), where(condition, 0, g)};
  };
  rules[Op::k_cast] = [](const Node& node, const Tensor&, const Tensor& g) -> std::vector<Tensor> {
    const DType from = node.inputs[0]->dtype;
    if (!is_floating(from)) return {Tensor()};
    return {astype(g, from)};
  };
}

}  // namespace cyxwiz
