// Compiled once for each instruction set, with CYXWIZ_ISA_NAMESPACE saying for which. Nothing here
// may be shared with other translation units (no inline function of a header), or the linker could
// keep the copy that an older processor can't run.
#include "cpu/gemm_kernels.h"

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <utility>

#include "cpu/vector.h"

namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE {
namespace {

/// A register tile: as many accumulators as leave registers for a and b.
struct TileShape {
  int rows, vectors;
  bool operator==(const TileShape&) const = default;
};
#if defined(__AVX512F__)
constexpr TileShape kFlat = {8, 3}, kTall = {14, 2};
#elif defined(__AVX2__)
constexpr TileShape kFlat = {4, 3}, kTall = kFlat;
#else
constexpr TileShape kFlat = {4, 2}, kTall = kFlat;
#endif
constexpr bool kManyRegisters = kFlat.rows * kFlat.vectors > 16;

/// x and y by turns: from their beginnings, or from their middles on.
template <class V, size_t... Lane>
inline V zip(V x, V y, bool upper, std::index_sequence<Lane...>) {
  constexpr size_t kAll = sizeof...(Lane);
  return upper ? __builtin_shufflevector(x, y, (kAll / 2 + Lane / 2 + Lane % 2 * kAll)...)
               : __builtin_shufflevector(x, y, (Lane / 2 + Lane % 2 * kAll)...);
}

/// A vector from each of `Lines` lines into columns of a panel that is `Width` wide.
template <int Lines, int Width, class T>
inline void pack_lines(const T* from, int64_t line_stride, T* to) {
  using V = Vector<T>;
  constexpr int kAll = std::bit_ceil(unsigned{Lines});
  constexpr std::make_index_sequence<kLanes<T>> kEvery;
  V lines[kAll] = {};
#pragma GCC unroll 16
  for (int i = 0; i < Lines; ++i) lines[i] = load<V>(from + i * line_stride);
  // A perfect shuffle turns an element's place, the bits of its line before those of its column,
  // round by one bit: in the end the line's bits are the last.
#pragma GCC unroll 4
  for (int bit = 1; bit < kAll; bit *= 2) {
    V shuffled[kAll];
#pragma GCC unroll 16
    for (int i = 0; i < kAll; ++i) {
      shuffled[i] = zip(lines[i / 2], lines[i / 2 + kAll / 2], i % 2 == 1, kEvery);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kAll; ++i) lines[i] = shuffled[i];
  }
  constexpr int kRows = kLanes<T> / kAll;
  static_assert(Lines == kAll ? kRows == 1 || Width == Lines : kRows == 1);
#pragma GCC unroll 16
  for (int i = 0; i < kAll; ++i) {
    std::memcpy(to + i * kRows * Width, &lines[i], Lines * kRows * sizeof(T));
  }
}

/// A vector from each of `Width` lines into a panel of that width, from line `First` on.
template <int Width, int First = 0, class T>
inline void pack_vectors(const T* from, int64_t line_stride, T* to) {
  constexpr int kLines = std::min(Width - First, kLanes<T>);
  pack_lines<kLines, Width>(from + First * line_stride, line_stride, to + First);
  if constexpr (First + kLines < Width) {
    pack_vectors<Width, First + kLines>(from, line_stride, to);
  }
}

/// Element by element, into a panel of `Width`.
template <int Width, class T>
inline void pack_elements(const T* from, int64_t lines, int64_t line_stride, int64_t k,
                          int64_t stride, T* to) {
  for (int64_t e = 0; e < k; ++e) {
    for (int64_t line = 0; line < lines; ++line) {
      to[e * Width + line] = from[line * line_stride + e * stride];
    }
  }
}

template <int Width, class T>
void pack(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride, T* to) {
  const int64_t whole = count / Width * Width;
  if (line_stride == 1) {
    // Long pieces of each row, so that the processor guesses what comes next.
    constexpr int64_t kLines = 8 * Width;
    for (int64_t first = 0; first < whole; first += kLines) {
      const int64_t end = std::min(first + kLines, whole);
      for (int64_t e = 0; e < k; ++e) {
        for (int64_t line = first; line < end; line += Width) {
          std::memcpy(to + line * k + e * Width, from + e * stride + line, Width * sizeof(T));
        }
      }
    }
  } else {
    // Squares of a vector's elements of each line, so that both the lines read and the panel
    // written stay in L1.
    const int64_t squares = stride == 1 ? k / kLanes<T> * kLanes<T> : 0;
    for (int64_t line = 0; line < whole; line += Width) {
      const T* const lines = from + line * line_stride;
      T* const panel = to + line * k;
      for (int64_t e = 0; e < squares; e += kLanes<T>) {
        pack_vectors<Width>(lines + e, line_stride, panel + e * Width);
      }
      pack_elements<Width>(lines + squares * stride, Width, line_stride, k - squares, stride,
                           panel + squares * Width);
    }
  }
  if (whole < count) {
    T* const panel = to + whole * k;
    std::memset(panel, 0, static_cast<size_t>(k * Width) * sizeof(T));
    pack_elements<Width>(from + whole * line_stride, count - whole, line_stride, k, stride, panel);
  }
}

template <int Vectors, class T>
void pack_last(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride,
               T* to) {
  if constexpr (Vectors > 1) {
    if (count <= (Vectors - 1) * kLanes<T>) {
      return pack_last<Vectors - 1>(from, count, line_stride, k, stride, to);
    }
  }
  pack<Vectors * kLanes<T>>(from, count, line_stride, k, stride, to);
}

template <int Vectors, class T>
void pack_b(const T* from, int64_t count, int64_t line_stride, int64_t k, int64_t stride, T* to) {
  constexpr int kColumns = Vectors * kLanes<T>;
  const int64_t whole = count / kColumns * kColumns;
  pack<kColumns>(from, whole, line_stride, k, stride, to);
  if (whole < count) {
    pack_last<Vectors>(from + whole * line_stride, count - whole, line_stride, k, stride,
                       to + whole * k);
  }
}

/// Writes n sums of a row: vectors of `Lanes`, then of half as many each time.
template <int Lanes, class T>
inline void finish_row(const GemmTile<T>& t, const T* sums, T* out, const T* bias, int64_t n) {
  using V = Vector<T, Lanes>;
  for (; n >= Lanes; n -= Lanes, sums += Lanes, out += Lanes) {
    V v = load<V>(sums);
    if (t.add) v = load<V>(out) + v;
    if (bias) v += load<V>(bias), bias += Lanes;
    if (t.relu) v = v < T{0} ? V{} : v;
    store(out, v);
  }
  if constexpr (Lanes > 1) {
    if (n > 0) finish_row<Lanes / 2>(t, sums, out, bias, n);
  }
}

/// Writes a tile's sums where they are fewer columns than vectors hold.
template <class T>
__attribute__((noinline)) void finish_edge(const GemmTile<T>& t, const T* sums, int64_t width,
                                           int64_t rows, int64_t n) {
  for (int64_t i = 0; i < rows; ++i) {
    finish_row<kLanes<T>>(t, sums + i * width, t.out + i * t.out_row, t.bias, n);
  }
}

/// Elements of next_a and of next_b that a tile fetches for each of its rows.
template <int Vectors, class T>
constexpr int64_t kNextElements = Vectors * kLanes<T>;

/// `value`, which the compiler then keeps in a register: of where it came from it knows nothing.
template <class V>
inline V kept(V value) {
  asm("" : "+r"(value));
  return value;
}

/// How a tile reads b: as a packed panel that L1 holds; or where it lies, packing it or not, and
/// fetching it into L1 or, if L2 holds it, not.
enum class Reading { kPanel, kFetching, kPacking, kFetchingPacking };

/// Fetches the lines of a row of `Vectors` vectors: one that begins amid a line ends in one more.
template <int Vectors, class T>
inline void prefetch_row(const T* row) {
#pragma GCC unroll 8
  for (int line = 0; line <= Vectors; ++line) {
    __builtin_prefetch(row + std::min(line * kLanes<T>, Vectors * kLanes<T> - 1));
  }
}

/// `Rows` rows, and n columns that need `Vectors` vectors. `Beside`: the elements of a that are
/// multiplied by the same of b lie side by side; else those of each row do. (That a stride is known
/// is worth 3 % of a batch of small products, that a tile is compiled into the loop over them 2 %.)
template <int Rows, int Vectors, bool Beside, Reading Read, class T>
__attribute__((always_inline)) inline void tile(const GemmTile<T>& t, int64_t n) {
  using V = Vector<T>;
  constexpr int kColumns = Vectors * kLanes<T>;
  constexpr bool kFetches = Read == Reading::kFetching || Read == Reading::kFetchingPacking;
  constexpr bool kPacks = Read == Reading::kPacking || Read == Reading::kFetchingPacking;
  V sum[Rows][Vectors] = {};
  // Four rows of a for each pointer, no stride, one, two or three from it: an address can say that.
  // To compute more would take the multiplications' ports. (3 % of a product of 32 rows.)
  const T* a[(Rows + 3) / 4];
#pragma GCC unroll 4
  for (int i = 0; i < Rows; i += 4) a[i / 4] = i == 0 ? t.a : kept(t.a + i * t.a_row);
  const int64_t a_row = t.a_row, three_rows = kept(3 * a_row);
  const T* b = t.b;
  int64_t b_inner = Read == Reading::kPanel ? kColumns : t.b_inner;
  T* panel = t.panel;
  const auto multiply = [&](int64_t times) __attribute__((always_inline)) {
    for (; times > 0; --times) {
      V line[Vectors];
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) line[j] = load<V>(b + j * kLanes<T>);
      if constexpr (kFetches) {
        // Some rows before their turn. (5 % of a product of 32 rows.)
        constexpr int64_t kAhead = 4;
        prefetch_row<Vectors>(b + kAhead * b_inner);
      }
      if constexpr (kPacks) {
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) store(panel + j * kLanes<T>, line[j]);
        panel += kColumns;
      }
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
        const T factor = Beside ? a[0][i] : a[i / 4][i % 4 == 3 ? three_rows : i % 4 * a_row];
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) sum[i][j] += line[j] * factor;
      }
#pragma GCC unroll 4
      for (const T*& rows : a) rows += Beside ? t.a_inner : 1;
      b += b_inner;
    }
  };
  // The results' lines, and those of the next product, are on their way while the sums are
  // computed. Not all at once: the operands would wait for them. (6 % of a large product.)
  constexpr int kPace = 4;
  // Four copies of the loop take longer than one where they spill, or fetch b. (4 to 6 %.)
  constexpr bool kToTheEnd = kManyRegisters && !kFetches;
  const T *row = t.out, *next_a = t.next_a, *next_b = t.next_b;
  int64_t k = t.k - t.tail_rows;
  for (int i = 0; k >= kPace * Vectors && (kToTheEnd || i < Rows); ++i, k -= kPace * Vectors) {
    if (i < Rows) {
      prefetch_row<Vectors>(row);
      row += t.out_row;
    } else {
      next_a = nullptr;
    }
#pragma GCC unroll 1
    for (int line = 0; line < Vectors; ++line) {
      if (next_a) {
        __builtin_prefetch(next_a, 0, 2);
        __builtin_prefetch(next_b, 0, 2);
        next_a += kLanes<T>;
        next_b += kLanes<T>;
      }
      if constexpr (kManyRegisters) {
#pragma GCC unroll 4
        for (int e = 0; e < kPace; ++e) multiply(1);
      } else {
        multiply(kPace);
      }
    }
  }
  multiply(k);
  if (t.tail_rows > 0) {
    b = t.tail;
    b_inner = kColumns;
    multiply(t.tail_rows);
  }
  if (n < kColumns) {
    T sums[Rows * kColumns];
    std::memcpy(sums, sum, sizeof(sums));
    return finish_edge(t, sums, kColumns, Rows, n);
  }
  if (t.add || t.bias || t.relu) {  // One question where, as mostly, all three are no.
    if (t.add) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) {
          sum[i][j] = load<V>(t.out + i * t.out_row + j * kLanes<T>) + sum[i][j];
        }
      }
    }
    if (t.bias) {
#pragma GCC unroll 8
      for (int j = 0; j < Vectors; ++j) {
        const V bias = load<V>(t.bias + j * kLanes<T>);
#pragma GCC unroll 16
        for (int i = 0; i < Rows; ++i) sum[i][j] += bias;
      }
    }
    if (t.relu) {
#pragma GCC unroll 16
      for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < Vectors; ++j) sum[i][j] = sum[i][j] < T{0} ? V{} : sum[i][j];
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < Vectors; ++j) store(t.out + i * t.out_row + j * kLanes<T>, sum[i][j]);
  }
}

