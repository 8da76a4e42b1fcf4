// Threads of the CPU backend: how many, how work is cut, and the floating-point state they compute
// in.
#pragma once

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

/// Memory of this thread's own for a piece of work, grown once and kept, and aligned to a page. It
/// is the same at every call: for one user at a time.
char* thread_memory(int64_t bytes);

/// Can the threads share n pieces out so that none works much longer than the others?
inline bool splits_evenly(int64_t n) { return n % num_threads() == 0 || n >= 4 * num_threads(); }

/// Work below this many nanoseconds stays on the calling thread: waking others costs about 1 us.
inline constexpr int64_t kWorthForking = 6000;

/// Calls `run(context, piece)` once for each piece < `pieces`, on up to `threads` threads, this one
/// included. Which thread runs which piece is not determined. Inside a piece, and while another
/// thread has the pool, everything runs on the caller.
void run_pieces(int64_t pieces, int threads, void (*run)(void* context, int64_t piece),
                void* context);

/// Calls `body(first, last)` for contiguous ranges that cover [0, n). `cost` is an estimate of the
/// whole work in nanoseconds on one thread. `body` must not throw. `backwards`: every thread takes
/// the last range of its share first.
template <class Body>
void parallel_ranges(int64_t n, int64_t cost, Body&& body, bool backwards = false) {
  const int64_t most = cost < kWorthForking ? 1 : cost / (kWorthForking / 2);
  const int64_t threads = std::min<int64_t>({num_threads(), n, most});
  if (threads <= 1) {
    if (n > 0) body(int64_t{0}, n);
    return;
  }
  // More pieces than threads where they are long, so that a thread the system holds up delays the
  // others by its own small piece only.
  constexpr int64_t kLongPiece = 20000, kMostPieces = 8;
  const int64_t pieces =
      std::min(n, threads * std::clamp<int64_t>(cost / threads / kLongPiece, 1, kMostPieces));
  struct Context {
    Body& body;
    int64_t n, pieces, share;  // pieces of a thread, if backwards
  } context{body, n, pieces, backwards && pieces % threads == 0 ? pieces / threads : 1};
  run_pieces(
      pieces, static_cast<int>(threads),
      [](void* erased, int64_t piece) {
        const Context& c = *static_cast<Context*>(erased);
        piece += c.share - 1 - 2 * (piece % c.share);
        c.body(c.n * piece / c.pieces, c.n * (piece + 1) / c.pieces);
      },
      &context);
}

}  // namespace cyxwiz::cpu
