// oneDNN for this library: one engine, a stream a thread, and primitives that run on the thread
// that calls them. oneDNN never starts threads here: kernels cut their work into parts whose number
// depends on sizes only, and run a primitive on each through parallel_ranges. So results have the
// same bits for any number of threads (oneDNN's own split of a long sum does not promise that),
// every thread flushes denormals, and a forked child computes.
#pragma once

#include <atomic>
#include <initializer_list>
#include <oneapi/dnnl/dnnl.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace cyxwiz::cpu {

/// "3.2.0".
std::string onednn_version();

/// The engine, created at the first call.
const dnnl::engine& onednn_engine();

/// While it lives, what oneDNN does on this thread stays on this thread. Needed where primitives
/// are made (the number of threads shapes them) and where they run.
class OnednnSerial {
 public:
  OnednnSerial();
  ~OnednnSerial();
  OnednnSerial(const OnednnSerial&) = delete;
  OnednnSerial& operator=(const OnednnSerial&) = delete;

 private:
  int saved_;
};

/// A float32 tensor, contiguous or with the given strides.
dnnl::memory::desc onednn_floats(const dnnl::memory::dims& sizes);
dnnl::memory::desc onednn_floats(const dnnl::memory::dims& sizes,
                                 const dnnl::memory::dims& strides);

/// A primitive with, for each of some concurrent callers ("slots"), arguments bound in advance.
class BoundPrimitive {
 public:
  struct Argument {
    int index;  ///< DNNL_ARG_…
    dnnl::memory::desc desc;
  };

  BoundPrimitive(const dnnl::primitive& primitive, const dnnl::memory::desc& scratchpad,
                 const std::vector<Argument>& arguments, int64_t slots);

  /// Runs on this thread; pointers come in the order of the arguments. A slot serves one thread at
  /// a time. A failure is noted in `status`, as an exception must not leave a parallel region.
  void run(int64_t slot, std::initializer_list<const void*> pointers, void* scratchpad,
           std::atomic<dnnl_status_t>& status);

  int64_t scratchpad_bytes() const { return scratchpad_bytes_; }

 private:
  struct Slot {
    std::vector<dnnl::memory> memories;
    std::vector<dnnl_exec_arg_t> arguments;
  };

  dnnl::primitive primitive_;
  std::vector<Slot> slots_;
  int64_t scratchpad_bytes_ = 0;
};

/// Throws std::runtime_error when a run was noted as failed.
void check_onednn(const std::atomic<dnnl_status_t>& status, const std::string& operation);

/// `make()`, with oneDNN's errors turned into std::runtime_error that names the operation.
template <class Make>
auto with_onednn(const std::string& operation, Make&& make) {
  OnednnSerial serial;
  try {
    return make();
  } catch (const dnnl::error& e) {
    throw std::runtime_error(operation + ": oneDNN: " + e.message);
  }
}

}  // namespace cyxwiz::cpu
