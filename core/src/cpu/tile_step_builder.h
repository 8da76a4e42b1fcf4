// Makes a TileStep from a group of lowered values.
#pragma once

#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include "cpu/tile_step.h"

namespace cyxwiz::cpu {

class TileStepBuilder {
 public:
  TileStepBuilder(const Lowered& lowered, const Group& group, TileStep& step)
      : lowered_(lowered), group_(group), step_(step) {}

  /// Makes the step, for tiles of about so many elements.
  void build(int64_t tile);
  /// How many elements suit what the group is; and, after build(), what its registers take.
  int64_t likely_tile() const;
  int64_t best_tile() const;

 private:
  // Elements in a tile: its registers together should stay well within a 32 KiB L1 cache. What
  // needs none can take long strides. A chain without a reduction takes short ones: so few
  // instructions that the processor begins the next operation, and its loads from memory, while it
  // still computes the last. They are longer where it fetches the next tile meanwhile.
  static constexpr int64_t kTile = 1024, kLongTile = 8192, kChainTile = 256, kFunctionsTile = 512;

  // Where a value is while a tile is computed: a virtual register, or a memory operand.
  struct Location {
    bool memory = false;
    int index = 0;
    Compute type = Compute::kFloat32;
    bool row = false;
  };
  // An instruction before registers are assigned.
  struct Draft {
    TileInstruction instruction;
    TilePass pass;             ///< of operations on operands of one type; else `outer` is kInput
    size_t once_operands = 0;  ///< of a form: those that are one element (bits)
    Location to;
    std::vector<Location> inputs;
    bool once = false;
    bool single = false;  ///< fills a register with one element, which its input holds
  };
  // An axis of the step: how its operands step along it, and what a reduction does with it.
  struct Axis {
    int64_t size = 1;
    enum Role { kOuter, kReduced, kInner } role = kOuter;
  };

  const LoweredValue& value(int v) const { return lowered_.values[static_cast<size_t>(v)]; }
  bool row_level(int v) const { return lowered_.row_level[static_cast<size_t>(v)]; }
  bool stored(int v) const { return lowered_.stored[static_cast<size_t>(v)]; }
  bool in_group(int v) const;
  bool is_terminal(int v) const {
    return is_reduction(value(v).op) && group_.kind != ReduceKind::kRow;
  }

  void arrange_axes();
  void collapse_axes();
  void choose_tile(int64_t elements);
  Strides step_strides(const Strides& strides, const Shape& domain, bool row) const;

  int new_register() { return registers_++; }
  int new_operand(int value, int64_t offset, const Strides& strides, bool is_store, bool aligned);
  bool is_direct(const Strides& strides, bool row) const;
  bool is_invariant(const Strides& strides) const;
  Location read(const Access& access, const Shape& domain, bool row);
  Location at_level(Location from, bool row);
  Location converted(Location from, Compute to);
  Location emit(TileKernel kernel, Compute result, bool row, std::vector<Location> inputs,
                const Location* to = nullptr);
  Location own_memory(int v);
  Location destination(int v);
  void finish_value(int v, Location result, bool written);
  void emit_value(int v);
  void emit_terminal(int v);
  void combine_drafts();
  void count_reads();
  bool absorb_operands(Draft& outer);
  bool absorb_singles(Draft& draft);
  bool become(Draft& draft, const TilePass& pass, std::vector<Location> operands, size_t once = 0);
  std::pair<Op, std::vector<Location>> parts_of(const Draft& draft) const;
  const Draft* inner_of(const Location& operand, const Draft& reader) const;
  bool is_single(const Location& operand) const;
  void note_memory();
  void note(const Location& location, size_t instruction, bool is_store);
  void assign_registers();
  bool computes_functions() const;
  void fetch_ahead();
  void plan_terminals();
  uint16_t pointer(const Location& location) const;

  const Lowered& lowered_;
  const Group& group_;
  TileStep& step_;
  std::vector<Axis> axes_;
  std::vector<int> order_;                // axes_[i] is the squeezed domain's axis order_[i]
  std::vector<std::vector<int>> merged_;  // which of those each final axis stands for
  std::vector<Draft> drafts_;
  std::map<int, Location> location_;  // of the group's own values
  std::map<std::tuple<int, int64_t, std::vector<int64_t>, bool>, Location> loads_;
  std::map<std::pair<int, int>, Location> expanded_;
  std::vector<char> aligned_;  // of each memory operand: element i in element i's turn?
  int registers_ = 0;
  std::vector<int> reads_,
      writer_;  // of each virtual register: how often read, by which draft made
  std::vector<int> physical_;
  std::vector<Location> terminal_sources_;
};

}  // namespace cyxwiz::cpu
