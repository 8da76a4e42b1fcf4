// Devices, their memory, and the Backend protocol: the narrow interface through which Programs run.
// The CPU backend is built in; others register themselves. Nothing above this line knows which.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cyxwiz/dtype.h"
#include "cyxwiz/shape.h"

namespace cyxwiz {

class Backend;
struct Graph;

/// One place that computes. Registered once, never moved: compared by address.
struct Device {
  Backend* backend = nullptr;
  std::string kind;  ///< "cpu", "cuda", "xla:cpu", …
  int index = 0;
  std::string name;  ///< the hardware's own name
  int64_t memory_bytes = 0;

  std::string spec() const;  ///< "cpu", "cuda:1", "xla:cpu": what find_device takes
};

/// Memory on a device, counted by its shared_ptr. `data` is the host's address of it, or null where
/// the host can't reach it.
class Buffer {
 public:
  Buffer(const Device* device, void* data, int64_t bytes, bool writable)
      : device_(device), data_(data), bytes_(bytes), writable_(writable) {}
  virtual ~Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  const Device* device() const { return device_; }
  void* data() const { return data_; }
  int64_t bytes() const { return bytes_; }
  /// False for memory that somebody else owns: a Program never writes over it, donated or not.
  bool writable() const { return writable_; }

 private:
  const Device* device_;
  void* data_;
  int64_t bytes_;
  bool writable_;
};

using BufferPtr = std::shared_ptr<Buffer>;

/// What a Program is given for one of its inputs: a Buffer, dense from `offset` bytes on, or, with
/// no Buffer, one element of the input's dtype in `immediate`.
struct Argument {
  BufferPtr buffer;
  int64_t offset = 0;
  alignas(8) std::array<std::byte, 8> immediate{};
};

/// Where a Program put one of its outputs: dense from `offset` bytes on.
struct Result {
  BufferPtr buffer;
  int64_t offset = 0;
};

/// A Program as one Backend runs it.
class Executable {
 public:
  virtual ~Executable() = default;

  /// Fills `results`, one for each of the Graph's outputs. A donated argument may be written over
  /// when nobody else holds its Buffer: the caller moves it in.
  virtual void run(std::span<Argument> arguments, std::span<Result> results) = 0;

  /// One line for each step, in the order they run: for people.
  virtual std::vector<std::string> describe() const = 0;
};

struct MemoryStats {
  int64_t allocated = 0;  ///< bytes in Buffers that are alive
  int64_t cached = 0;     ///< bytes kept for reuse
  int64_t peak = 0;       ///< the most that was allocated at one time
  int64_t free = 0;       ///< bytes that could be allocated now
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  ///< "cpu", "xla", …
  virtual std::vector<Device> devices() = 0;
  /// Elements that lie dense in the host's memory, on the device: a copy, or the same memory where
  /// the device can use it and `host` is writable (nobody else writes to it). Throws
  /// OutOfMemoryError with the sizes.
  virtual BufferPtr copy_in(const Device& device, const Result& host, const Shape& shape,
                            DType dtype) = 0;
  /// The other way: dense elements in the host's memory.
  virtual Result copy_out(const Result& from, const Shape& shape, DType dtype) = 0;
  virtual std::unique_ptr<Executable> compile(const Graph& graph, const Device& device) = 0;
  virtual void synchronize(const Device& device) = 0;
  virtual MemoryStats memory(const Device& device) = 0;
  virtual void release_cached(const Device& device) = 0;
  /// Changes when compiled Programs no longer fit (another number of threads, a forked child).
  virtual uint64_t epoch() const { return 0; }
};

/// Adds a Backend and its devices; it lives until the process ends.
void register_backend(std::unique_ptr<Backend> backend);

/// Every device there is; the CPU is the first.
std::vector<const Device*> devices();

/// The device whose memory is the host's: the CPU.
const Device* host_device();

/// Memory of the host, 64-byte aligned. Throws OutOfMemoryError.
BufferPtr allocate_on_host(int64_t bytes);

/// The device of that name ("cpu", "cuda:1"), of that Backend where one is named; throws
/// DeviceError with the known names.
const Device* find_device(std::string_view spec, std::string_view backend = {});

/// Where this thread's new Tensors go: the thread's own choice, else the process's, else the CPU.
const Device* default_device();
void set_default_device(const Device* device);  ///< for the process
const Device* thread_device();                  ///< null when the thread has no choice of its own
void set_thread_device(const Device* device);

/// While it lives, this thread's new Tensors go to `device`.
class DeviceScope {
 public:
  explicit DeviceScope(const Device* device) : before_(thread_device()) {
    set_thread_device(device);
  }
  ~DeviceScope() { set_thread_device(before_); }
  DeviceScope(const DeviceScope&) = delete;
  DeviceScope& operator=(const DeviceScope&) = delete;

 private:
  const Device* before_;
};

}  // namespace cyxwiz
