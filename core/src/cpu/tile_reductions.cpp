// Kernels that reduce a tile's rows or columns. Compiled once for each instruction set.
#include <cstring>
#include <limits>
#include <utility>

#include "cpu/tile_map.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

/// A whole number as wide as T.
template <class T>
using Whole = std::conditional_t<sizeof(T) == 8, int64_t,
                                 std::conditional_t<sizeof(T) == 4, int32_t, int8_t>>;

/// Lanes of the shortest vectors that processors have.
template <class T>
constexpr int kFewestLanes = 16 / sizeof(T);

struct SumOf {
  template <class T>
  static T identity() {
    return T(0);
  }
  template <class T>
  static T combine(T a, T b) {
    return static_cast<T>(a + b);
  }
};
struct ProductOf {
  template <class T>
  static T identity() {
    return T(1);
  }
  template <class T>
  static T combine(T a, T b) {
    return static_cast<T>(a * b);
  }
};
struct MaximumOf {
  template <class T>
  static T identity() {
    if constexpr (m::kIsFloat<T>) return -std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::lowest();
  }
  template <class T>
  static T combine(T a, T b) {
    return m::maximum(a, b);
  }
};
struct MinimumOf {
  template <class T>
  static T identity() {
    if constexpr (m::kIsFloat<T>) return std::numeric_limits<T>::infinity();
    return std::numeric_limits<T>::max();
  }
  template <class T>
  static T combine(T a, T b) {
    return m::minimum(a, b);
  }
};

struct Itself {
  template <class T>
  static T apply(T a) {
    return a;
  }
};

/// 0, 1, 2, …
template <class T, int Lanes>
constexpr auto kLaneNumbers = []<int... lane>(std::integer_sequence<int, lane...>) {
  return Vector<Whole<T>, Lanes>{lane...};
}(std::make_integer_sequence<int, Lanes>());

/// The reduction of a vector's lanes: its halves are combined, and again.
template <class F, class T, int Lanes>
T reduce_lanes(Vector<T, Lanes> v) {
  if constexpr (Lanes > kFewestLanes<T>) {
    Vector<T, Lanes / 2> halves[2];
    std::memcpy(halves, &v, sizeof(v));
    return reduce_lanes<F, T, Lanes / 2>(F::combine(halves[0], halves[1]));
  }
#pragma GCC unroll 4
  for (int half = Lanes / 2; half > 0; half /= 2) {
    v = F::combine(v, __builtin_shuffle(v, kLaneNumbers<T, Lanes> ^ static_cast<Whole<T>>(half)));
  }
  return v[0];
}

/// The reduction of a few vectors' elements, in vectors no longer than the row.
template <class F, class G, class T, int Lanes, class... From>
T reduce_short_row(int64_t n, const From*... from) {
  if constexpr (Lanes > kFewestLanes<T>) {
    if (n < Lanes) return reduce_short_row<F, G, T, Lanes / 2>(n, from...);
  }
  using V = Vector<T, Lanes>;
  V total = G::apply(load<V>(from)...);
  int64_t i = Lanes;
  for (; i + Lanes <= n; i += Lanes) total = F::combine(total, G::apply(load<V>(from + i)...));
  if (i < n) {
    // The last vector begins with elements that were counted.
    const auto counted = static_cast<Whole<T>>(i + Lanes - n);
    const V last = G::apply(load<V>(from + n - Lanes)...), none = V{} + F::template identity<T>();
    total = F::combine(total, kLaneNumbers<T, Lanes> < counted ? none : last);
  }
  return reduce_lanes<F, T, Lanes>(total);
}

