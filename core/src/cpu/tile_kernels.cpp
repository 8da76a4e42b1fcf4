// The block interpreter's kernels. Compiled once for each instruction set, with
// CYXWIZ_ISA_NAMESPACE naming it: everything here must have internal linkage or live in that
// namespace, or the linker would merge code that some processors can't run.
#include "cpu/tile_kernels.h"

#include <algorithm>
#include <cstring>

#include "cpu/math.h"
#include "cpu/philox.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

// A vector function and its scalar twin differ in the last bit. So that an element's value does not
// depend on where in a tile it lies, the last few elements go through the vector loop as well.
constexpr int64_t kLanes = 16;

template <class R, class F, class... T>
inline void loop(R* to, int64_t n, F f, const T*... from) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) to[i] = f(from[i]...);
}

template <class R, class F, class... T>
inline void map(R* to, int64_t n, F f, const T*... from) {
  const int64_t body = n / kLanes * kLanes;
  loop(to, body, f, from...);
  if (body == n) return;
  auto padded = [&]<class U>(const U* source) {
    struct Buffer {
      U data[kLanes];
    } buffer;
    for (int64_t i = 0; i < kLanes; ++i) buffer.data[i] = source[body + (i < n - body ? i : 0)];
    return buffer;
  };
  R tail[kLanes];
  [&](auto... buffers) { loop(tail, kLanes, f, buffers.data...); }(padded(from)...);
  for (int64_t i = body; i < n; ++i) to[i] = tail[i - body];
}

template <class T>
T* at(char* const* pointers, uint16_t index) {
  return reinterpret_cast<T*>(pointers[index]);
}

/// What a kernel expression of the table gives in memory.
template <class R>
using Stored = std::conditional_t<std::is_same_v<R, bool>, uint8_t, R>;

template <class F, class T>
void unary(const TileInstruction& in, char* const* p, const Tile& tile) {
  using R = Stored<decltype(F::apply(T()))>;
  map(
      at<R>(p, in.to), tile.count[in.level], [](T a) { return static_cast<R>(F::apply(a)); },
      at<const T>(p, in.a));
}

template <class F, class T>
void binary(const TileInstruction& in, char* const* p, const Tile& tile) {
  using R = Stored<decltype(F::apply(T(), T()))>;
  map(
      at<R>(p, in.to), tile.count[in.level],
      [](T a, T b) { return static_cast<R>(F::apply(a, b)); }, at<const T>(p, in.a),
      at<const T>(p, in.b));
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

// One functor for each row of the table.
#define UNARY(name, result, kernel, ...) \
  struct name##_op {                     \
    template <class T>                   \
    static auto apply(T a) {             \
      return as<T>(kernel);              \
    }                                    \
  };
#define BINARY(name, result, kernel, ...) \
  struct name##_op {                      \
    template <class T>                    \
    static auto apply(T a, T b) {         \
      return as<T>(kernel);               \
    }                                     \
  };
#include "cyxwiz/elementwise_table.h"

template <class T>
void where(const TileInstruction& in, char* const* p, const Tile& tile) {
  map(
      at<T>(p, in.to), tile.count[in.level], [](uint8_t c, T a, T b) { return c ? a : b; },
      at<const uint8_t>(p, in.a), at<const T>(p, in.b), at<const T>(p, in.c));
}

template <class From, class To>
void convert(const TileInstruction& in, char* const* p, const Tile& tile) {
  map(
      at<To>(p, in.to), tile.count[in.level], [](From a) { return static_cast<To>(a); },
      at<const From>(p, in.a));
}

template <class From>
void convert_to_bool(const TileInstruction& in, char* const* p, const Tile& tile) {
  map(
      at<uint8_t>(p, in.to), tile.count[in.level],
      [](From a) { return static_cast<uint8_t>(a != From(0)); }, at<const From>(p, in.a));
}

template <class Narrow>
void wrap(const TileInstruction& in, char* const* p, const Tile& tile) {
  map(
      at<int32_t>(p, in.to), tile.count[in.level],
      [](int32_t a) { return static_cast<int32_t>(static_cast<Narrow>(a)); },
      at<const int32_t>(p, in.a));
}

template <class Memory, class T>
void load(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* to = at<T>(p, in.to);
  const Memory* from = at<const Memory>(p, in.a);
  // At the row level a "column" is a row.
  const int64_t rows = in.level ? 1 : tile.rows, cols = in.level ? tile.rows : tile.cols;
  for (int64_t r = 0; r < rows; ++r, to += cols, from += in.row_stride) {
    if (in.column_stride == 1) {
#pragma omp simd
      for (int64_t c = 0; c < cols; ++c) to[c] = static_cast<T>(from[c]);
    } else if (in.column_stride == 0) {
      const T value = static_cast<T>(from[0]);
      for (int64_t c = 0; c < cols; ++c) to[c] = value;
    } else {
      for (int64_t c = 0; c < cols; ++c) to[c] = static_cast<T>(from[c * in.column_stride]);
    }
  }
}

