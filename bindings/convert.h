// Conversions between Python objects and what the core takes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <optional>

#include "cyxwiz/cyxwiz.h"

namespace nb = nanobind;
using namespace nb::literals;

/// Lets other Python threads run for a scope. While the interpreter shuts down it never gives
/// control back to a thread of the script's; such a thread waits here for the process to end, since
/// being ended by Python in the middle of C++ would abort the process.
class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() noexcept(false);
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

/// Takes the GIL for a scope, on any thread; once the interpreter has shut down, the thread waits
/// here for the process to end.
class GilAcquire {
 public:
  GilAcquire();
  ~GilAcquire() { PyGILState_Release(state_); }
  GilAcquire(const GilAcquire&) = delete;
  GilAcquire& operator=(const GilAcquire&) = delete;

 private:
  PyGILState_STATE state_;
};

/// Memory of a Python object, which lives as long as the Buffer does.
class BorrowedBuffer final : public cyxwiz::Buffer {
 public:
  BorrowedBuffer(const cyxwiz::Device* device, Py_buffer view)
      : Buffer(device, view.buf, view.len, /*writable=*/false), view_(view) {}
  ~BorrowedBuffer() override;

 private:
  Py_buffer view_;
};

/// While it lives, lists, arrays and numbers become Tensors where the first Tensor among some
/// objects is, or in them.
class BesideScope {
 public:
  explicit BesideScope(std::initializer_list<nb::handle> objects);

 private:
  cyxwiz::DeviceScope scope_;
};

/// A dtype as Python sees it.
struct PyDType {
  cyxwiz::DType value;
};

/// Tensors as they are, numbers as numbers that take the dtype of what they meet, anything else
/// through NumPy. Throws a Python error that names `operation`.
cyxwiz::Tensor to_operand(nb::handle object);

/// As to_operand, but a number becomes what Tensor(number) is: float32, int64 or bool.
cyxwiz::Tensor to_tensor(nb::handle object);

/// A Tensor with a copy of `data` (nested lists, numbers, arrays, Tensors).
cyxwiz::Tensor from_python(nb::handle data, nb::handle dtype);

/// A Tensor that shares the array's memory, where it is dense and in native byte order.
cyxwiz::Tensor from_numpy(nb::handle array);

/// A read-only array that shares the Tensor's memory.
nb::object to_numpy(const cyxwiz::Tensor& tensor);

/// An object that shares the Tensor's memory by DLPack.
nb::object to_dlpack(const cyxwiz::Tensor& tensor);

/// The dtype that a PyDType, a name, a NumPy dtype or a Python type (float, int, bool) names.
cyxwiz::DType to_dtype(nb::handle object);

/// A whole number, or nothing for what is none. Arrays and tensors have __index__ whatever they
/// hold, so it has to be tried. Throws OverflowError beyond int64.
std::optional<int64_t> to_whole(nb::handle object);
cyxwiz::Shape to_shape(nb::handle object);  ///< a number or a sequence of numbers
cyxwiz::Axes to_axes(nb::handle object);    ///< None gives no axes
nb::object from_shape(const cyxwiz::Shape& shape);

/// "CPU", "CUDA": the device's kind as users see it.
std::string kind_of(const cyxwiz::Device& device);

/// The elements of a Python list or tuple, as Tensors.
std::vector<cyxwiz::Tensor> to_tensors(nb::handle sequence);
nb::list to_list(const std::vector<cyxwiz::Tensor>& tensors);

/// Evaluates without the GIL.
void evaluate_without_gil(std::span<const cyxwiz::Tensor> tensors);

/// The Tensor on another device, with the GIL held only where Python code copies.
cyxwiz::Tensor move_without_gil(const cyxwiz::Tensor& tensor, const cyxwiz::Device* device);

/// The Tensor's value in the host's memory, for reading.
cyxwiz::Tensor read_without_gil(const cyxwiz::Tensor& tensor);

/// The device that a Device or a name names; loads the backend that serves it.
const cyxwiz::Device* to_device(nb::handle object);

/// A Python number of the one element.
nb::object to_number(const cyxwiz::Tensor& tensor);
nb::object number_at(const void* element, cyxwiz::DType dtype);

void bind_tensor(nb::module_& m);
void bind_ops(nb::module_& m);
void bind_autograd(nb::module_& m);
void bind_program(nb::module_& m);
void bind_devices(nb::module_& m);
void bind_backends(nb::module_& m);
