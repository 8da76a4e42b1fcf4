// The loops of the library's own matrix products, compiled once for each instruction set.
#pragma once

#include <cstdint>

namespace cyxwiz::cpu {

/// Loops over packed or plain operands of one element type, for one instruction set.
template <class T>
struct GemmKernels {
  /// The register tile: `rows` of a by `columns` of b.
  int64_t rows;
  int64_t columns;

  /// Copies `count` lines of `k` elements (line stride and element stride given) into panels of
  /// `rows` (for a) or `columns` (for b) interleaved lines: panel[e][line]. Missing lines are
  /// zeros.
  void (*pack_a)(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride,
                 T* to);
  void (*pack_b)(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride,
                 T* to);

  /// out[i][j] for i < m <= rows and j < n <= columns: the product of a panel of a and one of b,
  /// both 64-byte aligned, added to what is there if `add`.
  void (*tile)(int64_t k, const T* a, const T* b, T* out, int64_t out_stride, int64_t m, int64_t n,
               bool add);

  /// out[j] = Σ_e v[e · v_stride] · p[e · p_stride + j], j < n, plus what is there if `add`.
  void (*combine)(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride, int64_t n,
                  T* out, bool add);

  /// out[j] = Σ_e v[e] · p[j · p_stride + e], j < n, plus what is there if `add`.
  void (*dot)(int64_t k, const T* v, const T* p, int64_t p_stride, int64_t n, T* out, bool add);
};

struct GemmTable {
  GemmKernels<float> float32;
  GemmKernels<double> float64;
  GemmKernels<int32_t> int32;
  GemmKernels<int64_t> int64;
};

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
