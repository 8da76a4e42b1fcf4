// Compiled once for each instruction set, with CYXWIZ_ISA_NAMESPACE saying for which. Nothing here
// may be shared with other translation units (no inline function of a header), or the linker could
// keep the copy that an older processor can't run.
#include "cpu/gemm_kernels.h"

#include <cstdint>
#include <cstring>

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

// The register tile in rows × vectors: as many accumulators as leave registers for a and b.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kTileRows = 8, kTileVectors = 3;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kTileRows = 4, kTileVectors = 3;
#else
constexpr int kVectorBytes = 16, kTileRows = 4, kTileVectors = 2;
#endif

template <class T>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(T));

template <class T, int Lanes>
struct VectorOf {
  typedef T type __attribute__((vector_size(Lanes * sizeof(T))));
};
template <class T, int Lanes = kLanes<T>>
using Vector = typename VectorOf<T, Lanes>::type;

template <class V, class T>
inline V load(const T* p) {
  V v;
  std::memcpy(&v, p, sizeof(V));
  return v;
}

template <class V, class T>
inline void store(T* p, V v) {
  std::memcpy(p, &v, sizeof(V));
}

template <int Width, class T>
void pack(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride, T* to) {
  for (int64_t first = 0; first < count; first += Width, to += k * Width) {
    const T* panel = from + first * line_stride;
    const int64_t lines = count - first < Width ? count - first : Width;
    if (lines < Width) {
      std::memset(to, 0, static_cast<size_t>(k * Width) * sizeof(T));
      for (int64_t e = 0; e < k; ++e) {
        for (int64_t line = 0; line < lines; ++line) {
          to[e * Width + line] = panel[line * line_stride + e * stride];
        }
      }
    } else if (line_stride == 1) {
      for (int64_t e = 0; e < k; ++e) {
        std::memcpy(to + e * Width, panel + e * stride, Width * sizeof(T));
      }
    } else if (stride == 1) {
      // Short runs of each line, so that both the lines read and the panel written stay in L1.
      constexpr int64_t kRun = 64 / static_cast<int64_t>(sizeof(T));
      int64_t e = 0;
      for (; e + kRun <= k; e += kRun) {
        for (int64_t line = 0; line < Width; ++line) {
          const T* run = panel + line * line_stride + e;
          for (int64_t i = 0; i < kRun; ++i) to[(e + i) * Width + line] = run[i];
        }
      }
      for (; e < k; ++e) {
        for (int64_t line = 0; line < Width; ++line) {
          to[e * Width + line] = panel[line * line_stride + e];
        }
      }
    } else {
      for (int64_t e = 0; e < k; ++e) {
        for (int64_t line = 0; line < Width; ++line) {
          to[e * Width + line] = panel[line * line_stride + e * stride];
        }
      }
    }
  }
}

template <class T>
void tile(int64_t k, const T* a, const T* b, T* out, int64_t out_stride, int64_t m, int64_t n,
          bool add) {
  using V = Vector<T>;
  constexpr int kColumns = kTileVectors * kLanes<T>;
  V sum[kTileRows][kTileVectors] = {};
  for (int64_t e = 0; e < k; ++e) {
    V column[kTileVectors];
#pragma GCC unroll 8
    for (int j = 0; j < kTileVectors; ++j) column[j] = load<V>(b + j * kLanes<T>);
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kTileVectors; ++j) sum[i][j] += column[j] * a[i];
    }
    a += kTileRows;
    b += kColumns;
  }
  if (m == kTileRows && n == kColumns) {
#pragma GCC unroll 8
    for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < kTileVectors; ++j) {
        T* to = out + i * out_stride + j * kLanes<T>;
        store(to, add ? load<V>(to) + sum[i][j] : sum[i][j]);
      }
    }
    return;
  }
  T whole[kTileRows][kColumns];
#pragma GCC unroll 8
  for (int i = 0; i < kTileRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kTileVectors; ++j) store(&whole[i][j * kLanes<T>], sum[i][j]);
  }
  for (int64_t i = 0; i < m; ++i) {
    T* to = out + i * out_stride;
    for (int64_t j = 0; j < n; ++j) to[j] = add ? to[j] + whole[i][j] : whole[i][j];
  }
}

