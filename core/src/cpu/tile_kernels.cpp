// The block interpreter's kernels. Compiled once for each instruction set, with
// CYXWIZ_ISA_NAMESPACE naming it: everything here must have internal linkage or live in that
// namespace, or the linker would merge code that some processors can't run.
#include "cpu/tile_kernels.h"

#include <cstring>

#include "cpu/philox.h"
#include "cpu/tile_map.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

/// What a kernel expression of the table gives in memory.
template <class R>
using Stored = std::conditional_t<std::is_same_v<R, bool>, uint8_t, R>;

template <class F, class T>
void unary(const TileInstruction& in, char* const* p, const Tile& tile) {
  using R = Stored<decltype(F::apply(T()))>;
  map<F, R>(in, p, tile, at<const T>(p, in.a));
}

template <class F, class T>
void binary(const TileInstruction& in, char* const* p, const Tile& tile) {
  using R = Stored<decltype(F::apply(T(), T()))>;
  map<F, R>(in, p, tile, at<const T>(p, in.a), at<const T>(p, in.b));
}

template <class T>
struct Choice {
  static T apply(uint8_t c, T a, T b) { return c ? a : b; }
};
template <class T>
void where(const TileInstruction& in, char* const* p, const Tile& tile) {
  map<Choice<T>, T>(in, p, tile, at<const uint8_t>(p, in.a), at<const T>(p, in.b),
                    at<const T>(p, in.c));
}

template <class To>
struct Conversion {
  template <m::Number From>
  static To apply(From a) {
    return static_cast<To>(a);
  }
};
template <class From, class To>
void convert(const TileInstruction& in, char* const* p, const Tile& tile) {
  map<Conversion<To>, To>(in, p, tile, at<const From>(p, in.a));
}

struct Truth {
  template <class From>
  static bool apply(From a) {
    return a != From(0);
  }
};
template <class From>
void convert_to_bool(const TileInstruction& in, char* const* p, const Tile& tile) {
  map<Truth, uint8_t>(in, p, tile, at<const From>(p, in.a));
}

template <class Narrow>
struct Wrapping {
  static int32_t apply(int32_t a) { return static_cast<Narrow>(a); }
};
template <class Narrow>
void wrap(const TileInstruction& in, char* const* p, const Tile& tile) {
  map<Wrapping<Narrow>, int32_t>(in, p, tile, at<const int32_t>(p, in.a));
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
  fill_reductions(k);
  fill_forms(k);
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