/// The reduction of G::apply(from[i]...). In lanes: what makes it vectorise, and keeps rounding
/// errors small.
template <class F, class G, class T, class... From>
T reduce_row(int64_t n, const From*... from) {
  constexpr int64_t kWide = 64 / sizeof(T) * 4;
  if (n < kFewestLanes<T>) {
    T total = F::template identity<T>();
    for (int64_t i = 0; i < n; ++i) total = F::combine(total, G::apply(from[i]...));
    return total;
  }
  constexpr int64_t kShort = 4 * kWide;  // one vector of partial sums is enough
  if (n < kShort) return reduce_short_row<F, G, T, kLanes<T>>(n, from...);
  T lanes[kWide];
  for (int64_t j = 0; j < kWide; ++j) lanes[j] = G::apply(from[j]...);
  int64_t i = kWide;
  for (; i + kWide <= n; i += kWide) {
#pragma omp simd
    for (int64_t j = 0; j < kWide; ++j) {
      lanes[j] = F::combine(lanes[j], G::apply(from[i + j]...));
    }
  }
  const T total = reduce_short_row<F, Itself, T, kLanes<T>>(kWide, lanes);
  return i < n ? F::combine(total, reduce_row<F, G, T>(n - i, from + i...)) : total;
}

template <class F, class G, class T, class... From>
void reduce_each_row(T* to, const Tile& tile, const From*... from) {
  for (int64_t r = 0; r < tile.rows; ++r) {
    to[r] = reduce_row<F, G, T>(tile.cols, from + r * tile.cols...);
  }
}

template <class F, class T>
void reduce_rows(const TileInstruction& in, char* const* p, const Tile& tile) {
  reduce_each_row<F, Itself>(at<T>(p, in.to), tile, at<const T>(p, in.a));
}

template <class T>
void sum_products(const TileInstruction& in, char* const* p, const Tile& tile) {
  reduce_each_row<SumOf, multiply_op>(at<T>(p, in.to), tile, at<const T>(p, in.a),
                                      at<const T>(p, in.b));
}

template <class F, class T>
void reduce_columns(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* to = at<T>(p, in.to);
  const T* from = at<const T>(p, in.a);
  int64_t r = 0;
  if (tile.first) {
    for (int64_t c = 0; c < tile.cols; ++c) to[c] = from[c];
    r = 1;
  }
  // Four rows at once: a fourth of the traffic of what they are added to.
  for (; r + 4 <= tile.rows; r += 4) {
    const T* row[4];
    for (int64_t i = 0; i < 4; ++i) row[i] = from + (r + i) * tile.cols;
#pragma omp simd
    for (int64_t c = 0; c < tile.cols; ++c) {
      const T first = F::combine(row[0][c], row[1][c]), second = F::combine(row[2][c], row[3][c]);
      to[c] = F::combine(to[c], F::combine(first, second));
    }
  }
  for (; r < tile.rows; ++r) {
    const T* row = from + r * tile.cols;
#pragma omp simd
    for (int64_t c = 0; c < tile.cols; ++c) to[c] = F::combine(to[c], row[c]);
  }
}

/// Is `a` a better extreme than `b`? The first NaN beats everything.
template <class F, class T>
bool beats(T a, T b) {
  const bool further = std::is_same_v<F, MaximumOf> ? a > b : a < b;
  return (further | (a != a)) & (b == b);
}

/// The index of the first element equal to `wanted`, which is there; NaN equals NaN.
template <class T>
int64_t find_first(const T* from, int64_t n, T wanted) {
  using Flag = Whole<T>;  // whole vectors of both
  int64_t i = 0;
  const auto find = [&](auto matches) {
    const auto skip = [&](auto stride) {
      for (; i + stride <= n; i += stride) {
        Flag found = 0;
#pragma omp simd reduction(| : found)
        for (int64_t j = 0; j < stride; ++j) found |= static_cast<Flag>(matches(from[i + j]));
        if (found) return;
      }
    };
    skip(std::integral_constant<int64_t, 128>());
    skip(std::integral_constant<int64_t, 16>());
    while (i < n - 1 && !matches(from[i])) ++i;
  };
  if (wanted == wanted) {
    find([wanted](T a) { return a == wanted; });
  } else {
    find([](T a) { return a != a; });
  }
  return i;
}

