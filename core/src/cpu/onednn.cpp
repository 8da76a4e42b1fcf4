#include "cpu/onednn.h"

#include <omp.h>

#include <cstddef>
#include <new>
#include <stdexcept>

#include "cpu/isa.h"

namespace cyxwiz::cpu {
namespace {

/// Primitives that oneDNN keeps beyond those that Programs hold. Ever-changing shapes fill it.
constexpr int kPrimitiveCacheCapacity = 256;

dnnl::engine make_engine() {
  // CYXWIZ_ISA holds for oneDNN too. Where it has been used by others already this has no effect.
#if defined(__x86_64__)
  if (isa() == Isa::kBaseline) dnnl::set_max_cpu_isa(dnnl::cpu_isa::sse41);
  if (isa() == Isa::kAvx2) dnnl::set_max_cpu_isa(dnnl::cpu_isa::avx2);
#endif
  dnnl::set_primitive_cache_capacity(kPrimitiveCacheCapacity);
  return dnnl::engine(dnnl::engine::kind::cpu, 0);
}

dnnl_stream_t onednn_stream() {
  thread_local const dnnl::stream stream(onednn_engine());
  return stream.get();
}

}  // namespace

std::string onednn_version() {
  const dnnl_version_t& v = *dnnl_version();
  return std::to_string(v.major) + '.' + std::to_string(v.minor) + '.' + std::to_string(v.patch);
}

const dnnl::engine& onednn_engine() {
  // Never destroyed: threads may still compute while the process exits.
  alignas(dnnl::engine) static std::byte storage[sizeof(dnnl::engine)];
  static const dnnl::engine* const engine = new (storage) dnnl::engine(make_engine());
  return *engine;
}

OnednnSerial::OnednnSerial() : saved_(omp_get_max_threads()) { omp_set_num_threads(1); }
OnednnSerial::~OnednnSerial() { omp_set_num_threads(saved_); }

dnnl::memory::desc onednn_floats(const dnnl::memory::dims& sizes,
                                 const dnnl::memory::dims& strides) {
  return {sizes, dnnl::memory::data_type::f32, strides};
}

dnnl::memory::desc onednn_floats(const dnnl::memory::dims& sizes) {
  dnnl::memory::dims strides(sizes.size(), 1);
  for (size_t i = sizes.size(); i-- > 1;) strides[i - 1] = strides[i] * sizes[i];
  return onednn_floats(sizes, strides);
}

BoundPrimitive::BoundPrimitive(const dnnl::primitive& primitive,
                               const dnnl::memory::desc& scratchpad,
                               const std::vector<Argument>& arguments, int64_t slots)
    : primitive_(primitive), scratchpad_bytes_(static_cast<int64_t>(scratchpad.get_size())) {
  slots_.resize(static_cast<size_t>(slots));
  for (Slot& slot : slots_) {
    const auto bind = [&slot](int index, const dnnl::memory::desc& desc) {
      slot.memories.emplace_back(desc, onednn_engine(), nullptr);
      slot.arguments.push_back({index, slot.memories.back().get()});
    };
    for (const Argument& argument : arguments) bind(argument.index, argument.desc);
    bind(DNNL_ARG_SCRATCHPAD, scratchpad);
  }
}

void BoundPrimitive::run(int64_t slot, std::initializer_list<const void*> pointers,
                         void* scratchpad, std::atomic<dnnl_status_t>& status) {
  OnednnSerial serial;
  try {
    const std::vector<dnnl_exec_arg_t>& arguments = slots_[static_cast<size_t>(slot)].arguments;
    size_t i = 0;
    // oneDNN takes what it only reads as a mutable pointer too.
    for (const void* p : pointers) {
      dnnl_memory_set_data_handle(arguments[i++].memory, const_cast<void*>(p));
    }
    dnnl_memory_set_data_handle(arguments[i].memory, scratchpad);
    const dnnl_status_t result = dnnl_primitive_execute(
        primitive_.get(), onednn_stream(), static_cast<int>(arguments.size()), arguments.data());
    if (result != dnnl_success) status = result;
  } catch (const std::exception&) {
    status = dnnl_runtime_error;
  }
}

void check_onednn(const std::atomic<dnnl_status_t>& status, const std::string& operation) {
  const dnnl_status_t result = status.load();
  if (result == dnnl_success) return;
  throw std::runtime_error(operation + ": oneDNN failed with status " +
                           std::to_string(static_cast<int>(result)));
}

}  // namespace cyxwiz::cpu