/// `combine` for columns that fill `Count` vectors of `Lanes` lanes.
template <int Lanes, int Count, class T>
inline void combine_block(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride,
                          T* out, bool add) {
  using V = Vector<T, Lanes>;
  V sum[Count] = {};
  for (int64_t e = 0; e < k; ++e) {
    const T factor = v[e * v_stride];
#pragma GCC unroll 8
    for (int j = 0; j < Count; ++j) sum[j] += load<V>(p + e * p_stride + j * Lanes) * factor;
  }
#pragma GCC unroll 8
  for (int j = 0; j < Count; ++j) {
    T* to = out + j * Lanes;
    store(to, add ? load<V>(to) + sum[j] : sum[j]);
  }
}

/// The last n < 2 · Lanes columns: vectors of half the width each time.
template <int Lanes, class T>
inline void combine_rest(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride,
                         int64_t n, T* out, bool add) {
  if (n >= Lanes) {
    combine_block<Lanes, 1>(k, v, v_stride, p, p_stride, out, add);
    p += Lanes, out += Lanes, n -= Lanes;
  }
  if constexpr (Lanes > 1) {
    if (n > 0) combine_rest<Lanes / 2>(k, v, v_stride, p, p_stride, n, out, add);
  }
}

template <class T>
void combine(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride, int64_t n,
             T* out, bool add) {
  constexpr int kWide = 8 * kLanes<T>, kMiddle = 2 * kLanes<T>;
  int64_t j = 0;
  for (; j + kWide <= n; j += kWide) {
    combine_block<kLanes<T>, 8>(k, v, v_stride, p + j, p_stride, out + j, add);
  }
  for (; j + kMiddle <= n; j += kMiddle) {
    combine_block<kLanes<T>, 2>(k, v, v_stride, p + j, p_stride, out + j, add);
  }
  if (j < n) combine_rest<kLanes<T>>(k, v, v_stride, p + j, p_stride, n - j, out + j, add);
}

/// `dot` for `Lines` lines at once. A line's result does not depend on how many go together.
template <int Lines, class T>
inline void dot_lines(int64_t k, const T* v, const T* p, int64_t p_stride, T* out, bool add) {
  using V = Vector<T>;
  V even[Lines] = {}, odd[Lines] = {};
  int64_t e = 0;
  for (; e + 2 * kLanes<T> <= k; e += 2 * kLanes<T>) {
    const V first = load<V>(v + e), second = load<V>(v + e + kLanes<T>);
#pragma GCC unroll 8
    for (int line = 0; line < Lines; ++line) {
      even[line] += load<V>(p + line * p_stride + e) * first;
      odd[line] += load<V>(p + line * p_stride + e + kLanes<T>) * second;
    }
  }
  if (e + kLanes<T> <= k) {
    const V last = load<V>(v + e);
#pragma GCC unroll 8
    for (int line = 0; line < Lines; ++line) even[line] += load<V>(p + line * p_stride + e) * last;
    e += kLanes<T>;
  }
  for (int line = 0; line < Lines; ++line) {
    T sums[kLanes<T>];
    store(sums, even[line] + odd[line]);
    for (int half = kLanes<T> / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) sums[i] += sums[i + half];
    }
    T rest{};
    for (int64_t i = e; i < k; ++i) rest += v[i] * p[line * p_stride + i];
    out[line] = add ? out[line] + (sums[0] + rest) : sums[0] + rest;
  }
}

template <class T>
void dot(int64_t k, const T* v, const T* p, int64_t p_stride, int64_t n, T* out, bool add) {
  constexpr int kLines = 4;
  int64_t j = 0;
  for (; j + kLines <= n; j += kLines) {
    dot_lines<kLines>(k, v, p + j * p_stride, p_stride, out + j, add);
  }
  for (; j < n; ++j) dot_lines<1>(k, v, p + j * p_stride, p_stride, out + j, add);
}

template <class T>
constexpr GemmKernels<T> kKernels = {kTileRows,
                                     kTileVectors * kLanes<T>,
                                     pack<kTileRows, T>,
                                     pack<kTileVectors * kLanes<T>, T>,
                                     tile<T>,
                                     combine<T>,
                                     dot<T>};

constexpr GemmTable kTable = {kKernels<float>, kKernels<double>, kKernels<int32_t>,
                              kKernels<int64_t>};

}  // namespace

const GemmTable& gemm_table() { return kTable; }

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
