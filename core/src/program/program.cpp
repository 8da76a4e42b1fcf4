#include "cyxwiz/program.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "cyxwiz/error.h"
#include "cyxwiz/ops.h"
#include "graph/node.h"
#include "ops/random.h"
#include "program/trace.h"

namespace cyxwiz {
namespace {

thread_local Tracing* innermost = nullptr;

struct Parameter {
  Shape shape;
  DType dtype;
  bool operator==(const Parameter& other) const = default;
};

/// Evaluates what a traced graph computes from constants alone, so that it runs once and not at
/// every call. Views and plain numbers stay: they cost nothing, and a constant of zeros needs no
/// memory.
void fold_constants(std::span<Node* const> roots) {
  Trace trace;
  walk(roots, trace);
  std::vector<Tensor> constants;
  for (Node* node : trace.nodes) {
    if (!node->is_leaf() && !node->traced && !is_view(node->op)) {
      constants.emplace_back(node->shared_from_this());
    }
  }
  evaluate(constants);
}

/// Where a Program runs: numbers go along with what they meet.
const Device* device_of(std::span<const Tensor> inputs, std::span<const Tensor> results) {
  for (std::span<const Tensor> tensors : {results, inputs}) {
    for (const Tensor& tensor : tensors) {
      if (!tensor.node()->weak) return tensor.device();
    }
  }
  return default_device();
}

}  // namespace

Tracing::Tracing() : outer_(innermost) { innermost = this; }
Tracing::~Tracing() { end(); }
void Tracing::end() {
  if (active_) innermost = outer_;
  active_ = false;
}
Tracing* Tracing::current() { return innermost; }

Tensor record(const Value& instruction, std::span<const Tensor> inputs) {
  const auto& [op, dtype, shape, ids, count, attributes] = instruction;
  switch (inputs.size()) {
    case 0:
      return record(op, dtype, shape, {}, attributes);
    case 1:
      return record(op, dtype, shape, {inputs[0]}, attributes);
    case 2:
      return record(op, dtype, shape, {inputs[0], inputs[1]}, attributes);
    default:
      return record(op, dtype, shape, {inputs[0], inputs[1], inputs[2]}, attributes);
  }
}

Tensor placeholder(const Shape& shape, DType dtype, bool weak) {
  element_count(shape);
  auto node = std::make_shared<Node>();
  node->dtype = dtype;
  node->shape = shape;
  node->device = default_device();
  node->weak = weak;
  node->traced = true;
  return Tensor(std::move(node));
}

struct Program::State {
  Graph graph;
  const Device* device = nullptr;
  uint64_t epoch = 0;
  std::unique_ptr<Executable> executable;
  std::vector<Parameter>
      parameters;  // of the inputs; `graph.inputs` has streams and constants after
  size_t streams = 0;
  std::vector<Argument> constants;
  std::vector<Parameter> results;

  // Scratch of one run at a time, kept so that the steady state allocates nothing.
  std::vector<Argument> arguments;
  std::vector<Result> outcome;

  Repeated run(std::span<Tensor> arguments, const Repeat& how);

