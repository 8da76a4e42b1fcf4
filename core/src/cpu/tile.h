// The block interpreter's instruction set. A tile is a small block of a loop's domain, `rows` ×
// `cols` elements that fit the L1 cache; a fused step runs its instructions over one tile after
// another. The kernels are compiled once for each instruction set (tile_kernels.cpp).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "cyxwiz/dtype.h"
#include "cyxwiz/op.h"

namespace cyxwiz::cpu {

/// The type that a dtype is computed in. Narrow integers are computed as int32 and wrapped.
enum class Compute : uint8_t { kBool, kInt32, kInt64, kFloat32, kFloat64 };
inline constexpr int kComputeCount = 5;

constexpr Compute compute_type(DType t) {
  constexpr Compute types[kDTypeCount] = {Compute::kBool,    Compute::kInt32,  Compute::kInt32,
                                          Compute::kInt32,   Compute::kInt32,  Compute::kInt64,
                                          Compute::kFloat32, Compute::kFloat64};
  return types[static_cast<size_t>(t)];
}

constexpr int64_t item_size(Compute t) {
  constexpr int64_t sizes[kComputeCount] = {1, 4, 8, 4, 8};
  return sizes[static_cast<size_t>(t)];
}

/// Does a value of that dtype lie in memory as it is computed?
constexpr bool stored_as_computed(DType t) { return item_size(t) == item_size(compute_type(t)); }

struct Tile {
  int64_t rows = 1, cols = 1;
  int64_t count[2] = {1, 1};  ///< elements at the full level, and at the row level (one a row)
  int64_t linear = 0;         ///< the index of the first element within the domain
  int64_t along = 0;          ///< … within the reduced part of the domain
  bool first = true;          ///< the first tile of an accumulation
};

struct TileInstruction;
/// `pointers` holds registers and the current tile's memory operands; an instruction names its own.
using TileKernel = void (*)(const TileInstruction&, char* const* pointers, const Tile&);

struct TileInstruction {
  TileKernel run = nullptr;
  uint16_t to = 0, a = 0, b = 0, c = 0, d = 0;
  uint8_t level = 0;                          ///< 0: every element; 1: one a row
  int64_t row_stride = 0, column_stride = 0;  ///< of a load, in elements
  /// A memory operand, four bytes an element, of which vector kernels fetch the next tile
  /// meanwhile.
  uint16_t fetches = kNothing;
  static constexpr uint16_t kNothing = 0xffff;
};

/// Operations in one pass over their operands: then(outer(left(…), right(…))). What would go
/// through a register between them stays in the processor. The operands a, b, … are those of
/// `left`, then those of `right`; kInput is an operand, or a result, as it is. `then` may reduce
/// rows.
struct TilePass {
  Op then = Op::kInput, outer = Op::kInput, left = Op::kInput, right = Op::kInput;
  bool operator==(const TilePass&) const = default;
};

/// The kernels of a pass.
struct TileForm {
  TilePass pass;
  Compute type = Compute::kFloat32;
  std::array<TileKernel, 16> run{};  ///< by the operands that are one element for the whole tile
};

/// Null where a combination does not exist.
struct TileKernels {
  template <class T, size_t N>
  using Table = std::array<T, N>;
  using ByCompute = Table<TileKernel, kComputeCount>;

  Table<ByCompute, static_cast<size_t>(Op::k_uniform) + 1> map;  ///< to = op(a[, b[, c]])
  Table<ByCompute, kComputeCount> convert;                       ///< [from][to]
  Table<TileKernel, kDTypeCount> wrap;   ///< in place, computed type to the dtype's range
  Table<TileKernel, kDTypeCount> load;   ///< from memory at strides, as computed
  Table<TileKernel, kDTypeCount> store;  ///< to dense memory, for dtypes not stored as computed
  ByCompute expand;                      ///< one a row → every element
  ByCompute copy;
  std::vector<TileForm> forms;
  Table<ByCompute, 6> reduce_rows;     ///< [op - sum]: one result a row
  Table<ByCompute, 6> reduce_columns;  ///< accumulates rows into `to` (and indices into `c`)
};

const TileKernels& tile_kernels();

}  // namespace cyxwiz::cpu
