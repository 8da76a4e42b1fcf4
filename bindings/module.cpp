// The module pycyxwiz._core: the C++ library as Python sees it.
#include "convert.h"
#include "cyxwiz/error.h"

namespace {

/// Makes the Python class `name(base)` and turns the C++ error into it.
template <class Error>
void bind_error(nb::module_& m, const char* name, PyObject* base) {
  nb::exception<Error>(m, name, base);
}

}  // namespace

NB_MODULE(_core, m) {
  nb::set_leak_warnings(false);  // what scripts hold when the process ends is no leak
  m.doc() = "The compiled core of pycyxwiz; its public names are those of the package.";
  bind_error<cyxwiz::ShapeError>(m, "ShapeError", PyExc_ValueError);
  bind_error<cyxwiz::DTypeError>(m, "DTypeError", PyExc_TypeError);
  bind_error<cyxwiz::DeviceError>(m, "DeviceError", PyExc_RuntimeError);
  bind_error<cyxwiz::OutOfMemoryError>(m, "OutOfMemoryError", PyExc_MemoryError);
  bind_error<cyxwiz::TracingError>(m, "TracingError", PyExc_RuntimeError);
  cyxwiz::set_trigger(evaluate_without_gil);
  bind_devices(m);
  bind_backends(m);
  bind_tensor(m);
  bind_ops(m);
  bind_autograd(m);
  bind_program(m);
}
