// A Program on the CPU: its steps, and where in memory each value lies.
#pragma once

#include <vector>

#include "cpu/step.h"
#include "cyxwiz/device.h"

namespace cyxwiz::cpu {

class CpuExecutable final : public Executable {
 public:
  CpuExecutable(const Graph& graph, const Device& device);

  void run(std::span<Argument> arguments, std::span<Result> results) override;
  std::vector<std::string> describe() const override;

 private:
  // A value that leaves the Program, or memory of an argument that does.
  struct Output {
    int value = 0;
    int64_t offset = 0;  ///< bytes
    int computed = -1;   ///< index into `computed_`, or
    int argument = -1;   ///< … of the argument that it is
  };
  // A value with a Buffer of its own, which may be that of a donated argument.
  struct Computed {
    int value = 0;
    int64_t bytes = 0;
    int donor = -1;
  };

  void make_steps(const Lowered& lowered);
  void merge_alike();
  void append_by_rows();
  void remove(size_t step, size_t heir);
  void plan_outputs(const Lowered& lowered);
  void plan_arena(const Lowered& lowered);
  void find_donors(const Lowered& lowered);

  const Device& device_;
  std::vector<StepPtr> steps_;
  std::vector<std::vector<int>> reads_, writes_;  // values of each step; only while it is planned
  std::vector<Place> places_;                     // likewise, of each value
  std::vector<int64_t> scratch_;                  // of each step, an offset into the arena
  std::vector<Output> outputs_;
  std::vector<Computed> computed_;
  int64_t arena_bytes_ = 0;
  int arguments_ = 0;
  std::vector<char*> slots_;  // the arena, the arguments, what is computed
};

}  // namespace cyxwiz::cpu
