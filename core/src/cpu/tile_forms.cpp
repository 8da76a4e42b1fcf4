// Kernels for several operations in one pass (TileForm). Compiled once for each instruction set.
#include <iterator>
#include <utility>

#include "cpu/tile_map.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

// What a form is made of: an operation of the table, or an operand as it is. `kOnce` are the sets
// of operands (bit masks) of which a form has a kernel where they are one element for the whole
// tile: never all of them, and of operands that may change places the first.
struct Operand {
  static constexpr Op kOp = Op::kInput;
  static constexpr size_t kInputs = 1, kOnce[] = {0, 1};
  template <class T>
  static T apply(T a) {
    return a;
  }
};
template <class F, Op op>
struct Unary {
  static constexpr Op kOp = op;
  static constexpr size_t kInputs = 1, kOnce[] = {0};
  template <class T>
  static T apply(T a) {
    return F::apply(a);
  }
};
template <class F, Op op>
struct Binary {
  static constexpr Op kOp = op;
  static constexpr size_t kInputs = 2, kOnce[] = {0, 1, 2};
  template <class T>
  static T apply(T a, T b) {
    return F::apply(a, b);
  }
};
template <class F, Op op>
struct Commutative : Binary<F, op> {
  static constexpr size_t kOnce[] = {0, 1};
};

using Add = Commutative<add_op, Op::k_add>;
using Subtract = Binary<subtract_op, Op::k_subtract>;
using Multiply = Commutative<multiply_op, Op::k_multiply>;
using Divide = Binary<divide_op, Op::k_divide>;
using Maximum = Binary<maximum_op, Op::k_maximum>;
using Minimum = Binary<minimum_op, Op::k_minimum>;
using Negative = Unary<negative_op, Op::k_negative>;
using Sqrt = Unary<sqrt_op, Op::k_sqrt>;
using Exp = Unary<exp_op, Op::k_exp>;
using Sin = Unary<sin_op, Op::k_sin>;
using Cos = Unary<cos_op, Op::k_cos>;

/// then(outer(left(…), right(…))).
template <class Then, class Outer, class Left, class Right>
struct Form {
  static constexpr bool kIsPlain = Left::kOp == Op::kInput && Right::kOp == Op::kInput;
  static constexpr size_t kInputs = kIsPlain ? Outer::kInputs : Left::kInputs + Right::kInputs;

  template <class T, class... Rest>
  static T apply(T a, Rest... rest) {
    if constexpr (kIsPlain) {
      return Then::apply(Outer::apply(a, rest...));
    } else if constexpr (Left::kInputs == 1) {
      return Then::apply(Outer::apply(Left::apply(a), Right::apply(rest...)));
    } else {
      return with_two_on_the_left(a, rest...);
    }
  }

 private:
  template <class T, class... Rest>
  static T with_two_on_the_left(T a, T b, Rest... rest) {
    return Then::apply(Outer::apply(Left::apply(a, b), Right::apply(rest...)));
  }
};

template <class F, class T, size_t once>
void form(const TileInstruction& in, char* const* p, const Tile& tile) {
  const uint16_t operands[] = {in.a, in.b, in.c, in.d};
  auto operand = [&]<size_t i>(std::integral_constant<size_t, i>) {
    const T* from = at<const T>(p, operands[i]);
    if constexpr (once >> i & 1) {
      return Same<T>{*from};
    } else {
      return from;
    }
  };
  [&]<size_t... i>(std::index_sequence<i...>) {
    map<F, T>(in, p, tile, operand(std::integral_constant<size_t, i>())...);
  }(std::make_index_sequence<F::kInputs>());
}

template <class T, class Then, class Outer, class Left, class Right>
void add_kernels(TileForm& made) {
  using F = Form<Then, Outer, Left, Right>;
  auto add = [&]<size_t once>(std::integral_constant<size_t, once>) {
    made.run[once] = form<F, T, once>;
  };
  if constexpr (F::kIsPlain) {
    [&]<size_t... i>(std::index_sequence<i...>) {
      (add(std::integral_constant<size_t, Outer::kOnce[i]>()), ...);
    }(std::make_index_sequence<std::size(Outer::kOnce)>());
  } else {
    constexpr size_t lefts = std::size(Left::kOnce), rights = std::size(Right::kOnce);
    [&]<size_t... i>(std::index_sequence<i...>) {
      (add(std::integral_constant<size_t, Left::kOnce[i % lefts] | Right::kOnce[i / lefts]
                                                                       << Left::kInputs>()),
       ...);
    }(std::make_index_sequence<lefts * rights>());
  }
}

template <class Then, class Outer, class Left = Operand, class Right = Operand>
void add_form_then(TileKernels& k) {
  for (const Compute type : {Compute::kFloat32, Compute::kFloat64}) {
    TileForm made{{Then::kOp, Outer::kOp, Left::kOp, Right::kOp}, type, {}};
    if (type == Compute::kFloat32) add_kernels<float, Then, Outer, Left, Right>(made);
    if (type == Compute::kFloat64) add_kernels<double, Then, Outer, Left, Right>(made);
    k.forms.push_back(made);
  }
}
template <class Outer, class Left = Operand, class Right = Operand>
void add_form(TileKernels& k) {
  add_form_then<Operand, Outer, Left, Right>(k);
}

/// A function that takes so long that what is computed beside it costs nothing: while it runs,
/// operands come from memory.
template <class Function>
void add_forms_of(TileKernels& k) {
  add_form<Add, Function>(k);
  add_form<Add, Multiply, Function>(k);
  add_form<Multiply, Function>(k);
}

}  // namespace

// What the update rules of optimizers, normalisation and polynomials are made of. A form with an
// inner operation on the right is needed only where the outer one does not commute.
void fill_forms(TileKernels& k) {
  add_form<Add>(k);
  add_form<Subtract>(k);
  add_form<Multiply>(k);
  add_form<Divide>(k);
  add_form<Maximum>(k);
  add_form<Minimum>(k);

  add_form<Add, Multiply>(k);
  add_form<Add, Multiply, Multiply>(k);
  add_form<Add, Add>(k);
  add_form<Add, Sqrt>(k);
  add_form<Subtract, Multiply>(k);
  add_form<Subtract, Operand, Multiply>(k);
  add_form<Subtract, Multiply, Multiply>(k);
  add_form<Multiply, Add>(k);
  add_form<Multiply, Subtract>(k);
  add_form<Multiply, Multiply>(k);
  add_form<Divide, Add>(k);
  add_form<Divide, Subtract>(k);
  add_form<Divide, Multiply>(k);
  add_form<Divide, Operand, Add>(k);
  add_form<Divide, Operand, Multiply>(k);

  add_forms_of<Exp>(k);
  add_forms_of<Sin>(k);
  add_forms_of<Cos>(k);
  add_form_then<Exp, Negative>(k);
  add_form_then<Exp, Subtract>(k);
  add_form_then<Exp, Multiply>(k);
  add_form_then<Sqrt, Add>(k);
  add_form_then<Sqrt, Add, Multiply, Multiply>(k);
}

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
