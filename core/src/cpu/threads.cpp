#include "cpu/threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

constexpr int kMostThreads = 1024;

/// CPUs that the scheduler lets this process use, by affinity.
int affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

/// CPUs' worth of time that the control group may use (cgroup v2's cpu.max), rounded up.
int quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string limit;
  double period = 0;
  if (!(file >> limit >> period) || limit == "max" || period <= 0) return kMostThreads;
  return static_cast<int>(std::ceil(std::strtod(limit.c_str(), nullptr) / period));
}

int default_threads() {
  if (std::getenv("OMP_NUM_THREADS")) return std::clamp(omp_get_max_threads(), 1, kMostThreads);
  return std::clamp(std::min(affinity(), quota()), 1, kMostThreads);
}

struct Threads {
  std::atomic<int> count{default_threads()};
  std::atomic<uint64_t> epoch{0};
};

Threads& threads() {
  static Threads& instance = []() -> Threads& {
    static Threads made;
    // A forked child has the pool's book-keeping but not its threads: waiting for them would hang.
    pthread_atfork(nullptr, nullptr, [] {
      threads().count = 1;
      threads().epoch += 1;
    });
    return made;
  }();
  return instance;
}

#if defined(__SSE2__)
constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
#endif

}  // namespace

int num_threads() { return threads().count.load(std::memory_order_relaxed); }

void set_num_threads(int n) {
  if (n < 1 || n > kMostThreads) {
    throw ValueError("set_num_threads: it takes 1 to " + std::to_string(kMostThreads) + ", got " +
                     std::to_string(n));
  }
  threads().count = n;
  threads().epoch += 1;
}

uint64_t threads_epoch() { return threads().epoch.load(std::memory_order_relaxed); }

#if defined(__SSE2__)
FlushDenormals::FlushDenormals() : saved_(_mm_getcsr()) {
  _mm_setcsr(saved_ | kFlushToZero | kDenormalsAreZero);
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(saved_); }
#else
FlushDenormals::FlushDenormals() : saved_(0) {}
FlushDenormals::~FlushDenormals() = default;
#endif

}  // namespace cyxwiz::cpu
