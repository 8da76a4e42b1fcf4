// Tensor: what users hold. A handle of an immutable value that may not be computed yet.
#pragma once

#include <memory>
#include <span>

#include "cyxwiz/device.h"
#include "cyxwiz/dtype.h"
#include "cyxwiz/shape.h"

namespace cyxwiz {

struct Node;
using NodePtr = std::shared_ptr<Node>;

class Tensor {
 public:
  Tensor() = default;  ///< holds nothing: using it throws
  explicit Tensor(NodePtr node) : node_(std::move(node)) {}
  /// A number as a 0-d Tensor that takes the dtype of what it meets (`x * 0.5` stays x's dtype).
  Tensor(double value);
  Tensor(int value);
  Tensor(int64_t value);

  const Shape& shape() const;
  DType dtype() const;
  const Device* device() const;
  int rank() const { return shape().rank(); }
  int64_t size() const;
  bool defined() const { return node_ != nullptr; }
  /// Does it depend on a placeholder, so that it has no value outside a Program?
  bool is_traced() const;
  /// Does it have its value? If not, another thread may be computing it right now.
  bool is_computed() const;

  /// The elements, row-major and dense, evaluated now. Throws DeviceError where they lie on a
  /// device that the host can't reach: bring them with to(x, host_device()).
  const void* data() const;
  template <class T>
  const T* data_as() const {
    return static_cast<const T*>(data());
  }

  const NodePtr& node() const {
    if (!node_) throw_empty();
    return node_;
  }

 private:
  [[noreturn]] static void throw_empty();

  NodePtr node_;
};

/// A Tensor with a copy of `data`, row-major and dense.
Tensor from_data(const void* data, const Shape& shape, DType dtype);

/// `x` on another device, or `x` itself when it is there. Evaluates it; throws DeviceError where a
/// trace or a derivative would lose sight of it.
Tensor to(const Tensor& x, const Device* device);

/// The value of `x` in the host's memory, for reading: `x` itself when it is there.
Tensor on_host(const Tensor& x);

/// A Tensor of `buffer`, dense from `offset` bytes on, without a copy.
Tensor from_buffer(BufferPtr buffer, int64_t offset, const Shape& shape, DType dtype);

/// Evaluates a Tensor whose pending graph is long, or keeps much memory alive that nobody else
/// needs: what bounds loops that never read.
void evaluate_if_large(const Tensor& tensor);

/// What recording calls instead of evaluate_if_large() where a graph may have grown large: for a
/// host language with a lock of its own, which must not be held while Programs run.
using Trigger = void (*)(const Tensor&);
void set_trigger(Trigger trigger);

/// Evaluates them together: what they share is computed once.
void evaluate(std::span<const Tensor> tensors);

}  // namespace cyxwiz
