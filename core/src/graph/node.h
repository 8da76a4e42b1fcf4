// Node: one operation in the lazy graph. After evaluation it owns a Buffer and forgets its inputs.
//
// Recording reads only what never changes (op, dtype, shape). What evaluation changes (buffer,
// inputs, the marks) is read and written under graph_mutex().
#pragma once

#include <array>
#include <atomic>
#include <mutex>
#include <vector>

#include "cyxwiz/op.h"
#include "cyxwiz/tensor.h"

namespace cyxwiz {

struct Node : std::enable_shared_from_this<Node> {
  Op op = Op::kInput;
  DType dtype = DType::kFloat32;
  /// A number's Node (or one computed from numbers alone): takes the dtype of what it meets.
  bool weak = false;
  /// Part of a watched computation: keeps its inputs after evaluation, for derivatives.
  bool watched = false;
  /// Depends on a placeholder: has no value outside a Program.
  bool traced = false;
  /// Was computed inside a Program for a consumer while a handle to it was alive.
  bool recomputed = false;
  uint8_t input_count = 0;
  /// The longest pending chain below it; 0 once evaluated. Read while others evaluate: atomic.
  std::atomic<int32_t> depth = 0;
  /// At least the memory of the leaves below it while it is pending: what is shared counts again.
  std::atomic<int64_t> held_bytes = 0;
  const Device* device = nullptr;
  Shape shape;
  std::array<NodePtr, 3> inputs;
  std::vector<int64_t> attributes;
  union {
    double real;
    int64_t integer;
  } number{};  ///< the value of a kScalar: real for floating dtypes

  BufferPtr buffer;  ///< dense from `offset` bytes on, once evaluated
  int64_t offset = 0;
  /// Set once the buffer is there to stay: readers that see it need no lock.
  std::atomic<bool> computed = false;

  // Marks of the walk in progress.
  uint64_t mark = 0;
  int32_t id = 0;
  int32_t uses = 0;

  Node() = default;
  ~Node();  ///< Iterative, so that a long chain can't overflow the stack.
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  bool evaluated() const { return buffer != nullptr; }
  /// Nothing to compute: it has its value, or is given one.
  bool is_leaf() const { return evaluated() || op <= Op::kScalar; }
  std::span<const NodePtr> operands() const { return {inputs.data(), input_count}; }
};

/// A pending chain this long, or one that keeps this much memory alive, is evaluated where it
/// stands.
inline constexpr int32_t kLongestPending = 200;
inline constexpr int64_t kMostHeld = int64_t{256} << 20;

/// Guards evaluation and derivatives. Held while Programs run: never taken with the GIL held.
std::recursive_mutex& graph_mutex();

/// A number for walks: Nodes whose `mark` equals it were visited. Call under graph_mutex().
uint64_t next_mark();

/// Makes a Node, or evaluates right after when the pending graph has grown large.
Tensor record(Op op, DType dtype, const Shape& shape, std::initializer_list<Tensor> inputs,
              std::vector<int64_t> attributes = {});

/// A number as a 0-d Tensor of `dtype`.
Tensor scalar(double value, DType dtype);
Tensor scalar(int64_t value, DType dtype);

/// The element of a kScalar Node, converted to its dtype.
std::array<std::byte, 8> scalar_bytes(const Node& node);

}  // namespace cyxwiz
