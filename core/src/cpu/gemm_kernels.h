// The loops of the library's own matrix products, compiled once for each instruction set.
#pragma once

#include <cstdint>
#include <tuple>

namespace cyxwiz::cpu {

/// A tile of a product: out[i][j] = Σ_e a[i][e] · b[e][j] (+ out[i][j]) (+ bias[j]), then relu. The
/// rows of b and of out are contiguous.
template <class T>
struct GemmTile {
  int64_t k = 0;
  const T* a = nullptr;
  int64_t a_row = 0, a_inner = 0;  ///< one of the two is 1
  int64_t a_tile = 0;              ///< from the rows of one register tile to those of the next
  const T* b = nullptr;
  int64_t b_inner = 0;  ///< where b is read in place; the rows of a packed panel are whole vectors
  /// The last rows of b once more, as wide as whole vectors, where those of b reach beyond its end.
  const T* tail = nullptr;
  int64_t tail_rows = 0;
  bool fetches_b = false;  ///< into L1, some rows before their turn
  /// Where the first `rows` of a register tile pack b on their way, for the others; or null. Then
  /// a_inner is 1.
  T* panel = nullptr;
  /// Memory to be fetched into L2 meanwhile, `fetches` elements of each for each row; or null.
  const T *next_a = nullptr, *next_b = nullptr;
  T* out = nullptr;
  int64_t out_row = 0;
  const T* bias = nullptr;  ///< null for none
  bool add = false, relu = false;
};

/// What follows finished sums.
template <class T>
struct GemmFinish {
  int64_t parts = 1, part_stride = 0;
  const T* bias = nullptr;  ///< null for none
  int64_t bias_stride = 1;
  bool relu = false;
};

/// A register tile, `rows` of a by `vectors` of columns of b, and the loops that go with it.
template <class T>
struct GemmTiles {
  int64_t rows, vectors, fetches;

  /// Copies `count` lines of `k` elements (line stride and element stride given) into panels of
  /// `rows` interleaved lines: panel[e][line]. Missing lines of the last one are zeros.
  void (*pack_a)(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride,
                 T* to);
  /// The same into panels of `vectors` vectors of lines, but for the last, which is only as many
  /// vectors wide as its lines need.
  void (*pack_b)(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride,
                 T* to);

  /// Computes `m` rows and `n` columns that fit in `vectors` vectors. Reads b in whole vectors.
  void (*run)(const GemmTile<T>& tile, int64_t m, int64_t n);
};

/// Loops over packed or plain operands of one element type, for one instruction set.
template <class T>
struct GemmKernels {
  int64_t lanes;  ///< of a vector

  /// `flat` divides the usual sizes; `tall`, for packed operands, multiplies more often by what it
  /// reads of b, and goes with depths at which a panel of b stays in L1.
  GemmTiles<T> flat, tall;

  /// out[j] = Σ_e v[e · v_stride] · p[e · p_stride + j], j < n.
  void (*combine)(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride, int64_t n,
                  T* out);

  /// out[j] = Σ_e v[e] · p[j · p_stride + e], j < n.
  void (*dot)(int64_t k, const T* v, const T* p, int64_t p_stride, int64_t n, T* out);

  /// out[i][j] = Σ_part from[part][i][j], in the parts' order, then bias and relu; `from`, whose
  /// parts lie `part_stride` apart, may be `out`. `row`: the stride of both.
  void (*finish)(const GemmFinish<T>& finish, const T* from, T* out, int64_t rows, int64_t columns,
                 int64_t row);
};

using GemmTable =
    std::tuple<GemmKernels<float>, GemmKernels<double>, GemmKernels<int32_t>, GemmKernels<int64_t>>;

/// For the instruction set that this processor runs.
const GemmTable& gemm_table();

namespace baseline {
const GemmTable& gemm_table();
}
#if defined(__x86_64__)
namespace avx2 {
const GemmTable& gemm_table();
}
namespace avx512 {
const GemmTable& gemm_table();
}
#endif

}  // namespace cyxwiz::cpu