template <class T, class Memory>
void store(const TileInstruction& in, char* const* p, const Tile& tile) {
  convert<T, Memory>(in, p, tile);
}

template <class T>
void expand(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* to = at<T>(p, in.to);
  const T* from = at<const T>(p, in.a);
  for (int64_t r = 0; r < tile.rows; ++r) {
    for (int64_t c = 0; c < tile.cols; ++c) *to++ = from[r];
  }
}

template <class T>
void copy(const TileInstruction& in, char* const* p, const Tile& tile) {
  std::memmove(p[in.to], p[in.a], static_cast<size_t>(tile.count[in.level]) * sizeof(T));
}

template <class T>
void iota(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* to = at<T>(p, in.to);
  for (int64_t i = 0; i < tile.count[0]; ++i) to[i] = static_cast<T>(tile.linear + i);
}

/// Element i of a stream takes word i (float) or words 2i and 2i + 1 (double), so its value does
/// not depend on tiles or threads.
template <class T>
void uniform(const TileInstruction& in, char* const* p, const Tile& tile) {
  constexpr int64_t kWords = sizeof(T) / sizeof(uint32_t), kChunk = 256;
  uint64_t key[2];
  std::memcpy(key, p[in.a], sizeof(key));
  T* to = at<T>(p, in.to);
  const int64_t n = tile.count[0];
  for (int64_t done = 0; done < n;) {
    uint32_t words[kChunk + 2 * kPhiloxWords];
    const int64_t first = (tile.linear + done) * kWords;
    const int64_t skip = first % kPhiloxWords,
                  take = n - done < kChunk / kWords ? n - done : kChunk / kWords;
    philox_fill(words, key[0], key[1], static_cast<uint64_t>(first / kPhiloxWords),
                (skip + take * kWords + kPhiloxWords - 1) / kPhiloxWords);
    for (int64_t i = 0; i < take; ++i) {
      const uint32_t* word = words + skip + i * kWords;
      if constexpr (sizeof(T) == 4) {
        to[done + i] = static_cast<T>(word[0] >> 8) * 0x1p-24f;
      } else {
        const uint64_t bits = uint64_t{word[0]} << 32 | word[1];
        to[done + i] = static_cast<T>(bits >> 11) * 0x1p-53;
      }
    }
    done += take;
  }
}

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

/// In lanes: what makes it vectorise, and keeps rounding errors small.
template <class F, class T>
T reduce_row(const T* from, int64_t n) {
  constexpr int64_t kWide = 64 / sizeof(T) * 4;
  T total = F::template identity<T>();
  int64_t i = 0;
  if (n >= kWide) {
    T lanes[kWide];
    for (int64_t j = 0; j < kWide; ++j) lanes[j] = from[j];
    for (i = kWide; i + kWide <= n; i += kWide) {
#pragma omp simd
      for (int64_t j = 0; j < kWide; ++j) lanes[j] = F::combine(lanes[j], from[i + j]);
    }
    for (int64_t width = kWide / 2; width > 0; width /= 2) {
      for (int64_t j = 0; j < width; ++j) lanes[j] = F::combine(lanes[j], lanes[j + width]);
    }
    total = lanes[0];
  }
  for (; i < n; ++i) total = F::combine(total, from[i]);
  return total;
}

template <class F, class T>
void reduce_rows(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* to = at<T>(p, in.to);
  const T* from = at<const T>(p, in.a);
  for (int64_t r = 0; r < tile.rows; ++r) to[r] = reduce_row<F, T>(from + r * tile.cols, tile.cols);
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
  constexpr int64_t kStride = 128;
  int64_t i = 0;
  auto matches = [&](T a) { return wanted == wanted ? a == wanted : a != a; };
  for (; i + kStride <= n; i += kStride) {
    uint8_t found = 0;
#pragma omp simd reduction(| : found)
    for (int64_t j = 0; j < kStride; ++j) found |= static_cast<uint8_t>(matches(from[i + j]));
    if (found) break;
  }
  while (i < n - 1 && !matches(from[i])) ++i;
  return i;
}

template <class F, class T>
void arg_rows(const TileInstruction& in, char* const* p, const Tile& tile) {
  int64_t* to = at<int64_t>(p, in.to);
  const T* from = at<const T>(p, in.a);
  for (int64_t r = 0; r < tile.rows; ++r, from += tile.cols) {
    to[r] = find_first(from, tile.cols, reduce_row<F, T>(from, tile.cols));
  }
}

/// Accumulates the extreme of each column into `to` and its index along the reduced axes into `c`.
template <class F, class T>
void arg_columns(const TileInstruction& in, char* const* p, const Tile& tile) {
  T* best = at<T>(p, in.to);
  int64_t* index = at<int64_t>(p, in.c);
  const T* from = at<const T>(p, in.a);
  int64_t r = 0;
  if (tile.first) {
    for (int64_t c = 0; c < tile.cols; ++c) {
      best[c] = from[c];
      index[c] = tile.along;
    }
    r = 1;
  }
  for (; r < tile.rows; ++r) {
    const T* row = from + r * tile.cols;
#pragma omp simd
    for (int64_t c = 0; c < tile.cols; ++c) {
      const bool better = beats<F, T>(row[c], best[c]);
      best[c] = better ? row[c] : best[c];
      index[c] = better ? tile.along + r : index[c];
    }
  }
}

