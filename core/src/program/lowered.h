// A Graph lowered for a Backend that reads memory through strides: views are gone (folded into how
// operands are read), and values are gathered into groups that run as one step each.
#pragma once

#include <vector>

#include "cyxwiz/program.h"

namespace cyxwiz {

/// How an operation reads a value: element (i, j, …) of the reader's axes is element
/// offset + i·strides[0] + j·strides[1] + … of the dense value `base`.
struct Access {
  int base = 0;
  int64_t offset = 0;
  Strides strides;
};

/// A computed (or given) value, always dense in memory when it is in memory at all.
struct LoweredValue {
  Op op = Op::kInput;
  DType dtype = DType::kFloat32;
  Shape shape;   ///< of the result
  Shape domain;  ///< of the loop: an elementwise result's shape, a reduction's input's
  std::vector<Access> inputs;
  std::vector<Shape> input_shapes;
  std::vector<int64_t> attributes;

  bool opaque() const { return op != Op::kInput && !is_elementwise(op) && !is_reduction(op); }
};

struct LoweredOutput {
  int value = 0;
  int64_t offset = 0;  ///< in elements
};

enum class ReduceKind {
  kNone,
  kRow,     ///< each row fits a tile: its result is used inside the same tile
  kTile,    ///< trailing axes or all: partial results, combined at the end
  kColumn,  ///< leading axes: accumulated along them
};

/// Values that run as one step: one opaque value, or a fused loop nest over one domain.
struct Group {
  std::vector<int> members;  ///< in order
  bool opaque = false;
  Shape domain;  ///< without axes of size 1
  ReduceKind kind = ReduceKind::kNone;
  unsigned reduced = 0;   ///< a bit mask of the domain's reduced axes
  bool permuted = false;  ///< reduces axes that are neither leading nor trailing
  bool has_source = false;
};

struct Lowered {
  std::vector<LoweredValue> values;
  std::vector<int> inputs;  ///< for each of the Graph's inputs, its value
  std::vector<bool> donated;
  std::vector<LoweredOutput> outputs;
  std::vector<Group> groups;    ///< in an order in which they can run
  std::vector<int> group_of;    ///< for each value its group, -1 for inputs
  std::vector<bool> row_level;  ///< for each value: one element a row of a kRow group
  std::vector<bool> stored;     ///< for each value: does it need memory of its own?
};

Lowered lower(const Graph& graph);

/// `shape` without its axes of size 1, and the strides that go with it.
Shape squeezed(const Shape& shape);
Strides squeezed(const Strides& strides, const Shape& shape);

}  // namespace cyxwiz