/// On to what follows the first `rows` rows.
template <int Vectors, class T>
void advance(GemmTile<T>& t, int64_t rows, int64_t a_step) {
  t.a += a_step;
  t.out += rows * t.out_row;
  if (t.next_a) {
    t.next_a += rows * kNextElements<Vectors, T>;
    t.next_b += rows * kNextElements<Vectors, T>;
  }
}

/// m rows: tiles of `Rows`, `Most` at first, then of half as many each time.
template <int Most, int Vectors, bool Beside, Reading Read, int Rows = Most, class T>
void row_tiles(GemmTile<T> t, int64_t m, int64_t n) {
  for (; m >= Rows; m -= Rows) {
    tile<Rows, Vectors, Beside, Read>(t, n);
    advance<Vectors>(t, Rows, Rows == Most ? t.a_tile : Rows * t.a_row);
  }
  if constexpr (Rows > 1) {
    if (m > 0) row_tiles<Most, Vectors, Beside, Read, Rows / 2>(t, m, n);
  }
}

template <int Rows, int Vectors, bool Packed, class T>
void tiles(GemmTile<T> t, int64_t m, int64_t n) {
  if constexpr (!Packed) {
    const bool beside = t.a_row == 1;
    if (t.panel) {
      if (t.fetches_b) {
        tile<Rows, Vectors, false, Reading::kFetchingPacking>(t, n);
      } else {
        tile<Rows, Vectors, false, Reading::kPacking>(t, n);
      }
      advance<Vectors>(t, Rows, t.a_tile);
      t.b = t.panel;
      m -= Rows;
    } else if (t.fetches_b) {
      return beside ? row_tiles<Rows, Vectors, true, Reading::kFetching>(t, m, n)
                    : row_tiles<Rows, Vectors, false, Reading::kFetching>(t, m, n);
    }
    if (!beside) return row_tiles<Rows, Vectors, false, Reading::kPanel>(t, m, n);
  }
  row_tiles<Rows, Vectors, true, Reading::kPanel>(t, m, n);
}

