#include "convert.h"

#include <cxxabi.h>
#include <nanobind/ndarray.h>
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <string>

using cyxwiz::DType;
using cyxwiz::DTypeError;
using cyxwiz::Shape;
using cyxwiz::ShapeError;
using cyxwiz::Tensor;

namespace {

nb::object numpy(const char* attribute) { return nb::module_::import_("numpy").attr(attribute); }

/// The dtype of a buffer's elements, by the struct module's letters and the item size.
bool dtype_of(const Py_buffer& view, DType& dtype) {
  const char* format = view.format ? view.format : "B";
  const bool native = std::endian::native == std::endian::little ? *format != '>' && *format != '!'
                                                                 : *format != '<';
  if (!native) return false;
  if (std::strchr("<>=@!", *format)) ++format;
  if (std::strlen(format) != 1) return false;
  for (DType t : {DType::kBool, DType::kUInt8, DType::kInt8, DType::kInt16, DType::kInt32,
                  DType::kInt64, DType::kFloat32, DType::kFloat64}) {
    const char* letters = t == DType::kBool        ? "?"
                          : t == DType::kUInt8     ? "B"
                          : cyxwiz::is_floating(t) ? "fd"
                                                   : "bhilq";
    if (std::strchr(letters, *format) && view.itemsize == cyxwiz::item_size(t)) {
      dtype = t;
      return true;
    }
  }
  return false;
}

[[noreturn]] void refuse_dtype(nb::handle array) {
  const nb::object dtype = array.attr("dtype");
  const std::string found = nb::str(nb::handle(dtype)).c_str();
  throw DTypeError("an array of dtype " + found +
                   " can't become a Tensor: the dtypes are bool, uint8, int8, int16, int32, int64, "
                   "float32 and float64; convert it first, with array.astype(...)");
}

Tensor share(nb::handle array) {
  Py_buffer view;
  if (PyObject_GetBuffer(array.ptr(), &view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
    PyErr_Clear();
    refuse_dtype(array);
  }
  DType dtype;
  if (!dtype_of(view, dtype)) {
    PyBuffer_Release(&view);
    refuse_dtype(array);
  }
  Shape shape;
  try {
    shape = Shape(std::span<const int64_t>(view.shape, static_cast<size_t>(view.ndim)));
  } catch (...) {
    PyBuffer_Release(&view);
    throw;
  }
  return from_buffer(std::make_shared<BorrowedBuffer>(cyxwiz::host_device(), view), 0, shape,
                     dtype);
}

Tensor copy_of(nb::handle array) {
  const nb::object dense = numpy("ascontiguousarray")(array).attr("reshape")(array.attr("shape"));
  const Tensor shared = share(dense);
  return cyxwiz::from_data(shared.data(), shared.shape(), shared.dtype());
}

nb::object native(nb::handle array) {
  const nb::object dtype = array.attr("dtype");
  if (nb::cast<bool>(dtype.attr("isnative"))) return nb::borrow(array);
  return array.attr("astype")(dtype.attr("newbyteorder")("="));
}

Shape refuse_sizes(nb::handle object) {
  const std::string found = nb::repr(object).c_str();
  throw nb::type_error(("a shape or axes must be a whole number or several, got " + found).c_str());
}

bool is_number(nb::handle object) {
  return PyFloat_Check(object.ptr()) || PyLong_Check(object.ptr());
}

Tensor number(nb::handle object) {
  if (PyFloat_Check(object.ptr())) return Tensor(PyFloat_AS_DOUBLE(object.ptr()));
  if (PyBool_Check(object.ptr())) {
    return cyxwiz::astype(Tensor(int64_t{object.ptr() == Py_True}), DType::kBool);
  }
  return Tensor(*to_whole(object));
}

/// Python floats in lists are float32, as they are everywhere: NumPy makes them float64.
bool holds_plain_numbers(nb::handle data) {
  return PyList_Check(data.ptr()) || PyTuple_Check(data.ptr()) || PyFloat_CheckExact(data.ptr());
}

bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
  return Py_IsFinalizing();
#else
  return _Py_IsFinalizing();
#endif
}

}  // namespace

