// Work cut into parts by size alone, where each thread needs memory of its own while it works.
#pragma once

#include <algorithm>
#include <cstdint>
#include <thread>

#include "cpu/threads.h"

namespace cyxwiz::cpu {

/// How many threads a kernel with that many parts prepares for: more than num_threads(), which may
/// be raised while the kernel lives.
inline int64_t slot_count(int64_t parts) {
  const auto processors = static_cast<int64_t>(std::thread::hardware_concurrency());
  return std::min(parts, std::max<int64_t>(num_threads(), processors));
}

/// Calls `body(slot, part)` once for every part < `parts`. No two threads have the same slot <
/// `slots` at the same time. `cost` and `body` are as for parallel_ranges.
template <class Body>
void parallel_parts(int64_t parts, int64_t slots, int64_t cost, Body&& body) {
  parallel_ranges(slots, cost, [&](int64_t first, int64_t last) {
    for (int64_t part = parts * first / slots; part < parts * last / slots; ++part) {
      body(first, part);
    }
  });
}

}  // namespace cyxwiz::cpu
