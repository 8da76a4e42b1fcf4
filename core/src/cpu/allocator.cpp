#include "cpu/allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cyxwiz/error.h"

namespace cyxwiz::cpu {
namespace {

constexpr int64_t kSmallest = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
// Beyond this much, freed blocks go back to the operating system.
#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kMostCached = 0;  // so that the sanitizer sees every use after free
#else
constexpr int64_t kMostCached = int64_t{512} << 20;
#endif

/// Sizes are rounded up to one of eight steps in each power of two: at most an eighth is wasted.
struct SizeClass {
  size_t index;
  int64_t bytes;
};

SizeClass size_class(int64_t bytes) {
  const auto wanted = static_cast<uint64_t>(std::max(bytes, kSmallest));
  const int shift = std::max(static_cast<int>(std::bit_width(wanted - 1)) - 4, 6);
  const uint64_t steps = (wanted + (uint64_t{1} << shift) - 1) >> shift;
  return {static_cast<size_t>(shift - 6) * 16 + steps, static_cast<int64_t>(steps << shift)};
}

class Pool {
 public:
  void* take(const SizeClass& size) {
    {
      const std::lock_guard lock(mutex_);
      stats_.allocated += size.bytes;
      stats_.peak = std::max(stats_.peak, stats_.allocated);
      if (size.index < free_.size() && !free_[size.index].empty()) {
        void* block = free_[size.index].back();
        free_[size.index].pop_back();
        stats_.cached -= size.bytes;
        return block;
      }
    }
    void* block = fresh(size.bytes);
    if (!block) {
      release();
      block = fresh(size.bytes);
    }
    if (!block) {
      const std::lock_guard lock(mutex_);
      stats_.allocated -= size.bytes;
      throw OutOfMemoryError("out of memory on cpu: " + std::to_string(size.bytes) +
                             " bytes were asked for, " + std::to_string(stats_.allocated) +
                             " bytes are in use");
    }
    return block;
  }

  void give_back(void* block, const SizeClass& size) {
    {
      const std::lock_guard lock(mutex_);
      stats_.allocated -= size.bytes;
      if (stats_.cached + size.bytes <= kMostCached) {
        if (size.index >= free_.size()) free_.resize(size.index + 1);
        free_[size.index].push_back(block);
        stats_.cached += size.bytes;
        return;
      }
    }
    std::free(block);
  }

  void release() {
    const std::lock_guard lock(mutex_);
    for (std::vector<void*>& blocks : free_) {
      for (void* block : blocks) std::free(block);
      blocks.clear();
    }
    stats_.cached = 0;
  }

  MemoryStats stats() {
    const std::lock_guard lock(mutex_);
    return stats_;
  }

 private:
  static void* fresh(int64_t bytes) {
    if (bytes < kHugePage) return std::aligned_alloc(kSmallest, static_cast<size_t>(bytes));
    // Large blocks on huge pages: a fault for each 2 MiB instead of each 4 KiB.
    const int64_t whole = (bytes + kHugePage - 1) / kHugePage * kHugePage;
    void* block = std::aligned_alloc(kHugePage, static_cast<size_t>(whole));
    if (block) madvise(block, static_cast<size_t>(whole), MADV_HUGEPAGE);
    return block;
  }

  std::mutex mutex_;  // guards everything below
  std::vector<std::vector<void*>> free_;
  MemoryStats stats_;
};

Pool& pool() {
  // Never destroyed: Buffers outlive it while the process shuts down.
  static Pool* instance = std::make_unique<Pool>().release();
  return *instance;
}

class PooledBuffer final : public Buffer {
 public:
  PooledBuffer(const Device* device, void* data, int64_t bytes, const SizeClass& size)
      : Buffer(device, data, bytes, /*writable=*/true), size_(size) {}
  ~PooledBuffer() override { pool().give_back(data(), size_); }

 private:
  SizeClass size_;
};

}  // namespace

BufferPtr allocate(const Device* device, int64_t bytes) {
  const SizeClass size = size_class(bytes);
  return std::make_shared<PooledBuffer>(device, pool().take(size), bytes, size);
}

MemoryStats memory_stats() { return pool().stats(); }

void release_cached() { pool().release(); }

}  // namespace cyxwiz::cpu