template <class F, class T>
void arg_rows(const TileInstruction& in, char* const* p, const Tile& tile) {
  int64_t* to = at<int64_t>(p, in.to);
  const T* from = at<const T>(p, in.a);
  for (int64_t r = 0; r < tile.rows; ++r, from += tile.cols) {
    to[r] = find_first(from, tile.cols, reduce_row<F, Itself, T>(tile.cols, from));
  }
}

/// Accumulates the extreme of each column into `to` and its index along the reduced axes into `c`.
/// Within the tile a few columns at a time, with their rows' numbers as wide as the elements: whole
/// vectors of both. (Four times as fast as with int64 indices all along.)
template <class F, class T>
void arg_columns(const TileInstruction& in, char* const* p, const Tile& tile) {
  using Row = std::conditional_t<sizeof(T) == 8, int64_t, int32_t>;
  constexpr int64_t kColumns = 64;
  T* best = at<T>(p, in.to);
  int64_t* index = at<int64_t>(p, in.c);
  const T* from = at<const T>(p, in.a);
  const auto reduce = [&](int64_t column, auto columns) {
    T extreme[kColumns];
    Row row[kColumns];
    for (int64_t c = 0; c < columns; ++c) {
      extreme[c] = from[column + c];
      row[c] = 0;
    }
    for (int64_t r = 1; r < tile.rows; ++r) {
      const T* next = from + r * tile.cols + column;
#pragma omp simd
      for (int64_t c = 0; c < columns; ++c) {
        const bool better = beats<F, T>(next[c], extreme[c]);
        extreme[c] = better ? next[c] : extreme[c];
        row[c] = better ? static_cast<Row>(r) : row[c];
      }
    }
    for (int64_t c = 0; c < columns; ++c) {
      if (!tile.first && !beats<F, T>(extreme[c], best[column + c])) continue;
      best[column + c] = extreme[c];
      index[column + c] = tile.along + row[c];
    }
  };
  int64_t column = 0;
  for (; column + kColumns <= tile.cols; column += kColumns) {
    reduce(column, std::integral_constant<int64_t, kColumns>());
  }
  if (column < tile.cols) reduce(column, tile.cols - column);
}

template <class T>
void fill_type(TileKernels& k, Compute t) {
  auto add = [&]<class F>(Op op, F) {
    k.reduce_rows[reduce_at(op)][at(t)] = reduce_rows<F, T>;
    k.reduce_columns[reduce_at(op)][at(t)] = reduce_columns<F, T>;
  };
  add(Op::k_sum, SumOf());
  add(Op::k_prod, ProductOf());
  add(Op::k_max, MaximumOf());
  add(Op::k_min, MinimumOf());
  auto add_arg = [&]<class F>(Op op, F) {
    k.reduce_rows[reduce_at(op)][at(t)] = arg_rows<F, T>;
    k.reduce_columns[reduce_at(op)][at(t)] = arg_columns<F, T>;
  };
  add_arg(Op::k_argmax, MaximumOf());
  add_arg(Op::k_argmin, MinimumOf());
}

}  // namespace

void fill_reductions(TileKernels& k) {
  fill_type<uint8_t>(k, Compute::kBool);
  fill_type<int32_t>(k, Compute::kInt32);
  fill_type<int64_t>(k, Compute::kInt64);
  fill_type<float>(k, Compute::kFloat32);
  fill_type<double>(k, Compute::kFloat64);
  constexpr TilePass kSumOfProducts{.then = Op::k_sum, .outer = Op::k_multiply};
  k.forms.push_back({kSumOfProducts, Compute::kFloat32, {sum_products<float>}});
  k.forms.push_back({kSumOfProducts, Compute::kFloat64, {sum_products<double>}});
}

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
