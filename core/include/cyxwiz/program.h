// Programs: the compiled form of a graph, and the traces they are made from.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cyxwiz/op.h"
#include "cyxwiz/tensor.h"

namespace cyxwiz {

/// One instruction of a Graph: typed, in single static assignment form.
struct Value {
  Op op = Op::kInput;
  DType dtype = DType::kFloat32;
  Shape shape;
  std::array<int, 3> inputs{};  ///< ids of earlier values
  int input_count = 0;
  std::vector<int64_t> attributes;  ///< as op.h says

  std::span<const int> operands() const {
    return {inputs.data(), static_cast<size_t>(input_count)};
  }
  bool operator==(const Value& other) const = default;
};

/// What a Backend compiles: values in an order in which inputs come first.
struct Graph {
  std::vector<Value> values;
  std::vector<int> inputs;    ///< ids of the kInput values, in the arguments' order
  std::vector<bool> donated;  ///< for each input: may its memory be written over?
  std::vector<int> outputs;
};

/// The result of one instruction, unchecked: for Backends, which have it from a Graph. The
/// instruction's `inputs` are not looked at.
Tensor record(const Value& instruction, std::span<const Tensor> inputs);

/// While it lives, this thread records without the automatic trigger, and random streams are
/// inputs: a Program made from the trace draws anew at every run.
class Tracing {
 public:
  Tracing();
  ~Tracing();
  Tracing(const Tracing&) = delete;
  Tracing& operator=(const Tracing&) = delete;

  /// Ends the recording before the object's own end; the trace stays readable.
  void end();

  /// The random streams drawn so far, as placeholders, in order.
  const std::vector<Tensor>& streams() const { return streams_; }
  void add_stream(Tensor stream) { streams_.push_back(std::move(stream)); }

  static Tracing* current();  ///< this thread's innermost, or null

 private:
  Tracing* outer_;
  bool active_ = true;
  std::vector<Tensor> streams_;
};

/// A value that a trace does not have yet. `weak`: a number that takes the dtype of what it meets.
Tensor placeholder(const Shape& shape, DType dtype, bool weak = false);

/// A traced function of Tensors, compiled once, run many times.
class Program {
 public:
  /// `inputs` are placeholders; `outputs` were computed from them. What else they were computed
  /// from is a constant of the Program. `donated`: one flag for each input, or empty.
  Program(std::span<const Tensor> inputs, std::span<const Tensor> outputs, const Tracing& tracing,
          std::vector<bool> donated = {});
  ~Program();

  /// Throws ShapeError or DTypeError when an argument differs from its placeholder. A donated
  /// argument's handle is left undefined.
  std::vector<Tensor> operator()(std::span<Tensor> arguments);

  /// How repeat() goes on from run to run.
  struct Repeat {
    size_t counter = 0;  ///< the int64 argument that grows …
    int64_t step = 0;    ///< … by so much
    int64_t times = 1;   ///< the most runs
    double seconds = 0;  ///< after so long no further run begins; the first one always does
  };
  struct Repeated {
    std::vector<Tensor> outputs;
    int64_t runs = 0;
  };

  /// Runs again and again, each time with the last run's outputs as the last arguments: a training
  /// loop in one call. Throws as a call does, and ShapeError or DTypeError where outputs and last
  /// inputs differ.
  Repeated repeat(std::span<Tensor> arguments, const Repeat& how);

  const std::vector<bool>& donated() const;
  std::vector<std::string> steps() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct CacheStats {
  int64_t programs = 0, hits = 0, misses = 0;
};

/// The structural cache behind evaluate(): how many Programs it holds, and how often it had one.
CacheStats cache_stats();

}  // namespace cyxwiz