constexpr size_t at(Compute t) { return static_cast<size_t>(t); }
constexpr size_t at(DType t) { return static_cast<size_t>(t); }
constexpr size_t at(Op op) { return static_cast<size_t>(op); }
constexpr size_t reduce_at(Op op) { return at(op) - at(Op::k_sum); }

template <class From, class To>
void fill_convert(TileKernels& k, Compute from, Compute to) {
  k.convert[at(from)][at(to)] = convert<From, To>;
}

template <class From>
void fill_convert(TileKernels& k, Compute from) {
  k.convert[at(from)][at(Compute::kBool)] = convert_to_bool<From>;
  fill_convert<From, int32_t>(k, from, Compute::kInt32);
  fill_convert<From, int64_t>(k, from, Compute::kInt64);
  fill_convert<From, float>(k, from, Compute::kFloat32);
  fill_convert<From, double>(k, from, Compute::kFloat64);
}

template <class T>
void fill_by_type(TileKernels& k, Compute t) {
  k.map[at(Op::k_where)][at(t)] = where<T>;
  k.expand[at(t)] = expand<T>;
  k.copy[at(t)] = copy<T>;
}

template <class T>
void fill_reductions(TileKernels& k, Compute t) {
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

// Which types a row of the table is compiled for, by its result rule.
#define KERNELS_same(shape, name)                                                           \
  k.map[at(Op::k_##name)] = {nullptr, shape<name##_op, int32_t>, shape<name##_op, int64_t>, \
                             shape<name##_op, float>, shape<name##_op, double>};
#define KERNELS_boolean(shape, name) KERNELS_same(shape, name)
#define KERNELS_floating(shape, name)                                            \
  k.map[at(Op::k_##name)] = {nullptr, nullptr, nullptr, shape<name##_op, float>, \
                             shape<name##_op, double>};
#define KERNELS_logical(shape, name) \
  k.map[at(Op::k_##name)] = {shape<name##_op, uint8_t>, nullptr, nullptr, nullptr, nullptr};
#define KERNELS_integral(shape, name)                                                       \
  k.map[at(Op::k_##name)] = {nullptr, shape<name##_op, int32_t>, shape<name##_op, int64_t>, \
                             nullptr, nullptr};

TileKernels fill() {
  TileKernels k{};
#define UNARY(name, result, ...) KERNELS_##result(unary, name)
#define BINARY(name, result, ...) KERNELS_##result(binary, name)
#include "cyxwiz/elementwise_table.h"
  fill_by_type<uint8_t>(k, Compute::kBool);
  fill_by_type<int32_t>(k, Compute::kInt32);
  fill_by_type<int64_t>(k, Compute::kInt64);
  fill_by_type<float>(k, Compute::kFloat32);
  fill_by_type<double>(k, Compute::kFloat64);
  fill_convert<uint8_t>(k, Compute::kBool);
  fill_convert<int32_t>(k, Compute::kInt32);
  fill_convert<int64_t>(k, Compute::kInt64);
  fill_convert<float>(k, Compute::kFloat32);
  fill_convert<double>(k, Compute::kFloat64);
  fill_reductions<uint8_t>(k, Compute::kBool);
  fill_reductions<int32_t>(k, Compute::kInt32);
  fill_reductions<int64_t>(k, Compute::kInt64);
  fill_reductions<float>(k, Compute::kFloat32);
  fill_reductions<double>(k, Compute::kFloat64);
  k.map[at(Op::k_iota)] = {nullptr, iota<int32_t>, iota<int64_t>, iota<float>, iota<double>};
  k.map[at(Op::k_uniform)][at(Compute::kFloat32)] = uniform<float>;
  k.map[at(Op::k_uniform)][at(Compute::kFloat64)] = uniform<double>;
  k.wrap[at(DType::kUInt8)] = wrap<uint8_t>;
  k.wrap[at(DType::kInt8)] = wrap<int8_t>;
  k.wrap[at(DType::kInt16)] = wrap<int16_t>;
  k.load = {load<uint8_t, uint8_t>, load<uint8_t, int32_t>, load<int8_t, int32_t>,
            load<int16_t, int32_t>, load<int32_t, int32_t>, load<int64_t, int64_t>,
            load<float, float>,     load<double, double>};
  k.store[at(DType::kUInt8)] = store<int32_t, uint8_t>;
  k.store[at(DType::kInt8)] = store<int32_t, int8_t>;
  k.store[at(DType::kInt16)] = store<int32_t, int16_t>;
  return k;
}

}  // namespace

const TileKernels& make_tile_kernels() {
  static const TileKernels kernels = fill();
  return kernels;
}

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
