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
};

using KernelPtr = std::unique_ptr<Kernel>;

}  // namespace cyxwiz::cpu
