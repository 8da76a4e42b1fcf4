// The registry of Backends: the library's one runtime object.
#include "cyxwiz/device.h"

#include <atomic>
#include <memory>
#include <mutex>

#include "cpu/allocator.h"
#include "cpu/backend.h"
#include "cyxwiz/error.h"

namespace cyxwiz {
namespace {

struct Runtime {
  std::mutex mutex;  // guards both vectors
  std::vector<std::unique_ptr<Backend>> backends;
  std::vector<std::unique_ptr<Device>> devices;

  void add(std::unique_ptr<Backend> backend) {
    // Asked for outside the lock: a Backend may take locks of its own.
    std::vector<Device> found = backend->devices();
    const std::lock_guard lock(mutex);
    for (Device& device : found) {
      devices.push_back(std::make_unique<Device>(std::move(device)));
      devices.back()->backend = backend.get();
    }
    backends.push_back(std::move(backend));
  }
};

Runtime& runtime() {
  // Never destroyed: Buffers return to their Backend even while the process shuts down.
  static Runtime* instance = [] {
    auto made = std::make_unique<Runtime>();
    made->add(cpu::make_backend());
    return made.release();
  }();
  return *instance;
}

std::atomic<const Device*> process_choice = nullptr;
thread_local const Device* thread_choice = nullptr;

}  // namespace

std::string Device::spec() const {
  return kind.ends_with("cpu") && index == 0 ? kind : kind + ":" + std::to_string(index);
}

void register_backend(std::unique_ptr<Backend> backend) { runtime().add(std::move(backend)); }

std::vector<const Device*> devices() {
  Runtime& all = runtime();
  const std::lock_guard lock(all.mutex);
  std::vector<const Device*> result;
  for (const auto& device : all.devices) result.push_back(device.get());
  return result;
}

const Device* host_device() {
  static const Device* host = devices().front();
  return host;
}

BufferPtr allocate_on_host(int64_t bytes) { return cpu::allocate(host_device(), bytes); }

const Device* find_device(std::string_view spec, std::string_view backend) {
  std::string known;
  for (const Device* device : devices()) {
    if (!backend.empty() && backend != device->backend->name()) continue;
    const std::string full = device->kind + ":" + std::to_string(device->index);
    if (spec == full || (device->index == 0 && spec == device->kind)) return device;
    known += (known.empty() ? "" : ", ") + device->spec();
  }
  throw DeviceError("unknown device '" + std::string(spec) + "': the known ones are " + known);
}

const Device* default_device() {
  if (thread_choice) return thread_choice;
  const Device* chosen = process_choice.load(std::memory_order_relaxed);
  return chosen ? chosen : host_device();
}

void set_default_device(const Device* device) { process_choice = device; }
const Device* thread_device() { return thread_choice; }
void set_thread_device(const Device* device) { thread_choice = device; }

}  // namespace cyxwiz
