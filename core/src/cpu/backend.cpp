#include "cpu/backend.h"

#include <unistd.h>

#include <cstring>
#include <fstream>
#include <string>

#include "cpu/allocator.h"
#include "cpu/executable.h"
#include "cpu/threads.h"

namespace cyxwiz::cpu {
namespace {

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "CPU";
}

class CpuBackend final : public Backend {
 public:
  std::string_view name() const override { return "cpu"; }

  std::vector<Device> devices() override {
    Device device;
    device.kind = "cpu";
    device.name = processor_name();
    device.memory_bytes = int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
    return {device};
  }

  BufferPtr copy_in(const Device& device, const Result& host, const Shape& shape,
                    DType dtype) override {
    const int64_t bytes = element_count(shape) * item_size(dtype);
    BufferPtr copy = cpu::allocate(&device, bytes);
    if (bytes > 0) {
      std::memcpy(copy->data(), static_cast<const char*>(host.buffer->data()) + host.offset,
                  static_cast<size_t>(bytes));
    }
    return copy;
  }
  Result copy_out(const Result& from, const Shape&, DType) override { return from; }
  std::unique_ptr<Executable> compile(const Graph& graph, const Device& device) override {
    return std::make_unique<CpuExecutable>(graph, device);
  }
  void synchronize(const Device&) override {}  // run() returns when it is done
  MemoryStats memory(const Device&) override {
    MemoryStats stats = memory_stats();
    stats.free = int64_t{sysconf(_SC_AVPHYS_PAGES)} * sysconf(_SC_PAGE_SIZE) + stats.cached;
    return stats;
  }
  void release_cached(const Device&) override { cpu::release_cached(); }
  uint64_t epoch() const override { return threads_epoch(); }
};

}  // namespace

std::unique_ptr<Backend> make_backend() { return std::make_unique<CpuBackend>(); }

}  // namespace cyxwiz::cpu
