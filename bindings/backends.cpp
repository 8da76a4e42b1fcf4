// Backends written in Python (pycyxwiz.backends): a Graph becomes a Program of plain Python data,
// device memory is whatever object the backend hands out, and every call takes the GIL.
//
// Locks: these calls may come with graph_mutex() held and take the GIL then; nothing takes
// graph_mutex() with the GIL held.
#include <cxxabi.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "convert.h"
#include "cyxwiz/error.h"

using cyxwiz::Argument;
using cyxwiz::Buffer;
using cyxwiz::BufferPtr;
using cyxwiz::Device;
using cyxwiz::DType;
using cyxwiz::Graph;
using cyxwiz::Result;
using cyxwiz::Shape;
using cyxwiz::Tensor;

namespace {

/// Runs Python code. As the interpreter shuts down it ends the threads that are in it, by force,
/// and C++ can't be unwound so: such a thread waits here for the end of the process.
template <class Action>
auto in_python(Action&& action) {
  try {
    return action();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
}

template <class... Arguments>
nb::object call(nb::handle object, const char* method, const Arguments&... arguments) {
  return in_python([&] { return nb::object(object.attr(method)(arguments...)); });
}

/// Drops an object, from any thread.
void drop(nb::object& object) {
  PyObject* pointer = object.release().ptr();
  if (!Py_IsInitialized()) return;  // the process ends, and the object with it
  const GilAcquire gil;
  in_python([&] { Py_XDECREF(pointer); });
}

int64_t bytes_of(const Shape& shape, DType dtype) {
  return element_count(shape) * item_size(dtype);
}

/// What lies on a device of a Python backend, counted.
struct Counter {
  std::atomic<int64_t> allocated = 0, peak = 0;

  void add(int64_t bytes) {
    const int64_t now = allocated += bytes;
    for (int64_t known = peak; now > known && !peak.compare_exchange_weak(known, now);) {
    }
  }
};

/// A backend's array, held as long as the Buffer lives.
class ArrayBuffer final : public Buffer {
 public:
  ArrayBuffer(const Device* device, Counter& counter, int64_t bytes, nb::object array)
      : Buffer(device, nullptr, bytes, /*writable=*/true),
        counter_(counter),
        array_(std::move(array)) {
    counter_.add(bytes);
  }
  ~ArrayBuffer() override {
    counter_.allocated -= bytes();
    drop(array_);
  }

  const nb::object& array() const { return array_; }

 private:
  Counter& counter_;
  nb::object array_;
};

template <class Range, class Convert>
nb::tuple to_tuple(const Range& range, Convert&& convert) {
  nb::list list;
  for (const auto& item : range) list.append(convert(item));
  return nb::tuple(list);
}

nb::tuple numbers(std::span<const int64_t> range) {
  return to_tuple(range, [](int64_t n) { return nb::int_(n); });
}

/// Which of a Graph's outputs the backend computes: each once, and none that is an input.
struct Outputs {
  std::vector<int> computed;  // values
  std::vector<int> argument;  // for each output: the argument that it is, or -1
  std::vector<int> place;     // for each output: its place among the computed ones
};

Outputs outputs_of(const Graph& graph) {
  Outputs outputs;
  for (int value : graph.outputs) {
    int argument = -1, place = -1;
    for (size_t i = 0; i < graph.inputs.size(); ++i) {
      if (graph.inputs[i] == value) argument = static_cast<int>(i);
    }
    if (argument < 0) {
      const auto found = std::find(outputs.computed.begin(), outputs.computed.end(), value);
      place = static_cast<int>(found - outputs.computed.begin());
      if (found == outputs.computed.end()) outputs.computed.push_back(value);
    }
    outputs.argument.push_back(argument);
    outputs.place.push_back(place);
  }
  return outputs;
}

nb::object to_program(const Graph& graph, const Outputs& outputs) {
  const nb::module_ protocol = nb::module_::import_("pycyxwiz.backends.protocol");
  const nb::object make_value = protocol.attr("Value");
  const auto id = [](int n) { return nb::int_(n); };
  const nb::tuple values = to_tuple(graph.values, [&](const cyxwiz::Value& value) {
    const std::string op(name(value.op)), dtype(name(value.dtype));
    return make_value(op, dtype, numbers({value.shape.begin(), value.shape.end()}),
                      to_tuple(value.operands(), id), numbers(value.attributes));
  });
  return protocol.attr("Program")(
      values, to_tuple(graph.inputs, id),
      to_tuple(graph.donated, [](bool donated) { return nb::bool_(donated); }),
      to_tuple(outputs.computed, id));
}

class PythonBackend;

class PythonExecutable final : public cyxwiz::Executable {
 public:
  PythonExecutable(PythonBackend& backend, const Device& device, const Graph& graph);
  ~PythonExecutable() override { drop(executable_); }
  void run(std::span<Argument> arguments, std::span<Result> results) override;
  std::vector<std::string> describe() const override;

 private:
  PythonBackend& backend_;
  const Device& device_;
  const Outputs outputs_;
  std::vector<bool> donated_;
  std::vector<DType> dtypes_;   // of the arguments
  std::vector<int64_t> bytes_;  // of what is computed
  nb::object executable_;
};

class PythonBackend final : public cyxwiz::Backend {
 public:
  explicit PythonBackend(nb::object backend)
      : backend_(std::move(backend)),
        name_(nb::cast<std::string>(backend_.attr("name"))),
        process_(getpid()) {}

  std::string_view name() const override { return name_; }

  std::vector<Device> devices() override {
    std::vector<Device> found;
    for (nb::handle info : call(backend_, "devices")) {
      Device device;
      device.kind = nb::cast<std::string>(info.attr("kind"));
      device.index = nb::cast<int>(info.attr("index"));
      device.name = nb::cast<std::string>(info.attr("name"));
      device.memory_bytes = nb::cast<int64_t>(info.attr("memory_bytes"));
      found.push_back(std::move(device));
    }
    counters_ = std::vector<Counter>(found.size());
    for (const Device& device : found) keys_.push_back(device.spec());
    return found;
  }

  BufferPtr copy_in(const Device& device, const Result& host, const Shape& shape,
                    DType dtype) override {
    const GilAcquire gil;
    check_process(device);
    const nb::object array = to_numpy(from_buffer(host.buffer, host.offset, shape, dtype));
    return hold(device, bytes_of(shape, dtype),
                call(backend_, "copy_in", array, place(device), host.buffer->writable()));
  }

  Result copy_out(const Result& from, const Shape& shape, DType dtype) override {
    const GilAcquire gil;
    check_process(*from.buffer->device());
    const nb::object array = call(backend_, "copy_out", array_of(from.buffer));
    Py_buffer view;
    if (PyObject_GetBuffer(array.ptr(), &view, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
    auto buffer = std::make_shared<BorrowedBuffer>(cyxwiz::host_device(), view);
    if (buffer->bytes() != bytes_of(shape, dtype)) {
      throw cyxwiz::DeviceError(name_ + ": copy_out gave " + std::to_string(buffer->bytes()) +
                                " bytes for a tensor of " + std::to_string(bytes_of(shape, dtype)));
    }
    return {std::move(buffer), 0};
  }

  std::unique_ptr<cyxwiz::Executable> compile(const Graph& graph, const Device& device) override {
    const GilAcquire gil;
    check_process(device);
    return std::make_unique<PythonExecutable>(*this, device, graph);
  }

  void synchronize(const Device& device) override {
    const GilAcquire gil;
    check_process(device);
    call(backend_, "synchronize", place(device));
  }

  cyxwiz::MemoryStats memory(const Device& device) override {
    const GilAcquire gil;
    check_process(device);
    const nb::object more = call(backend_, "memory", place(device));
    const Counter& counter = counters_[static_cast<size_t>(place(device))];
    return {counter.allocated, nb::cast<int64_t>(more.attr("cached")), counter.peak,
            nb::cast<int64_t>(more.attr("free"))};
  }

  void release_cached(const Device& device) override {
    const GilAcquire gil;
    check_process(device);
    call(backend_, "release_cached", place(device));
  }

  nb::object compile_program(const nb::object& program, const Device& device) {
    return call(backend_, "compile", program, place(device));
  }

  BufferPtr hold(const Device& device, int64_t bytes, nb::object array) {
    return std::make_shared<ArrayBuffer>(&device, counters_[static_cast<size_t>(place(device))],
                                         bytes, std::move(array));
  }

  static const nb::object& array_of(const BufferPtr& buffer) {
    return static_cast<const ArrayBuffer&>(*buffer).array();
  }

  void check_process(const Device& device) const {
    if (getpid() == process_) return;
    throw cyxwiz::DeviceError(device.spec() +
                              " was opened before this process was forked, and engines of devices "
                              "don't survive a fork; start processes with multiprocessing's "
                              "\"spawn\" instead");
  }

 private:
  /// Its place in the list that devices() gave.
  int place(const Device& device) const {
    const auto found = std::find(keys_.begin(), keys_.end(), device.spec());
    return static_cast<int>(found - keys_.begin());
  }

  nb::object backend_;
  const std::string name_;
  const pid_t process_;
  std::vector<Counter> counters_;  // one for each device
  std::vector<std::string> keys_;
};

PythonExecutable::PythonExecutable(PythonBackend& backend, const Device& device, const Graph& graph)
    : backend_(backend), device_(device), outputs_(outputs_of(graph)), donated_(graph.donated) {
  for (int input : graph.inputs) dtypes_.push_back(graph.values[static_cast<size_t>(input)].dtype);
  for (int output : outputs_.computed) {
    const cyxwiz::Value& value = graph.values[static_cast<size_t>(output)];
    bytes_.push_back(bytes_of(value.shape, value.dtype));
  }
  executable_ =
      backend.compile_program(in_python([&] { return to_program(graph, outputs_); }), device);
}

void PythonExecutable::run(std::span<Argument> arguments, std::span<Result> results) {
  const GilAcquire gil;
  backend_.check_process(device_);
  nb::list given, donated;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const Argument& argument = arguments[i];
    given.append(argument.buffer ? nb::object(PythonBackend::array_of(argument.buffer))
                                 : number_at(argument.immediate.data(), dtypes_[i]));
    if (donated_[i] && argument.buffer && argument.buffer.use_count() == 1) {
      donated.append(static_cast<int64_t>(i));
    }
  }
  std::vector<BufferPtr> computed;
  for (nb::handle array : call(executable_, "run", given, donated)) {
    const size_t at = computed.size();
    if (at == bytes_.size()) break;
    computed.push_back(backend_.hold(device_, bytes_[at], nb::borrow(array)));
  }
  if (computed.size() != bytes_.size()) {
    throw cyxwiz::DeviceError(std::string(backend_.name()) + ": a Program of " +
                              std::to_string(bytes_.size()) + " results gave " +
                              std::to_string(computed.size()));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    if (outputs_.argument[i] >= 0) {
      const Argument& argument = arguments[static_cast<size_t>(outputs_.argument[i])];
      results[i] = {argument.buffer, argument.offset};
    } else {
      results[i] = {computed[static_cast<size_t>(outputs_.place[i])], 0};
    }
  }
}

std::vector<std::string> PythonExecutable::describe() const {
  const GilAcquire gil;
  std::vector<std::string> lines;
  for (nb::handle line : call(executable_, "describe")) {
    lines.push_back(nb::cast<std::string>(line));
  }
  return lines;
}

}  // namespace

void bind_backends(nb::module_& m) {
  m.def(
      "register_backend",
      [](nb::object backend) {
        cyxwiz::register_backend(std::make_unique<PythonBackend>(std::move(backend)));
      },
      "backend"_a, nb::sig("def register_backend(backend: Any) -> None"),
      "Adds a backend (pycyxwiz.backends.protocol.Backend) and its devices, for good.");
  m.def(
      "op_names",
      [] {
        nb::list names;
        for (int i = static_cast<int>(cyxwiz::Op::kScalar) + 1;
             i < static_cast<int>(cyxwiz::Op::kCount); ++i) {
          names.append(std::string(name(static_cast<cyxwiz::Op>(i))));
        }
        return names;
      },
      nb::sig("def op_names() -> list[str]"), "What Programs are made of, by name.");
  m.def(
      "record",
      [](std::string_view op, nb::handle dtype, nb::handle shape, nb::handle inputs,
         std::vector<int64_t> attributes) {
        cyxwiz::Value value;
        value.op = cyxwiz::op_from_name(op);
        value.dtype = to_dtype(dtype);
        value.shape = to_shape(shape);
        value.attributes = std::move(attributes);
        return record(value, to_tensors(inputs));
      },
      "op"_a, "dtype"_a, "shape"_a, "inputs"_a, "attributes"_a = std::vector<int64_t>(),
      nb::sig("def record(op: str, dtype: DTypeLike, shape: ShapeLike, inputs: Sequence[Tensor], "
              "attributes: Sequence[int] = ...) -> Tensor"),
      "The result of one instruction of a Program. Nothing is checked: it is for backends, which "
      "have\nthe instruction from the core.");
}