/// `Packed`: both operands always are.
template <int Rows, int Vectors, bool Packed, class T>
void run(const GemmTile<T>& t, int64_t m, int64_t n) {
  if constexpr (Vectors > 1) {
    if (n <= (Vectors - 1) * kLanes<T>) return run<Rows, Vectors - 1, Packed>(t, m, n);
  }
  tiles<Rows, Vectors, Packed>(t, m, n);
}

/// `combine` for columns that fill `Count` vectors of `Lanes` lanes.
template <int Lanes, int Count, class T>
inline void combine_block(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride,
                          T* out) {
  using V = Vector<T, Lanes>;
  V sum[Count] = {};
  for (int64_t e = 0; e < k; ++e) {
    const T factor = v[e * v_stride];
#pragma GCC unroll 8
    for (int j = 0; j < Count; ++j) sum[j] += load<V>(p + e * p_stride + j * Lanes) * factor;
  }
#pragma GCC unroll 8
  for (int j = 0; j < Count; ++j) store(out + j * Lanes, sum[j]);
}

/// The last n < 2 · Lanes columns: vectors of half the width each time.
template <int Lanes, class T>
inline void combine_rest(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride,
                         int64_t n, T* out) {
  if (n >= Lanes) {
    combine_block<Lanes, 1>(k, v, v_stride, p, p_stride, out);
    p += Lanes, out += Lanes, n -= Lanes;
  }
  if constexpr (Lanes > 1) {
    if (n > 0) combine_rest<Lanes / 2>(k, v, v_stride, p, p_stride, n, out);
  }
}

