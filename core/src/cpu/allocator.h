// Pooled memory: freed blocks are kept for the next request of their size class, so that the steady
// state neither asks the operating system for memory nor touches fresh pages.
#pragma once

#include <cstdint>

#include "cyxwiz/device.h"

namespace cyxwiz::cpu {

/// 64-byte aligned, uninitialised. Throws OutOfMemoryError with the sizes.
BufferPtr allocate(const Device* device, int64_t bytes);

MemoryStats memory_stats();

/// Gives kept blocks back to the operating system.
void release_cached();

}  // namespace cyxwiz::cpu
