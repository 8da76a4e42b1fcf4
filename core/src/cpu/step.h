// A step of a compiled Program: the unit that the executor runs, one after another.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "program/lowered.h"

namespace cyxwiz::cpu {

/// Where a value lies while a Program runs: `offset` bytes into a slot of the run's pointer table.
struct Place {
  int slot = 0;
  int64_t offset = 0;
};

class Step {
 public:
  virtual ~Step() = default;
  /// To be called before run(): where each value lies.
  virtual void bind(const std::vector<Place>& place_of) = 0;
  /// `slots` are the run's memory; `scratch` is scratch_bytes() long.
  virtual void run(char* const* slots, char* scratch) = 0;
  virtual int64_t scratch_bytes() const { return 0; }
  /// May `output`, a value this step computes, be written over `input`, which nothing reads later?
  virtual bool may_overwrite([[maybe_unused]] int input, [[maybe_unused]] int output) const {
    return false;
  }
  /// Takes over what `next` does, which comes right after, where doing both at once is better.
  virtual bool append([[maybe_unused]] Step& next) { return false; }
  virtual std::string describe() const = 0;
};

using StepPtr = std::unique_ptr<Step>;

}  // namespace cyxwiz::cpu