/// Blocks of `Count` vectors, then of half as many each time.
template <int Count, class T>
inline void combine_blocks(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride,
                           int64_t n, T* out) {
  constexpr int kWidth = Count * kLanes<T>;
  for (; n >= kWidth; n -= kWidth, p += kWidth, out += kWidth) {
    combine_block<kLanes<T>, Count>(k, v, v_stride, p, p_stride, out);
  }
  if (n == 0) return;
  if constexpr (Count > 2) {
    combine_blocks<Count / 2>(k, v, v_stride, p, p_stride, n, out);
  } else {
    combine_rest<kLanes<T>>(k, v, v_stride, p, p_stride, n, out);
  }
}

template <class T>
void combine(int64_t k, const T* v, int64_t v_stride, const T* p, int64_t p_stride, int64_t n,
             T* out) {
  combine_blocks<8>(k, v, v_stride, p, p_stride, n, out);
}

/// `dot` for `Lines` lines at once. A line's result does not depend on how many go together.
template <int Lines, class T>
inline void dot_lines(int64_t k, const T* v, const T* p, int64_t p_stride, T* out) {
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
    out[line] = sums[0] + rest;
  }
}

template <class T>
void dot(int64_t k, const T* v, const T* p, int64_t p_stride, int64_t n, T* out) {
  constexpr int kLines = 4;
  int64_t j = 0;
  for (; j + kLines <= n; j += kLines) {
    dot_lines<kLines>(k, v, p + j * p_stride, p_stride, out + j);
  }
  for (; j < n; ++j) dot_lines<1>(k, v, p + j * p_stride, p_stride, out + j);
}