GilAcquire::GilAcquire() {
  // The thread that shuts the interpreter down has the GIL, and may go on.
  while (!Py_IsInitialized() || (is_finalizing() && !PyGILState_Check())) pause();
  try {
    state_ = PyGILState_Ensure();
  } catch (const abi::__forced_unwind&) {
    for (;;) pause();
  }
}

BorrowedBuffer::~BorrowedBuffer() {
  if (!Py_IsInitialized()) return;  // the process ends, and the object with it
  const GilAcquire gil;
  PyBuffer_Release(&view_);
}

namespace {

const cyxwiz::Device* device_among(std::initializer_list<nb::handle> objects) {
  for (nb::handle object : objects) {
    if (nb::isinstance<Tensor>(object)) return nb::cast<const Tensor&>(object).device();
    if (!PyList_Check(object.ptr()) && !PyTuple_Check(object.ptr())) continue;
    for (nb::handle item : object) {
      if (nb::isinstance<Tensor>(item)) return nb::cast<const Tensor&>(item).device();
    }
  }
  return cyxwiz::thread_device();
}

}  // namespace

BesideScope::BesideScope(std::initializer_list<nb::handle> objects)
    : scope_(device_among(objects)) {}

GilRelease::~GilRelease() noexcept(false) {
  while (is_finalizing()) pause();
  try {
    PyEval_RestoreThread(state_);
  } catch (const abi::__forced_unwind&) {
    // The shutdown began while this thread waited for the GIL.
    for (;;) pause();
  }
}

Tensor to_operand(nb::handle object) {
  if (nb::isinstance<Tensor>(object)) return nb::cast<const Tensor&>(object);
  if (is_number(object)) return number(object);
  return from_python(object, nb::none());
}

Tensor to_tensor(nb::handle object) {
  if (nb::isinstance<Tensor>(object)) return nb::cast<const Tensor&>(object);
  // NumPy's float64 is a kind of float, and keeps its dtype.
  const bool scalar = PyFloat_Check(object.ptr()) && !PyFloat_CheckExact(object.ptr());
  if (!is_number(object) || scalar) return from_python(object, nb::none());
  const Tensor plain = number(object);
  // A number as a Tensor of its own no longer gives way to what it meets.
  if (plain.dtype() == DType::kFloat64) return astype(plain, DType::kFloat32);
  const uint8_t truth = object.ptr() == Py_True;
  if (plain.dtype() == DType::kBool) return cyxwiz::from_data(&truth, {}, DType::kBool);
  const int64_t value = *to_whole(object);
  return cyxwiz::from_data(&value, {}, DType::kInt64);
}

Tensor from_python(nb::handle data, nb::handle dtype) {
  if (nb::isinstance<Tensor>(data)) {
    const Tensor& tensor = nb::cast<const Tensor&>(data);
    return dtype.is_none() ? tensor : astype(tensor, to_dtype(dtype));
  }
  const bool plain = holds_plain_numbers(data);
  nb::object array;
  try {
    const bool foreign = nb::hasattr(data, "__dlpack__") && !nb::hasattr(data, "__array__");
    array = numpy(foreign ? "from_dlpack" : "asarray")(data);
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    throw ShapeError("Tensor: the nested lists do not make a rectangle");
  }
  array = native(array);
  const std::string kind = nb::str(array.attr("dtype").attr("kind")).c_str();
  if (kind == "O" || kind == "U" || kind == "S") {
    const std::string type = nb::str(data.type().attr("__name__")).c_str();
    // What NumPy did not look into is an array of no axes.
    const bool alone = nb::cast<int>(array.attr("ndim")) == 0;
    const char* of = kind == "O" ? " of mixed objects" : " of strings";
    throw DTypeError((alone ? "an object of type " + type : "a " + type + of) +
                     " can't become a Tensor: it takes numbers, nested lists of numbers, arrays "
                     "and tensors");
  }
  if (plain && kind == "f" && dtype.is_none()) array = array.attr("astype")("float32");
  const Tensor tensor = copy_of(array);
  return dtype.is_none() ? tensor : astype(tensor, to_dtype(dtype));
}

