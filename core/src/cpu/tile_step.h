// The fused step: a group of elementwise values and reductions as a short list of instructions that
// the block interpreter runs over one tile of the domain after another, in parallel.
#pragma once

#include <vector>

#include "cpu/step.h"
#include "cpu/tile.h"

namespace cyxwiz::cpu {

/// A memory operand of a fused step.
struct TileOperand {
  int value = 0;       ///< the lowered value that it reads or writes
  int64_t offset = 0;  ///< in elements
  Strides strides;     ///< over the step's axes, in elements
  int64_t item = 4;
  bool is_store = false;
  Place place;  ///< known once memory is planned
};

/// A reduction whose result is complete only when the step is. Offsets are bytes into the scratch.
struct TerminalReduction {
  Op op = Op::k_sum;
  Compute type = Compute::kFloat32;
  uint16_t source = 0;  ///< the pointer that holds the values
  int value = 0;
  DType dtype = DType::kFloat32;
  Strides strides;  ///< of the result over the step's axes
  Place place;
  bool is_arg = false;
  bool direct = false;   ///< one part, stored as computed: accumulated in its own memory
  int64_t partials = 0;  ///< a value for each part and element of the result
  int64_t indices = 0;   ///< … and, for argmax and argmin, its index
  int64_t combined = 0;  ///< the result as computed
  int64_t chosen = 0;    ///< argmax, argmin: the part that had the extreme
};

class TileStep final : public Step {
 public:
  TileStep(const Lowered& lowered, const Group& group);

  void bind(const std::vector<Place>& place_of) override;

  /// Joins the loop of `other`, a step with the same instructions over other memory (the update of
  /// another parameter, say), to this one's. False when they don't match.
  bool absorb(TileStep& other);

  void run(char* const* slots, char* scratch) override;
  int64_t scratch_bytes() const override { return scratch_bytes_; }
  bool may_overwrite(int input, int output) const override;
  std::string describe() const override;

 private:
  friend class TileStepBuilder;
  TileStep() = default;

  /// One domain that the instructions run over. More than one only in steps that absorbed others.
  struct Segment {
    std::vector<int64_t> sizes;  ///< of the axes: outer …, rows, cols
    int64_t tiles = 0;
    std::vector<TileOperand> operands;
    std::vector<size_t> moving;  ///< those that are not the same for every tile
  };
  /// An instruction's touch of a value in memory.
  struct Timing {
    int value = 0;
    int instruction = 0;
    bool aligned =
        false;  ///< element i of the loop touches element i of the value, in its own turn
    int64_t item = 0;
    bool is_store = false;
  };
  class Runner;

  void combine(char* const* slots, char* scratch) const;
  void fill_empty(char* const* slots, char* scratch) const;
  void store(const TerminalReduction& t, char* const* slots, char* scratch) const;
  int64_t blocks(const Segment& segment, size_t axis) const;
  int64_t reduced_tiles() const;
  bool takes_turn(double elements) const;

  ReduceKind kind_ = ReduceKind::kNone;
  std::vector<Segment> segments_;
  std::vector<TileInstruction> once_;  ///< what every tile shares, computed once a thread
  std::vector<TileInstruction> instructions_;
  std::vector<TerminalReduction> terminals_;
  std::vector<Timing> timings_;
  int registers_ = 0;
  int64_t register_bytes_ = 0;
  int64_t row_block_ = 1, col_block_ = 1;
  bool has_rows_ = false;  ///< is the second last axis a tile's rows?
  size_t kept_axes_ = 0;   ///< leading axes that a terminal reduction keeps
  int64_t out_count_ = 1;  ///< elements of a terminal reduction's result
  int64_t chunks_ = 1;     ///< kColumn: how many parts the reduced axes are cut into
  int64_t scratch_bytes_ = 0;
  double cost_ = 0;  ///< nanoseconds an element, estimated
  std::string text_;
};

}  // namespace cyxwiz::cpu
