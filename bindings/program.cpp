#include <nanobind/stl/vector.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "convert.h"
#include "cyxwiz/ops.h"

using cyxwiz::Program;
using cyxwiz::Tensor;
using cyxwiz::Tracing;

namespace {

/// Tracing as a context manager.
class TracingScope {
 public:
  void enter() { tracing_ = std::make_unique<Tracing>(); }
  /// The trace stays readable after the scope: a Program is made from it.
  void exit() {
    const GilRelease release;
    tracing_->end();
  }
  const Tracing& get() const {
    if (!tracing_) throw cyxwiz::ValueError("Tracing: use it in a with statement");
    return *tracing_;
  }

 private:
  std::unique_ptr<Tracing> tracing_;
};

/// `call(inputs)` without the GIL, `inputs` being the arguments' tensors.
template <class Call>
auto with_arguments(Program& program, nb::handle arguments, Call&& call) {
  // Python's own iteration would take longer than a small Program.
  const nb::object sequence =
      nb::steal(PySequence_Fast(arguments.ptr(), "a Program's arguments are a sequence"));
  if (!sequence.is_valid()) nb::raise_python_error();
  const std::span<PyObject* const> items(PySequence_Fast_ITEMS(sequence.ptr()),
                                         static_cast<size_t>(nb::len(sequence)));
  std::vector<Tensor> inputs;
  inputs.reserve(items.size());
  for (PyObject* item : items) inputs.push_back(to_operand(item));
  // A donated argument's handle gives its value up, so that no owner of it is left here; when the
  // Program refuses its arguments, nothing is lost.
  const std::vector<bool>& donated = program.donated();
  auto each_donated = [&](auto&& action) {
    for (size_t i = 0; i < std::min(items.size(), donated.size()); ++i) {
      if (donated[i] && nb::isinstance<Tensor>(items[i])) {
        action(nb::cast<Tensor&>(nb::handle(items[i])), inputs[i]);
      }
    }
  };
  each_donated([](Tensor& handle, const Tensor&) { handle = Tensor(); });
  try {
    const GilRelease release;
    auto results = call(std::span<Tensor>(inputs));
    inputs.clear();
    return results;
  } catch (...) {
    each_donated([](Tensor& handle, const Tensor& input) {
      if (input.defined()) handle = input;
    });
    throw;
  }
}

nb::list run(Program& program, nb::handle arguments) {
  return to_list(with_arguments(program, arguments, std::ref(program)));
}

nb::tuple repeat(Program& program, nb::handle arguments, size_t counter, int64_t step,
                 int64_t times, double seconds) {
  const Program::Repeated repeated =
      with_arguments(program, arguments, [&](std::span<Tensor> inputs) {
        return program.repeat(inputs, {counter, step, times, seconds});
      });
  return nb::make_tuple(to_list(repeated.outputs), repeated.runs);
}

/// The key of arguments that are Tensors and numbers and nothing else, with all that a trace made
/// for them depends on; None for others. They are what a compiled call mostly gets: their key is
/// made in a tenth of the time that the general one takes.
nb::object plain_signature(nb::tuple arguments, nb::list leaves) {
  constexpr size_t kMostWords = 128;
  int64_t key[kMostWords];
  size_t words = 0;
  bool has_device = false;
  key[words++] = static_cast<int64_t>(cyxwiz::matmul_precision());
  for (nb::handle argument : arguments) {
    if (words + 3 + cyxwiz::kMaxRank > kMostWords) return nb::none();
    if (PyFloat_CheckExact(argument.ptr()) || PyLong_CheckExact(argument.ptr())) {
      key[words++] = PyFloat_CheckExact(argument.ptr()) ? -1 : -2;
    } else if (argument.type().is(nb::type<Tensor>())) {
      const Tensor& tensor = nb::cast<const Tensor&>(argument);
      key[words++] = static_cast<int64_t>(tensor.dtype()) << 8 | tensor.rank();
      key[words++] = reinterpret_cast<intptr_t>(tensor.device());
      for (int64_t size : tensor.shape()) key[words++] = size;
      has_device = true;
    } else {
      return nb::none();
    }
  }
  if (!has_device) key[words++] = reinterpret_cast<intptr_t>(cyxwiz::default_device());
  for (nb::handle argument : arguments) leaves.append(argument);
  return nb::bytes(key, words * sizeof(int64_t));
}

}  // namespace