template <class T>
void finish(const GemmFinish<T>& f, const T* from, T* out, int64_t rows, int64_t columns,
            int64_t row) {
  for (int64_t i = 0; i < rows; ++i, from += row, out += row) {
    for (int64_t part = 1; part < f.parts; ++part) {
      const T* const sum = part == 1 ? from : out;
      const T* const more = from + part * f.part_stride;
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) out[j] = sum[j] + more[j];
    }
    if (f.bias && f.bias_stride == 1) {
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) out[j] += f.bias[j];
    } else if (f.bias) {
      for (int64_t j = 0; j < columns; ++j) out[j] += f.bias[j * f.bias_stride];
    }
    if (f.relu) {
#pragma omp simd
      for (int64_t j = 0; j < columns; ++j) out[j] = out[j] < T{0} ? T{0} : out[j];
    }
  }
}

template <TileShape Shape, bool Packed, class T>
constexpr GemmTiles<T> tiles_of() {
  return {Shape.rows,
          Shape.vectors,
          kNextElements<Shape.vectors, T>,
          pack<Shape.rows, T>,
          pack_b<Shape.vectors, T>,
          run<Shape.rows, Shape.vectors, Packed, T>};
}

template <class T>
constexpr GemmTiles<T> tall_tiles() {
  if constexpr (std::floating_point<T> && kTall != kFlat) {
    return tiles_of<kTall, true, T>();
  } else {
    return tiles_of<kFlat, false, T>();
  }
}

template <class T>
constexpr GemmKernels<T> kKernels = {
    kLanes<T>, tiles_of<kFlat, false, T>(), tall_tiles<T>(), combine<T>, dot<T>, finish<T>};

constexpr GemmTable kTable = {kKernels<float>, kKernels<double>, kKernels<int32_t>,
                              kKernels<int64_t>};

}  // namespace

const GemmTable& gemm_table() { return kTable; }

}  // namespace cyxwiz::cpu::CYXWIZ_ISA_NAMESPACE
