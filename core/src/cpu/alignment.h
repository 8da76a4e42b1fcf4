// Where memory that a Program lays out begins: at lines of a cache, which are also the longest
// vectors.
#pragma once

#include <cstdint>

namespace cyxwiz::cpu {

inline constexpr int64_t kAlignment = 64;

/// The room that so many bytes take, so that what comes after begins at a line too.
constexpr int64_t aligned(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace cyxwiz::cpu
