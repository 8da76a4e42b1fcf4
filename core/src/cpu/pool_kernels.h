// What pooling does with the taps of a window, for all of its channels; compiled once for each
// instruction set.
#pragma once

#include <cstdint>
#include <tuple>

namespace cyxwiz::cpu {

/// `taps`: where the channels of each of `count` > 0 taps begin, counted from `image`. The maximum
/// of a window with NaNs is the first of them.
template <class T>
struct PoolKernels {
  /// to[c] = the maximum of channel c.
  void (*maximum)(const T* image, const int64_t* taps, int64_t count, int64_t channels, T* to);

  /// to[tap + c] += g[c] for the first tap that has the maximum. Or, unless `adds`, = g[c] for that
  /// and = 0 for the others.
  void (*give_to_maximum)(const T* image, const int64_t* taps, int64_t count, int64_t channels,
                          const T* g, bool adds, T* to);

  /// to[c] = values[tap + c] of the first tap that has the maximum.
  void (*pick_at_maximum)(const T* image, const int64_t* taps, int64_t count, int64_t channels,
                          const T* values, T* to);
};

using PoolTable = std::tuple<PoolKernels<float>, PoolKernels<double>>;

/// For the instruction set that this processor runs.
const PoolTable& pool_table();

namespace baseline {
const PoolTable& pool_table();
}
#if defined(__x86_64__)
namespace avx2 {
const PoolTable& pool_table();
}
namespace avx512 {
const PoolTable& pool_table();
}
#endif

}  // namespace cyxwiz::cpu