  Executable& ready() {
    const uint64_t now = device->backend->epoch();
    if (!executable || epoch != now) {
      executable = device->backend->compile(graph, *device);
      epoch = now;
    }
    return *executable;
  }
};

Program::Program(std::span<const Tensor> inputs, std::span<const Tensor> outputs,
                 const Tracing& tracing, std::vector<bool> donated)
    : state_(std::make_unique<State>()) {
  const std::lock_guard lock(graph_mutex());
  State& state = *state_;
  donated.resize(inputs.size(), false);

  // A number that stayed weak leaves the Program as what Tensor(number) would be.
  std::vector<Tensor> results;
  for (const Tensor& output : outputs) {
    const bool real = output.node()->weak && is_floating(output.dtype());
    results.push_back(real ? astype(output, DType::kFloat32) : output);
    state.results.push_back({results.back().shape(), results.back().dtype()});
  }
  std::vector<Node*> roots;
  for (const Tensor& result : results) roots.push_back(result.node().get());
  state.device = device_of(inputs, results);
  fold_constants(roots);
  Trace trace;
  walk(roots, trace);
  trace.outputs = roots;

  // The Graph's inputs come in the leaves' order; arguments come as inputs, streams, constants. An
  // input that nothing uses has no leaf: its argument is checked and dropped.
  const Graph walked = build(trace);
  state.graph = walked;
  state.graph.inputs.clear();
  state.graph.donated.clear();
  std::unordered_map<const Node*, int> leaf_value;
  for (size_t i = 0; i < trace.leaves.size(); ++i) leaf_value[trace.leaves[i]] = walked.inputs[i];
  auto add_argument = [&](const Tensor& tensor, bool donate) {
    const Node* node = tensor.node().get();
    int id;
    if (const auto found = leaf_value.find(node); found != leaf_value.end()) {
      id = found->second;
      leaf_value.erase(found);
    } else {
      id = static_cast<int>(state.graph.values.size());
      Value unused;
      unused.dtype = node->dtype;
      unused.shape = node->shape;
      state.graph.values.push_back(unused);
    }
    state.graph.inputs.push_back(id);
    state.graph.donated.push_back(donate);
  };
  for (size_t i = 0; i < inputs.size(); ++i) {
    state.parameters.push_back({inputs[i].shape(), inputs[i].dtype()});
    add_argument(inputs[i], donated[i]);
  }
  for (const Tensor& stream : tracing.streams()) add_argument(stream, false);
  state.streams = tracing.streams().size();
  for (const Node* leaf : trace.leaves) {
    if (!leaf_value.contains(leaf)) continue;
    if (leaf->traced) {
      throw TracingError(
          "the result depends on a traced tensor that is not an argument of the function");
    }
    Argument constant;
    constant.buffer = leaf->buffer;
    constant.offset = leaf->offset;
    if (!leaf->evaluated()) constant.immediate = scalar_bytes(*leaf);
    state.constants.push_back(std::move(constant));
    state.graph.inputs.push_back(leaf_value.at(leaf));
    state.graph.donated.push_back(false);
  }
  state.ready();
}

Program::~Program() = default;

std::vector<Tensor> Program::operator()(std::span<Tensor> arguments) {
  return state_->run(arguments, {}).outputs;
}

Program::Repeated Program::repeat(std::span<Tensor> arguments, const Repeat& how) {
  const std::vector<Parameter>&from = state_->results, &to = state_->parameters;
  if (how.counter >= to.size() || to[how.counter].dtype != DType::kInt64 ||
      to[how.counter].shape.rank() != 0) {
    throw DTypeError("Program.repeat: the counter must be an argument that is one int64");
  }
  if (from.size() > to.size() || !std::equal(from.rbegin(), from.rend(), to.rbegin())) {
    throw ShapeError("Program.repeat: the outputs don't fit the last inputs");
  }
  return state_->run(arguments, how);
}

Program::Repeated Program::State::run(std::span<Tensor> arguments, const Repeat& how) {
  State& state = *this;
  if (arguments.size() != state.parameters.size()) {
    throw ValueError("a Program of " + std::to_string(state.parameters.size()) + " inputs got " +
                     std::to_string(arguments.size()));
  }
  const std::lock_guard lock(graph_mutex());
  for (size_t i = 0; i < arguments.size(); ++i) {
    const auto& [shape, dtype] = state.parameters[i];
    if (arguments[i].node()->op != Op::kScalar && arguments[i].device() != state.device) {
      throw DeviceError("a Program that runs on " + state.device->spec() + " got a tensor on " +
                        arguments[i].device()->spec() + " as input " + std::to_string(i) +
                        "; move it with .to(\"" + state.device->spec() + "\")");
    }
    if (arguments[i].shape() != shape) {
      throw ShapeError("a Program's input " + std::to_string(i) + " has shape " + to_string(shape) +
                       ", got " + to_string(arguments[i].shape()));
    }
    if (arguments[i].node()->op == Op::kScalar) arguments[i] = astype(arguments[i], dtype);
    if (arguments[i].dtype() != dtype) {
      throw DTypeError("a Program's input " + std::to_string(i) + " is " +
                       std::string(name(dtype)) + ", got " +
                       std::string(name(arguments[i].dtype())));
    }
  }
  std::vector<Tensor> pending;
  for (const Tensor& argument : arguments) {
    const Node& node = *argument.node();
    if (!node.evaluated() && node.op != Op::kScalar) pending.push_back(argument);
  }
  evaluate(pending);
  pending.clear();

  // Taken out of the State while it runs: a Backend may run any Python code, this Program in it.
  std::vector<Argument> given = std::exchange(state.arguments, {});
  std::vector<Result> outcome = std::exchange(state.outcome, {});
  struct Release {
    State& state;
    std::vector<Argument>& given;
    std::vector<Result>& outcome;
    ~Release() {
      given.clear();
      outcome.clear();
      state.arguments = std::move(given);
      state.outcome = std::move(outcome);
    }
  } release{state, given, outcome};
  const DeviceScope scope(state.device);
  for (size_t i = 0; i < arguments.size(); ++i) {
    Argument& argument = given.emplace_back();
    Node& node = *arguments[i].node();
    if (!node.evaluated()) {
      argument.immediate = scalar_bytes(node);
      continue;
    }
    argument.offset = node.offset;
    const bool only_handle = state.graph.donated[i] && arguments[i].node().use_count() == 1;
    argument.buffer = only_handle ? std::move(node.buffer) : node.buffer;
    if (state.graph.donated[i]) arguments[i] = Tensor();
  }
  const size_t inputs = given.size(), first_state = inputs - state.results.size();
  given.resize(inputs + state.streams);
  given.insert(given.end(), state.constants.begin(), state.constants.end());
  outcome.resize(state.results.size());
  Executable& executable = state.ready();
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Repeated repeated;
  for (;;) {
    for (size_t i = 0; i < state.streams; ++i) {
      const Tensor stream = draw_stream();
      given[inputs + i] = {stream.node()->buffer, stream.node()->offset, {}};
    }
    executable.run(given, outcome);
    repeated.runs += 1;
    if (repeated.runs >= how.times) break;
    if (std::chrono::duration<double>(Clock::now() - start).count() >= how.seconds) break;
    for (size_t i = 0; i < outcome.size(); ++i) {
      given[first_state + i] = {std::move(outcome[i].buffer), outcome[i].offset, {}};
    }
    std::array<std::byte, 8>& counter = given[how.counter].immediate;
    counter = std::bit_cast<std::array<std::byte, 8>>(std::bit_cast<int64_t>(counter) + how.step);
  }
  repeated.outputs.reserve(state.results.size());
  for (size_t i = 0; i < state.results.size(); ++i) {
    Result& result = outcome[i];
    repeated.outputs.push_back(from_buffer(std::move(result.buffer), result.offset,
                                           state.results[i].shape, state.results[i].dtype));
  }
  return repeated;
}

const std::vector<bool>& Program::donated() const { return state_->graph.donated; }

std::vector<std::string> Program::steps() const { return state_->executable->describe(); }

}  // namespace cyxwiz