void bind_program(nb::module_& m) {
  nb::class_<TracingScope>(
      m, "Tracing",
      "While it is active on this thread, operations are recorded for a Program: "
      "nothing is\nevaluated on its own, and random streams are inputs.")
      .def(nb::init<>())
      .def(
          "__enter__",
          [](TracingScope& scope) -> TracingScope& {
            scope.enter();
            return scope;
          },
          nb::rv_policy::reference)
      .def(
          "__exit__", [](TracingScope& scope, nb::args) { scope.exit(); },
          nb::sig("def __exit__(self, *args: object) -> None"))
      .def_prop_ro(
          "random_streams", [](const TracingScope& scope) { return scope.get().streams().size(); },
          "How many random streams the trace draws.");
  m.def(
      "placeholder",
      [](nb::handle shape, nb::handle dtype, bool weak, const cyxwiz::Device* device) {
        const cyxwiz::DeviceScope scope(device ? device : cyxwiz::thread_device());
        return cyxwiz::placeholder(to_shape(shape), to_dtype(dtype), weak);
      },
      "shape"_a, "dtype"_a, "weak"_a = false, "device"_a = nb::none(),
      nb::sig("def placeholder(shape: ShapeLike, dtype: DTypeLike, weak: bool = False, device: "
              "Device | None = None) -> Tensor"),
      "A value that a trace does not have yet; weak: a Python number.");
  m.def(
      "is_same", [](const Tensor& a, const Tensor& b) { return a.node() == b.node(); }, "a"_a,
      "b"_a, "Do two handles hold one value, whatever it is?");
  nb::class_<Program>(
      m, "Program",
      "A traced function of tensors, compiled once, run many times.\n\n"
      "`inputs` are placeholders, `outputs` were computed from them under `tracing`.")
      .def(
          "__init__",
          [](Program* self, nb::handle inputs, nb::handle outputs, const TracingScope& tracing,
             std::vector<bool> donated) {
            const std::vector<Tensor> from = to_tensors(inputs), to = to_tensors(outputs);
            const GilRelease release;
            new (self) Program(from, to, tracing.get(), std::move(donated));
          },
          "inputs"_a, "outputs"_a, "tracing"_a, "donated"_a = std::vector<bool>(),
          nb::sig(
              "def __init__(self, inputs: Sequence[Tensor], outputs: Sequence[Tensor], tracing: "
              "Tracing, donated: Sequence[bool] = ...) -> None"))
      .def("__call__", &run, "arguments"_a,
           nb::sig("def __call__(self, arguments: Sequence[Tensor | float]) -> list[Tensor]"),
           "The outputs for these inputs. A donated argument's tensor is left without a value.")
      .def("repeat", &repeat, "arguments"_a, "counter"_a, "step"_a, "times"_a, "seconds"_a,
           nb::sig("def repeat(self, arguments: Sequence[Tensor | float], counter: int, step: int, "
                   "times: int, seconds: float) -> tuple[list[Tensor], int]"),
           "The outputs after many runs, and their number. Each run's outputs are the next one's "
           "last\narguments, and the argument at `counter` grows by `step`. No run begins after "
           "`times` of\nthem, or, but for the first, when `seconds` have passed.")
      .def_prop_ro("steps", &Program::steps, "One line for each step that runs.");
  m.def(
      "plain_signature", &plain_signature, "arguments"_a, "leaves"_a,
      nb::sig("def plain_signature(arguments: tuple[Any, ...], leaves: list[Any]) -> bytes | None"),
      "A key for arguments that are tensors and numbers, which are appended to leaves; else None.");
  m.def(
      "evaluate", [](nb::handle tensors) { evaluate_without_gil(to_tensors(tensors)); },
      "tensors"_a, nb::sig("def evaluate(tensors: Sequence[Tensor]) -> None"),
      "Evaluates them together: what they share is computed once.");
  m.def(
      "cache_stats",
      [] {
        cyxwiz::CacheStats stats;
        {
          const GilRelease release;
          stats = cyxwiz::cache_stats();
        }
        nb::dict result;
        result["programs"] = stats.programs;
        result["hits"] = stats.hits;
        result["misses"] = stats.misses;
        return result;
      },
      nb::sig("def cache_stats() -> dict[str, int]"),
      "How many Programs the structural cache holds, and how often it had the one that was "
      "needed.");
}