Tensor from_numpy(nb::handle array) {
  if (!nb::isinstance(array, numpy("ndarray"))) {
    return from_python(array, nb::none());
  }
  const nb::object fitting = native(array);
  if (!nb::cast<bool>(fitting.attr("flags").attr("c_contiguous"))) return copy_of(fitting);
  return move_without_gil(share(fitting), cyxwiz::default_device());
}

void evaluate_without_gil(std::span<const Tensor> tensors) {
  const auto is_computed = [](const Tensor& tensor) { return tensor.is_computed(); };
  if (std::all_of(tensors.begin(), tensors.end(), is_computed)) return;
  const GilRelease release;
  cyxwiz::evaluate(tensors);
}

Tensor move_without_gil(const Tensor& tensor, const cyxwiz::Device* device) {
  if (tensor.device() == device) return tensor;
  const GilRelease release;
  return cyxwiz::to(tensor, device);
}

Tensor read_without_gil(const Tensor& tensor) {
  evaluate_without_gil({&tensor, 1});
  if (tensor.device() == cyxwiz::host_device()) return tensor;
  const GilRelease release;
  return cyxwiz::on_host(tensor);
}

namespace {

/// Keeps the value alive for an array that shares its memory, also after the Tensor was rebound.
nb::capsule owner_of(const Tensor& tensor) {
  return nb::capsule(std::make_unique<Tensor>(tensor).release(),
                     [](void* p) noexcept { delete static_cast<Tensor*>(p); });
}

int numpy_type(DType t) {
  switch (t) {
    case DType::kBool:
      return NPY_BOOL;
    case DType::kUInt8:
      return NPY_UINT8;
    case DType::kInt8:
      return NPY_INT8;
    case DType::kInt16:
      return NPY_INT16;
    case DType::kInt32:
      return NPY_INT32;
    case DType::kInt64:
      return NPY_INT64;
    case DType::kFloat32:
      return NPY_FLOAT32;
    case DType::kFloat64:
      return NPY_FLOAT64;
  }
  return NPY_NOTYPE;
}

}  // namespace

// Through NumPy's own C API: by the buffer protocol it would take NumPy three times as long to find
// out what it is given, and small reads would be slower than PyTorch's.
nb::object to_numpy(const Tensor& tensor) {
  if (PyArray_ImportNumPyAPI() < 0) throw nb::python_error();
  const Tensor here = read_without_gil(tensor);
  npy_intp shape[cyxwiz::kMaxRank];
  std::copy(here.shape().begin(), here.shape().end(), shape);
  nb::object array = nb::steal(PyArray_New(
      &PyArray_Type, here.rank(), shape, numpy_type(here.dtype()), nullptr,
      const_cast<void*>(here.data()), 0, NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED, nullptr));
  if (!array.is_valid()) throw nb::python_error();
  auto* fresh = reinterpret_cast<PyArrayObject*>(array.ptr());
  if (PyArray_SetBaseObject(fresh, owner_of(here).release().ptr()) < 0) throw nb::python_error();
  return array;
}

nb::object to_dlpack(const Tensor& tensor) {
  const Tensor here = read_without_gil(tensor);
  size_t shape[cyxwiz::kMaxRank];
  std::copy(here.shape().begin(), here.shape().end(), shape);
  const DType t = here.dtype();
  const nb::dlpack::dtype_code code = t == DType::kBool        ? nb::dlpack::dtype_code::Bool
                                      : t == DType::kUInt8     ? nb::dlpack::dtype_code::UInt
                                      : cyxwiz::is_floating(t) ? nb::dlpack::dtype_code::Float
                                                               : nb::dlpack::dtype_code::Int;
  const nb::dlpack::dtype dtype{static_cast<uint8_t>(code),
                                static_cast<uint8_t>(cyxwiz::item_size(t) * 8), 1};
  return nb::cast(nb::ndarray<nb::array_api, nb::ro>(here.data(), static_cast<size_t>(here.rank()),
                                                     shape, owner_of(here), nullptr, dtype));
}

