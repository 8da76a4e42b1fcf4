// What a compiled opaque step of the CPU backend is: a Kernel, made once per Program, run many
// times. Made by the `make_…` functions of contraction.h, window.h, index.h and random.h; run by
// the executor.
#pragma once

#include <memory>
#include <span>

#include "cyxwiz/dtype.h"
#include "cyxwiz/shape.h"

namespace cyxwiz::cpu {

/// How an operand lies in memory. Strides count elements; 0 along a broadcast axis.
struct Layout {
  DType dtype = DType::kFloat32;
  Shape shape;
  Strides strides;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  /// Computes into `outputs` from `inputs`, which lie as the Layouts given at creation say; the
  /// pointers are to the first elements and may differ at every call, and so may their alignment.
  /// `scratch` is `scratch_bytes()` long, 64-byte aligned, uninitialised. Outputs never overlap
  /// inputs.
  virtual void run(std::span<const void* const> inputs, std::span<void* const> outputs,
                   void* scratch) = 0;

  virtual int64_t scratch_bytes() const { return 0; }

  /// How a kernel is run whose results' rows are independent: each of inputs[0]'s rows makes one.
  struct Rows {
    int64_t count = 0;  ///< 0: not by rows, or not well
    int64_t unit = 1;   ///< how many are best computed together
    int64_t cost = 0;   ///< of all of them, in nanoseconds on one thread
  };
  virtual Rows rows() const { return {}; }

  /// Instead of run(), without scratch: ranges of rows that together are all, from any threads.
  virtual void run_rows(std::span<const void* const>, std::span<void* const>, int64_t, int64_t) {}
};

using KernelPtr = std::unique_ptr<Kernel>;

}  // namespace cyxwiz::cpu
