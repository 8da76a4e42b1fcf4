#include "cpu/threads.h"

#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <thread>

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

inline void pause() {
#if defined(__SSE2__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

/// Threads that wait for pieces of work. The caller works too, and goes on when the pieces are
/// done, whether or not every worker has woken: a busy machine slows it down, but never stops it.
class Pool {
 public:
  void run(int64_t pieces, int threads, void (*body)(void*, int64_t), void* context) {
    std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock || inside_) {
      for (int64_t piece = 0; piece < pieces; ++piece) body(context, piece);
      return;
    }
    while (static_cast<int>(started_) < threads - 1) start_worker();
    Job job(body, context, pieces, threads);
    job_.store(&job);
    posted_.fetch_add(1);
    if (asleep_.load() > 0) posted_.notify_all();
    inside_ = true;
    job.work(0);
    inside_ = false;
    // From here on no worker takes the job up; those that did are waited for.
    job_.store(nullptr);
    while (busy_.load() > 0) pause();
  }

 private:
  /// Every thread begins with its own share of the pieces and then helps with the others'. So steps
  /// that are cut alike find what the last one wrote in their own processor's cache.
  class Job {
   public:
    Job(void (*body)(void*, int64_t), void* context, int64_t pieces, int threads)
        : body_(body), context_(context), pieces_(pieces), threads_(threads) {
      shares_ = std::min(threads, kMostShares);
      for (int i = 0; i < shares_; ++i) next_[at(i)] = pieces * i / shares_;
    }

    bool takes(int thread) const { return thread < threads_; }

    void work(int thread) {
      for (int i = 0; i < shares_; ++i) {
        const int share = (thread + i) % shares_;
        const int64_t end = pieces_ * (share + 1) / shares_;
        for (int64_t piece; (piece = next_[at(share)].fetch_add(1)) < end;) body_(context_, piece);
      }
    }

   private:
    static constexpr int kMostShares = 16;
    static constexpr size_t at(int share) { return static_cast<size_t>(share); }

    void (*body_)(void*, int64_t);
    void* context_;
    int64_t pieces_;
    int threads_, shares_;
    std::array<std::atomic<int64_t>, kMostShares> next_;
  };

  void start_worker() {
    // Signals are for the threads that the host program knows.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([this, id = started_] { serve(id); }).detach();
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ++started_;
  }

  void serve(int id) {
    const FlushDenormals flush;
    inside_ = true;
    for (uint32_t seen = 0;;) {
      seen = next_post(seen);
      // First busy, then the look: the caller first takes the job away, then looks for busy ones.
      busy_.fetch_add(1);
      if (Job* job = job_.load(); job && job->takes(id + 1)) job->work(id + 1);
      busy_.fetch_sub(1);
    }
  }

  /// Waits awhile on the processor, since work comes in bursts, and then asleep.
  uint32_t next_post(uint32_t seen) {
    constexpr int kSpins = 4000;
    for (int i = 0; i < kSpins; ++i) {
      if (posted_.load() != seen) return posted_.load();
      pause();
    }
    asleep_.fetch_add(1);
    posted_.wait(seen);
    asleep_.fetch_sub(1);
    return posted_.load();
  }

  static thread_local bool inside_;  // a piece of work: what it calls stays on its thread
  std::mutex mutex_;                 // one job at a time
  int started_ = 0;
  std::atomic<Job*> job_{nullptr};
  std::atomic<uint32_t> posted_{0};  // of the size that the system waits on
  std::atomic<int> busy_{0}, asleep_{0};
};

thread_local bool Pool::inside_ = false;

struct Threads {
  std::atomic<int> count{default_threads()};
  std::atomic<uint64_t> epoch{0};
  // Never destroyed: its threads wait in it until the process ends.
  std::atomic<Pool*> pool{std::make_unique<Pool>().release()};
};

Threads& threads() {
  static Threads& instance = []() -> Threads& {
    static Threads made;
    // A forked child has the pool's book-keeping but not its threads, and its parent uses the CPUs.
    pthread_atfork(nullptr, nullptr, [] {
      threads().pool = std::make_unique<Pool>().release();
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

void run_pieces(int64_t pieces, int threads_wanted, void (*run)(void*, int64_t), void* context) {
  threads().pool.load(std::memory_order_relaxed)->run(pieces, threads_wanted, run, context);
}

char* thread_memory(int64_t bytes) {
  struct Release {
    void operator()(char* memory) const { std::free(memory); }
  };
  thread_local std::unique_ptr<char, Release> memory;
  thread_local int64_t size = 0;
  if (size < bytes) {
    size = (bytes + 4095) / 4096 * 4096;
    memory.reset(static_cast<char*>(std::aligned_alloc(4096, static_cast<size_t>(size))));
    if (!memory) {
      size = 0;
      throw std::bad_alloc();
    }
  }
  return memory.get();
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