DType to_dtype(nb::handle object) {
  if (nb::isinstance<PyDType>(object)) return nb::cast<const PyDType&>(object).value;
  if (nb::isinstance<nb::str>(object)) {
    return cyxwiz::dtype_from_name(nb::cast<std::string>(object));
  }
  if (object.is((PyObject*)&PyFloat_Type)) return DType::kFloat32;
  if (object.is((PyObject*)&PyLong_Type)) return DType::kInt64;
  if (object.is((PyObject*)&PyBool_Type)) return DType::kBool;
  return cyxwiz::dtype_from_name(nb::str(numpy("dtype")(object).attr("name")).c_str());
}

std::optional<int64_t> to_whole(nb::handle object) {
  if (!PyIndex_Check(object.ptr())) return {};
  const nb::object number = nb::steal(PyNumber_Index(object.ptr()));
  if (!number.is_valid()) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw nb::python_error();
    PyErr_Clear();
    return {};
  }
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
  if (overflow != 0) {
    throw cyxwiz::OverflowError("the integer " + std::string(nb::str(number).c_str()) +
                                " does not fit int64; a float may be larger");
  }
  return value;
}

Shape to_shape(nb::handle object) {
  if (const auto one = to_whole(object)) return {*one};
  Shape shape;
  const nb::object items = nb::steal(PyObject_GetIter(object.ptr()));
  PyErr_Clear();
  while (items.is_valid()) {
    const nb::object item = nb::steal(PyIter_Next(items.ptr()));
    if (!item.is_valid()) break;
    const auto size = to_whole(item);
    if (!size) return refuse_sizes(object);
    shape.push_back(*size);
  }
  if (PyErr_Occurred()) throw nb::python_error();
  return items.is_valid() ? shape : refuse_sizes(object);
}

cyxwiz::Axes to_axes(nb::handle object) {
  if (object.is_none()) return {};
  const Shape axes = to_shape(object);
  return {axes.begin(), axes.end()};
}

nb::object from_shape(const Shape& shape) {
  // Looked up once and never released: types outlive every Tensor. Not a static's initialiser,
  // whose lock a thread would hold while the import lets go of the GIL.
  static PyObject* type = nullptr;
  if (!type) type = nb::module_::import_("pycyxwiz._shape").attr("Shape").inc_ref().ptr();
  nb::list sizes;
  for (int64_t size : shape) sizes.append(size);
  return nb::handle(type)(sizes);
}

std::vector<Tensor> to_tensors(nb::handle sequence) {
  std::vector<Tensor> tensors;
  for (nb::handle item : sequence) tensors.push_back(to_tensor(item));
  return tensors;
}

nb::list to_list(const std::vector<Tensor>& tensors) {
  nb::list list;
  for (const Tensor& tensor : tensors) list.append(tensor);
  return list;
}

nb::object to_number(const Tensor& tensor) {
  if (tensor.size() != 1) {
    throw cyxwiz::ValueError("item: only a tensor of one element is a number, this one has shape " +
                             cyxwiz::to_string(tensor.shape()));
  }
  const Tensor here = read_without_gil(tensor);
  return number_at(here.data(), here.dtype());
}

nb::object number_at(const void* data, DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return nb::bool_(*static_cast<const uint8_t*>(data) != 0);
    case DType::kUInt8:
      return nb::int_(*static_cast<const uint8_t*>(data));
    case DType::kInt8:
      return nb::int_(*static_cast<const int8_t*>(data));
    case DType::kInt16:
      return nb::int_(*static_cast<const int16_t*>(data));
    case DType::kInt32:
      return nb::int_(*static_cast<const int32_t*>(data));
    case DType::kInt64:
      return nb::int_(*static_cast<const int64_t*>(data));
    case DType::kFloat32:
      return nb::float_(*static_cast<const float*>(data));
    case DType::kFloat64:
      return nb::float_(*static_cast<const double*>(data));
  }
  return nb::none();
}
