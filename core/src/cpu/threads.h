// Threads of the CPU backend: how many, how work is cut, and the floating-point state they compute
// in.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace cyxwiz::cpu {

/// Threads that parallel regions use now: what set_num_threads said, else OMP_NUM_THREADS, else the
/// CPUs that this process may use (affinity and cgroup quota). In a forked child: 1.
int num_threads();

/// Throws ValueError unless 1 <= n <= 1024.
void set_num_threads(int n);

/// Changes whenever num_threads() may have: what was cut for another number is out of date.
uint64_t threads_epoch();

/// Flush-to-zero and denormals-are-zero for a scope of this thread; the caller's state comes back.
class FlushDenormals {
 public:
  FlushDenormals();
  ~FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
  unsigned saved_;
};

/// Work below this many nanoseconds stays on the calling thread: a fork and join cost about 1 us.
inline constexpr int64_t kWorthForking = 6000;

/// Calls `body(first, last)` for contiguous ranges that cover [0, n), one a thread. `cost` is an
/// estimate of the whole work in nanoseconds on one thread. `body` must not throw.
template <class Body>
void parallel_ranges(int64_t n, int64_t cost, Body&& body) {
  const int64_t threads = std::min<int64_t>({num_threads(), n, cost / (kWorthForking / 2)});
  if (threads <= 1 || cost < kWorthForking) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
#pragma omp parallel num_threads(static_cast<int>(threads))
  {
    FlushDenormals guard;
    // What OpenMP really gave may be fewer threads than asked for.
    const int64_t count = omp_get_num_threads(), id = omp_get_thread_num();
    const int64_t first = n * id / count, last = n * (id + 1) / count;
    if (first < last) body(first, last);
  }
}

}  // namespace cyxwiz::cpu
